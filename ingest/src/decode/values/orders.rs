//! Orders of the back office: values that no order may have. Whether the order can be carried out is the ledger's affair.

use std::fmt::Display;

use model::{
    CardToken, Command, CommandMessage, DiscountOff, HolidayRule, Limit, MinorUnits, Payer, Policy, Restriction,
    RestrictionList, Schedule, Scope, TimestampUs, Window,
};

use super::{card_number, filled, pan_masked, refused, text, token};
use crate::decode::Refusal;

/// Most holidays of a contract, and most entries in the list of a restriction.
const LIST_MAX: usize = 1_000;
/// 100 % in hundredths of a percent.
const BASIS_POINTS_MAX: u16 = 10_000;

pub(in crate::decode) fn command(message: &CommandMessage) -> Result<(), Refusal> {
    filled("author", &message.author)?;
    let order = Order(name(&message.command));
    match &message.command {
        Command::OpenContract { name, currency: _, time_zone, legal_entity, holding, week_start: _ } => {
            order.filled("name", name)?;
            order.filled("time_zone", time_zone)?;
            order.optional("legal_entity", legal_entity.as_deref())?;
            order.optional("holding", holding.as_deref())
        }
        Command::SetTerm { valid_from_us, valid_to_us } => order.term(*valid_from_us, *valid_to_us),
        Command::BlockContract { actor: _, reason, until_us: _ } => order.text("reason", reason),
        Command::UnblockContract { actor: _ } | Command::SetRule { rule: _, mode: _ } => Ok(()),
        Command::SetHolidays { days } => order.count("days", days.len()),

        Command::TopUp { amount_minor, currency: _, reference, payer } => {
            order.text("reference", reference)?;
            order.payer(payer.as_ref())?;
            order.positive("amount_minor", amount_minor.get())
        }
        Command::MatchRegister(line) => {
            order.text("reference", &line.reference)?;
            order.payer(Some(&line.payer))?;
            order.positive("amount_minor", line.amount_minor.get())
        }
        Command::CloseRegister { date: _ } => Ok(()),
        Command::SetCreditLine { amount_minor, currency: _ } => order.not_negative("amount_minor", *amount_minor),
        Command::Adjust { amount_minor, currency: _, reason } => {
            order.filled("reason", reason)?;
            if amount_minor.is_zero() { order.refused("amount_minor", "0 corrects nothing") } else { Ok(()) }
        }
        Command::SetMonthlyFee(fee) => {
            order.filled("name", &fee.name)?;
            order.not_negative("amount_minor", fee.amount_minor)
        }
        Command::SetDiscount(discount) => match discount.off {
            DiscountOff::BasisPoints(points) if points > BASIS_POINTS_MAX => {
                order.refused("off.basis_points", format!("{points}, at most {BASIS_POINTS_MAX} is allowed"))
            }
            DiscountOff::BasisPoints(_) | DiscountOff::PriceE4(_) => Ok(()),
        },
        Command::RemoveDiscount { product: _ } => Ok(()),
        Command::Bill { number } => order.filled("number", number),

        Command::IssueCard {
            card,
            pan_masked: pan,
            kind: _,
            group: _,
            vehicle,
            driver,
            valid_from_us,
            valid_to_us,
            daily_ml: _,
            daily_minor,
        } => {
            order.card(card)?;
            pan_masked(&order.field("pan_masked"), pan)?;
            order.no_card_number("vehicle", vehicle.as_ref().map(|id| id.as_str()))?;
            order.no_card_number("driver", driver.as_ref().map(|id| id.as_str()))?;
            order.term(*valid_from_us, *valid_to_us)?;
            order.not_negative("daily_minor", daily_minor.unwrap_or_default())
        }
        Command::BlockCard { card, reason, actor: _, until_us: _ } => {
            order.card(card)?;
            order.text("reason", reason)
        }
        Command::UnblockCard { card, actor: _, until_us: _ }
        | Command::CloseCard { card, closure: _ }
        | Command::ResetPin { card } => order.card(card),
        Command::AssignCard { card, group: _, vehicle, driver } => {
            order.card(card)?;
            order.no_card_number("vehicle", vehicle.as_ref().map(|id| id.as_str()))?;
            order.no_card_number("driver", driver.as_ref().map(|id| id.as_str()))
        }
        Command::PutGroup(group) => order.filled("name", &group.name),
        Command::PutVehicle(vehicle) => {
            order.no_card_number("id", Some(vehicle.id.as_str()))?;
            match vehicle.tank_ml {
                Some(tank) if tank.get() == 0 => order.refused("tank_ml", "0 holds nothing"),
                _ => Ok(()),
            }
        }
        Command::PutDriver(driver) => {
            order.no_card_number("id", Some(driver.id.as_str()))?;
            order.filled("name", &driver.name)
        }

        Command::SetLimit(limit) => order.limit(limit),
        Command::ChangeLimit { limit: _, value } => order.not_below_zero("value", *value),
        Command::RemoveLimit { limit: _ } | Command::RemoveRestriction { restriction: _ } => Ok(()),
        Command::SetDailyLimit { card, daily_ml: _, daily_minor } => {
            order.card(card)?;
            order.not_negative("daily_minor", daily_minor.unwrap_or_default())
        }
        Command::SetRestriction(restriction) => order.restriction(restriction),
        Command::SetPolicy { scope, policy } => order.policy(scope, policy.as_ref()),
        Command::ReleaseHold { auth_code: _, reason } => order.filled("reason", reason),
    }
}

