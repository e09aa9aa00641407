//! Open holds as lines of the live protocol.

use serde::Serialize;

use crate::projection::{Contract, OpenHold, Projection};

#[derive(Serialize)]
pub(crate) struct HoldLine<'a> {
    auth_code: &'a str,
    at_us: i64,
    expires_at_us: i64,
    card: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pan_masked: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle: Option<&'a str>,
    site: &'a str,
    terminal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pump: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product: Option<&'a str>,
    qty_ml: u64,
    amount_minor: i64,
}

/// A hold among those of all contracts.
#[derive(Serialize)]
pub(crate) struct NetworkHoldLine<'a> {
    contract: &'a str,
    contract_name: &'a str,
    currency: &'a str,
    #[serde(flatten)]
    hold: HoldLine<'a>,
}

pub(crate) fn hold_line(open: &OpenHold) -> HoldLine<'_> {
    HoldLine {
        auth_code: open.auth_code.as_str(),
        at_us: open.at.get(),
        expires_at_us: open.hold.expires_at_us.get(),
        card: open.card.as_str(),
        pan_masked: open.pan_masked.as_deref(),
        vehicle: open.vehicle.as_ref().map(|id| id.as_str()),
        site: open.site.as_str(),
        terminal: open.terminal.as_str(),
        pump: open.pump,
        product: open.product.as_ref().map(|product| product.as_str()),
        qty_ml: open.hold.qty_ml.get(),
        amount_minor: open.hold.amount_minor.get(),
    }
}

impl Projection {
    /// Oldest first.
    pub(crate) fn holds_of(&self, contract: &Contract) -> impl Iterator<Item = &OpenHold> {
        self.contracts().place(&contract.id).into_iter().flat_map(|place| self.holds().of(place))
    }

    pub(crate) fn hold_count_of(&self, contract: &Contract) -> usize {
        self.contracts().place(&contract.id).map_or(0, |place| self.holds().count_of(place))
    }

    pub(crate) fn network_hold_line<'a>(&'a self, open: &'a OpenHold) -> NetworkHoldLine<'a> {
        let contract = self.contracts().at(open.contract);
        NetworkHoldLine {
            contract: contract.id.as_str(),
            contract_name: &contract.name,
            currency: contract.balance.as_ref().map_or("", |balance| balance.currency.as_str()),
            hold: hold_line(open),
        }
    }
}
