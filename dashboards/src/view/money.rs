//! Payments and blocks of a contract as lines of the live protocol.

use model::{Actor, Block, TopUpState};
use serde::Serialize;

use crate::projection::TopUp;

#[derive(Serialize)]
pub(crate) struct BlockLine<'a> {
    actor: Actor,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    until_us: Option<i64>,
}

/// Without `amount_minor` and `state`: a line of the register that no top-up explains.
#[derive(Serialize)]
pub(crate) struct TopUpLine<'a> {
    at_us: i64,
    reference: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<TopUpState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    register_day: Option<jiff::civil::Date>,
    #[serde(skip_serializing_if = "Option::is_none")]
    register_minor: Option<i64>,
}

pub(super) fn block_line(block: &Block) -> BlockLine<'_> {
    BlockLine { actor: block.actor, reason: &block.reason, until_us: block.until_us.map(|at| at.get()) }
}

pub(super) fn top_up_line(top_up: &TopUp) -> TopUpLine<'_> {
    TopUpLine {
        at_us: top_up.at.get(),
        reference: &top_up.reference,
        amount_minor: top_up.amount.map(|amount| amount.get()),
        payer: top_up.payer.as_deref(),
        state: top_up.state,
        register_day: top_up.register.map(|(day, _)| day),
        register_minor: top_up.register.map(|(_, amount)| amount.get()),
    }
}