/// Checks of one order; names its fields.
struct Order(&'static str);

impl Order {
    fn field(&self, name: &str) -> String {
        format!("command.{}.{name}", self.0)
    }

    fn refused(&self, field: &str, why: impl Display) -> Result<(), Refusal> {
        refused(format!("{}: {why}", self.field(field)))
    }

    fn text(&self, field: &str, value: &str) -> Result<(), Refusal> {
        text(&self.field(field), value)
    }

    fn filled(&self, field: &str, value: &str) -> Result<(), Refusal> {
        filled(&self.field(field), value)
    }

    fn optional(&self, field: &str, value: Option<&str>) -> Result<(), Refusal> {
        value.map_or(Ok(()), |value| self.text(field, value))
    }

    fn card(&self, card: &CardToken) -> Result<(), Refusal> {
        token(&self.field("card"), card)
    }

    fn no_card_number(&self, field: &str, id: Option<&str>) -> Result<(), Refusal> {
        if id.is_some_and(card_number::is_in) { self.refused(field, "holds a card number") } else { Ok(()) }
    }

    fn positive(&self, field: &str, value: i64) -> Result<(), Refusal> {
        if value > 0 { Ok(()) } else { self.refused(field, format!("{value}, must be positive")) }
    }

    fn not_negative(&self, field: &str, amount: MinorUnits) -> Result<(), Refusal> {
        self.not_below_zero(field, amount.get())
    }

    fn not_below_zero(&self, field: &str, value: i64) -> Result<(), Refusal> {
        if value < 0 { self.refused(field, format!("{value}, must not be negative")) } else { Ok(()) }
    }

    fn count(&self, field: &str, entries: usize) -> Result<(), Refusal> {
        if entries > LIST_MAX {
            return self.refused(field, format!("{entries} entries, at most {LIST_MAX} are allowed"));
        }
        Ok(())
    }

    fn term(&self, from: Option<TimestampUs>, to: Option<TimestampUs>) -> Result<(), Refusal> {
        match (from, to) {
            (Some(from), Some(to)) if from >= to => self.refused("valid_to_us", "not after valid_from_us"),
            _ => Ok(()),
        }
    }

    fn payer(&self, payer: Option<&Payer>) -> Result<(), Refusal> {
        let Some(payer) = payer else { return Ok(()) };
        self.optional("payer.tax_id", payer.tax_id.as_deref())?;
        self.optional("payer.name", payer.name.as_deref())
    }

    fn scope(&self, scope: &Scope) -> Result<(), Refusal> {
        match scope {
            Scope::Card(card) => token(&self.field("scope.card"), card),
            Scope::Vehicle(vehicle) => self.no_card_number("scope.vehicle", Some(vehicle.as_str())),
            Scope::Driver(driver) => self.no_card_number("scope.driver", Some(driver.as_str())),
            Scope::Contract | Scope::Group(_) => Ok(()),
        }
    }

    /// How far back a window may look is for the ledger to say: it knows what it remembers.
    fn limit(&self, limit: &Limit) -> Result<(), Refusal> {
        self.no_card_number("id", Some(limit.id.as_str()))?;
        self.scope(&limit.scope)?;
        self.not_below_zero("value", limit.value)?;
        self.not_below_zero("alert_left", limit.alert_left.unwrap_or(0))?;
        self.term(limit.valid_from_us, limit.valid_to_us)?;
        match limit.window {
            Window::Calendar { count: 0, .. } => self.refused("window.calendar.count", "0 is no window")?,
            Window::Rolling { secs: 0 } => self.refused("window.rolling.secs", "0 is no window")?,
            Window::Calendar { .. }
            | Window::Rolling { .. }
            | Window::PerTransaction
            | Window::Lifetime
            | Window::OneOff => {}
        }
        limit.schedule.as_ref().map_or(Ok(()), |schedule| self.schedule("schedule", schedule))
    }

    fn schedule(&self, field: &str, schedule: &Schedule) -> Result<(), Refusal> {
        if schedule.days.contains(&true) || schedule.holidays == HolidayRule::Also {
            return Ok(());
        }
        self.refused(&format!("{field}.days"), "no day at all")
    }

    fn restriction(&self, restriction: &Restriction) -> Result<(), Refusal> {
        self.scope(&restriction.scope)?;
        let entries = match &restriction.of {
            RestrictionList::Products(list) => list.len(),
            RestrictionList::Sites(list) => list.len(),
            RestrictionList::Regions(list) => list.len(),
            RestrictionList::Countries(list) => list.len(),
            RestrictionList::Entries(list) => list.len(),
            RestrictionList::Hours(list) => {
                for (place, schedule) in list.iter().enumerate().take(LIST_MAX) {
                    self.schedule(&format!("of.hours[{place}]"), schedule)?;
                }
                list.len()
            }
        };
        if entries == 0 {
            return self.refused("of", "names nothing");
        }
        self.count("of", entries)
    }

    fn policy(&self, scope: &Scope, policy: Option<&Policy>) -> Result<(), Refusal> {
        self.scope(scope)?;
        if matches!(scope, Scope::Vehicle(_) | Scope::Driver(_)) {
            return self.refused("scope", "a policy is that of a contract, a group or a card");
        }
        match policy.and_then(|policy| policy.odometer_growth) {
            Some((least, most)) if least > most => {
                self.refused("policy.odometer_growth", format!("from {least} to {most} is no range"))
            }
            _ => Ok(()),
        }
    }
}

/// The name of the order in JSON.
fn name(command: &Command) -> &'static str {
    match command {
        Command::OpenContract { .. } => "open_contract",
        Command::SetTerm { .. } => "set_term",
        Command::BlockContract { .. } => "block_contract",
        Command::UnblockContract { .. } => "unblock_contract",
        Command::SetHolidays { .. } => "set_holidays",
        Command::TopUp { .. } => "top_up",
        Command::MatchRegister(_) => "match_register",
        Command::CloseRegister { .. } => "close_register",
        Command::SetCreditLine { .. } => "set_credit_line",
        Command::Adjust { .. } => "adjust",
        Command::SetMonthlyFee(_) => "set_monthly_fee",
        Command::SetDiscount(_) => "set_discount",
        Command::RemoveDiscount { .. } => "remove_discount",
        Command::Bill { .. } => "bill",
        Command::IssueCard { .. } => "issue_card",
        Command::BlockCard { .. } => "block_card",
        Command::UnblockCard { .. } => "unblock_card",
        Command::CloseCard { .. } => "close_card",
        Command::ResetPin { .. } => "reset_pin",
        Command::AssignCard { .. } => "assign_card",
        Command::PutGroup(_) => "put_group",
        Command::PutVehicle(_) => "put_vehicle",
        Command::PutDriver(_) => "put_driver",
        Command::SetLimit(_) => "set_limit",
        Command::ChangeLimit { .. } => "change_limit",
        Command::RemoveLimit { .. } => "remove_limit",
        Command::SetDailyLimit { .. } => "set_daily_limit",
        Command::SetRestriction(_) => "set_restriction",
        Command::RemoveRestriction { .. } => "remove_restriction",
        Command::SetPolicy { .. } => "set_policy",
        Command::ReleaseHold { .. } => "release_hold",
        Command::SetRule { .. } => "set_rule",
    }
}
