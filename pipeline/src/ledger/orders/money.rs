//! Orders about money: top-ups and the bank's register, the credit line, corrections, fees, discounts, bills.

use jiff::civil::Date;
use model::{
    Code, Currency, Discount, DiscountOff, Fact, MinorUnits, MonthlyFee, Payer, RegisterLine, RegisterOutcome,
    TopUpState,
};

use super::super::calendar::{self, Zone};
use super::super::state::{Books, minor};
use super::{Facts, Order, Refusal, at_most, in_range, invalid, not_negative, one, words};

const DISCOUNTS_MAX: usize = 256;
const TOP_UPS_MAX: usize = 100_000;
const FEES_MAX: usize = 16;
const BASIS_POINTS_MAX: u16 = 10_000;

impl Order<'_> {
    pub(super) fn top_up(
        &self,
        amount_minor: MinorUnits,
        currency: Currency,
        reference: &str,
        payer: Option<&Payer>,
    ) -> Facts {
        self.same_currency(currency)?;
        if amount_minor.get() <= 0 {
            return Err(invalid("a top-up must be more than zero"));
        }
        self.in_range(amount_minor.get())?;
        let reference = words("reference", reference)?;
        let books = self.contract.books.as_deref();
        if let Some(first) = books.and_then(|books| books.top_ups.get(&reference)) {
            let named = if reference.is_empty() { "without a reference".to_owned() } else { reference };
            let message = format!("top-up {named} was credited at {} already", first.at);
            return Err(Refusal(Code::TopUpExists, message));
        }
        at_most(books.map_or(0, |books| books.top_ups.len()), TOP_UPS_MAX, "top-ups")?;
        // The register may have shown the payment before anybody knew whose it was.
        let shown = books.and_then(|books| books.register_lines.get(&reference)).map(|line| {
            let same = line.amount_minor == amount_minor;
            let outcome = if same { RegisterOutcome::Matched } else { RegisterOutcome::AmountDiffers };
            Fact::RegisterMatched { line: line.clone(), outcome, credited_minor: Some(amount_minor) }
        });
        let mut facts = vec![Fact::ToppedUp { amount_minor, reference, payer: payer.cloned() }];
        facts.extend(shown);
        Ok(facts)
    }

    pub(super) fn match_register(&self, line: &RegisterLine) -> Facts {
        if let Some(currency) = line.currency {
            self.same_currency(currency)?;
        }
        let line = RegisterLine { reference: words("reference", &line.reference)?, ..line.clone() };
        let empty = Books::default();
        let books = self.contract.books.as_deref().unwrap_or(&empty);
        at_most(books.register_lines.len(), TOP_UPS_MAX, "register lines")?;
        let credited = books.top_ups.get(&line.reference);
        let outcome = match credited {
            _ if books
                .register_lines
                .get(&line.reference)
                .is_some_and(|known| known.amount_minor == line.amount_minor) =>
            {
                RegisterOutcome::Repeated
            }
            None => RegisterOutcome::UnknownPayer,
            Some(top_up) if top_up.amount_minor == line.amount_minor.get() => RegisterOutcome::Matched,
            Some(_) => RegisterOutcome::AmountDiffers,
        };
        let credited_minor = credited.map(|top_up| minor(top_up.amount_minor));
        one(Fact::RegisterMatched { line, outcome, credited_minor })
    }

    /// Top-ups up to the end of a banking day that no register line matched.
    pub(super) fn missing(&self, date: Date) -> Vec<Fact> {
        let zone = self.tables.zones.get(usize::from(self.contract.zone));
        let day = |zone: &Zone, at| {
            let (year, month, day) = calendar::civil(zone.local(at).day);
            (year, month, day)
        };
        let last = (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
        let books = self.contract.books.as_deref();
        let open = books.into_iter().flat_map(|books| &books.top_ups).filter(|(_, top_up)| {
            top_up.state == TopUpState::Credited && zone.is_some_and(|zone| day(zone, top_up.at) <= last)
        });
        open.map(|(reference, top_up)| Fact::RegisterMissing {
            reference: reference.clone(),
            amount_minor: minor(top_up.amount_minor),
        })
        .collect()
    }

    pub(super) fn credit_line(&self, amount_minor: MinorUnits, currency: Currency) -> Facts {
        self.same_currency(currency)?;
        not_negative("a credit line", amount_minor.get())?;
        in_range(self.contract.money.own.saturating_add(amount_minor.get()))?;
        one(Fact::CreditLineSet { amount_minor })
    }

    pub(super) fn adjust(&self, amount_minor: MinorUnits, currency: Currency, reason: &str) -> Facts {
        self.same_currency(currency)?;
        if amount_minor.is_zero() {
            return Err(invalid("an adjustment of zero changes nothing"));
        }
        self.in_range(amount_minor.get())?;
        one(Fact::Adjusted { amount_minor, reason: words("reason", reason)? })
    }

    pub(super) fn monthly_fee(&self, fee: &MonthlyFee) -> Facts {
        not_negative("a fee", fee.amount_minor.get())?;
        self.in_range(-fee.amount_minor.get())?;
        let others = |books: &Books| books.fees.iter().filter(|known| known.name != fee.name).count();
        at_most(self.contract.books.as_deref().map_or(0, others), FEES_MAX, "fees")?;
        let name = words("name", &fee.name)?;
        one(Fact::MonthlyFeeSet(MonthlyFee { name, amount_minor: fee.amount_minor }))
    }

    pub(super) fn discount(&self, discount: &Discount) -> Facts {
        let others = self.contract.discounts.iter().filter(|(_, known)| known.product != discount.product).count();
        at_most(others, DISCOUNTS_MAX, "discounts")?;
        if matches!(discount.off, DiscountOff::BasisPoints(points) if points > BASIS_POINTS_MAX) {
            return Err(invalid("a discount cannot be more than the price"));
        }
        one(Fact::DiscountSet(discount.clone()))
    }

    pub(super) fn bill(&self, number: &str) -> Facts {
        let money = self.contract.money;
        in_range(money.own.saturating_sub(money.unbilled))?;
        one(Fact::Billed { number: words("number", number)?, amount_minor: minor(money.unbilled) })
    }

    fn same_currency(&self, currency: Currency) -> Result<(), Refusal> {
        if self.contract.currency == currency {
            return Ok(());
        }
        let message = format!("the contract is in {}, the order in {currency}", self.contract.currency);
        Err(Refusal(Code::CurrencyMismatch, message))
    }

    /// The balance after a change stays in range, with the credit line and without.
    fn in_range(&self, change: i64) -> Result<(), Refusal> {
        let money = self.contract.money;
        in_range(money.own.saturating_add(change))?;
        in_range(money.own.saturating_add(money.credit).saturating_add(change))
    }
}
