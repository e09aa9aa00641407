//! The figures of the whole network: totals, rates, latency, and a point of history a second.
//!
//! In: counts as facts are folded, and ticks that bring the time. Out: [`Network`] and its points.
//! Guarantees: rates and latency speak of live facts only; reading old logs while catching up moves totals alone.

use std::collections::VecDeque;

use hdrhistogram::Histogram;
use model::{MICROS_PER_SECOND, Verdict};
use serde::{Deserialize, Serialize};

use crate::Part;

/// Points of history kept, one a second.
pub(crate) const POINTS_MAX: usize = 180;
/// Rates are averages over this time.
const RATE_US: i64 = 3 * MICROS_PER_SECOND;
/// Latency percentiles cover so many seconds.
const LATENCY_SECONDS: usize = 10;
/// Longer latencies count as this.
const LATENCY_US_MAX: u64 = 600_000_000;

/// All that was ever recorded. `decisions = approved + partial + declined + reprompted`; repeats of an answer count as
/// `replayed` only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) decisions: u64,
    pub(crate) approved: u64,
    pub(crate) partial: u64,
    pub(crate) declined: u64,
    pub(crate) reprompted: u64,
    pub(crate) readings: u64,
    pub(crate) replayed: u64,
    pub(crate) rejected: u64,
}

impl std::ops::AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        self.decisions += more.decisions;
        self.approved += more.approved;
        self.partial += more.partial;
        self.declined += more.declined;
        self.reprompted += more.reprompted;
        self.readings += more.readings;
        self.replayed += more.replayed;
        self.rejected += more.rejected;
    }
}

impl Totals {
    pub(crate) fn decided(&mut self, verdict: Verdict) {
        self.decisions += 1;
        match verdict {
            Verdict::Approve => self.approved += 1,
            Verdict::Partial => self.partial += 1,
            Verdict::Decline => self.declined += 1,
            Verdict::Reprompt => self.reprompted += 1,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) samples: u64,
}

/// The network as the page shows it, without its history.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Network {
    /// This process's clock when one of these figures last changed.
    pub(crate) now_us: i64,
    pub(crate) events_per_s: f64,
    pub(crate) decisions_per_s: f64,
    pub(crate) readings_per_s: f64,
    pub(crate) sales_ml_today: i64,
    pub(crate) latency_us: Latency,
    pub(crate) totals: Totals,
    pub(crate) holds: HoldFigures,
    pub(crate) parts: Vec<Part>,
}

/// Open holds of all contracts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct HoldFigures {
    pub(crate) open: usize,
    pub(crate) ml: u64,
    /// Event time of the oldest one's authorization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_at_us: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Point {
    #[serde(skip)]
    pub(crate) version: u64,
    pub(crate) t_us: i64,
    pub(crate) events_per_s: f64,
    pub(crate) decisions_per_s: f64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

/// Live counts since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Live {
    pub(crate) events: u64,
    pub(crate) decisions: u64,
    pub(crate) readings: u64,
}

#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) totals: Totals,
    pub(crate) live: Live,
    pub(crate) sold_ml_today: i64,
    pub(crate) holds: HoldFigures,
    shown: Network,
    shown_version: u64,
    points: VecDeque<Point>,
    /// The live counts at recent ticks, oldest first, spanning [`RATE_US`].
    ticks: VecDeque<(i64, Live)>,
    /// The second that is being counted: its number, its beginning, the counts then.
    second: Option<(i64, i64, Live)>,
    /// Latencies of the last seconds, the current one last.
    latencies: VecDeque<Histogram<u32>>,
}

fn latencies() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LATENCY_US_MAX, 2).expect("the bounds are constants that are in range")
}

impl Default for Figures {
    fn default() -> Self {
        Self {
            totals: Totals::default(),
            live: Live::default(),
            sold_ml_today: 0,
            holds: HoldFigures::default(),
            shown: Network::default(),
            shown_version: 0,
            points: VecDeque::new(),
            ticks: VecDeque::new(),
            second: None,
            latencies: VecDeque::from([latencies()]),
        }
    }
}

/// Counts a second between two moments, to a tenth.
fn rate(count: u64, over_us: i64) -> f64 {
    let over_us = u64::try_from(over_us).unwrap_or(0).max(1);
    let tenths = count.saturating_mul(10 * 1_000_000).saturating_add(over_us / 2) / over_us;
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}

fn percentiles(latencies: &Histogram<u32>) -> Latency {
    if latencies.is_empty() {
        return Latency::default();
    }
    Latency { p50: latencies.value_at_quantile(0.5), p99: latencies.value_at_quantile(0.99), samples: latencies.len() }
}

impl Figures {
    pub(crate) fn latency(&mut self, latency_us: i64) {
        if let Some(current) = self.latencies.back_mut() {
            current.saturating_record(u64::try_from(latency_us).unwrap_or(0).max(1));
        }
    }

