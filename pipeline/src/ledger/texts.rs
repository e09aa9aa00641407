//! What people read about a decision, and its ISO 8583:1993 action code.
//!
//! In: a decision and the figures behind it. Out: a line for the cashier and a few sentences for the fleet's manager, each
//! in English, Russian and Kazakh. Guarantees: the cashier's line says nothing about money, limits or suspicion, and fits on
//! a till's display. Does not: know the contract's time zone (moments are given in UTC), accuse anybody.

mod english;
mod figures;
mod kazakh;
mod report;
mod russian;
#[cfg(test)]
mod tests;

use model::{
    Balance, Code, Currency, Headroom, Languages, Millilitres, MinorUnits, Note, Original, Prompt, RiskFinding,
    RuleMode, Texts, TransactionKind, Verdict,
};

use super::explain::{self, Explanation};

/// A decision as its texts see it.
pub(super) struct Subject<'a> {
    pub(super) kind: TransactionKind,
    pub(super) verdict: Verdict,
    pub(super) code: Code,
    /// In the order in which they are told.
    pub(super) notes: &'a [Note],
    pub(super) risk: &'a [RiskFinding],
    pub(super) binding: Option<&'a Headroom>,
    pub(super) balance: Option<&'a Balance>,
    pub(super) contract: Option<&'a str>,
    /// Masked number or token, fit for people.
    pub(super) card: &'a str,
    pub(super) site: &'a str,
    pub(super) terminal: &'a str,
    /// The currency of the request.
    pub(super) currency: Currency,
    /// What the request names of an earlier one.
    pub(super) original: &'a Original,
    pub(super) asked: Amounts,
    /// What this decision holds, posts, gives back or releases.
    pub(super) granted: Amounts,
    pub(super) fill_up: bool,
}

impl Subject<'_> {
    /// The wrong PIN that was one too many.
    fn locks(&self) -> bool {
        self.notes.contains(&Note::PinTriesLeft(0))
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub(super) ml: Millilitres,
    pub(super) pieces: u32,
    pub(super) minor: MinorUnits,
}

pub(super) fn of(subject: &Subject<'_>) -> Texts {
    Texts {
        cashier: Languages {
            en: english::English::cashier(subject),
            ru: russian::Russian::cashier(subject),
            kk: kazakh::Kazakh::cashier(subject),
        },
        manager: Languages {
            en: manager::<english::English>(subject),
            ru: manager::<russian::Russian>(subject),
            kk: manager::<kazakh::Kazakh>(subject),
        },
    }
}

/// An explanation in words.
pub(super) fn report(explanation: &Explanation, language: explain::Language) -> String {
    match language {
        explain::Language::English => report::of::<english::English>(explanation),
        explain::Language::Russian => report::of::<russian::Russian>(explanation),
        explain::Language::Kazakh => report::of::<kazakh::Kazakh>(explanation),
    }
}

