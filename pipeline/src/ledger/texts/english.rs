//! English.

mod phrases;
mod report;

use model::{
    Closure, Code, Difference, Headroom, LimitMode, Measure, Note, OriginalState, Prompt, RiskFinding, RiskMeasure,
    RuleMode, TransactionKind, Verdict, Window,
};

use super::figures::{ENGLISH, Span};
use super::{Amounts, Language, Subject, taken_back};
use phrases::{
    Block, Figure, Goods, List, Moment, Name, Priced, Time, accepted, closed, contract, contract_within, enter,
    malformed, money, original, original_or, owner, prompt_name, span, were,
};

pub(super) struct English;

impl Language for English {
    const NEEDS_A_LOOK: &'static str = "This needs a look";

    fn cashier(subject: &Subject<'_>) -> String {
        match (subject.verdict, subject.kind) {
            (Verdict::Partial, _) => return format!("Approved for {}", Goods(subject.granted)),
            (Verdict::Approve, kind) => return accepted(kind).to_owned(),
            (Verdict::Decline | Verdict::Reprompt, _) => {}
        }
        let line = match subject.code {
            Code::PromptMissing | Code::PromptInvalid => return enter(subject),
            Code::OdometerRange => "Check the odometer and enter it again",
            Code::PinRequired => "Enter the PIN",
            Code::PinWrong if !subject.locks() => "Wrong PIN. Try again",
            Code::PinWrong | Code::PinLocked => "PIN locked. The driver should call the fleet office",
            Code::CardUnknown | Code::CardBlocked | Code::CardLost | Code::CardStolen | Code::CardClosed => {
                "Declined. This card cannot be used"
            }
            Code::CardExpired => "Declined. The card has expired",
            Code::CardNotYet => "Declined. The card is not valid yet",
            Code::Product => "Declined. This product is not for this card",
            Code::Site => "Declined. The card is not accepted at this station",
            Code::Time => "Declined. The card is not accepted at this hour",
            Code::EntryMethod => "Declined. Read the card another way",
            Code::CurrencyMismatch => "Declined. The card is not accepted here",
            Code::AmountMismatch => "Declined. Compare with the receipt and try again",
            Code::OriginalUnknown => "Declined. The original purchase was not found",
            Code::OriginalClosed => "Declined. The original purchase is closed",
            Code::OriginalBilled => "Declined. Make a refund instead",
            Code::FmtClock => "Declined. Check the terminal's clock",
            Code::FmtInvalid | Code::FmtKeyReused => "Declined. The terminal needs service",
            Code::ContractUnknown
            | Code::ContractBlocked
            | Code::ContractExpired
            | Code::ContractNotYet
            | Code::Funds
            | Code::LimitTx
            | Code::LimitPeriod
            | Code::LimitCount
            | Code::TankCapacity
            | Code::FraudVelocity
            | Code::FraudTravel => "Declined. The driver should call the fleet office",
            Code::Approved
            | Code::ApprovedFlagged
            | Code::CompletionAboveHold
            | Code::CompletionLate
            | Code::CompletionDiffers
            | Code::PostedOffline
            | Code::OfflineLimit
            | Code::PostedForced
            | Code::ContractExists
            | Code::CardExists
            | Code::TopUpExists
            | Code::TimeZoneUnknown
            | Code::LimitUnknown
            | Code::RestrictionUnknown
            | Code::GroupUnknown
            | Code::VehicleUnknown
            | Code::DriverUnknown
            | Code::NotPermitted
            | Code::TooMany => "Declined",
        };
        line.to_owned()
    }

