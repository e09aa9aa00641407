//! Transactions that ask first: preauthorization, sale, incremental, dry run.

use model::{
    Actor, CardKind, Closure, Code, Device, DriverId, Entry, LimitMode, Measure, Prompt, Restriction, RestrictionList,
    RestrictionRule, Transaction, TransactionKind, Unit, VehicleId, Verdict, Window,
};
use pipeline::ledger::Config;

use crate::amounts::{Wish, mismatch, wish};
use crate::answer::Answer;
use crate::book::{Buyer, Card, Contract, KeptLimit, Line, Purchase, measured, scope_rank, selects};

pub(crate) const ITEMS_MAX: usize = 16;

/// One thing that cuts: a limit in decline mode, or the balance (`limit` is `None`).
struct Cut<'a> {
    name: &'a str,
    limit: Option<&'a KeptLimit>,
    left: i64,
}

impl Cut<'_> {
    fn concerns(&self, line: &Line) -> bool {
        match self.limit {
            None => true,
            Some(kept) => selects(&kept.limit.product, line) && (kept.limit.measure != Measure::Volume || line.litres),
        }
    }
    fn measure(&self) -> Measure {
        self.limit.map_or(Measure::Money, |kept| kept.limit.measure)
    }
    fn code(&self) -> Code {
        match self.limit.map(|kept| &kept.limit) {
            None => Code::Funds,
            Some(limit) if limit.window == Window::PerTransaction => Code::LimitTx,
            Some(limit) if limit.measure == Measure::Count => Code::LimitCount,
            Some(_) => Code::LimitPeriod,
        }
    }
}

/// What was granted, for the caller to hold or to post.
pub(crate) struct Granted {
    pub(crate) lines: Vec<Line>,
}

/// Decides a purchase at `at`. `believed`: whether the terminal's clock is near enough to ours. `more_of`: the purchase of
/// which an incremental authorization wants more, or why there is none.
pub(crate) fn ask(
    config: &Config,
    contract: &Contract,
    transaction: &Transaction,
    (at, believed): (i64, bool),
    more_of: Option<Result<&Purchase, Code>>,
) -> (Answer, Option<Granted>) {
    let mut answer = Answer::of_contract(contract);
    let declined = |mut answer: Answer, verdict: Verdict, code: Code| {
        answer.decide(verdict, code, &[]);
        (answer, None)
    };
    let original = match more_of {
        Some(Err(code)) => return declined(answer, Verdict::Decline, code),
        Some(Ok(original)) => Some(original),
        None => None,
    };
    let card = &contract.cards[&transaction.card.token];
    if let Some(code) = life(contract, card, at) {
        return declined(answer, Verdict::Decline, code);
    }
    if !believed {
        return declined(answer, Verdict::Decline, Code::FmtClock);
    }
    if transaction.currency != contract.currency {
        return declined(answer, Verdict::Decline, Code::CurrencyMismatch);
    }
    if malformed(transaction) {
        return declined(answer, Verdict::Decline, Code::FmtInvalid);
    }
    let buyer = buyer(contract, card, transaction);
    if let Some((verdict, code)) = identity(contract, card, &buyer, transaction, at) {
        return declined(answer, verdict, code);
    }
    let mut wished: Vec<Wish> = transaction
        .items
        .iter()
        .enumerate()
        .map(|item| wish(item, |line| contract.discount(line).cloned(), contract.currency))
        .collect();
    if transaction.fill_up {
        let largest = i64::try_from(config.fill_up_ml_max.get()).unwrap();
        let asked = wished[0].quantity();
        let mut ml = if asked > 0 { asked.min(largest) } else { largest };
        if let Some(tank) = tank(contract, &buyer) {
            ml = ml.min(tank);
        }
        wished[0].buy(ml, None);
    }
    let lines: Vec<Line> = wished.iter().map(|wish| wish.line.clone()).collect();
    if let Some(code) = restricted(config, contract, &buyer, transaction, (&lines, at)) {
        return declined(answer, Verdict::Decline, code);
    }

    // More of a purchase counts where the purchase does.
    let at = original.map_or(at, |original| original.at);
    let buyer = original.map_or(buyer, Purchase::buyer);
    let mut limits = contract.limits_of(&buyer, at, false, Some(&lines));
    if original.is_some() {
        // It is no further purchase.
        limits.retain(|kept| kept.limit.measure != Measure::Count);
    }
    let sums = contract.sums();
    answer.limits();
    let mut cuts = Vec::new();
    for kept in &limits {
        let (used, held) = contract.usage(kept, at);
        let left = kept.limit.value - used - held;
        answer.headroom(contract, (kept, at), used, held);
        if kept.limit.mode == LimitMode::Decline {
            cuts.push(Cut { name: kept.limit.id.as_str(), limit: Some(kept), left });
        }
    }
    cuts.push(Cut { name: "balance", limit: None, left: sums.available });

    let all: Vec<&Cut<'_>> = cuts.iter().collect();
    let granted = grant(&wished, transaction.fill_up, &all);
    let whole = granted == lines;
    let alone = cuts.iter().map(|cut| (cut, grant(&wished, transaction.fill_up, &[cut])));
    let binding = alone
        .filter(|(_, granted)| *granted != lines)
        .min_by_key(|(_, granted)| granted.iter().map(|line| line.net).sum::<i64>())
        .map(|(cut, _)| cut);
    answer.binding(binding.map(|cut| cut.name));
    let verdict = verdict(config, transaction, &lines, &granted);
    if verdict == Verdict::Decline {
        return declined(answer, verdict, binding.map_or(Code::Funds, Cut::code));
    }
    debug_assert!(whole == (binding.is_none()), "something cut, and nothing alone cuts");

    let mut flagged = false;
    for kept in limits.iter().filter(|kept| kept.limit.mode != LimitMode::Decline) {
        let (used, held) = contract.usage(kept, at);
        let more = measured(&kept.limit, &sold(&granted));
        let beyond = more - (kept.limit.value - used - held);
        if more > 0 && beyond > 0 {
            answer.over(kept.limit.id.as_str(), beyond);
            flagged |= kept.limit.mode == LimitMode::Flag;
        }
    }
    let code = match (verdict, binding) {
        (Verdict::Partial, Some(cut)) => cut.code(),
        _ if transaction.kind == TransactionKind::Sale && mismatch(&transaction.items, contract.currency) => {
            Code::AmountMismatch
        }
        _ if flagged => Code::ApprovedFlagged,
        _ => Code::Approved,
    };
    let lines = sold(&granted);
    answer.decide(verdict, code, &lines);
    (answer, Some(Granted { lines }))
}

