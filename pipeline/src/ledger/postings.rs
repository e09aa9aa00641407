//! What follows a purchase, or happened without asking: completion, offline advice, reversal, refund; and the inquiry.
//!
//! In: what a station did. Out: postings, flagged where they break a promise of the authorization. Guarantees: fuel that is
//! in the vehicle is posted, whatever the limits say; nothing is posted twice under one authorization; no more comes back
//! than was sold. Does not: stop a sale.

use model::{AuthCode, Code, Fact, SoldItem, Text, TransactionKind, Verdict};

use super::contract::{Purchase, PurchaseState, Quantity};
use super::decide::Case;
use super::{items, purchases, texts};

impl Case<'_> {
    pub(super) fn completion(&self) -> Vec<Fact> {
        let (sold, total) = match self.sold() {
            Ok(sold) => sold,
            Err((code, manager)) => return self.decline(code, manager),
        };
        let Some((auth_code, purchase)) = self.original() else { return self.original_unknown() };
        let (reserved, late) = match purchase.state {
            PurchaseState::Held { reserved, .. } => (reserved, false),
            PurchaseState::Expired { reserved } => (reserved, true),
            state @ (PurchaseState::Reversed | PurchaseState::Sold { .. }) => return self.closed(&auth_code, state),
        };
        let above = total.ml > reserved.ml || total.minor > reserved.minor;
        let mismatch = items::mismatch(&self.transaction.items, self.transaction.currency);
        let code = match (late, above, mismatch) {
            (true, _, _) => Code::CompletionLate,
            (_, true, _) => Code::CompletionAboveHold,
            (_, _, true) => Code::AmountMismatch,
            _ => Code::Approved,
        };
        let mut manager = format!("Posted {}", self.in_words(total));
        if late {
            manager.push_str(" after the hold had expired");
        }
        if above {
            manager = format!("{manager}, above the hold of {}", self.in_words(reserved));
        }
        if mismatch {
            manager.push_str("; the amount is not quantity times price");
        }
        self.posted(code, manager, auth_code, sold)
    }

    /// An offline sale is posted under its authorization where it names one that is open, else under its own.
    pub(super) fn advice(&self) -> Vec<Fact> {
        let (sold, total) = match self.sold() {
            Ok(sold) => sold,
            Err((code, manager)) => return self.decline(code, manager),
        };
        let (auth_code, reserved) = match self.original() {
            Some((auth_code, Purchase { state, .. })) => match *state {
                PurchaseState::Held { reserved, .. } => (auth_code, reserved),
                PurchaseState::Expired { .. } => (auth_code, Quantity::default()),
                PurchaseState::Reversed => (self.new_auth_code(), Quantity::default()),
                PurchaseState::Sold { .. } => return self.closed(&auth_code, *state),
            },
            None => (self.new_auth_code(), Quantity::default()),
        };
        let mut manager = format!("Posted {} sold offline", self.in_words(total));
        for (limit, beyond) in self.limits.exceeded_by(total.less(reserved)) {
            let beyond = texts::figure(limit.kind, beyond, self.contract.currency);
            manager = match limit.code() {
                Code::Funds => format!("{manager}; {beyond} beyond the contract's balance"),
                _ => format!("{manager}; {beyond} over the card's limit of the day"),
            };
        }
        if items::mismatch(&self.transaction.items, self.transaction.currency) {
            manager.push_str("; the amount is not quantity times price");
        }
        self.posted(Code::PostedOffline, manager, auth_code, sold)
    }

    pub(super) fn reversal(&self) -> Vec<Fact> {
        let Some((auth_code, purchase)) = self.original() else { return self.original_unknown() };
        let reserved = match purchase.state {
            PurchaseState::Held { reserved, .. } | PurchaseState::Expired { reserved } => reserved,
            state @ (PurchaseState::Reversed | PurchaseState::Sold { .. }) => return self.closed(&auth_code, state),
        };
        let manager = format!("Released the hold of {}", self.in_words(reserved));
        let mut decision = self.answer(Verdict::Approve, Code::Approved, texts::of(Code::Approved, manager));
        decision.auth_code = Some(auth_code.clone());
        let card = self.transaction.card.token.clone();
        vec![self.decided(decision), Fact::Reversed { card, auth_code }]
    }

    pub(super) fn refund(&self) -> Vec<Fact> {
        let (returned, back) = match self.sold() {
            Ok(sold) => sold,
            Err((code, manager)) => return self.decline(code, manager),
        };
        let Some((auth_code, purchase)) = self.original() else { return self.original_unknown() };
        let (sold, refunded) = match purchase.state {
            PurchaseState::Sold { sold, refunded } => (sold, refunded),
            state => return self.closed(&auth_code, state),
        };
        let within = |part: Quantity| part.ml <= sold.ml && part.minor <= sold.minor;
        if !within(back.plus(refunded)) {
            let manager = format!("{} cannot come back: {} were sold", self.in_words(back), self.in_words(sold));
            return self.decline(Code::AmountMismatch, manager);
        }
        let in_range = self.contract.own.plus(back.minor).and_then(|own| own.plus(self.contract.credit));
        if in_range.is_err() {
            return self.decline(Code::FmtInvalid, "The amount is out of range".to_owned());
        }
        let manager = format!("Gave back {}", self.in_words(back));
        let mut decision = self.answer(Verdict::Approve, Code::Approved, texts::of(Code::Approved, manager));
        decision.auth_code = Some(auth_code.clone());
        let refunded = Fact::Refunded {
            card: self.transaction.card.token.clone(),
            auth_code,
            site: self.transaction.site.clone(),
            items: returned,
            amount_minor: back.minor,
        };
        vec![self.decided(decision), refunded]
    }

    pub(super) fn inquiry(&self) -> Vec<Fact> {
        if self.card.blocked {
            return self.decline(Code::CardBlocked, format!("{} is blocked", self.card_name()));
        }
        let available = texts::money(self.contract.balance().available, self.contract.currency);
        let manager = format!("Contract {} has {available} available", self.contract_id);
        let text = Text { cashier: "See the card's limits".to_owned(), manager };
        vec![self.decided(self.answer(Verdict::Approve, Code::Approved, text))]
    }

    /// What was sold or came back, each line with its quantity, within the range that sums can hold.
    fn sold(&self) -> Result<(Vec<SoldItem>, Quantity), (Code, String)> {
        let transaction = self.transaction;
        if let Some(obstacle) = self.currency_obstacle() {
            return Err(obstacle);
        }
        if let Some(problem) = items::problem(&transaction.items, transaction.currency) {
            return Err((Code::FmtInvalid, format!("The request has {problem}")));
        }
        if transaction.items.iter().any(|item| item.qty_ml.is_none()) {
            return Err((Code::FmtInvalid, "The request has an item without quantity".to_owned()));
        }
        let sold = items::asked(&transaction.items, transaction.currency);
        let total = items::sum(&sold);
        let used = self.card.usage(self.day).used;
        let sums = (self.contract.own.minus(total.minor), used.ml.plus(total.ml), used.minor.plus(total.minor));
        match sums {
            (Ok(_), Ok(_), Ok(_)) => Ok((sold, total)),
            _ => Err((Code::FmtInvalid, "The amount is out of range".to_owned())),
        }
    }

    fn posted(&self, code: Code, manager: String, auth_code: AuthCode, sold: Vec<SoldItem>) -> Vec<Fact> {
        let mut decision = self.answer(Verdict::Approve, code, texts::of(code, manager));
        decision.auth_code = Some(auth_code.clone());
        decision.allowed = purchases::allowed(&sold);
        vec![self.decided(decision), self.captured(auth_code, sold)]
    }

    /// The purchase of the same card that this refers to, by authorization code or by the key of its request.
    fn original(&self) -> Option<(AuthCode, &Purchase)> {
        let original = &self.transaction.original;
        let auth_code = match (&original.auth_code, &original.idem) {
            (Some(auth_code), _) => auth_code.clone(),
            (None, Some(idem)) => self.keys.auth_code(idem)?,
            (None, None) => return None,
        };
        let purchase = self.contract.purchase(&auth_code)?;
        (purchase.card == self.transaction.card.token).then_some((auth_code, purchase))
    }

    fn original_unknown(&self) -> Vec<Fact> {
        let original = &self.transaction.original;
        let named = match (&original.auth_code, &original.idem) {
            (Some(auth_code), _) => format!("Authorization {auth_code}"),
            (None, Some(idem)) => format!("The request {idem}"),
            (None, None) => "The original".to_owned(),
        };
        let manager = match (&original.auth_code, &original.idem) {
            (None, None) => "No original transaction is named".to_owned(),
            _ => format!("{named} is not known for this card"),
        };
        self.decline(Code::OriginalUnknown, manager)
    }

    fn closed(&self, auth_code: &AuthCode, state: PurchaseState) -> Vec<Fact> {
        let manager = match (state, self.transaction.kind) {
            (PurchaseState::Sold { .. }, _) => format!("Authorization {auth_code} was completed before"),
            (PurchaseState::Reversed, _) => format!("Authorization {auth_code} was reversed"),
            (_, TransactionKind::Refund) => format!("Nothing was sold under authorization {auth_code}"),
            _ => format!("Authorization {auth_code} is closed"),
        };
        self.decline(Code::OriginalClosed, manager)
    }

    fn in_words(&self, quantity: Quantity) -> String {
        format!("{} for {}", texts::litres(quantity.ml), texts::money(quantity.minor, self.contract.currency))
    }
}