/// Data element 39 of ISO 8583:1993. What begins with 0 is approved.
pub(super) fn iso39(verdict: Verdict, code: Code, kind: TransactionKind) -> &'static str {
    match verdict {
        Verdict::Partial => return "002", // approved for partial amount
        Verdict::Approve => {
            return match (kind, code) {
                (TransactionKind::Reversal | TransactionKind::Void, _) => "400", // reversal accepted
                (_, Code::OfflineLimit) => "080", // approved; private use: beyond the offline allowance
                _ => "000",
            };
        }
        Verdict::Decline | Verdict::Reprompt => {}
    }
    match code {
        Code::Approved
        | Code::ApprovedFlagged
        | Code::CompletionAboveHold
        | Code::CompletionLate
        | Code::CompletionDiffers
        | Code::PostedOffline
        | Code::OfflineLimit
        | Code::PostedForced
        | Code::CardClosed => "100", // do not honour
        Code::CardExpired => "101",
        Code::FraudTravel => "102", // suspected fraud
        Code::CardBlocked => "104", // restricted card
        Code::PinLocked => "106",   // allowable PIN tries exceeded
        Code::AmountMismatch => "110",
        Code::PinRequired => "112",
        Code::Funds => "116",
        Code::PinWrong => "117",
        Code::CardUnknown => "118", // no card record
        Code::ContractUnknown
        | Code::ContractBlocked
        | Code::ContractExpired
        | Code::ContractNotYet
        | Code::Product
        | Code::Time
        | Code::EntryMethod => "119", // transaction not permitted to cardholder
        Code::Site => "120",        // transaction not permitted to terminal
        Code::LimitTx | Code::LimitPeriod | Code::TankCapacity => "121", // exceeds withdrawal amount limit
        Code::LimitCount | Code::FraudVelocity => "123", // exceeds withdrawal frequency limit
        Code::CardNotYet => "125",  // card not effective
        // Private use, as fleet networks do it: data for the driver, the vehicle or the odometer is missing, or wrong.
        Code::PromptMissing => "184",
        Code::PromptInvalid | Code::OdometerRange => "185",
        Code::CardLost => "208",
        Code::CardStolen => "209",
        // The 300s answer file actions, which is what orders of the back office are.
        Code::LimitUnknown
        | Code::RestrictionUnknown
        | Code::GroupUnknown
        | Code::VehicleUnknown
        | Code::DriverUnknown => "302", // unable to locate record on file
        Code::TimeZoneUnknown => "304",              // field edit error
        Code::NotPermitted | Code::TooMany => "306", // not successful
        Code::ContractExists | Code::CardExists | Code::TopUpExists => "308", // duplicate, new record rejected
        Code::CurrencyMismatch | Code::OriginalBilled => "902", // invalid transaction
        Code::FmtInvalid | Code::FmtClock => "904",  // format error
        Code::FmtKeyReused => "913",                 // duplicate transmission
        Code::OriginalUnknown | Code::OriginalClosed => "914", // not able to trace back to original transaction
    }
}

/// One language's words. Sentences come without their full stop.
trait Language {
    /// The last sentence where a rule found something unusual.
    const NEEDS_A_LOOK: &'static str;

