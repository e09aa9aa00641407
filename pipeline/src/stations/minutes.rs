//! Minutes of sales and consumption per site and product, closed when their time has come.
//!
//! In: entries of the shards, sent to the worker of their site. Out: a minute when the watermark passes its end; a new
//! version of it, at most one per tick, when something comes later. Guarantees and limits: those of [`Windows`]. When the
//! input ends, open minutes are not written: their sums would be of half a minute. Does not: wait for a partition or topic
//! longer than it takes to be idle. After a restart, a minute that was not recorded yet can be written before all of its
//! inputs are read again; its next version completes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use timely::container::CapacityContainerBuilder;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::{Capability, Operator};

use super::shards::{About, Entry};
use super::windows::Windows;
use super::{Config, MINUTE_US, Output};
use crate::worker::Time;

pub(super) fn minutes<'scope>(
    entries: Stream<'scope, Time, Vec<Entry>>,
    rule: Arc<Config>,
) -> Stream<'scope, Time, Vec<Output>> {
    let to_site = Exchange::new(|entry: &Entry| entry.to);
    entries.unary_frontier::<CapacityContainerBuilder<_>, _, _, _>(to_site, "minutes", move |_, _| {
        let mut windows = Windows::new(&rule);
        // By the end of the minute: its start, and the right to speak of it.
        let mut open: BTreeMap<Time, (i64, Capability<Time>)> = BTreeMap::new();
        move |(input, frontier), output| {
            let mut ticked: Option<Capability<Time>> = None;
            let port = output.output_index();
            input.for_each(|time, batch| {
                let Some(&sent_at) = time.least() else { return };
                for Entry { about, .. } in batch.drain(..) {
                    let About::Partition(partition, news) = about else {
                        ticked = time.retain_least(port);
                        continue;
                    };
                    for minute_us in windows.apply(partition, news) {
                        let end = Time::try_from(minute_us + MINUTE_US).unwrap_or(Time::MAX);
                        open.entry(end).or_insert_with(|| (minute_us, time.delayed(&end.max(sent_at), port)));
                    }
                }
            });
            let Some(&reached) = frontier.frontier().first() else {
                open.clear(); // the input ended
                return;
            };
            while let Some(first) = open.first_entry() {
                if frontier.less_than(first.key()) {
                    break; // something of this minute may still come
                }
                let (minute_us, time) = first.remove();
                output.session(&time).give_iterator(windows.close(minute_us).into_iter());
            }
            windows.advance(i64::try_from(reached).unwrap_or(i64::MAX));
            if let Some(time) = ticked {
                output.session(&time).give_iterator(windows.corrections().into_iter());
            }
        }
    })
}