    fn done(subject: &Subject<'_>) -> String {
        let Subject { card, site, terminal, .. } = *subject;
        let much = match subject.verdict {
            Verdict::Partial => "only ",
            _ if subject.fill_up => "up to ",
            _ => "",
        };
        let amounts = Priced(subject.granted, subject);
        match subject.kind {
            TransactionKind::Preauth => format!("Card {card} may take {much}{amounts}"),
            TransactionKind::Incremental => format!("Card {card} may take {much}{amounts} more"),
            TransactionKind::DryRun => format!("Card {card} could take {much}{amounts}"),
            TransactionKind::Sale => format!("Card {card} bought {much}{amounts}"),
            TransactionKind::Completion => format!("Card {card} took {amounts}"),
            TransactionKind::AdviceOffline => {
                format!("Card {card} took {amounts} while terminal {terminal} was offline")
            }
            TransactionKind::Forced => format!("Station {site} sold {amounts} on card {card} without asking"),
            TransactionKind::Reversal => {
                format!("The hold on card {card} was released: {}", Priced(taken_back(subject), subject))
            }
            TransactionKind::Void => {
                format!("The purchase with card {card} was undone: {}", Priced(taken_back(subject), subject))
            }
            TransactionKind::Refund => format!("Card {card} gave back {amounts}"),
            TransactionKind::Balance => match subject.balance {
                Some(balance) => money(subject, balance),
                None => format!("Card {card} asked what is left"),
            },
        }
    }

    fn refusal(subject: &Subject<'_>) -> String {
        let Subject { card, site, terminal, currency, .. } = *subject;
        let contract = contract(subject);
        match subject.code {
            Code::FmtInvalid => format!("The message of terminal {terminal} could not be used"),
            Code::FmtClock => format!("The clock of terminal {terminal} is wrong"),
            Code::FmtKeyReused => {
                format!(
                    "Terminal {terminal} sent another request under a key that was used before; only the first counts"
                )
            }
            Code::AmountMismatch => format!("The figures that terminal {terminal} sent do not fit the purchase"),
            Code::CurrencyMismatch => format!("{contract} is not in {currency}"),
            Code::CardUnknown => format!("Card {card} is not known"),
            Code::CardBlocked => format!("Card {card} is blocked"),
            Code::CardLost => closed(card, Closure::Lost),
            Code::CardStolen => closed(card, Closure::Stolen),
            Code::CardClosed => closed(card, Closure::Returned),
            Code::CardExpired => format!("Card {card} has expired"),
            Code::CardNotYet => format!("Card {card} is not valid yet"),
            Code::PinRequired => format!("Terminal {terminal} did not say whether the PIN of card {card} was right"),
            Code::PinWrong => format!("The PIN of card {card} was wrong"),
            Code::PinLocked => format!("Card {card} is locked after too many wrong PINs"),
            Code::PromptMissing => format!("Terminal {terminal} did not send all that card {card} requires"),
            Code::PromptInvalid => format!("What was entered at terminal {terminal} does not fit card {card}"),
            Code::OdometerRange => "The odometer is outside the expected range".to_owned(),
            Code::ContractUnknown => format!("The contract of card {card} is not known"),
            Code::ContractBlocked => format!("{contract} is blocked"),
            Code::ContractExpired => format!("{contract} has ended"),
            Code::ContractNotYet => format!("{contract} has not begun yet"),
            Code::Product => format!("Card {card} may not buy this product"),
            Code::Site => format!("Card {card} is not accepted at station {site}"),
            Code::Time => format!("Card {card} is not accepted at this time"),
            Code::EntryMethod => format!("Card {card} may not be read in this way"),
            Code::TankCapacity => "The vehicle's tank holds less".to_owned(),
            Code::Funds => format!("{contract} has too little money"),
            Code::LimitTx => format!("Card {card} asked for more than one purchase may be"),
            Code::LimitPeriod => format!("A limit for card {card} is used up"),
            Code::LimitCount => format!("No purchase is left for card {card}"),
            Code::FraudVelocity | Code::FraudTravel => format!("A rule stopped a purchase with card {card}"),
            Code::OriginalUnknown => match original(subject) {
                Some(name) => format!("{name} is not known for card {card}"),
                None => format!("Terminal {terminal} did not say which purchase it refers to"),
            },
            Code::OriginalClosed => format!("{} is closed", original_or(subject)),
            Code::OriginalBilled => format!("{} is on a bill; it can be taken back by a refund", original_or(subject)),
            Code::Approved
            | Code::ApprovedFlagged
            | Code::CompletionAboveHold
            | Code::CompletionLate
            | Code::CompletionDiffers
            | Code::PostedOffline
            | Code::OfflineLimit
            | Code::PostedForced => format!("A purchase with card {card} was declined"),
            Code::ContractExists => format!("{contract} exists already"),
            Code::CardExists => format!("Card {card} exists already"),
            Code::TopUpExists => "A payment with this reference was credited before".to_owned(),
            Code::TimeZoneUnknown => "There is no such time zone".to_owned(),
            Code::LimitUnknown => "There is no such limit".to_owned(),
            Code::RestrictionUnknown => "There is no such restriction".to_owned(),
            Code::GroupUnknown => "There is no such group".to_owned(),
            Code::VehicleUnknown => "There is no such vehicle".to_owned(),
            Code::DriverUnknown => "There is no such driver".to_owned(),
            Code::NotPermitted => "Whoever ordered it may not do that".to_owned(),
            Code::TooMany => format!("{contract} cannot hold more of this"),
        }
    }

