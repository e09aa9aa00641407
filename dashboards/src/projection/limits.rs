//! Limits as the screens show them: what each allows, what is used and held, when its window ends.
//!
//! In: [`Headroom`] of ledger records, and the settings of limits. Out: [`LimitState`]s of cards and decisions, which share what
//! is the same for thousands of cards; and the limits of a contract, its groups, vehicles and drivers by their id.
//! Guarantees: the latest figures of every limit; bounded per contract. Does not: count usage; the ledger does.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Span;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use model::{
    Allowed, CalendarUnit, CardToken, Decision, Headroom, Limit, LimitId, LimitMode, Measure, ProductSelector, Scope,
    SoldItem, TransactionKind, WeekStart, Window,
};

use serde::{Deserialize, Serialize};

use super::shared::Shared;

/// Limits kept for a contract, its groups, vehicles and drivers. Those of cards stand with the cards.
pub(crate) const CONTRACT_LIMITS_MAX: usize = 500;

/// What is the same for all cards with a limit of this kind in the same window.
#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct LimitName {
    /// The end of an id that begins with the card's token and a colon; empty for other ids.
    pub(crate) suffix: String,
    /// Absent where the limit is the card's own.
    pub(crate) scope: Option<Scope>,
    pub(crate) product: ProductSelector,
    pub(crate) measure: Measure,
    pub(crate) mode: LimitMode,
    pub(crate) span: Window,
    pub(crate) window: String,
    pub(crate) period: i64,
}

/// One limit with its figures. What is left is computed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LimitState {
    pub(crate) name: Arc<LimitName>,
    /// Absent where the name's suffix tells it.
    pub(super) id: Option<Box<str>>,
    pub(crate) limit_value: i64,
    pub(crate) used: i64,
    pub(crate) held: i64,
}

/// Names that many limits share.
#[derive(Debug, Default)]
pub(crate) struct LimitNames(Shared<Arc<LimitName>>);

impl LimitNames {
    /// The name that was remembered, or this one from now on.
    pub(super) fn one(&mut self, name: LimitName) -> Arc<LimitName> {
        self.0.one::<LimitName, LimitName>(name)
    }

    /// The limit of `card`'s record.
    pub(crate) fn state(&mut self, headroom: Headroom, card: &CardToken) -> LimitState {
        let Headroom { limit, scope, product, measure, mode, span, window, period, limit_value, used, held, .. } =
            headroom;
        let suffix = limit.strip_prefix(card.as_str()).and_then(|rest| rest.strip_prefix(':')).unwrap_or_default();
        let id = suffix.is_empty().then(|| limit.as_str().into());
        let name = LimitName {
            suffix: suffix.to_owned(),
            scope: (!is_of(&scope, card)).then_some(scope),
            product,
            measure,
            mode,
            span,
            window,
            period,
        };
        let name = self.one(name);
        LimitState { name, id, limit_value, used, held }
    }

    /// Overwrites `limits` in place where the same limits come again, which is nearly always.
    pub(crate) fn replace(&mut self, limits: &mut Box<[LimitState]>, headroom: Vec<Headroom>, card: &CardToken) {
        if limits.len() != headroom.len() {
            *limits = headroom.into_iter().map(|headroom| self.state(headroom, card)).collect();
            return;
        }
        for (limit, headroom) in limits.iter_mut().zip(headroom) {
            if limit.is_as(&headroom, card) {
                (limit.limit_value, limit.used, limit.held) = (headroom.limit_value, headroom.used, headroom.held);
            } else {
                *limit = self.state(headroom, card);
            }
        }
    }
}

/// Whether a scope is the card itself.
pub(crate) fn is_of(scope: &Scope, card: &CardToken) -> bool {
    matches!(scope, Scope::Card(token) if token == card)
}

impl LimitState {
    pub(crate) fn left(&self) -> i64 {
        self.limit_value.saturating_sub(self.used).saturating_sub(self.held)
    }

    /// Its id, given the card with whose record it came.
    pub(crate) fn id(&self, card: &CardToken) -> String {
        match &self.id {
            Some(id) => id.to_string(),
            None => format!("{card}:{}", self.name.suffix),
        }
    }

