//! Money of a contract beside purchases: top-ups and the bank's register, discounts, fees, bills, corrections.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Currency, MinorUnits, ProductSelector};

/// Who paid, as the bank knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Payer {
    /// Taxpayer number (INN, BIN).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How far a top-up has come. The money is usable from the first state on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopUpState {
    /// Paid and credited; the bank's register has not shown it yet.
    Credited,
    /// The register shows the same amount.
    RegisterMatched,
    /// The register of its banking day is closed and does not show it.
    RegisterMissing,
    /// The register shows another amount.
    AmountDiffers,
}

/// One line of the bank's register: a payment that reached the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegisterLine {
    /// The banking day.
    #[schemars(with = "String")]
    pub date: Date,
    /// The acquirer's or the payment order's reference, as the top-up carries it.
    pub reference: String,
    pub amount_minor: MinorUnits,
    /// Absent: the contract's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    #[serde(default)]
    pub payer: Payer,
}

/// What became of a register line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegisterOutcome {
    /// A top-up with this reference and amount was credited.
    Matched,
    /// A top-up with this reference was credited with another amount.
    AmountDiffers,
    /// No top-up carries the reference: the accountant decides whose money it is.
    UnknownPayer,
    /// The line came before, in this or another file.
    Repeated,
}

/// A reduction of the station's price. The first that fits counts: a product's, else its group's, else that of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discount {
    #[serde(default, skip_serializing_if = "ProductSelector::is_all")]
    pub product: ProductSelector,
    pub off: DiscountOff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DiscountOff {
    /// Hundredths of a percent of the price, at most 10,000.
    BasisPoints(u16),
    /// Ten-thousandths of the main unit off each litre or piece.
    PriceE4(u32),
}

/// A fee charged on the first of each month, in the contract's time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MonthlyFee {
    pub name: String,
    /// Zero ends the fee.
    pub amount_minor: MinorUnits,
}