    fn asked(subject: &Subject<'_>) -> String {
        if subject.fill_up {
            return "A full tank was asked for".to_owned();
        }
        format!("{} {} asked for", Priced(subject.asked, subject), were(subject.asked))
    }

    fn left(subject: &Subject<'_>, headroom: &Headroom) -> String {
        if let (Some(balance), "balance") = (subject.balance, headroom.limit.as_str()) {
            return money(subject, balance);
        }
        let owner = owner(subject, &headroom.scope);
        let figure = |value| Figure(headroom.measure, value, subject);
        let (name, time) = (Name(headroom, subject), Time(headroom.span));
        let whole = figure(headroom.limit_value);
        let has = if subject.took() { "had" } else { "has" };
        if headroom.span == Window::PerTransaction {
            return format!("{owner} is limited to {whole} at a time{name}");
        }
        match (headroom.left, headroom.measure) {
            (..0, _) => {
                format!("{owner} is {} over the limit of {whole} {time}{name}", figure(headroom.left.saturating_neg()))
            }
            (0, Measure::Count) => format!("{owner} {has} none of {whole} left {time}{name}"),
            (0, Measure::Volume | Measure::Money) => format!("{owner} {has} nothing of {whole} left {time}{name}"),
            (left, Measure::Count) => {
                format!("{owner} {has} {} of {whole} left {time}{name}", ENGLISH.whole(left))
            }
            (left, Measure::Volume | Measure::Money) => {
                format!("{owner} {has} {} of {whole} left {time}{name}", figure(left))
            }
        }
    }