    fn is_as(&self, headroom: &Headroom, card: &CardToken) -> bool {
        let name = &*self.name;
        let same_id = match &self.id {
            Some(id) => **id == *headroom.limit,
            None => {
                headroom.limit.strip_prefix(card.as_str()).and_then(|rest| rest.strip_prefix(':')) == Some(&name.suffix)
            }
        };
        same_id
            && name.period == headroom.period
            && name.window == headroom.window
            && name.span == headroom.span
            && name.measure == headroom.measure
            && name.mode == headroom.mode
            && name.product == headroom.product
            && name.scope.as_ref().map_or_else(|| is_of(&headroom.scope, card), |scope| *scope == headroom.scope)
    }
}

/// A limit of a contract, group, vehicle or driver.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SharedLimit {
    pub(crate) limit: Limit,
    /// Its figures as last seen; absent until the first purchase after it was set.
    pub(crate) figures: Option<Figures>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) window: String,
    pub(crate) period: i64,
    pub(crate) used: i64,
    pub(crate) held: i64,
}

/// The limits of one contract that are no card's.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct ContractLimits {
    limits: BTreeMap<LimitId, SharedLimit>,
    /// Limits for which there was no room.
    pub(crate) more: usize,
}

impl ContractLimits {
    /// A setting. What is known of the usage stays: changing a limit does not reset it.
    pub(crate) fn set(&mut self, limit: Limit) {
        if matches!(limit.scope, Scope::Card(_)) {
            return;
        }
        if let Some(known) = self.limits.get_mut(&limit.id) {
            let same_count = known.limit.window == limit.window
                && known.limit.scope == limit.scope
                && known.limit.product == limit.product
                && known.limit.measure == limit.measure;
            if !same_count {
                known.figures = None;
            }
            known.limit = limit;
        } else if self.limits.len() < CONTRACT_LIMITS_MAX {
            self.limits.insert(limit.id.clone(), SharedLimit { limit, figures: None });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn remove(&mut self, id: &LimitId) {
        if self.limits.remove(id).is_none() {
            self.more = self.more.saturating_sub(1);
        }
    }

    /// Figures that a record shows. Those of an earlier window are history.
    pub(crate) fn saw(&mut self, headroom: &Headroom) {
        let Ok(id) = LimitId::new(&headroom.limit) else { return };
        let Some(known) = self.limits.get_mut(&id) else { return };
        if known.figures.as_ref().is_none_or(|figures| figures.period <= headroom.period) {
            let Headroom { window, period, used, held, .. } = headroom;
            known.figures = Some(Figures { window: window.clone(), period: *period, used: *used, held: *held });
        }
    }

    /// A decision shows limits as they were before it: what it granted comes on top until the next one shows them again.
    pub(crate) fn took(&mut self, headroom: &Headroom, kind: TransactionKind, decision: &Decision, asked: &[SoldItem]) {
        let Ok(id) = LimitId::new(&headroom.limit) else { return };
        let Some(SharedLimit { limit, figures: Some(figures) }) = self.limits.get_mut(&id) else { return };
        if figures.period != headroom.period {
            return;
        }
        let took = granted(limit, decision, asked);
        match kind {
            TransactionKind::Preauth | TransactionKind::Incremental => figures.held = figures.held.saturating_add(took),
            TransactionKind::Sale => figures.used = figures.used.saturating_add(took),
            _ => {}
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &SharedLimit> {
        self.limits.values()
    }
}

/// What a decision grants of the products that a limit counts, in its measure.
fn granted(limit: &Limit, decision: &Decision, asked: &[SoldItem]) -> i64 {
    let counts = |allowed: &&Allowed| match &limit.product {
        ProductSelector::All => true,
        ProductSelector::Product(code) => *code == allowed.code,
        ProductSelector::Group(group) => {
            asked.get(usize::from(allowed.item)).is_some_and(|item| item.group.as_ref() == Some(group))
        }
    };
    let lines = decision.allowed.iter().filter(counts);
    match limit.measure {
        Measure::Volume => lines.fold(0, |sum: i64, line| sum.saturating_add_unsigned(line.qty_ml.get())),
        Measure::Money => lines.fold(0, |sum: i64, line| sum.saturating_add(line.amount_minor.get())),
        Measure::Count => i64::from(lines.count() > 0),
    }
}

/// When a calendar window ends, in µs: its usage counts for nothing from then on. `None` for windows that have no such end.
pub(crate) fn ends_at(span: Window, period: i64, week_start: WeekStart, zone: &TimeZone) -> Option<i64> {
    let Window::Calendar { unit, count } = span else { return None };
    let next = period.checked_add(1)?.checked_mul(i64::from(count.max(1)))?;
    let first = match unit {
        CalendarUnit::Day => day(next)?,
        CalendarUnit::Week => {
            // Days from 1 January 1970, a Thursday, back to the first day of its week.
            let shift = match week_start {
                WeekStart::Monday => 3,
                WeekStart::Sunday => 4,
                WeekStart::Saturday => 5,
            };
            day(next.checked_mul(7)?.checked_sub(shift)?)?
        }
        CalendarUnit::Month => month(next)?,
        CalendarUnit::Quarter => month(next.checked_mul(3)?)?,
        CalendarUnit::Year => month(next.checked_mul(12)?)?,
    };
    Some(first.to_zoned(zone.clone()).ok()?.timestamp().as_microsecond())
}

fn day(since_1970: i64) -> Option<Date> {
    date(1970, 1, 1).checked_add(Span::new().try_days(since_1970).ok()?).ok()
}

fn month(since_1970: i64) -> Option<Date> {
    date(1970, 1, 1).checked_add(Span::new().try_months(since_1970).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(span: Window, period: i64, week_start: WeekStart, zone: &str, end: &str) {
        let zone = TimeZone::get(zone).expect("a zone");
        let at = ends_at(span, period, week_start, &zone).and_then(|us| jiff::Timestamp::from_microsecond(us).ok());
        assert_eq!(at.map(|at| at.to_zoned(zone).datetime().to_string()).as_deref(), Some(end));
    }

    #[test]
    fn a_calendar_window_ends_at_the_contracts_midnight() {
        let calendar = |unit, count| Window::Calendar { unit, count };
        let monday = WeekStart::Monday;
        // 14 January 2026 is day 20467, a Wednesday.
        check(calendar(CalendarUnit::Day, 1), 20_467, monday, "Asia/Almaty", "2026-01-15T00:00:00");
        check(calendar(CalendarUnit::Week, 1), (20_467 + 3) / 7, monday, "Asia/Almaty", "2026-01-19T00:00:00");
        check(
            calendar(CalendarUnit::Week, 1),
            (20_467 + 4) / 7,
            WeekStart::Sunday,
            "Asia/Almaty",
            "2026-01-18T00:00:00",
        );
        check(calendar(CalendarUnit::Month, 1), 672, monday, "Europe/Riga", "2026-02-01T00:00:00");
        check(calendar(CalendarUnit::Quarter, 1), 224, monday, "Europe/Riga", "2026-04-01T00:00:00");
        check(calendar(CalendarUnit::Year, 1), 56, monday, "Europe/Riga", "2027-01-01T00:00:00");
        check(calendar(CalendarUnit::Month, 5), 672 / 5, monday, "UTC", "2026-04-01T00:00:00");
        // Midnight of 29 March 2026 does not exist in Beirut: clocks go from 0 to 1.
        check(calendar(CalendarUnit::Day, 1), 20_540, monday, "Asia/Beirut", "2026-03-29T01:00:00");
        for span in [Window::PerTransaction, Window::Lifetime, Window::OneOff, Window::Rolling { secs: 60 }] {
            assert_eq!(ends_at(span, 0, monday, &TimeZone::UTC), None);
        }
        assert_eq!(ends_at(calendar(CalendarUnit::Year, u16::MAX), i64::MAX, monday, &TimeZone::UTC), None);
    }

    fn limit(id: &str, value: i64) -> Limit {
        let json = format!(
            r#"{{"id":"{id}","scope":"contract","measure":"volume","value":{value},"window":{{"calendar":{{"unit":"day","count":1}}}}}}"#
        );
        serde_json::from_str(&json).expect("a limit")
    }

    fn seen(id: &str, period: i64, used: i64) -> Headroom {
        let json = format!(
            r#"{{"limit":"{id}","scope":"contract","measure":"volume","span":{{"calendar":{{"unit":"day","count":1}}}},"window":"day {period}",
            "period":{period},"limit_value":100,"used":{used},"held":0,"left":0}}"#
        );
        serde_json::from_str(&json).expect("headroom")
    }

    #[test]
    fn changing_a_limit_keeps_what_is_used_and_an_earlier_window_is_history() {
        let mut limits = ContractLimits::default();
        let used = |limits: &ContractLimits| {
            limits
                .all()
                .map(|each| (each.limit.value, each.figures.as_ref().map(|figures| figures.used)))
                .collect::<Vec<_>>()
        };
        limits.saw(&seen("L-1", 4, 9));
        assert_eq!(limits.all().count(), 0, "a limit is known from its setting");
        limits.set(limit("L-1", 100));
        assert_eq!(used(&limits), [(100, None)]);
        limits.saw(&seen("L-1", 5, 30));
        limits.saw(&seen("L-1", 4, 90));
        limits.set(limit("L-1", 200));
        assert_eq!(used(&limits), [(200, Some(30))]);
        limits.set(Limit { measure: Measure::Money, ..limit("L-1", 200) });
        assert_eq!(used(&limits), [(200, None)], "money is counted apart from litres");
        limits.remove(&LimitId::new("L-1").expect("an id"));
        assert_eq!(limits.all().count(), 0);
    }

    #[test]
    fn what_a_decision_grants_comes_on_top_of_what_it_shows() {
        let json = r#"{"idem":"k","decision":"partial","iso39":"002","code":"LIMIT_PERIOD","text":{"cashier":{"en":"","ru":"","kk":""},"manager":{"en":"","ru":"","kk":""}},
            "allowed":[{"code":"053","qty_ml":25000,"amount_minor":700},{"item":1,"code":"WIPER","qty_ml":0,"pieces":2,"amount_minor":90}]}"#;
        let decision: Decision = serde_json::from_str(json).expect("a decision");
        let asked = r#"[{"code":"053","group":"DIESEL","qty_ml":60000,"price_e4":1,"amount_minor":1},
            {"code":"WIPER","group":"SHOP","unit":"PCS","qty_ml":0,"pieces":2,"price_e4":1,"amount_minor":1}]"#;
        let asked: Vec<SoldItem> = serde_json::from_str(asked).expect("items");
        let group = |code: &str| ProductSelector::Group(model::ProductCode::new(code).expect("a code"));
        let took = |kind, measure, product| {
            let mut limits = ContractLimits::default();
            limits.set(Limit { measure, product, ..limit("L-1", 100) });
            let headroom = seen("L-1", 5, 30);
            limits.saw(&headroom);
            limits.took(&headroom, kind, &decision, &asked);
            limits.all().next().and_then(|each| each.figures.as_ref().map(|f| (f.used, f.held))).expect("figures")
        };
        let (preauth, sale) = (TransactionKind::Preauth, TransactionKind::Sale);
        assert_eq!(took(preauth, Measure::Volume, ProductSelector::All), (30, 25_000));
        assert_eq!(took(sale, Measure::Money, ProductSelector::All), (820, 0));
        assert_eq!(took(sale, Measure::Money, group("SHOP")), (120, 0));
        assert_eq!(took(sale, Measure::Count, group("DIESEL")), (31, 0));
        assert_eq!(took(sale, Measure::Count, group("TOLL")), (30, 0));
        assert_eq!(took(TransactionKind::Completion, Measure::Count, ProductSelector::All), (30, 0));
    }

    #[test]
    fn limits_of_a_contract_are_bounded() {
        let mut limits = ContractLimits::default();
        for number in 0..CONTRACT_LIMITS_MAX + 3 {
            limits.set(limit(&format!("L-{number}"), 1));
        }
        assert_eq!((limits.all().count(), limits.more), (CONTRACT_LIMITS_MAX, 3));
    }
}
