//! What follows a purchase, or happened without asking: completion, offline advice, forced sale, reversal, void, refund.
//!
//! In: what a station did. Out: postings, flagged where they break a promise of the authorization. Guarantees: fuel that is
//! in the vehicle is posted, whatever the limits say; nothing is posted twice under one authorization; no more comes back
//! than was sold. Does not: stop a sale.

use model::{Code, Difference, LimitMode, Measure, Note, OriginalState, Verdict};

use super::answers::{Decided, Remarks};
use super::decide::{Applied, Case, Effect, Refusal, Scratch, Standing};
use super::evolve::terminal_hash;
use super::lines::{Line, Lines, Quantity};
use super::record::amounts;
use super::state::{Purchase, PurchaseState};
use super::texts::Amounts;
use super::wishes;

impl Case<'_> {
    pub(super) fn completion(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        if let Err(refusal) = self.read_lines(scratch) {
            scratch.wished.clear();
            return self.refuse(refusal, scratch);
        }
        let purchase = match self.original() {
            Ok(purchase) => purchase,
            Err(refusal) => return self.refuse(refusal, scratch),
        };
        let late = match purchase.state {
            PurchaseState::Held => false,
            PurchaseState::Expired => true,
            PurchaseState::Reversed | PurchaseState::Sold | PurchaseState::Voided => {
                return self.refuse(self.closed(purchase), scratch);
            }
        };
        let sold = Lines::from_slice(&scratch.wished);
        let (total, reserved) = (sold.sum(), purchase.lines.sum());
        let above = total.ml > reserved.ml || total.minor > reserved.minor || total.pieces > reserved.pieces;
        let mut notes = Vec::new();
        if late {
            notes.push(Note::HoldExpired(model::TimestampUs::from_micros(purchase.expires_at_us)));
        }
        if above {
            let Amounts { ml, pieces, minor } = amounts(reserved);
            notes.push(Note::AboveHold { ml, pieces, minor });
        }
        let differs = self.difference(purchase, &sold);
        notes.extend(differs.map(Note::Differs));
        let mismatch = wishes::mismatch(self, &scratch.wished);
        if mismatch {
            notes.push(Note::AmountMismatch);
        }
        let code = match (late, above, differs, mismatch) {
            (true, ..) => Code::CompletionLate,
            (_, true, ..) => Code::CompletionAboveHold,
            (_, _, Some(_), _) => Code::CompletionDiffers,
            (_, _, None, true) => Code::AmountMismatch,
            _ => Code::Approved,
        };
        self.apply(self.standing_of(purchase), &scratch.wished, &mut scratch.applied);
        self.went_over(&scratch.applied, Some(purchase), &sold, &mut notes);
        notes.extend(self.posting_clock_off().map(|hours| Note::ClockOff { hours }));
        let mut decided = self.posted(code, notes, sold, scratch);
        decided.auth = Some(purchase.auth);
        (decided, Effect::Post)
    }

    fn difference(&self, purchase: &Purchase, sold: &Lines) -> Option<Difference> {
        let same = |of: &dyn Fn(&Line, &Line) -> bool| {
            sold.iter().all(|line| purchase.lines.iter().any(|held| held.code == line.code && of(held, line)))
        };
        if !same(&|_, _| true) {
            return Some(Difference::Product);
        }
        if !same(&|held, line| held.price_e4 == line.price_e4) {
            return Some(Difference::Price);
        }
        (terminal_hash(&self.transaction.site, &self.transaction.terminal) != purchase.terminal)
            .then_some(Difference::Terminal)
    }

    /// An offline or forced sale is posted under its authorization where it names one that is open, else under its own.
    pub(super) fn advice(&self, scratch: &mut Scratch, code: Code) -> (Decided, Effect) {
        if let Err(refusal) = self.read_lines(scratch) {
            scratch.wished.clear();
            return self.refuse(refusal, scratch);
        }
        let sold = Lines::from_slice(&scratch.wished);
        let original = self.original().ok();
        let open = match original {
            Some(purchase) if matches!(purchase.state, PurchaseState::Held | PurchaseState::Expired) => Some(purchase),
            Some(purchase) if purchase.state == PurchaseState::Sold => {
                return self.refuse(self.closed(purchase), scratch);
            }
            _ => None,
        };
        // Ordinary limits and the balance show what went over; the offline ones what the terminal was allowed.
        let standing = open.map_or_else(|| self.standing(), |purchase| self.standing_of(purchase));
        self.apply(standing, &scratch.wished, &mut scratch.applied);
        let ordinary = std::mem::take(&mut scratch.applied);
        let mut notes: Vec<Note> = Vec::new();
        let mut allowance_over = false;
        if self.is_offline() {
            self.apply(Standing { offline: true, ..standing }, &scratch.wished, &mut scratch.applied);
            scratch.applied.pop(); // the balance is among the ordinary ones
            let mut over = Vec::new();
            for limit in &scratch.applied {
                let beyond = self.beyond(limit, &sold);
                allowance_over |= beyond.is_some() && limit.mode == LimitMode::Decline;
                over.extend(beyond);
            }
            if let Some((hours, percent)) = self.catalogue_age()
                && percent < 100
                && !scratch.applied.is_empty()
            {
                notes.push(Note::CatalogueAge { hours, percent });
            }
            notes.append(&mut over);
        }
        self.went_over(&ordinary, open, &sold, &mut notes);
        scratch.applied.extend(ordinary);
        if wishes::mismatch(self, &scratch.wished) {
            notes.push(Note::AmountMismatch);
        }
        let forbidden = self.is_offline() && self.policy().is_some_and(|policy| !policy.offline_allowed);
        if forbidden {
            notes.push(Note::OfflineForbidden);
        }
        notes.extend(self.card_obstacle().into_iter().flat_map(|refusal| refusal.notes));
        notes.extend(self.posting_clock_off().map(|hours| Note::ClockOff { hours }));
        let code = if forbidden || allowance_over { Code::OfflineLimit } else { code };
        let mut decided = self.posted(code, notes, sold, scratch);
        decided.auth = Some(open.map_or(self.offset, |purchase| purchase.auth));
        (decided, Effect::Post)
    }

    /// Notes what a posting takes beyond each limit. Its own open hold makes room for it.
    fn went_over(&self, applied: &[Applied], own: Option<&Purchase>, sold: &Lines, notes: &mut Vec<Note>) {
        let reserved = own.filter(|purchase| purchase.state == PurchaseState::Held).map(|purchase| &purchase.lines);
        for limit in applied {
            let mut limit = *limit;
            if let Some(own) = reserved.and_then(|lines| lines.sum_of(limit.selector))
                && !limit.per_transaction
            {
                limit.figure.held -= match limit.measure {
                    Measure::Volume => own.ml,
                    Measure::Money => own.minor,
                    Measure::Count => 1,
                };
            }
            notes.extend(self.beyond(&limit, sold));
        }
    }

    pub(super) fn reversal(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        scratch.wished.clear();
        let purchase = match self.original() {
            Ok(purchase) => purchase,
            Err(refusal) => return self.refuse(refusal, scratch),
        };
        if !matches!(purchase.state, PurchaseState::Held | PurchaseState::Expired) {
            return self.refuse(self.closed(purchase), scratch);
        }
        self.undone(purchase, Effect::Release, scratch)
    }

    /// A whole sale is undone while it stands on no bill.
    pub(super) fn void(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        scratch.wished.clear();
        let purchase = match self.original() {
            Ok(purchase) => purchase,
            Err(refusal) => return self.refuse(refusal, scratch),
        };
        if purchase.state != PurchaseState::Sold {
            return self.refuse(self.closed(purchase), scratch);
        }
        if purchase.bills < self.contract.bills {
            return self.refuse(Refusal::bare(Code::OriginalBilled), scratch);
        }
        self.undone(purchase, Effect::Void, scratch)
    }

    fn undone(&self, purchase: &Purchase, effect: Effect, scratch: &mut Scratch) -> (Decided, Effect) {
        let lines: Vec<_> = purchase.lines.iter().copied().collect();
        self.apply(self.standing_of(purchase), &lines, &mut scratch.applied);
        let mut decided = self.answer(Verdict::Approve, Code::Approved, scratch);
        decided.auth = Some(purchase.auth);
        decided.allowed = if effect == Effect::Void { purchase.lines.clone() } else { Lines::default() };
        let Amounts { ml, pieces, minor } = amounts(purchase.lines.sum());
        let note = Note::Released { ml, pieces, minor };
        decided.remarks = Some(Box::new(Remarks { notes: vec![note], risk: Vec::new() }));
        (decided, effect)
    }

    pub(super) fn refund(&self, scratch: &mut Scratch) -> (Decided, Effect) {
        if let Err(refusal) = self.read_lines(scratch) {
            scratch.wished.clear();
            return self.refuse(refusal, scratch);
        }
        let purchase = match self.original() {
            Ok(purchase) => purchase,
            Err(refusal) => return self.refuse(refusal, scratch),
        };
        if purchase.state != PurchaseState::Sold {
            return self.refuse(self.closed(purchase), scratch);
        }
        let back = Lines::from_slice(&scratch.wished);
        let within = back.iter().all(|line| {
            let sold = |of: &dyn Fn(&Line) -> i64| {
                purchase.lines.iter().filter(|sold| sold.code == line.code).map(of).sum::<i64>()
            };
            let returned = back.iter().filter(|other| other.code == line.code);
            let total = returned.fold(Quantity::default(), |sum, line| sum.plus(Quantity::of(line)));
            total.ml <= sold(&|line| line.ml)
                && total.minor <= sold(&|line| line.minor)
                && total.pieces <= sold(&|line| i64::from(line.pieces))
        });
        self.apply(self.standing_of(purchase), &scratch.wished, &mut scratch.applied);
        if !within {
            let Amounts { ml, pieces, minor } = amounts(purchase.lines.sum());
            let note = Note::Sold { ml, pieces, minor };
            let mut decided = self.answer(Verdict::Decline, Code::AmountMismatch, scratch);
            decided.remarks = Some(Box::new(Remarks { notes: vec![note], risk: Vec::new() }));
            return (decided, Effect::Nothing);
        }
        let mut decided = self.answer(Verdict::Approve, Code::Approved, scratch);
        decided.auth = Some(purchase.auth);
        decided.allowed = back;
        (decided, Effect::GiveBack)
    }

    fn posted(&self, code: Code, notes: Vec<Note>, sold: Lines, scratch: &mut Scratch) -> Decided {
        let mut decided = self.answer(Verdict::Approve, code, scratch);
        decided.allowed = sold;
        if !notes.is_empty() {
            decided.remarks = Some(Box::new(Remarks { notes, risk: Vec::new() }));
        }
        decided
    }

    /// The limits of a purchase as they stood when it was authorized.
    pub(super) fn standing_of(&self, purchase: &Purchase) -> Standing {
        let Purchase { at, local, group, vehicle, driver, .. } = *purchase;
        Standing { at, local, group, vehicle, driver, offline: false }
    }

    /// The purchase of the same card that this refers to, by authorization code or by the key of its request.
    pub(super) fn original(&self) -> Result<&Purchase, Refusal> {
        let original = &self.transaction.original;
        let auth = match (&original.auth_code, &original.idem) {
            (Some(auth_code), _) => self.tables.auth_of(auth_code.as_str()),
            (None, Some(idem)) => self.answers.auth(idem),
            (None, None) => return Err(Case::no_original()),
        };
        auth.and_then(|auth| self.card.purchase(auth)).ok_or_else(Case::refusal_of_original)
    }

    pub(super) fn closed(&self, purchase: &Purchase) -> Refusal {
        let state = match purchase.state {
            PurchaseState::Held => OriginalState::Held,
            PurchaseState::Expired => OriginalState::Expired,
            PurchaseState::Reversed | PurchaseState::Voided => OriginalState::Reversed,
            PurchaseState::Sold => OriginalState::Completed,
        };
        Refusal::decline(Code::OriginalClosed, Note::Original(state))
    }
}
