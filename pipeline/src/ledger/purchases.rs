//! Purchases that ask first: preauthorization, sale, more for an open hold, dry run; and the inquiry.
//!
//! In: a wish of a known card. Out: approval, partial approval or decline with all that explains it. Guarantees: an
//! approval fits into every limit that declines and the balance; a dry run gives the answer that the purchase would get and
//! leaves nothing behind. Does not: post what was sold before it was asked (`postings`).

use model::{Code, LimitMode, Measure, Note, RuleMode, TransactionKind, Verdict};

use super::answers::{BALANCE, Decided, Remarks, UNBOUND};
use super::decide::{Applied, Case, Effect, Refusal, Scratch, limit_code};
use super::lines::Lines;
use super::state::PurchaseState;
use super::{fraud, wishes};

impl Case<'_> {
    pub(super) fn purchase(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        scratch.wished.clear();
        if let Some(refusal) = self.standing_obstacle() {
            return self.refuse(refusal, scratch);
        }
        if let Err(refusal) = self.read_lines(scratch) {
            scratch.wished.clear();
            return self.refuse(refusal, scratch);
        }
        if let Some(refusal) = self.purchase_obstacle(&scratch.wished) {
            return self.refuse(refusal, scratch);
        }
        self.apply(self.standing(), &scratch.wished, &mut scratch.applied);
        let (mut decided, effect) = self.granted(scratch);
        match (effect, self.transaction.kind) {
            (Effect::Nothing, _) | (_, TransactionKind::DryRun) => return (decided, Effect::Nothing),
            _ => decided.auth = Some(self.offset),
        }
        if self.transaction.kind == TransactionKind::Preauth {
            decided.hold_expires_us = self.hold_expires_us();
            return (decided, Effect::Hold);
        }
        (decided, Effect::Post)
    }

    /// More on an open hold, under the same checks and with the same end.
    pub(super) fn incremental(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        scratch.wished.clear();
        let (auth, expires_at_us) = match self.original() {
            Err(refusal) => return self.refuse(refusal, scratch),
            Ok(purchase) if purchase.state == PurchaseState::Held => (purchase.auth, purchase.expires_at_us),
            Ok(purchase) => return self.refuse(self.closed(purchase), scratch),
        };
        if let Some(refusal) = self.standing_obstacle() {
            return self.refuse(refusal, scratch);
        }
        if let Err(refusal) = self.read_lines(scratch) {
            scratch.wished.clear();
            return self.refuse(refusal, scratch);
        }
        if let Some(refusal) = self.purchase_obstacle(&scratch.wished) {
            return self.refuse(refusal, scratch);
        }
        let standing = self.original().map_or(self.standing(), |purchase| self.standing_of(purchase));
        self.apply(standing, &scratch.wished, &mut scratch.applied);
        // The purchase is counted already.
        scratch.applied.retain(|limit| limit.measure != Measure::Count);
        let (mut decided, effect) = self.granted(scratch);
        if effect == Effect::Nothing {
            return (decided, effect);
        }
        decided.auth = Some(auth);
        decided.hold_expires_us = expires_at_us;
        (decided, Effect::Extend)
    }

    pub(super) fn inquiry(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        scratch.wished.clear();
        if let Some(refusal) = self.card_obstacle() {
            return self.refuse(refusal, scratch);
        }
        self.apply(self.standing(), &[], &mut scratch.applied);
        (self.answer(Verdict::Approve, Code::Approved, scratch), Effect::Nothing)
    }

    /// Grants what limits leave and lets the fraud rules look. `Effect::Hold` stands for "approved".
    fn granted(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        let Scratch { wished, granted, applied, .. } = scratch;
        wishes::grant(self, wished, applied, granted);
        let verdict = self.verdict(scratch);
        let mut remarks = Remarks { notes: Vec::new(), risk: fraud::findings(self) };
        let allowed = Lines::from_slice(&scratch.granted);
        let whole = scratch.granted == scratch.wished;
        // Works in `granted`, so what was granted was read before.
        let binding = if whole { UNBOUND } else { self.binding(scratch) };
        let bound = scratch.applied.get(usize::from(binding)).map(limit_code);
        if verdict == Verdict::Decline {
            let mut decided = self.answer(Verdict::Decline, bound.unwrap_or(Code::Funds), scratch);
            decided.binding = binding;
            remarks.risk.clear();
            return (decided, Effect::Nothing);
        }
        let stopped = remarks.risk.iter().find(|finding| finding.mode == RuleMode::Decline);
        if let Some(code) = stopped.map(|finding| fraud::code(finding.rule)) {
            let mut decided = self.answer(Verdict::Decline, code, scratch);
            decided.remarks = Some(Box::new(remarks));
            return (decided, Effect::Nothing);
        }
        let mismatch = self.transaction.kind == TransactionKind::Sale && wishes::mismatch(self, &scratch.wished);
        if mismatch {
            remarks.notes.push(Note::AmountMismatch);
        }
        let over = self.over(&scratch.applied, &allowed, &mut remarks.notes);
        let flagged = over || remarks.risk.iter().any(|finding| finding.mode == RuleMode::Flag);
        let code = match verdict {
            Verdict::Partial => bound.unwrap_or(Code::Funds),
            _ if mismatch => Code::AmountMismatch,
            _ if flagged => Code::ApprovedFlagged,
            _ => Code::Approved,
        };
        let mut decided = self.answer(verdict, code, scratch);
        decided.binding = binding;
        decided.allowed = allowed;
        if !remarks.notes.is_empty() || !remarks.risk.is_empty() {
            decided.remarks = Some(Box::new(remarks));
        }
        (decided, Effect::Hold)
    }

    /// Notes the limits that do not decline and are gone over. True when one of them flags.
    fn over(&self, applied: &[Applied], allowed: &Lines, notes: &mut Vec<Note>) -> bool {
        let mut flagged = false;
        for limit in applied.iter().filter(|limit| limit.mode != LimitMode::Decline) {
            if let Some(note) = self.beyond(limit, allowed) {
                flagged |= limit.mode == LimitMode::Flag;
                notes.push(note);
            }
        }
        flagged
    }

    /// By how much lines go over a limit.
    pub(super) fn beyond(&self, limit: &Applied, lines: &Lines) -> Option<Note> {
        let sum = lines.bought().sum_of(limit.selector)?;
        let more = match limit.measure {
            Measure::Volume => sum.ml,
            Measure::Money => sum.minor,
            Measure::Count => 1,
        };
        let beyond = more.saturating_sub(limit.figure.left());
        (beyond > 0 && more > 0).then(|| Note::Over {
            limit: self.limit_name(limit.figure.limit),
            measure: limit.measure,
            mode: limit.mode,
            beyond,
        })
    }

    fn limit_name(&self, limit: super::state::Ix) -> String {
        match self.contract.settings.get(limit) {
            Some(setting) if limit != BALANCE => setting.limit.id.as_str().to_owned(),
            _ => "balance".to_owned(),
        }
    }

    fn verdict(&self, scratch: &Scratch) -> Verdict {
        let (wished, granted) = (&scratch.wished, &scratch.granted);
        if wished == granted {
            return Verdict::Approve;
        }
        let useful = i64::try_from(self.config.partial_ml_min.get()).unwrap_or(i64::MAX);
        let filled = self.transaction.fill_up
            && granted.first().is_some_and(|line| line.ml >= useful)
            && wished.iter().skip(1).eq(granted.iter().skip(1));
        if filled {
            return Verdict::Approve;
        }
        let (asked, given) = (Case::sum(wished), Case::sum(granted));
        let enough = if asked.ml > 0 { given.ml >= useful } else { given.pieces >= 1 };
        if self.transaction.partial_ok && enough { Verdict::Partial } else { Verdict::Decline }
    }

    fn hold_expires_us(&self) -> i64 {
        let transaction = self.transaction;
        let group = transaction.items.first().and_then(|item| item.group.as_ref());
        let policy = self.config.hold_policies.iter().find(|policy| {
            policy.device.is_none_or(|device| transaction.device == Some(device))
                && policy.group.as_ref().is_none_or(|wanted| group == Some(wanted))
        });
        self.at.plus_us(policy.map_or(self.config.hold_ttl_us, |policy| policy.ttl_us)).get()
    }

    pub(super) fn refusal_of_original() -> Refusal {
        Refusal::bare(Code::OriginalUnknown)
    }
}
