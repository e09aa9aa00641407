//! What follows from one true ledger record: a sale or a declined wish, and entries of the card table.

use model::{
    CardEntry, CardToken, Currency, FORMAT_VERSION, Fact, Origin, OriginTopic, Outcome, PartitionId, Sale, SaleKind,
    SiteId, SoldItem, TerminalId, TransactionKind, Verdict,
};

/// ISO 4217's code for "no currency": a wish that was declined because its contract is not known has none.
const NO_CURRENCY: &str = "XXX";
/// Stands where a refund or void does not say at which terminal it was made.
const NO_TERMINAL: &str = "-";

/// A ledger record leads to at most one sale.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    pub sale: Option<Sale>,
    pub cards: Vec<CardEntry>,
}

/// What follows from the true outcome at `offset` of a ledger partition.
#[must_use]
pub fn derive(partition: PartitionId, offset: i64, outcome: &Outcome) -> Derived {
    let origin = Origin { topic: OriginTopic::Ledger, partition, offset };
    Derived { sale: sale(origin, outcome), cards: cards(origin, outcome) }
}

fn cards(origin: Origin, outcome: &Outcome) -> Vec<CardEntry> {
    let Some(contract) = &outcome.contract else { return Vec::new() };
    outcome
        .facts
        .iter()
        .filter_map(|fact| match fact {
            Fact::CardIssued { card, .. } => {
                Some(CardEntry { v: FORMAT_VERSION, origin, card: card.clone(), contract: contract.clone() })
            }
            _ => None,
        })
        .collect()
}

/// A receipt comes before a declined wish: what was posted is what happened at the pump.
fn sale(origin: Origin, outcome: &Outcome) -> Option<Sale> {
    let happened = outcome
        .facts
        .iter()
        .find_map(|fact| posted(outcome, fact))
        .or_else(|| outcome.facts.iter().find_map(declined))?;
    Some(Sale {
        v: FORMAT_VERSION,
        origin,
        kind: happened.kind,
        at_us: outcome.at_us,
        site: happened.site.clone(),
        terminal: happened.terminal,
        pump: happened.pump,
        card: happened.card.clone(),
        contract: outcome.contract.clone(),
        items: happened.items.to_vec(),
        currency: outcome.balance.map(|balance| balance.currency).or_else(|| Currency::new(NO_CURRENCY))?,
    })
}

struct Happened<'a> {
    kind: SaleKind,
    site: &'a SiteId,
    terminal: TerminalId,
    pump: Option<u16>,
    card: &'a CardToken,
    items: &'a [SoldItem],
}

fn posted<'a>(outcome: &'a Outcome, fact: &'a Fact) -> Option<Happened<'a>> {
    match fact {
        Fact::Captured { card, site, terminal, pump, items, amount_minor, .. } => Some(Happened {
            kind: if amount_minor.is_negative() { SaleKind::Refunded } else { SaleKind::Sold },
            site,
            terminal: terminal.clone(),
            pump: *pump,
            card,
            items,
        }),
        Fact::Refunded { card, site, items, .. } | Fact::Voided { card, site, items, .. } => {
            let (terminal, pump) = place_of(outcome);
            Some(Happened {
                kind: SaleKind::Refunded,
                site,
                terminal: terminal.or_else(|| TerminalId::new(NO_TERMINAL).ok())?,
                pump,
                card,
                items,
            })
        }
        _ => None,
    }
}

/// Where the request that led to these facts was made.
fn place_of(outcome: &Outcome) -> (Option<TerminalId>, Option<u16>) {
    outcome
        .facts
        .iter()
        .find_map(|fact| match fact {
            Fact::Decided { terminal, pump, .. } => Some((Some(terminal.clone()), *pump)),
            _ => None,
        })
        .unwrap_or_default()
}

/// A driver who wanted fuel and got none. A repeat of the answer is not another wish, and a terminal that asks again for a
/// prompt has not ended the first one.
fn declined(fact: &Fact) -> Option<Happened<'_>> {
    match fact {
        Fact::Decided { kind, card, site, terminal, pump, items, decision, .. }
            if decision.decision == Verdict::Decline && !decision.replayed && is_purchase(*kind) =>
        {
            Some(Happened {
                kind: SaleKind::Declined(decision.code),
                site,
                terminal: terminal.clone(),
                pump: *pump,
                card,
                items,
            })
        }
        _ => None,
    }
}

fn is_purchase(kind: TransactionKind) -> bool {
    match kind {
        TransactionKind::Preauth | TransactionKind::Sale => true,
        // More for a hold that is open: its driver has fuel already.
        TransactionKind::Incremental
        | TransactionKind::Completion
        | TransactionKind::AdviceOffline
        | TransactionKind::Forced
        | TransactionKind::Reversal
        | TransactionKind::Void
        | TransactionKind::Refund
        | TransactionKind::Balance
        | TransactionKind::DryRun => false,
    }
}

#[cfg(test)]
mod tests;