    /// Brings the shown figures up to `now_us`. When they changed they count as changed at `version`; true then.
    /// The end of a second is always a change, so that a page hears at least that often; it adds a point if `live`.
    pub(crate) fn refresh(&mut self, now_us: i64, live: bool, parts: Vec<Part>, version: u64) -> bool {
        let second_ended = self.close_second(now_us, live, version);
        self.ticks.push_back((now_us, self.live));
        while self.ticks.len() > 2 && self.ticks[1].0 <= now_us - RATE_US {
            self.ticks.pop_front();
        }
        let (from_us, from) = self.ticks[0];
        let over_us = now_us - from_us;
        let mut window = latencies();
        for second in &self.latencies {
            // Histograms of the same bounds always add up.
            window.add(second).unwrap_or_else(|error| tracing::error!(%error, "latencies do not add up"));
        }
        let network = Network {
            now_us: self.shown.now_us,
            events_per_s: rate(self.live.events - from.events, over_us),
            decisions_per_s: rate(self.live.decisions - from.decisions, over_us),
            readings_per_s: rate(self.live.readings - from.readings, over_us),
            sales_ml_today: self.sold_ml_today,
            latency_us: percentiles(&window),
            totals: self.totals,
            holds: self.holds,
            parts,
        };
        let changed = second_ended || network != self.shown;
        if changed {
            self.shown = Network { now_us, ..network };
            self.shown_version = version;
        }
        changed
    }

    fn close_second(&mut self, now_us: i64, live: bool, version: u64) -> bool {
        let number = now_us.div_euclid(MICROS_PER_SECOND);
        let Some((current, from_us, from)) = self.second else {
            self.second = Some((number, now_us, self.live));
            return false;
        };
        if number == current {
            return false;
        }
        self.second = Some((number, now_us, self.live));
        let latency = self.latencies.back().map(percentiles).unwrap_or_default();
        if self.latencies.len() == LATENCY_SECONDS {
            self.latencies.pop_front();
        }
        self.latencies.push_back(latencies());
        if !live {
            return true;
        }
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(Point {
            version,
            t_us: now_us,
            events_per_s: rate(self.live.events - from.events, now_us - from_us),
            decisions_per_s: rate(self.live.decisions - from.decisions, now_us - from_us),
            p50_us: latency.p50,
            p99_us: latency.p99,
        });
        true
    }

    /// The figures and the version at which they changed.
    pub(crate) fn shown(&self) -> (&Network, u64) {
        (&self.shown, self.shown_version)
    }

    /// Points after version `since` and up to `until`, oldest first.
    pub(crate) fn points(&self, since: u64, until: u64) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| point.version > since && point.version <= until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    /// Ten ticks a second from `from_s` to `to_s`, with so many decisions before each, each of `latency_us`.
    fn run(figures: &mut Figures, from_s: i64, to_s: i64, decisions: u64, latency_us: i64) {
        for tick in from_s * 10..to_s * 10 {
            for _ in 0..decisions {
                figures.live.decisions += 1;
                figures.live.events += 2;
                figures.latency(latency_us);
            }
            figures.refresh(tick * 100_000 + 100_000, true, Vec::new(), 1);
        }
    }

    #[test]
    fn rates_cover_the_last_three_seconds_and_latency_the_last_ten() {
        let mut figures = Figures::default();
        let show = |figures: &Figures| {
            let (network, _) = figures.shown();
            let Network { now_us, events_per_s, decisions_per_s, latency_us, .. } = network;
            format!("{} s: {events_per_s} {decisions_per_s} {latency_us:?}\n", now_us / 1_000_000)
        };
        let mut story = String::new();
        for (from, to, decisions, latency) in
            [(100, 105, 7, 2_000), (105, 108, 0, 0), (108, 114, 0, 0), (114, 115, 1, 50_000), (115, 130, 0, 0)]
        {
            run(&mut figures, from, to, decisions, latency);
            story += &show(&figures);
        }
        expect![[r#"
            105 s: 140 70 Latency { p50: 2007, p99: 2007, samples: 350 }
            108 s: 0 0 Latency { p50: 2007, p99: 2007, samples: 350 }
            114 s: 0 0 Latency { p50: 0, p99: 0, samples: 0 }
            115 s: 6.7 3.3 Latency { p50: 50175, p99: 50175, samples: 10 }
            130 s: 0 0 Latency { p50: 0, p99: 0, samples: 0 }
        "#]]
        .assert_eq(&story);
        assert_eq!(figures.points(0, 1).count(), 30);
        assert_eq!(figures.points(0, 0).count(), 0);
    }

    #[test]
    fn nothing_changes_while_nothing_happens_but_the_seconds() {
        let mut figures = Figures::default();
        assert!(!figures.refresh(1_000_000, true, Vec::new(), 1), "zeros as before");
        assert!(!figures.refresh(1_500_000, true, Vec::new(), 2));
        assert!(figures.refresh(2_000_000, true, Vec::new(), 3), "a point of history");
        assert_eq!(figures.shown(), (&Network { now_us: 2_000_000, ..Network::default() }, 3));
        figures.totals.readings += 1;
        assert!(figures.refresh(2_100_000, true, Vec::new(), 4));
    }
}