    fn remark(subject: &Subject<'_>, note: &Note) -> Option<String> {
        let Subject { card, terminal, .. } = *subject;
        let sentence = match note {
            Note::ClockOff { hours } => {
                let side = if *hours < 0 { "behind" } else { "ahead of" };
                let counted = if subject.counts_by_its_clock() { ", so the time of arrival counts" } else { "" };
                format!("The clock of terminal {terminal} is {} {side} ours{counted}", span(Span::of_hours(*hours)))
            }
            Note::Malformed(problem) => format!("The message of terminal {terminal} {}", malformed(*problem)),
            Note::Currency(own) => {
                format!("{} is in {own}, the request in {}", contract(subject), subject.currency)
            }
            Note::CardBlocked { actor, reason, until_us } => {
                format!("Card {card} was blocked by {}", Block(*actor, reason, *until_us))
            }
            Note::CardClosed(closure) => closed(card, *closure),
            Note::ContractBlocked { actor, reason, until_us } => {
                format!("{} was blocked by {}", contract(subject), Block(*actor, reason, *until_us))
            }
            Note::ValidFrom(from) => match subject.code {
                Code::CardNotYet => format!("Card {card} is valid from {}", Moment(*from)),
                Code::ContractNotYet => format!("{} begins on {}", contract(subject), Moment(*from)),
                _ => format!("It was not valid before {}", Moment(*from)),
            },
            Note::ValidTo(to) => match subject.code {
                Code::CardExpired => format!("Card {card} expired on {}", Moment(*to)),
                Code::ContractExpired => format!("{} ended on {}", contract(subject), Moment(*to)),
                _ => format!("It was valid until {}", Moment(*to)),
            },
            Note::PinTriesLeft(1) => format!("The PIN of card {card} was wrong; one try is left"),
            Note::PinTriesLeft(0) => format!("The PIN of card {card} was wrong; no try is left"),
            Note::PinTriesLeft(tries) => format!("The PIN of card {card} was wrong; {tries} tries are left"),
            Note::PinLockedUntil(until) => {
                format!("Card {card} is locked until {} after too many wrong PINs", Moment(*until))
            }
            Note::PromptsMissing(prompts) => {
                format!("Card {card} requires what terminal {terminal} did not send: {}", List(prompts))
            }
            Note::PromptInvalid(Prompt::Driver) => {
                format!("The driver entered at terminal {terminal} is blocked or not known in the contract")
            }
            Note::PromptInvalid(Prompt::Vehicle) => {
                format!("The vehicle entered at terminal {terminal} is not known, or not that of card {card}")
            }
            Note::PromptInvalid(prompt) => {
                format!("The {} entered at terminal {terminal} does not fit card {card}", prompt_name(*prompt))
            }
            Note::Odometer { given, least, most } => format!(
                "The odometer reading {} is not between {} and {}",
                ENGLISH.whole(*given),
                ENGLISH.whole(*least),
                ENGLISH.whole(*most)
            ),
            Note::Restricted(restriction) => format!("Restriction {restriction} forbids it"),
            Note::Product(product) => format!("Card {card} may not buy product {product}"),
            Note::TankCapacity { vehicle, tank_ml } => {
                format!("The tank of vehicle {vehicle} holds {}", ENGLISH.litres(*tank_ml))
            }
            Note::AmountMismatch => "The station's amount is not quantity times price".to_owned(),
            Note::AboveHold { ml, pieces, minor } => {
                format!(
                    "That is more than was held: {}",
                    Priced(Amounts { ml: *ml, pieces: *pieces, minor: *minor }, subject)
                )
            }
            Note::HoldExpired(at) => format!("The hold had expired on {}", Moment(*at)),
            Note::Differs(Difference::Product) => "The product is not the one that was authorized".to_owned(),
            Note::Differs(Difference::Price) => "The price is not the one that was authorized".to_owned(),
            Note::Differs(Difference::Terminal) => {
                format!("Terminal {terminal} is not the one that asked for the authorization")
            }
            Note::Over { limit, measure, mode, beyond } => {
                let trial = if *mode == LimitMode::Shadow { " (on trial)" } else { "" };
                let beyond = Figure(*measure, *beyond, subject);
                match limit.as_str() {
                    "balance" => format!("That is {beyond} more than {} had available", contract_within(subject)),
                    limit => format!("That is {beyond} over limit {limit}{trial}"),
                }
            }
            Note::CatalogueAge { hours, percent } => format!(
                "The lists of terminal {terminal} were {} old, so {percent}% of the offline limits counted",
                span(Span::of_hours(*hours))
            ),
            Note::OfflineForbidden => format!("Card {card} may not be used offline"),
            Note::Original(state) => {
                let state = match state {
                    OriginalState::Held => "is still open: nothing was sold under it",
                    OriginalState::Expired => "expired before anything was sold",
                    OriginalState::Completed => "was completed before",
                    OriginalState::Reversed => "was taken back before",
                    OriginalState::Billed => "is on a bill already",
                };
                format!("{} {state}", original_or(subject))
            }
            Note::Sold { ml, pieces, minor } if subject.code == Code::AmountMismatch => {
                let sold = Amounts { ml: *ml, pieces: *pieces, minor: *minor };
                let (asked, were) = (Priced(subject.asked, subject), were(sold));
                format!("{asked} cannot come back to card {card}: {} {were} sold", Priced(sold, subject))
            }
            Note::Sold { .. } | Note::Released { .. } => return None,
            Note::Driver(driver) => format!("The driver was {driver}"),
        };
        Some(sentence)
    }

    fn finding(finding: &RiskFinding) -> String {
        let trial = if finding.mode == RuleMode::Shadow { "On trial: " } else { "" };
        match finding.measured {
            RiskMeasure::Velocity { purchases, minutes, unusual_from } => {
                format!("{trial}{purchases} purchases in {minutes} min; from {unusual_from} on it is unusual")
            }
            RiskMeasure::Travel { km, minutes, kmh: Some(kmh), kmh_most } => format!(
                "{trial}{} km from the last purchase in {minutes} min: {} km/h, and at most {kmh_most} km/h is believed",
                ENGLISH.whole(km),
                ENGLISH.whole(kmh)
            ),
            RiskMeasure::Travel { km, kmh: None, .. } => {
                format!("{trial}{} km from the last purchase at the same moment", ENGLISH.whole(km))
            }
        }
    }
}
