//! What a manager wants to be told: a limit runs low, the credit line fills.
//!
//! In: figures before, the state after. Out: facts at the moment of crossing. Guarantees: each crossing is told once: what
//! is low already is not told again until it recovered. Does not: send anything.

use model::{Fact, LimitId};

use super::answers::Figure;
use super::calendar;
use super::state::{Ix, Money};
use super::tables::Tables;

const CREDIT_PERCENTS: [u8; 3] = [70, 90, 100];

/// A limit whose owner wants to know when little is left, and what was left before.
pub(super) struct Watched {
    figure: Figure,
    limit: LimitId,
    alert_left: i64,
}

/// Of the limits that concerned a request, those with an alert that has not been reached. Nearly always none.
pub(super) fn watched(tables: &Tables, contract: Ix, figures: &[Figure]) -> Vec<Watched> {
    let Some(contract) = tables.contracts.get(contract as usize) else { return Vec::new() };
    let mut watched = Vec::new();
    for figure in figures {
        let Some(setting) = contract.settings.get(figure.limit) else { continue };
        if let Some(alert_left) = setting.limit.alert_left.filter(|alert_left| figure.left() > *alert_left) {
            watched.push(Watched { figure: *figure, limit: setting.limit.id.clone(), alert_left });
        }
    }
    watched
}

/// The watched limits that have now so little left.
pub(super) fn low(tables: &Tables, contract_ix: Ix, watched: Vec<Watched>, facts: &mut Vec<Fact>) {
    let Some(contract) = tables.contracts.get(contract_ix as usize) else { return };
    for Watched { figure, limit, alert_left } in watched {
        let Some(setting) = contract.settings.get(figure.limit) else { continue };
        let Some((holder, counter)) = tables.counter(contract_ix, figure.limit) else { continue };
        let usage = counter.usage(figure.period);
        let usage = usage.unwrap_or_else(|| tables.recount(contract_ix, holder, counter, figure.period));
        let left = Figure { used: usage.used, held: usage.held, ..figure }.left();
        if left <= alert_left
            && let Some(zone) = tables.zones.get(usize::from(contract.zone))
        {
            let window = calendar::words(setting.limit.window, figure.period, contract.week_start, zone);
            facts.push(Fact::LimitLow { limit, window, left });
        }
    }
}

/// Tells when the use of the credit line rises through 70, 90 or 100 percent; a jump over several tells the highest.
pub(super) fn credit_line(before: Money, after: Money, facts: &mut Vec<Fact>) {
    let Some(now) = after.credit_used_percent() else { return };
    let was = before.credit_used_percent().unwrap_or(0);
    let crossed =
        CREDIT_PERCENTS.into_iter().rev().find(|percent| was < i64::from(*percent) && now >= i64::from(*percent));
    facts.extend(crossed.map(|percent| Fact::CreditLineUsed { percent }));
}
