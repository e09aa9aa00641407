//! Scenarios in the words of the business.
//!
//! A script is a list of lines, each a local time, a verb and its arguments; a plain number is money, `60 L` are litres,
//! and `key=value` names the rest. Requests go to contract `C-1`; fuel costs 50.00 a litre unless `price=` says else.
//! Every scenario is also folded from its records' JSON: the state must come out the same.

mod limits;
mod orders;
mod postings;
mod refusals;
mod script;
mod workers;

use expect_test::Expect;

use script::Script;

fn check(text: &str, expected: Expect) {
    let mut script = Script::new(super::Config::default());
    let told = script.run(text);
    script.assert_fold_gives_the_same_state();
    expected.assert_eq(&told);
}

/// A contract with 10,000 roubles and one card without limits.
const ONE_CARD: &str = "08:00 open RUB Europe/Moscow
    08:00 topup 10000
    08:00 issue 1234
    ";
/// The same with 100 litres a day.
const ONE_LIMITED_CARD: &str = "08:00 open RUB Europe/Moscow
    08:00 topup 50000
    08:00 issue 1234 100 L
    ";

fn check_after(start: &str, text: &str, expected: Expect) {
    let mut script = Script::new(super::Config::default());
    script.run(start);
    let told = script.run(text);
    script.assert_fold_gives_the_same_state();
    expected.assert_eq(&told);
}