pub(crate) fn sold(lines: &[Line]) -> Vec<Line> {
    lines.iter().filter(|line| !line.is_empty()).cloned().collect()
}

/// Line by line what all the cuts leave; a fill-up's first line comes last.
fn grant(wished: &[Wish], fill_up: bool, cuts: &[&Cut<'_>]) -> Vec<Line> {
    let mut lefts: Vec<i64> = cuts.iter().map(|cut| cut.left).collect();
    let mut granted: Vec<Wish> = wished.to_vec();
    let mut order: Vec<usize> = (0..granted.len()).collect();
    if fill_up {
        order.rotate_left(1);
    }
    for place in order {
        let wish = &mut granted[place];
        let concerned: Vec<(Measure, i64)> = cuts
            .iter()
            .zip(&lefts)
            .filter(|(cut, _)| cut.concerns(&wish.line))
            .map(|(cut, left)| (cut.measure(), *left))
            .collect();
        let fits = |(measure, left): &(Measure, i64)| {
            *left > 0
                && match measure {
                    Measure::Volume => wish.line.ml <= *left,
                    Measure::Money => wish.line.net <= *left,
                    Measure::Count => true,
                }
        };
        if !concerned.iter().all(fits) {
            let quantity = wish.quantity();
            let affords = |(measure, left): &(Measure, i64)| match measure {
                _ if *left <= 0 => 0,
                Measure::Volume => *left,
                Measure::Money => wish.affordable(*left, quantity),
                Measure::Count => quantity,
            };
            let least = concerned.iter().map(affords).fold(quantity, i64::min);
            wish.buy(least, None);
        }
        for (cut, left) in cuts.iter().zip(&mut lefts).filter(|(cut, _)| cut.concerns(&wish.line)) {
            *left -= match cut.measure() {
                Measure::Volume => wish.line.ml,
                Measure::Money => wish.line.net,
                Measure::Count => 0,
            };
        }
    }
    granted.into_iter().map(|wish| wish.line).collect()
}

fn verdict(config: &Config, transaction: &Transaction, wished: &[Line], granted: &[Line]) -> Verdict {
    if wished == granted {
        return Verdict::Approve;
    }
    let useful = i64::try_from(config.partial_ml_min.get()).unwrap();
    if transaction.fill_up && granted[0].ml >= useful && wished[1..] == granted[1..] {
        return Verdict::Approve;
    }
    let enough = if wished.iter().any(|line| line.litres) {
        granted.iter().map(|line| line.ml).sum::<i64>() >= useful
    } else {
        granted.iter().any(|line| line.pieces > 0)
    };
    if transaction.partial_ok && enough { Verdict::Partial } else { Verdict::Decline }
}

/// What the states of the contract and the card say at `at`.
pub(crate) fn life(contract: &Contract, card: &Card, at: i64) -> Option<Code> {
    let running = |until: Option<model::TimestampUs>| until.is_none_or(|until| at < until.get());
    let before = |from: Option<i64>| from.is_some_and(|from| at < from);
    let after = |to: Option<i64>| to.is_some_and(|to| to <= at);
    let rests = |actor: Actor| card.rests.iter().any(|(of, until)| *of == actor && at < *until);
    if contract.blocks.iter().any(|block| running(block.until_us)) {
        return Some(Code::ContractBlocked);
    }
    if before(contract.term.0) {
        return Some(Code::ContractNotYet);
    }
    if after(contract.term.1) {
        return Some(Code::ContractExpired);
    }
    match card.closed {
        Some(Closure::Lost) => return Some(Code::CardLost),
        Some(Closure::Stolen) => return Some(Code::CardStolen),
        Some(Closure::Returned) => return Some(Code::CardClosed),
        None => {}
    }
    if card.blocks.iter().any(|block| running(block.until_us) && !rests(block.actor)) {
        return Some(Code::CardBlocked);
    }
    if before(card.valid.0) {
        return Some(Code::CardNotYet);
    }
    after(card.valid.1).then_some(Code::CardExpired)
}

fn malformed(transaction: &Transaction) -> bool {
    let items = &transaction.items;
    if items.is_empty() || items.len() > ITEMS_MAX {
        return true;
    }
    if transaction.fill_up && (transaction.kind == TransactionKind::Sale || items[0].unit != Unit::L) {
        return true;
    }
    items.iter().enumerate().any(|(place, item)| {
        let open = transaction.fill_up && place == 0;
        let misplaced = match item.unit {
            Unit::L => item.pieces.is_some(),
            Unit::Pieces => item.qty_ml.is_some(),
        };
        let nothing = wish((place, item), |_| None, transaction.currency).quantity() == 0;
        misplaced
            || (nothing && !open)
            || item.price_e4.get() == 0
            || item.amount_minor.is_some_and(|amount| amount.get() < 0)
    })
}

pub(crate) fn told_driver(transaction: &Transaction) -> Option<String> {
    let second = transaction.second_id.as_ref().filter(|second| second.kind == "driver");
    transaction.prompts.driver_id.clone().or_else(|| second.map(|second| second.token.to_string()))
}

pub(crate) fn buyer(contract: &Contract, card: &Card, transaction: &Transaction) -> Buyer {
    let known_driver = |name: String| DriverId::new(&name).ok().filter(|id| contract.drivers.contains_key(id));
    let known_vehicle = |name: &String| VehicleId::new(name).ok().filter(|id| contract.vehicles.contains_key(id));
    Buyer {
        card: transaction.card.token.clone(),
        group: card.group.clone(),
        vehicle: card.vehicle.clone().or_else(|| transaction.prompts.vehicle.as_ref().and_then(known_vehicle)),
        driver: told_driver(transaction).and_then(known_driver).or_else(|| card.driver.clone()),
    }
}

/// How the card was read, PIN and prompts.
fn identity(
    contract: &Contract,
    card: &Card,
    buyer: &Buyer,
    transaction: &Transaction,
    at: i64,
) -> Option<(Verdict, Code)> {
    // A dry run asks before anybody stands at a terminal: what that would be told is taken to be right.
    let dry = transaction.kind == TransactionKind::DryRun;
    let policy = contract.policy(buyer);
    let by_telephone = transaction.entry == Some(Entry::Qr) || transaction.device == Some(Device::Mobile);
    if card.kind == CardKind::Virtual && !by_telephone {
        return Some((Verdict::Decline, Code::EntryMethod));
    }
    if card.pin_locked_until.is_some_and(|until| at < until) {
        return Some((Verdict::Decline, Code::PinLocked));
    }
    match transaction.pin {
        None if policy.pin_required && !dry => return Some((Verdict::Decline, Code::PinRequired)),
        Some(pin) if !pin.verified => return Some((Verdict::Decline, Code::PinWrong)),
        _ => {}
    }
    let prompts = &transaction.prompts;
    let missing = policy.prompts.iter().any(|prompt| match prompt {
        Prompt::Driver => told_driver(transaction).is_none(),
        Prompt::Vehicle => prompts.vehicle.is_none(),
        Prompt::Odometer => prompts.odometer.is_none(),
        Prompt::EngineHours => prompts.engine_hours.is_none(),
        Prompt::Trip => prompts.trip.is_none(),
        Prompt::Trailer => prompts.trailer.is_none(),
    });
    if missing && !dry {
        return Some((Verdict::Reprompt, Code::PromptMissing));
    }
    // A driver who is blocked fails always; what nobody asked for is not looked at otherwise.
    let asks = |prompt: Prompt| policy.prompts.contains(&prompt);
    let driver_fails = told_driver(transaction).is_some_and(|name| {
        match DriverId::new(&name).ok().and_then(|id| contract.drivers.get(&id)) {
            Some(driver) => driver.blocked,
            None => asks(Prompt::Driver),
        }
    });
    let vehicle = prompts.vehicle.as_ref().filter(|_| asks(Prompt::Vehicle));
    let vehicle_fails = vehicle.is_some_and(|name| {
        let told = VehicleId::new(name).ok();
        match &card.vehicle {
            Some(own) => told.as_ref() != Some(own),
            None => told.is_none_or(|id| !contract.vehicles.contains_key(&id)),
        }
    });
    if driver_fails || vehicle_fails {
        return Some((Verdict::Reprompt, Code::PromptInvalid));
    }
    if let (Some((least, most)), Some(last), Some(given)) = (policy.odometer_growth, card.odometer, prompts.odometer) {
        let growth = i64::from(given) - i64::from(last);
        if growth < i64::from(least) || growth > i64::from(most) {
            return Some((Verdict::Reprompt, Code::OdometerRange));
        }
    }
    None
}

fn tank(contract: &Contract, buyer: &Buyer) -> Option<i64> {
    let vehicle = contract.vehicles.get(buyer.vehicle.as_ref()?)?;
    vehicle.tank_ml.map(|ml| i64::try_from(ml.get()).unwrap())
}

fn restricted(
    config: &Config,
    contract: &Contract,
    buyer: &Buyer,
    transaction: &Transaction,
    (lines, at): (&[Line], i64),
) -> Option<Code> {
    let own: Vec<&Restriction> =
        contract.restrictions.iter().filter(|restriction| buyer.is_in(&restriction.scope)).collect();
    // `None`: the terminal did not send what the restriction needs.
    let forbids = |restriction: &Restriction, listed: Option<bool>| match restriction.rule {
        RestrictionRule::Allow => listed != Some(true),
        RestrictionRule::Deny => listed != Some(false),
    };
    let forbidden = |restriction: &&Restriction| match &restriction.of {
        RestrictionList::Entries(entries) => {
            forbids(restriction, transaction.entry.map(|entry| entries.contains(&entry)))
                .then_some((0, Code::EntryMethod))
        }
        RestrictionList::Sites(sites) => {
            forbids(restriction, Some(sites.contains(&transaction.site))).then_some((1, Code::Site))
        }
        RestrictionList::Regions(regions) => {
            let listed = transaction.region.as_ref().map(|region| regions.contains(region));
            forbids(restriction, listed).then_some((1, Code::Site))
        }
        RestrictionList::Countries(countries) => {
            let listed = transaction.country.map(|country| countries.contains(&country));
            forbids(restriction, listed).then_some((1, Code::Site))
        }
        RestrictionList::Hours(hours) => {
            let listed = hours.iter().any(|schedule| contract.calendar.in_schedule(schedule, at));
            forbids(restriction, Some(listed)).then_some((2, Code::Time))
        }
        RestrictionList::Products(products) => {
            let listed = |line: &Line| products.iter().any(|selector| selects(selector, line));
            lines.iter().any(|line| forbids(restriction, Some(listed(line)))).then_some((3, Code::Product))
        }
    };
    let mut found: Vec<(usize, usize, Code)> = own
        .iter()
        .filter_map(|restriction| {
            let (kind, code) = forbidden(restriction)?;
            Some((kind, scope_rank(&restriction.scope), code))
        })
        .collect();
    found.sort_by_key(|(kind, _, _)| *kind);
    if let Some((_, _, code)) = found.first() {
        return Some(*code);
    }
    let vehicle = buyer.vehicle.as_ref().and_then(|id| contract.vehicles.get(id));
    let fuel = vehicle.and_then(|vehicle| vehicle.fuel.as_ref());
    let wrong_fuel = fuel.is_some_and(|fuel| lines.iter().any(|line| line.litres && !selects(fuel, line)));
    if wrong_fuel {
        return Some(Code::Product);
    }
    let most = tank(contract, buyer)? * (100 + i64::from(config.tank_tolerance_percent)) / 100;
    let ml: i64 = lines.iter().map(|line| line.ml).sum();
    (ml > most).then_some(Code::TankCapacity)
}
