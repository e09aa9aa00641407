//! Kafka's group coordinator: who has which partition, and what was committed.
//!
//! Guarantees, as Kafka's: a commit counts only under the present generation and membership; all of a commit is stored or
//! none; who joins under the name of a member takes its place at once and has its commits refused from then on.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::Place;

/// A member that is not heard of for so long is thrown out.
const SESSION_US: i64 = 10_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MemberId(u64);

/// A position with its metadata.
pub(crate) type Committed = (i64, String);

/// Why the coordinator does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The member is not one any more, or its generation has passed.
    Stale,
    /// Another one joined under the member's name.
    Replaced,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing new.
    Well,
    /// Partitions are about to be given out anew: ask for yours.
    Rearranging,
}

struct Member {
    name: String,
    heard_us: i64,
    /// Has asked for its part in the arrangement to come.
    has_asked: bool,
}

/// One group.
pub(crate) struct Group {
    places: Vec<Place>,
    /// All partitions go to the member that came last.
    is_for_one: bool,
    members: BTreeMap<MemberId, Member>,
    replaced: BTreeSet<MemberId>,
    next_member: u64,
    generation: u64,
    is_rearranging: bool,
    assigned: BTreeMap<Place, MemberId>,
    commits: BTreeMap<Place, Committed>,
}

impl Group {
    pub(crate) fn new(places: Vec<Place>, is_for_one: bool) -> Self {
        Self {
            places,
            is_for_one,
            members: BTreeMap::new(),
            replaced: BTreeSet::new(),
            next_member: 0,
            generation: 0,
            is_rearranging: false,
            assigned: BTreeMap::new(),
            commits: BTreeMap::new(),
        }
    }

    pub(crate) fn join(&mut self, name: &str, now_us: i64) -> MemberId {
        let id = MemberId(self.next_member);
        self.next_member += 1;
        let before = self.members.iter().find(|(_, member)| member.name == name).map(|(id, _)| *id);
        if let Some(before) = before {
            self.members.remove(&before);
            self.replaced.insert(before);
            self.assigned.values_mut().filter(|member| **member == before).for_each(|member| *member = id);
        } else {
            self.shake();
        }
        self.members.insert(id, Member { name: name.to_owned(), heard_us: now_us, has_asked: before.is_none() });
        id
    }

    /// Who is a member now.
    pub(crate) fn members(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.members.keys().copied()
    }

    pub(crate) fn hear(&mut self, id: MemberId, generation: u64, now_us: i64) -> Result<Heard, Refusal> {
        let member = self.members.get_mut(&id).ok_or(Self::refusal(&self.replaced, id))?;
        member.heard_us = now_us;
        let is_current = generation == self.generation && !self.is_rearranging;
        Ok(if is_current { Heard::Well } else { Heard::Rearranging })
    }

    /// Asks for the member's partitions; `None` until all members have asked.
    pub(crate) fn ask(&mut self, id: MemberId, now_us: i64) -> Result<Option<(u64, Vec<Place>)>, Refusal> {
        let member = self.members.get_mut(&id).ok_or(Self::refusal(&self.replaced, id))?;
        (member.heard_us, member.has_asked) = (now_us, true);
        self.arrange();
        if self.is_rearranging {
            return Ok(None);
        }
        let places = self.assigned.iter().filter(|(_, member)| **member == id).map(|(place, _)| *place).collect();
        Ok(Some((self.generation, places)))
    }

    pub(crate) fn commit(
        &mut self,
        id: MemberId,
        generation: u64,
        commits: impl IntoIterator<Item = (Place, Committed)>,
    ) -> Result<(), Refusal> {
        if !self.members.contains_key(&id) || generation != self.generation {
            return Err(Self::refusal(&self.replaced, id));
        }
        self.commits.extend(commits);
        Ok(())
    }

    /// As somebody who reads without being a member does.
    pub(crate) fn commit_alone(&mut self, commits: impl IntoIterator<Item = (Place, Committed)>) {
        self.commits.extend(commits);
    }

