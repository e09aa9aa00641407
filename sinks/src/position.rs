//! What stands beside a committed offset: the epoch there, and the range that is being delivered.
//!
//! In: the text of an offset's metadata. Out: [`Commit`], and back. Guarantees: a text that we did not write (a position
//! set by hand has none) is told from one that we wrote. Does not: talk to Kafka.

use model::Fence;

/// The metadata of a committed offset `from`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The fence as it stands before the record at `from`.
    pub epoch: Option<i64>,
    /// When present, the records from `from` up to this offset (excluded) are being delivered, or were: nobody knows.
    pub planned_to: Option<i64>,
}

impl Commit {
    /// For example `v1 epoch=12 to=150`.
    #[must_use]
    pub fn encode(&self) -> String {
        let part = |name: &str, value: Option<i64>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
        format!("v1{}{}", part("epoch", self.epoch), part("to", self.planned_to))
    }

    /// `None` for a text that no version of this program wrote.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some("v1") {
            return None;
        }
        let mut commit = Self { epoch: None, planned_to: None };
        for word in words {
            let (name, value) = word.split_once('=')?;
            let value = value.parse().ok()?;
            match name {
                "epoch" => commit.epoch = Some(value),
                "to" => commit.planned_to = Some(value),
                _ => return None,
            }
        }
        Some(commit)
    }

    /// Whose records count at this offset.
    #[must_use]
    pub fn fence(&self) -> Fence {
        let mut fence = Fence::default();
        if let Some(epoch) = self.epoch {
            fence.takeover(epoch);
        }
        fence
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_set_by_hand_is_told_from_ours() {
        for foreign in ["", "v2 epoch=1", "v1 epoch", "v1 epoch=x", "v1 until=3", "consumer-7"] {
            assert_eq!(Commit::decode(foreign), None, "{foreign:?}");
        }
        assert_eq!(Commit { epoch: Some(12), planned_to: Some(150) }.encode(), "v1 epoch=12 to=150");
        assert_eq!(Commit { epoch: None, planned_to: None }.encode(), "v1");
    }

    proptest! {
        #[test]
        fn what_was_committed_is_read_back(
            epoch in proptest::option::of(0..i64::MAX),
            planned_to in proptest::option::of(0..i64::MAX),
        ) {
            let commit = Commit { epoch, planned_to };
            prop_assert_eq!(Commit::decode(&commit.encode()), Some(commit));
            prop_assert_eq!(commit.fence().epoch(), epoch);
        }
    }
}
