//! Lists in the order of the latest change, threaded through entries that live in a `Vec`.
//!
//! In: "entry n changed". Out: entries, latest change first. Moving an entry to the front costs the same however long the
//! list is, and what changed since a version is a prefix of the list: nothing has to be searched.

/// No entry.
const NONE: u32 = u32::MAX;

/// One list. Several lists may share the same [`Links`] as long as an entry is in at most one of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    head: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { head: NONE }
    }
}

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
}

/// The neighbours of each entry.
#[derive(Debug, Default)]
pub(crate) struct Links(Vec<Link>);

impl Links {
    /// Puts the next entry (they are numbered from 0) at the front of `list`.
    pub(crate) fn add(&mut self, list: &mut List) {
        let entry = u32::try_from(self.0.len()).unwrap_or(NONE);
        self.0.push(Link { newer: NONE, older: NONE });
        self.link_front(list, entry);
    }

    /// Moves `entry`, which is in `list`, to its front.
    pub(crate) fn touch(&mut self, list: &mut List, entry: u32) {
        if list.head == entry {
            return;
        }
        let Link { newer, older } = self.0[entry as usize];
        self.0[newer as usize].older = older; // not the head, so there is a newer one
        if older != NONE {
            self.0[older as usize].newer = newer;
        }
        self.link_front(list, entry);
    }

    fn link_front(&mut self, list: &mut List, entry: u32) {
        self.0[entry as usize] = Link { newer: NONE, older: list.head };
        if list.head != NONE {
            self.0[list.head as usize].newer = entry;
        }
        list.head = entry;
    }

    /// The entries of `list`, latest change first.
    pub(crate) fn newest_first(&self, list: List) -> impl Iterator<Item = usize> {
        std::iter::successors(position(list.head), |&entry| position(self.0[entry].older))
    }
}

fn position(entry: u32) -> Option<usize> {
    (entry != NONE).then_some(entry as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_change_stands_first() {
        let (mut links, mut list) = (Links::default(), List::default());
        let order = |links: &Links, list| links.newest_first(list).collect::<Vec<_>>();
        assert_eq!(order(&links, list), [0_usize; 0]);
        for _ in 0..4 {
            links.add(&mut list);
        }
        assert_eq!(order(&links, list), [3, 2, 1, 0]);
        for (touched, expected) in [(0, [0, 3, 2, 1]), (0, [0, 3, 2, 1]), (2, [2, 0, 3, 1]), (1, [1, 2, 0, 3])] {
            links.touch(&mut list, touched);
            assert_eq!(order(&links, list), expected);
        }
    }
}