    pub(crate) fn committed(&self, place: Place) -> Option<&Committed> {
        self.commits.get(&place)
    }

    /// Asks all members for a new arrangement.
    pub(crate) fn shake(&mut self) {
        self.is_rearranging = true;
        self.members.values_mut().for_each(|member| member.has_asked = false);
    }

    /// Throws out who is not heard of.
    pub(crate) fn pass_time(&mut self, now_us: i64) {
        let before = self.members.len();
        self.members.retain(|_, member| member.heard_us + SESSION_US > now_us);
        if self.members.len() != before {
            self.shake();
        }
    }

    fn refusal(replaced: &BTreeSet<MemberId>, id: MemberId) -> Refusal {
        if replaced.contains(&id) { Refusal::Replaced } else { Refusal::Stale }
    }

    /// Gives out partitions when all have asked: each keeps what it had up to its fair share.
    fn arrange(&mut self) {
        if !self.is_rearranging || self.members.is_empty() || !self.members.values().all(|member| member.has_asked) {
            return;
        }
        self.is_rearranging = false;
        self.generation += 1;
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        if self.is_for_one {
            let last = *ids.last().expect("a member");
            self.assigned = self.places.iter().map(|place| (*place, last)).collect();
            return;
        }
        let fair = self.places.len().div_ceil(ids.len());
        let mut shares: BTreeMap<MemberId, usize> = ids.iter().map(|id| (*id, 0)).collect();
        let mut assigned = BTreeMap::new();
        for (place, id) in &self.assigned {
            if let Some(share) = shares.get_mut(id).filter(|share| **share < fair) {
                *share += 1;
                assigned.insert(*place, *id);
            }
        }
        for place in &self.places {
            if !assigned.contains_key(place) {
                let (id, share) = shares.iter_mut().min_by_key(|(id, share)| (**share, **id)).expect("a member");
                *share += 1;
                assigned.insert(*place, *id);
            }
        }
        self.assigned = assigned;
    }
}

/// A member's own side.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) id: MemberId,
    pub(crate) generation: u64,
    /// Waits for its part in a new arrangement.
    is_asking: bool,
    heard_us: i64,
}

/// What a member learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    None,
    /// Partitions are given out anew. Until [`Membership::ask`] is called nothing happens.
    Rearranging,
    /// These partitions are the member's from now on.
    Assigned(Vec<Place>),
    /// The member was thrown out, and has joined again under its name: it has no partitions.
    ThrownOut,
    /// Another process took the name.
    Replaced,
}

impl Membership {
    const HEARTBEAT_US: i64 = 1_000_000;

    pub(crate) fn join(group: &mut Group, name: &str, now_us: i64) -> Self {
        Self { id: group.join(name, now_us), generation: 0, is_asking: true, heard_us: now_us }
    }

    /// Talks to the coordinator, which can be reached.
    pub(crate) fn poll(&mut self, group: &mut Group, name: &str, now_us: i64) -> News {
        if !self.is_asking && now_us < self.heard_us + Self::HEARTBEAT_US {
            return News::None;
        }
        self.heard_us = now_us;
        let heard = if self.is_asking {
            group.ask(self.id, now_us).map(|answer| match answer {
                None => News::None,
                Some((generation, places)) => {
                    (self.is_asking, self.generation) = (false, generation);
                    News::Assigned(places)
                }
            })
        } else {
            group.hear(self.id, self.generation, now_us).map(|heard| match heard {
                Heard::Well => News::None,
                Heard::Rearranging => News::Rearranging,
            })
        };
        match heard {
            Ok(news) => news,
            Err(Refusal::Replaced) => News::Replaced,
            Err(Refusal::Stale) => {
                *self = Self::join(group, name, now_us);
                News::ThrownOut
            }
        }
    }

    /// Nothing of the old arrangement is in use any more.
    pub(crate) fn ask(&mut self) {
        self.is_asking = true;
    }
}
