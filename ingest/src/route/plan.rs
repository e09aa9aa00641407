//! Which records of an origin partition are routed as transactions of unknown cards, for ever.
//!
//! In: offsets whose card is not in the table; the metadata of the last committed position. Out: the metadata of the next.
//! Guarantees: what was encoded is decoded; an encoded plan fits into a commit. Does not: talk to Kafka.

use std::collections::BTreeSet;

/// Largest metadata of a commit, in bytes: below Kafka's `offset.metadata.max.bytes` of 4096.
pub(super) const METADATA_BYTES_MAX: usize = 4_000;
const PREFIX: &str = "unknown=";

/// The offsets that are unknown, from the committed position onwards.
// `ranges` is the number of runs of neighbouring offsets in `unknown`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    unknown: BTreeSet<i64>,
    ranges: usize,
}

/// Metadata that no router wrote.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the metadata {0:?} of the committed position is no plan of a router")]
pub struct PlanError(String);

impl Plan {
    pub(super) fn contains(&self, offset: i64) -> bool {
        self.unknown.contains(&offset)
    }

    /// Adds `offset`, unless the plan would no longer fit into a commit at `position`.
    pub(super) fn add(&mut self, offset: i64, position: i64) -> bool {
        if self.unknown.contains(&offset) {
            return true;
        }
        let joins = |neighbour: i64| usize::from(self.unknown.contains(&neighbour));
        let ranges = self.ranges + 1 - joins(offset - 1) - joins(offset + 1);
        let last = self.unknown.last().map_or(offset, |last| offset.max(*last));
        if !fits(ranges, last - position) {
            return false;
        }
        self.unknown.insert(offset);
        self.ranges = ranges;
        true
    }

    /// Offsets below a committed position are never asked for again.
    pub(super) fn forget_before(&mut self, position: i64) {
        if self.unknown.first().is_some_and(|first| *first < position) {
            self.unknown = self.unknown.split_off(&position);
            self.ranges = self.runs().count();
        }
    }

    /// The metadata of a commit at `position`, empty when nothing is unknown: `unknown=0-4,9`, counted from the position.
    pub(super) fn encode(&self, position: i64) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        for (first, last) in self.runs() {
            text.push_str(if text.is_empty() { PREFIX } else { "," });
            // Writing to a string cannot fail.
            let _ = match (first - position, last - position) {
                (first, last) if first == last => write!(text, "{first}"),
                (first, last) => write!(text, "{first}-{last}"),
            };
        }
        assert!(text.len() <= METADATA_BYTES_MAX, "a plan fits into a commit");
        text
    }

    /// Reads the metadata of a commit at `position`.
    pub fn decode(metadata: &str, position: i64) -> Result<Self, PlanError> {
        let wrong = || PlanError(metadata.chars().take(80).collect());
        let mut plan = Self::default();
        if metadata.is_empty() {
            return Ok(plan);
        }
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(wrong());
        }
        for range in metadata.strip_prefix(PREFIX).ok_or_else(wrong)?.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u32, u32) = (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
            if first > last || last - first > RUN_MAX {
                return Err(wrong());
            }
            plan.unknown.extend((first..=last).map(|relative| position + i64::from(relative)));
        }
        plan.ranges = plan.runs().count();
        Ok(plan)
    }

    /// Runs of neighbouring offsets, first and last.
    fn runs(&self) -> impl Iterator<Item = (i64, i64)> {
        let mut offsets = self.unknown.iter().copied().peekable();
        std::iter::from_fn(move || {
            let first = offsets.next()?;
            let mut last = first;
            while offsets.next_if_eq(&(last + 1)).is_some() {
                last += 1;
            }
            Some((first, last))
        })
    }
}

/// Longest run that is believed when reading: a router never holds back more.
const RUN_MAX: u32 = 1_000_000;

/// Whether so many ranges, none reaching farther than `reach` from the position, surely fit.
fn fits(ranges: usize, reach: i64) -> bool {
    let digits = reach.max(1).ilog10() as usize + 1;
    PREFIX.len() + ranges * (2 * digits + 2) <= METADATA_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    fn plan(offsets: impl IntoIterator<Item = i64>, position: i64) -> Plan {
        let mut plan = Plan::default();
        for offset in offsets {
            assert!(plan.add(offset, position));
        }
        plan
    }

    #[test]
    fn a_plan_is_short_and_readable() {
        expect!["unknown=0-2,9"]
            .assert_eq(&plan([1_000_000, 1_000_001, 1_000_002, 1_000_009], 1_000_000).encode(1_000_000));
        expect![""].assert_eq(&Plan::default().encode(5));
    }

    #[test]
    fn metadata_of_somebody_else_is_not_taken_for_a_plan() {
        for metadata in
            ["hello", "unknown=", "unknown=x", "unknown=5-2", "unknown=1,,2", "unknown=-3", "unknown=0-4294967295"]
        {
            assert_eq!(Plan::decode(metadata, 0), Err(PlanError(metadata.to_owned())), "{metadata}");
        }
    }

    #[test]
    fn a_storm_of_unknown_cards_fills_the_plan_but_never_the_commit() {
        let mut plan = Plan::default();
        let planned = (0..100_000).step_by(2).take_while(|offset| plan.add(*offset, 0)).count();
        assert!(planned > 300, "{planned}");
        assert!(plan.encode(0).len() <= METADATA_BYTES_MAX);
        // The first ones are sent: there is room again.
        plan.forget_before(400);
        assert!(plan.add(100_000, 400));
    }

    proptest! {
        #[test]
        fn what_was_planned_is_found_again_from_any_later_position(
            start in 0_i64..1_000_000_000_000,
            gaps in prop::collection::vec(1_i64..40, 0..200),
            seen in 0_i64..4_000,
        ) {
            let mut offset = start;
            let mut planned = Plan::default();
            let mut offsets = Vec::new();
            for gap in gaps {
                offset += gap;
                if planned.add(offset, start) {
                    offsets.push(offset);
                }
            }
            let position = start + seen;
            planned.forget_before(position);
            let metadata = planned.encode(position);
            prop_assert!(metadata.len() <= METADATA_BYTES_MAX);
            let found = Plan::decode(&metadata, position).unwrap();
            prop_assert_eq!(&found, &planned);
            for offset in offsets {
                prop_assert_eq!(found.contains(offset), offset >= position);
            }
        }

        #[test]
        fn the_order_in_which_offsets_are_found_unknown_does_not_matter(mut offsets in prop::collection::vec(0_i64..300, 0..100)) {
            let one = plan(offsets.clone(), 0);
            offsets.sort_unstable();
            let other = plan(offsets, 0);
            prop_assert_eq!(one.encode(0), other.encode(0));
            prop_assert_eq!(one.ranges, one.runs().count());
        }

        #[test]
        fn no_metadata_is_a_panic(metadata in ".{0,200}", position in 0_i64..i64::MAX / 2) {
            let _ = Plan::decode(&metadata, position);
        }
    }
}
