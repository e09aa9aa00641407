//! Where the engine is known to part from the rules, so that everything else can be held against the oracle.
//!
//! Each is a fault to mend in the engine, not a rule: set it to `false` with the change that mends it, and the oracle
//! goes by the rule again.

/// The rule: entry, place, hours, products. The engine names the first in the order of limits: card, driver, vehicle,
/// group, contract, then by setting.
pub(crate) const RESTRICTIONS_BY_SCOPE: bool = true;

/// The rule: a dry run changes nothing. The engine counts its wrong PIN as a try.
pub(crate) const DRY_RUN_TRIES_PINS: bool = true;

/// The rule: what counts follows the calendar as it stands. The engine keeps purchases counted or left out by the
/// holidays of the day on which they were booked: histories leave holidays alone.
pub(crate) const HOLIDAYS_STAND: bool = true;

/// The rule: a limit that only flags is gone over by what is granted. The engine counts a purchase whose only line under
/// the limit was cut to nothing.
pub(crate) const CUT_LINES_GO_OVER: bool = true;

/// The rule: a limit per transaction holds nothing, so a completion's own hold makes no room in it. The engine makes room.
pub(crate) const HOLDS_MAKE_ROOM_PER_TRANSACTION: bool = true;

/// The rule: a line with nothing in it is no purchase. The engine tells that a completion with such a line goes over a
/// limit on purchases.
pub(crate) const EMPTY_LINES_GO_OVER: bool = true;
