//! Purchases that ask first: preauthorization, sale, dry run.
//!
//! In: a wish of a known card. Out: approval, partial approval or decline with all that explains it. Guarantees: an
//! approval fits into every limit and the balance; a dry run gives the answer that the purchase would get and leaves
//! nothing behind. Does not: post what was sold before it was asked (`postings`).

use model::{
    Allowed, Code, Decision, Fact, Hold, MICROS_PER_MINUTE, MinorUnits, PriceE4, RiskFinding, RuleMode, SoldItem,
    TransactionKind, Verdict,
};

use super::card_limits::{Limit, LimitKind, Wish};
use super::decide::Case;
use super::{fraud, items, texts};

impl Case<'_> {
    pub(super) fn purchase(&self) -> Vec<Fact> {
        if let Some((code, manager)) = self.obstacle() {
            return self.decline(code, manager);
        }
        let wished = self.wished();
        let wish = Wish { items: &wished, fill_up: self.transaction.fill_up, currency: self.contract.currency };
        let (granted, tightest) = self.limits.grant(&wish);
        let risk = fraud::findings(self);

        let verdict = self.verdict(&wished, &granted);
        let text = |code: Code, manager: String| texts::of(code, manager);
        let mut decision = match (verdict, tightest) {
            (Verdict::Decline, tightest) => {
                let code = tightest.map_or(Code::Funds, Limit::code);
                self.answer(Verdict::Decline, code, text(code, self.refused(tightest, &wished)))
            }
            (verdict, tightest) => match risk.iter().find(|finding| finding.mode == RuleMode::Decline) {
                Some(finding) => {
                    let code = fraud::code(finding.rule);
                    let manager = format!("{}: {}; this needs a look", self.card_name(), finding.value);
                    self.answer(Verdict::Decline, code, text(code, manager))
                }
                None => self.approval(verdict, tightest, (&wished, &granted), &risk),
            },
        };
        decision.binding = tightest.map(|limit| limit.headroom(self.contract, self.day));
        decision.risk = risk;
        self.facts(decision, granted)
    }

    /// What stands against the purchase before limits are looked at, in the order of the checks.
    fn obstacle(&self) -> Option<(Code, String)> {
        let transaction = self.transaction;
        if self.card.blocked {
            return Some((Code::CardBlocked, format!("{} is blocked", self.card_name())));
        }
        if !self.config.believes(self.moment) {
            let hours = (self.at().get() - self.moment.received_at.get()) / (60 * MICROS_PER_MINUTE);
            let side = if hours < 0 { "behind" } else { "ahead of" };
            let manager = format!("The clock of terminal {} is {} h {side} ours", transaction.terminal, hours.abs());
            return Some((Code::FmtClock, manager));
        }
        if let Some(obstacle) = self.currency_obstacle() {
            return Some(obstacle);
        }
        let problem = items::problem(&transaction.items, transaction.currency).or_else(|| self.wish_problem());
        problem.map(|problem| (Code::FmtInvalid, format!("The request has {problem}")))
    }

    pub(super) fn currency_obstacle(&self) -> Option<(Code, String)> {
        let (asked, own) = (self.transaction.currency, self.contract.currency);
        (asked != own).then(|| {
            (Code::CurrencyMismatch, format!("Contract {} is in {own}, the request in {asked}", self.contract_id))
        })
    }

    fn wish_problem(&self) -> Option<&'static str> {
        let transaction = self.transaction;
        if transaction.fill_up && transaction.kind == TransactionKind::Sale {
            return Some("a fill-up in a sale: a sale needs its quantity");
        }
        if transaction.items.iter().any(|item| item.price_e4 == PriceE4::default()) {
            return Some("an item without price");
        }
        let asked = items::asked(&transaction.items, transaction.currency);
        let unknown = usize::from(transaction.fill_up);
        asked.iter().skip(unknown).any(|item| item.qty_ml.get() == 0).then_some("an item without quantity")
    }

    /// What is asked for, a fill-up at its largest: the terminal's own cut-off or ours.
    fn wished(&self) -> Vec<SoldItem> {
        let mut wished = items::asked(&self.transaction.items, self.transaction.currency);
        if self.transaction.fill_up
            && let (Some(line), Some(item)) = (wished.first_mut(), self.transaction.items.first())
        {
            let largest = self.config.fill_up_ml_max;
            line.qty_ml =
                item.qty_ml.filter(|cut_off| cut_off.get() > 0).map_or(largest, |cut_off| cut_off.min(largest));
            line.amount_minor = line.price_e4.amount(line.qty_ml, self.contract.currency).unwrap_or_default();
        }
        wished
    }

    fn verdict(&self, wished: &[SoldItem], granted: &[SoldItem]) -> Verdict {
        if wished == granted {
            return Verdict::Approve;
        }
        let useful = self.config.partial_ml_min;
        let filled = self.transaction.fill_up
            && granted.first().is_some_and(|line| line.qty_ml >= useful)
            && wished.iter().skip(1).eq(granted.iter().skip(1));
        if filled {
            return Verdict::Approve;
        }
        if self.transaction.partial_ok && items::sum(granted).ml >= useful {
            return Verdict::Partial;
        }
        Verdict::Decline
    }

    fn approval(
        &self,
        verdict: Verdict,
        tightest: Option<Limit>,
        (wished, granted): (&[SoldItem], &[SoldItem]),
        risk: &[RiskFinding],
    ) -> Decision {
        let transaction = self.transaction;
        let total = items::sum(granted);
        let mismatch =
            transaction.kind == TransactionKind::Sale && items::mismatch(&transaction.items, transaction.currency);
        let code = match (verdict, tightest) {
            (Verdict::Partial, Some(limit)) => limit.code(),
            _ if mismatch => Code::AmountMismatch,
            _ if !risk.is_empty() => Code::ApprovedFlagged,
            _ => Code::Approved,
        };
        let mut manager = format!(
            "{} {} for {}",
            if transaction.fill_up { "Approved up to" } else { "Approved" },
            texts::litres(total.ml),
            texts::money(total.minor, self.contract.currency)
        );
        if let (Verdict::Partial, Some(limit)) = (verdict, tightest) {
            manager = format!("{manager}: {}", self.refused(Some(limit), wished));
        }
        if mismatch {
            manager.push_str("; the amount is not quantity times price");
        }
        for finding in risk {
            manager = format!("{manager}; {}: this needs a look", finding.value);
        }
        let mut text = texts::of(Code::Approved, manager);
        if verdict == Verdict::Partial {
            text.cashier = format!("Approved for {}", texts::litres(total.ml));
        }
        let mut decision = self.answer(verdict, code, text);
        decision.allowed = allowed(granted);
        if matches!(transaction.kind, TransactionKind::Preauth | TransactionKind::Sale) {
            decision.auth_code = Some(self.new_auth_code());
        }
        if transaction.kind == TransactionKind::Preauth {
            let expires_at_us = self.at().plus_us(self.config.hold_ttl_us);
            decision.hold = Some(Hold { qty_ml: total.ml, amount_minor: total.minor, expires_at_us });
        }
        decision
    }

    /// `Card ****1234 has 12.5 L of its 100 L left today; 60 L were asked for`.
    fn refused(&self, tightest: Option<Limit>, wished: &[SoldItem]) -> String {
        let Some(limit) = tightest else { return format!("{} has nothing left", self.card_name()) };
        let total = items::sum(wished);
        let asked = match limit.kind {
            _ if self.transaction.fill_up => "a full tank was asked for".to_owned(),
            LimitKind::DailyVolume => format!("{} were asked for", texts::litres(total.ml)),
            LimitKind::DailyMoney | LimitKind::Balance => {
                format!("{} were asked for", texts::money(total.minor, self.contract.currency))
            }
        };
        format!("{}; {asked}", texts::left(self, limit))
    }

    fn facts(&self, decision: Decision, mut granted: Vec<SoldItem>) -> Vec<Fact> {
        let sold = match (self.transaction.kind, &decision.auth_code) {
            (TransactionKind::Sale, Some(auth_code)) => {
                granted.retain(|item| item.qty_ml.get() > 0 || item.amount_minor != MinorUnits::ZERO);
                Some(self.captured(auth_code.clone(), granted))
            }
            _ => None,
        };
        let mut facts = vec![self.decided(decision)];
        facts.extend(sold);
        facts
    }
}

pub(super) fn allowed(items: &[SoldItem]) -> Vec<Allowed> {
    let granted = items.iter().filter(|item| item.qty_ml.get() > 0);
    granted
        .map(|item| Allowed { code: item.code.clone(), qty_ml: item.qty_ml, amount_minor: item.amount_minor })
        .collect()
}
