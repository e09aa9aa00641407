//! Who owned partitions before this process first did.
//!
//! In: takeovers, in their order. Out: whether a process was there before us. One of them may have stood still for long: when it
//! wakes up it takes partitions back, under the same name, before it learns that it was replaced. It will end, and we must not.

use std::collections::BTreeMap;

use model::PartitionId;

/// The process of an owner, without the number of its tenancy.
pub(super) fn process_of(owner: &str) -> &str {
    owner.rsplit_once('-').map_or(owner, |(process, _)| process)
}

/// The name of a process that it keeps over restarts.
pub(super) fn instance_of(owner: &str) -> &str {
    owner.split_once(':').map_or(owner, |(instance, _)| instance)
}

/// By partition.
#[derive(Debug, Default)]
pub(super) struct Predecessors(BTreeMap<PartitionId, Predecessor>);

#[derive(Debug)]
struct Predecessor {
    who: Who,
    /// We have owned the partition since: who comes now is none.
    is_settled: bool,
}

#[derive(Debug)]
enum Who {
    Nobody,
    /// Whoever wrote the takeover at this offset.
    At(i64),
    Process(String),
}

impl Predecessors {
    /// A tenancy begins with a state in which this is the latest takeover.
    pub(super) fn begins(&mut self, partition: PartitionId, epoch: Option<i64>) {
        let who = epoch.map_or(Who::Nobody, Who::At);
        match self.0.get_mut(&partition) {
            Some(known) if known.is_settled => {}
            Some(known) => known.who = who,
            None => _ = self.0.insert(partition, Predecessor { who, is_settled: false }),
        }
    }

    pub(super) fn seen(&mut self, partition: PartitionId, owner: &str) {
        if let Some(known) = self.0.get_mut(&partition).filter(|known| !known.is_settled) {
            known.who = Who::Process(process_of(owner).to_owned());
        }
    }

    pub(super) fn started(&mut self, partition: PartitionId) {
        self.0.entry(partition).and_modify(|known| known.is_settled = true);
    }

    /// Whether a process is one of them; `owner_at` reads who wrote a takeover.
    pub(super) fn include(
        &mut self,
        process: &str,
        owner_at: impl Fn(PartitionId, i64) -> anyhow::Result<Option<String>>,
    ) -> anyhow::Result<bool> {
        for (partition, known) in &mut self.0 {
            if let Who::At(offset) = known.who {
                let owner = owner_at(*partition, offset)?;
                known.who = owner.map_or(Who::Nobody, |owner| Who::Process(process_of(&owner).to_owned()));
            }
        }
        Ok(self.0.values().any(|known| matches!(&known.who, Who::Process(name) if name == process)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stands still, B is started under its name; A wakes up and takes a partition back before it learns of B.
    #[test]
    fn the_process_that_was_replaced_ends_and_its_successor_does_not() {
        let (a, b) = ("forecourt:100-aaaa", "forecourt:200-bbbb");
        let [zero, one] = [0, 1].map(PartitionId);
        let nobody = |_, _| panic!("nothing to be read");
        let mut of_a = Predecessors::default();
        of_a.begins(zero, None);
        of_a.started(zero);
        let mut of_b = Predecessors::default();
        of_b.begins(zero, Some(7));
        of_b.started(zero);
        of_b.begins(one, None);
        of_b.seen(one, "forecourt:50-cccc-1");
        of_b.started(one);
        // A takes over again, with a state in which B's takeover is the latest.
        of_a.begins(zero, Some(12));
        of_a.seen(zero, &format!("{b}-1"));
        assert!(!of_a.include(b, nobody).expect("read"), "B is A's successor");
        of_b.begins(zero, Some(20));
        let asked = |partition, offset| {
            assert_eq!((partition, offset), (zero, 7));
            Ok(Some(format!("{a}-4")))
        };
        assert!(of_b.include(a, asked).expect("read"), "A came before B");
        assert!(of_b.include("forecourt:50-cccc", nobody).expect("read"));
        assert!(!of_b.include("forecourt:300-dddd", nobody).expect("read"), "a third one is B's successor");
    }
}