    /// The line on the till's display.
    fn cashier(subject: &Subject<'_>) -> String;
    /// What was granted, posted, given back or released.
    fn done(subject: &Subject<'_>) -> String;
    /// Why not, where neither a note nor a limit says more.
    fn refusal(subject: &Subject<'_>) -> String;
    /// What was asked for.
    fn asked(subject: &Subject<'_>) -> String;
    /// What is left of a limit or of the contract's money.
    fn left(subject: &Subject<'_>, headroom: &Headroom) -> String;
    /// A note in a sentence of its own; `None` where another sentence tells it.
    fn remark(subject: &Subject<'_>, note: &Note) -> Option<String>;
    fn finding(finding: &RiskFinding) -> String;
}

fn manager<L: Language>(subject: &Subject<'_>) -> String {
    let mut text = Sentences(String::with_capacity(200));
    let approved = matches!(subject.verdict, Verdict::Approve | Verdict::Partial);
    let reason = subject.notes.iter().find(|note| !approved && explains(subject.code, note));
    match (approved, reason, subject.binding) {
        (true, _, _) => text.add(&L::done(subject)),
        (false, Some(reason), _) => text.add(&L::remark(subject, reason).unwrap_or_else(|| L::refusal(subject))),
        (false, None, Some(_)) if subject.beyond_a_limit() => {}
        (false, None, _) => text.add(&L::refusal(subject)),
    }
    if let Some(binding) = subject.binding.filter(|_| subject.beyond_a_limit() || subject.cut()) {
        text.add(&L::left(subject, binding));
    }
    for note in subject.notes.iter().filter(|note| reason != Some(note)) {
        if let Some(remark) = L::remark(subject, note) {
            text.add(&remark);
        }
    }
    if subject.tells_what_was_asked() {
        text.add(&L::asked(subject));
    }
    for finding in subject.risk {
        text.add(&L::finding(finding));
    }
    if subject.risk.iter().any(|finding| matches!(finding.mode, RuleMode::Flag | RuleMode::Decline)) {
        text.add(L::NEEDS_A_LOOK);
    }
    text.0
}

impl<'a> Subject<'a> {
    /// The figure of the first note that has the one looked for.
    fn noted<T>(&self, pick: impl Fn(&'a Note) -> Option<T>) -> Option<T> {
        self.notes.iter().find_map(pick)
    }
    /// It asks for something that is still to be given.
    fn asks(&self) -> bool {
        matches!(
            self.kind,
            TransactionKind::Preauth | TransactionKind::Sale | TransactionKind::Incremental | TransactionKind::DryRun
        )
    }
    /// Refused by a limit or for want of money.
    fn beyond_a_limit(&self) -> bool {
        let limited = matches!(self.code, Code::Funds | Code::LimitTx | Code::LimitPeriod | Code::LimitCount);
        limited && self.verdict == Verdict::Decline
    }
    /// Approved, and a limit said how much.
    fn cut(&self) -> bool {
        self.verdict == Verdict::Partial || self.verdict == Verdict::Approve && self.fill_up && self.asks()
    }
    /// A sale that counts when it arrived where its clock is not believed; what follows a purchase counts with the purchase.
    fn counts_by_its_clock(&self) -> bool {
        matches!(self.kind, TransactionKind::Sale | TransactionKind::AdviceOffline | TransactionKind::Forced)
            && self.verdict == Verdict::Approve
    }
    /// What is told as left was left before, and is not any more.
    fn took(&self) -> bool {
        self.cut() && self.kind != TransactionKind::DryRun
    }
    /// A wish that was understood and not granted as it was.
    fn tells_what_was_asked(&self) -> bool {
        let understood = !matches!(self.code, Code::FmtInvalid | Code::FmtKeyReused | Code::CurrencyMismatch);
        let something = self.fill_up || self.asked != Amounts::default();
        matches!(self.verdict, Verdict::Decline | Verdict::Partial) && self.asks() && understood && something
    }
}

/// The note's sentence says why a request was refused with this code.
fn explains(code: Code, note: &Note) -> bool {
    match note {
        Note::Malformed(_) => code == Code::FmtInvalid,
        Note::ClockOff { .. } => code == Code::FmtClock,
        Note::Currency(_) => code == Code::CurrencyMismatch,
        Note::CardBlocked { .. } => code == Code::CardBlocked,
        Note::CardClosed(_) => matches!(code, Code::CardLost | Code::CardStolen | Code::CardClosed),
        Note::ContractBlocked { .. } => code == Code::ContractBlocked,
        Note::ValidFrom(_) => matches!(code, Code::CardNotYet | Code::ContractNotYet),
        Note::ValidTo(_) => matches!(code, Code::CardExpired | Code::ContractExpired),
        Note::PinTriesLeft(_) => code == Code::PinWrong,
        Note::PinLockedUntil(_) => code == Code::PinLocked,
        Note::PromptsMissing(_) => code == Code::PromptMissing,
        Note::PromptInvalid(_) => code == Code::PromptInvalid,
        Note::Odometer { .. } => code == Code::OdometerRange,
        Note::Product(_) => code == Code::Product,
        Note::TankCapacity { .. } => code == Code::TankCapacity,
        Note::Original(_) => code == Code::OriginalClosed,
        Note::Sold { .. } => code == Code::AmountMismatch,
        Note::Restricted(_)
        | Note::AmountMismatch
        | Note::AboveHold { .. }
        | Note::HoldExpired(_)
        | Note::Differs(_)
        | Note::Over { .. }
        | Note::CatalogueAge { .. }
        | Note::OfflineForbidden
        | Note::Released { .. }
        | Note::Driver(_) => false,
    }
}

/// What a reversal or void takes back.
fn taken_back(subject: &Subject<'_>) -> Amounts {
    let released = subject.noted(|note| match note {
        Note::Released { ml, pieces, minor } | Note::Sold { ml, pieces, minor } => {
            Some(Amounts { ml: *ml, pieces: *pieces, minor: *minor })
        }
        _ => None,
    });
    if subject.granted == Amounts::default() { released.unwrap_or_default() } else { subject.granted }
}

/// The driver, the vehicle and so on that the terminal must ask for again.
fn prompts<'a>(subject: &Subject<'a>) -> &'a [Prompt] {
    let of = |note: &'a Note| match note {
        Note::PromptsMissing(prompts) => Some(prompts.as_slice()),
        Note::PromptInvalid(prompt) => Some(std::slice::from_ref(prompt)),
        _ => None,
    };
    subject.noted(of).unwrap_or_default()
}

/// A text that grows by sentences.
struct Sentences(String);

impl Sentences {
    fn add(&mut self, sentence: &str) {
        if sentence.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(sentence);
        if !sentence.ends_with('.') {
            self.0.push('.');
        }
    }
}
