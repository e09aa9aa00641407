//! Scenarios in the words of the business.
//!
//! A script is a list of lines, each a local time, a verb and its arguments; a plain number is money, `60 L` are litres,
//! and `key=value` names the rest. Requests go to contract `C-1`; fuel costs 50.00 a litre unless `price=` says else.
//! Every scenario is also folded from its records' JSON: the state must come out the same.

mod script;

use expect_test::{Expect, expect};

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

#[test]
fn a_preauthorization_holds_and_its_completion_posts_what_was_sold() {
    check_after(
        ONE_CARD,
        "09:00 preauth 1234 60 L as=A | 09:05 complete 1234 60 L of=A",
        expect![[r#"
        09:00 preauth 1234 60 L as=A
          Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
          = available 7000.00 RUB, held 3000.00 RUB
        09:05 complete 1234 60 L of=A
          Approve APPROVED (000) 0-3: Posted 60 L for 3000.00 RUB
          captured 3000.00 under 0-3
          = available 7000.00 RUB
    "#]],
    );
}

#[test]
fn a_sale_is_decided_and_posted_at_once() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 60 L",
        expect![[r#"
        09:00 sale 1234 60 L
          Approve APPROVED (000) 0-3: Approved 60 L for 3000.00 RUB
          captured 3000.00 under 0-3
          = available 7000.00 RUB
    "#]],
    );
}

#[test]
fn a_contract_runs_dry_and_works_again_after_a_top_up() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 150 L | 10:00 sale 1234 60 L | 11:00 topup 5000 | 12:00 sale 1234 60 L",
        expect![[r#"
            09:00 sale 1234 150 L
              Approve APPROVED (000) 0-3: Approved 150 L for 7500.00 RUB
              captured 7500.00 under 0-3
              = available 2500.00 RUB
            10:00 sale 1234 60 L
              Decline FUNDS (116) [balance now]: Contract C-1 has 2500.00 RUB available; 3000.00 RUB were asked for
              = available 2500.00 RUB
            11:00 topup 5000
              topped up
              = available 7500.00 RUB
            12:00 sale 1234 60 L
              Approve APPROVED (000) 0-6: Approved 60 L for 3000.00 RUB
              captured 3000.00 under 0-6
              = available 4500.00 RUB
        "#]],
    );
}

#[test]
fn a_credit_line_carries_the_balance_below_zero() {
    check_after(
        ONE_CARD,
        "09:00 credit 5000 | 09:30 sale 1234 250 L | 10:30 sale 1234 100 L | 11:30 credit 0 | 12:30 sale 1234 1 L",
        expect![[r#"
            09:00 credit 5000
              credit line set
              = available 15000.00 RUB
            09:30 sale 1234 250 L
              Approve APPROVED (000) 0-4: Approved 250 L for 12500.00 RUB
              captured 12500.00 under 0-4
              = available 2500.00 RUB
            10:30 sale 1234 100 L
              Decline FUNDS (116) [balance now]: Contract C-1 has 2500.00 RUB available; 5000.00 RUB were asked for
              = available 2500.00 RUB
            11:30 credit 0
              credit line set
              = available -2500.00 RUB
            12:30 sale 1234 1 L
              Decline FUNDS (116) [balance now]: Contract C-1 is 2500.00 RUB beyond what it has; 50.00 RUB were asked for
              = available -2500.00 RUB
        "#]],
    );
}

#[test]
fn less_is_approved_where_the_terminal_can_stop_the_pump() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 preauth 1234 80 L partial as=A
         09:30 preauth 1234 60 L
         09:31 preauth 1234 60 L partial
         09:50 preauth 1234 60 L partial",
        expect![[r#"
            09:00 preauth 1234 80 L partial as=A
              Approve APPROVED (000) 0-3 holds 80 L: Approved 80 L for 4000.00 RUB
              = available 46000.00 RUB, held 4000.00 RUB, ****1234 daily volume left 20000 (day 2026-01-14 Europe/Moscow)
            09:30 preauth 1234 60 L
              Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 has 20 L of its 100 L left today; 60 L were asked for
              = available 46000.00 RUB, held 4000.00 RUB
            09:31 preauth 1234 60 L partial
              Partial LIMIT_PERIOD (002) 0-5 holds 20 L [daily volume day 2026-01-14 Europe/Moscow]: Approved 20 L for 1000.00 RUB: Card ****1234 has 20 L of its 100 L left today; 60 L were asked for
              = available 45000.00 RUB, held 5000.00 RUB, ****1234 daily volume left 0 (day 2026-01-14 Europe/Moscow)
            09:50 preauth 1234 60 L partial
              Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 has 0 L of its 100 L left today; 60 L were asked for
              = available 45000.00 RUB, held 5000.00 RUB
        "#]],
    );
}

#[test]
fn the_balance_cuts_a_wish_as_limits_do() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 300 L partial | 09:30 sale 1234 1 L partial",
        expect![[r#"
        09:00 sale 1234 300 L partial
          Partial FUNDS (002) 0-3 [balance now]: Approved 200 L for 10000.00 RUB: Contract C-1 has 10000.00 RUB available; 15000.00 RUB were asked for
          captured 10000.00 under 0-3
          = available 0.00 RUB
        09:30 sale 1234 1 L partial
          Decline FUNDS (116) [balance now]: Contract C-1 has 0.00 RUB available; 50.00 RUB were asked for
          = available 0.00 RUB
    "#]],
    );
}

#[test]
fn a_fill_up_reserves_what_limits_and_balance_allow() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 fill 1234 as=A
         09:05 complete 1234 42.5 L of=A
         10:00 fill 1234 as=B
         10:05 complete 1234 57 L of=B
         11:00 fill 1234
         11:01 limit 1234 none
         11:02 fill 1234",
        expect![[r#"
            09:00 fill 1234 as=A
              Approve APPROVED (000) 0-3 holds 100 L [daily volume day 2026-01-14 Europe/Moscow]: Approved up to 100 L for 5000.00 RUB
              = available 45000.00 RUB, held 5000.00 RUB, ****1234 daily volume left 0 (day 2026-01-14 Europe/Moscow)
            09:05 complete 1234 42.5 L of=A
              Approve APPROVED (000) 0-3: Posted 42.5 L for 2125.00 RUB
              captured 2125.00 under 0-3
              = available 47875.00 RUB, ****1234 daily volume left 57500 (day 2026-01-14 Europe/Moscow)
            10:00 fill 1234 as=B
              Approve APPROVED (000) 0-5 holds 57.5 L [daily volume day 2026-01-14 Europe/Moscow]: Approved up to 57.5 L for 2875.00 RUB
              = available 45000.00 RUB, held 2875.00 RUB, ****1234 daily volume left 0 (day 2026-01-14 Europe/Moscow)
            10:05 complete 1234 57 L of=B
              Approve APPROVED (000) 0-5: Posted 57 L for 2850.00 RUB
              captured 2850.00 under 0-5
              = available 45025.00 RUB, ****1234 daily volume left 500 (day 2026-01-14 Europe/Moscow)
            11:00 fill 1234
              Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 has 0.5 L of its 100 L left today; a full tank was asked for
              = available 45025.00 RUB
            11:01 limit 1234 none
              daily limit set
              = available 45025.00 RUB
            11:02 fill 1234
              Approve APPROVED (000) 0-9 holds 200 L: Approved up to 200 L for 10000.00 RUB
              = available 35025.00 RUB, held 10000.00 RUB
        "#]],
    );
}

#[test]
fn a_money_limit_counts_money() {
    check_after(
        ONE_CARD,
        "09:00 limit 1234 2000 | 09:10 sale 1234 30 L | 09:20 sale 1234 30 L",
        expect![[r#"
        09:00 limit 1234 2000
          daily limit set
          = available 10000.00 RUB, ****1234 daily money left 200000 (day 2026-01-14 Europe/Moscow)
        09:10 sale 1234 30 L
          Approve APPROVED (000) 0-4: Approved 30 L for 1500.00 RUB
          captured 1500.00 under 0-4
          = available 8500.00 RUB, ****1234 daily money left 50000 (day 2026-01-14 Europe/Moscow)
        09:20 sale 1234 30 L
          Decline LIMIT_PERIOD (121) [daily money day 2026-01-14 Europe/Moscow]: Card ****1234 has 500.00 RUB of its 2000.00 RUB left today; 1500.00 RUB were asked for
          = available 8500.00 RUB
    "#]],
    );
}

#[test]
fn an_amount_without_quantity_buys_what_it_pays_for() {
    check_after(
        ONE_CARD,
        "09:00 preauth 1234 2000",
        expect![[r#"
        09:00 preauth 1234 2000
          Approve APPROVED (000) 0-3 holds 40 L: Approved 40 L for 2000.00 RUB
          = available 8000.00 RUB, held 2000.00 RUB
    "#]],
    );
}

#[test]
fn a_daily_limit_starts_again_at_local_midnight() {
    check_after(
        ONE_LIMITED_CARD,
        "23:30 sale 1234 90 L | 23:59 sale 1234 20 L | +1 00:01 sale 1234 20 L",
        expect![[r#"
            23:30 sale 1234 90 L
              Approve APPROVED (000) 0-3: Approved 90 L for 4500.00 RUB
              captured 4500.00 under 0-3
              = available 45500.00 RUB, ****1234 daily volume left 10000 (day 2026-01-14 Europe/Moscow)
            23:59 sale 1234 20 L
              Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 has 10 L of its 100 L left today; 20 L were asked for
              = available 45500.00 RUB
            +1 00:01 sale 1234 20 L
              Approve APPROVED (000) 0-5: Approved 20 L for 1000.00 RUB
              captured 1000.00 under 0-5
              = available 44500.00 RUB, ****1234 daily volume left 80000 (day 2026-01-15 Europe/Moscow)
        "#]],
    );
}

#[test]
fn the_day_when_clocks_change_is_one_day() {
    check(
        "zone Europe/Berlin
         date 2026-03-29
         00:05 open EUR Europe/Berlin
         00:05 topup 90000
         00:05 issue 1234 100 L
         00:30 sale 1234 90 L
         23:30 sale 1234 20 L
         +1 00:15 sale 1234 20 L",
        expect![[r#"
            00:05 open EUR Europe/Berlin
              contract opened
              = available 0.00 EUR
            00:05 topup 90000
              topped up
              = available 90000.00 EUR
            00:05 issue 1234 100 L
              card issued
              daily limit set
              = available 90000.00 EUR, ****1234 daily volume left 100000 (day 2026-03-29 Europe/Berlin)
            00:30 sale 1234 90 L
              Approve APPROVED (000) 0-3: Approved 90 L for 4500.00 EUR
              captured 4500.00 under 0-3
              = available 85500.00 EUR, ****1234 daily volume left 10000 (day 2026-03-29 Europe/Berlin)
            23:30 sale 1234 20 L
              Decline LIMIT_PERIOD (121) [daily volume day 2026-03-29 Europe/Berlin]: Card ****1234 has 10 L of its 100 L left today; 20 L were asked for
              = available 85500.00 EUR
            +1 00:15 sale 1234 20 L
              Approve APPROVED (000) 0-5: Approved 20 L for 1000.00 EUR
              captured 1000.00 under 0-5
              = available 84500.00 EUR, ****1234 daily volume left 80000 (day 2026-03-30 Europe/Berlin)
        "#]],
    );
}

#[test]
fn a_hold_over_midnight_counts_for_the_day_it_was_asked_on() {
    check_after(
        ONE_LIMITED_CARD,
        "23:50 preauth 1234 90 L as=A | +1 00:10 sale 1234 100 L | 00:11 complete 1234 90 L of=A | 00:12 balance 1234",
        expect![[r#"
            23:50 preauth 1234 90 L as=A
              Approve APPROVED (000) 0-3 holds 90 L: Approved 90 L for 4500.00 RUB
              = available 45500.00 RUB, held 4500.00 RUB, ****1234 daily volume left 10000 (day 2026-01-14 Europe/Moscow)
            +1 00:10 sale 1234 100 L
              Approve APPROVED (000) 0-4: Approved 100 L for 5000.00 RUB
              captured 5000.00 under 0-4
              = available 40500.00 RUB, held 4500.00 RUB, ****1234 daily volume left 0 (day 2026-01-15 Europe/Moscow)
            00:11 complete 1234 90 L of=A
              Approve APPROVED (000) 0-3: Posted 90 L for 4500.00 RUB
              captured 4500.00 under 0-3
              = available 40500.00 RUB, ****1234 daily volume left 0 (day 2026-01-15 Europe/Moscow)
            00:12 balance 1234
              Approve APPROVED (000): Contract C-1 has 40500.00 RUB available
              = available 40500.00 RUB
        "#]],
    );
}

#[test]
fn a_new_limit_keeps_what_was_used() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 sale 1234 60 L | 09:30 limit 1234 50 L | 10:00 sale 1234 1 L",
        expect![[r#"
        09:00 sale 1234 60 L
          Approve APPROVED (000) 0-3: Approved 60 L for 3000.00 RUB
          captured 3000.00 under 0-3
          = available 47000.00 RUB, ****1234 daily volume left 40000 (day 2026-01-14 Europe/Moscow)
        09:30 limit 1234 50 L
          daily limit set
          = available 47000.00 RUB, ****1234 daily volume left -10000 (day 2026-01-14 Europe/Moscow)
        10:00 sale 1234 1 L
          Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 is 10 L over its 50 L today; 1 L were asked for
          = available 47000.00 RUB
    "#]],
    );
}

#[test]
fn a_blocked_card_buys_nothing_until_it_is_unblocked() {
    check_after(
        ONE_CARD,
        "09:00 preauth 1234 10 L as=A
         09:01 block 1234
         09:02 sale 1234 10 L
         09:03 complete 1234 10 L of=A
         09:04 balance 1234
         09:05 unblock 1234
         09:30 sale 1234 10 L",
        expect![[r#"
            09:00 preauth 1234 10 L as=A
              Approve APPROVED (000) 0-3 holds 10 L: Approved 10 L for 500.00 RUB
              = available 9500.00 RUB, held 500.00 RUB
            09:01 block 1234
              card blocked
              = available 9500.00 RUB, held 500.00 RUB
            09:02 sale 1234 10 L
              Decline CARD_BLOCKED (104): Card ****1234 is blocked
              = available 9500.00 RUB, held 500.00 RUB
            09:03 complete 1234 10 L of=A
              Approve APPROVED (000) 0-3: Posted 10 L for 500.00 RUB
              captured 500.00 under 0-3
              = available 9500.00 RUB
            09:04 balance 1234
              Decline CARD_BLOCKED (104): Card ****1234 is blocked
              = available 9500.00 RUB
            09:05 unblock 1234
              card unblocked
              = available 9500.00 RUB
            09:30 sale 1234 10 L
              Approve APPROVED (000) 0-9: Approved 10 L for 500.00 RUB
              captured 500.00 under 0-9
              = available 9000.00 RUB
        "#]],
    );
}

#[test]
fn a_completion_below_its_hold_gives_the_rest_back() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 preauth 1234 60 L as=A | 09:05 complete 1234 20.5 L of=A",
        expect![[r#"
        09:00 preauth 1234 60 L as=A
          Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
          = available 47000.00 RUB, held 3000.00 RUB, ****1234 daily volume left 40000 (day 2026-01-14 Europe/Moscow)
        09:05 complete 1234 20.5 L of=A
          Approve APPROVED (000) 0-3: Posted 20.5 L for 1025.00 RUB
          captured 1025.00 under 0-3
          = available 48975.00 RUB, ****1234 daily volume left 79500 (day 2026-01-14 Europe/Moscow)
    "#]],
    );
}

#[test]
fn a_completion_above_its_hold_is_posted_and_flagged() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 preauth 1234 60 L as=A | 09:05 complete 1234 130 L of=A",
        expect![[r#"
        09:00 preauth 1234 60 L as=A
          Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
          = available 47000.00 RUB, held 3000.00 RUB, ****1234 daily volume left 40000 (day 2026-01-14 Europe/Moscow)
        09:05 complete 1234 130 L of=A
          Approve COMPLETION_ABOVE_HOLD (000) 0-3: Posted 130 L for 6500.00 RUB, above the hold of 60 L for 3000.00 RUB
          captured 6500.00 under 0-3
          = available 43500.00 RUB, ****1234 daily volume left -30000 (day 2026-01-14 Europe/Moscow)
    "#]],
    );
}

#[test]
fn a_completion_after_expiry_is_posted_and_flagged() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 preauth 1234 60 L as=A
         11:00 balance 1234
         14:00 complete 1234 60 L of=A
         14:01 complete 1234 60 L of=A as=again",
        expect![[r#"
            09:00 preauth 1234 60 L as=A
              Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
              = available 47000.00 RUB, held 3000.00 RUB, ****1234 daily volume left 40000 (day 2026-01-14 Europe/Moscow)
            11:00 balance 1234
              hold 0-3 expired
              Approve APPROVED (000): Contract C-1 has 50000.00 RUB available
              = available 50000.00 RUB, ****1234 daily volume left 100000 (day 2026-01-14 Europe/Moscow)
            14:00 complete 1234 60 L of=A
              Approve COMPLETION_LATE (000) 0-3: Posted 60 L for 3000.00 RUB after the hold had expired
              captured 3000.00 under 0-3
              = available 47000.00 RUB, ****1234 daily volume left 40000 (day 2026-01-14 Europe/Moscow)
            14:01 complete 1234 60 L of=A as=again
              Decline ORIGINAL_CLOSED (914): Authorization 0-3 was completed before
              = available 47000.00 RUB
        "#]],
    );
}

#[test]
fn a_station_amount_that_does_not_fit_is_posted_as_it_is_and_flagged() {
    check_after(
        ONE_CARD,
        "09:00 preauth 1234 60 L as=A | 09:05 complete 1234 40 L of=A amount=2100",
        expect![[r#"
        09:00 preauth 1234 60 L as=A
          Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
          = available 7000.00 RUB, held 3000.00 RUB
        09:05 complete 1234 40 L of=A amount=2100
          Approve AMOUNT_MISMATCH (000) 0-3: Posted 40 L for 2100.00 RUB; the amount is not quantity times price
          captured 2100.00 under 0-3
          = available 7900.00 RUB
    "#]],
    );
}

#[test]
fn a_reversal_releases_the_hold_once() {
    check_after(
        ONE_CARD,
        "09:00 preauth 1234 60 L as=A | 09:01 reverse 1234 of=A | 09:02 reverse 1234 of=A as=again | 09:03 complete 1234 60 L of=A",
        expect![[r#"
            09:00 preauth 1234 60 L as=A
              Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
              = available 7000.00 RUB, held 3000.00 RUB
            09:01 reverse 1234 of=A
              Approve APPROVED (400) 0-3: Released the hold of 60 L for 3000.00 RUB
              reversed 0-3
              = available 10000.00 RUB
            09:02 reverse 1234 of=A as=again
              Decline ORIGINAL_CLOSED (914): Authorization 0-3 was reversed
              = available 10000.00 RUB
            09:03 complete 1234 60 L of=A
              Decline ORIGINAL_CLOSED (914): Authorization 0-3 was reversed
              = available 10000.00 RUB
        "#]],
    );
}

#[test]
fn a_completion_of_nothing_known_is_declined() {
    check_after(
        ONE_CARD,
        "08:30 issue 5678
         09:00 preauth 1234 60 L
         09:01 complete 1234 60 L of=nothing
         09:02 complete 5678 60 L auth=0-4
         09:03 complete 1234 60 L
         09:04 complete 1234 60 L auth=0-4",
        expect![[r#"
            08:30 issue 5678
              card issued
              = available 10000.00 RUB
            09:00 preauth 1234 60 L
              Approve APPROVED (000) 0-4 holds 60 L: Approved 60 L for 3000.00 RUB
              = available 7000.00 RUB, held 3000.00 RUB
            09:01 complete 1234 60 L of=nothing
              Decline ORIGINAL_UNKNOWN (914): The request nothing is not known for this card
              = available 7000.00 RUB, held 3000.00 RUB
            09:02 complete 5678 60 L auth=0-4
              Decline ORIGINAL_UNKNOWN (914): Authorization 0-4 is not known for this card
              = available 7000.00 RUB, held 3000.00 RUB
            09:03 complete 1234 60 L
              Decline ORIGINAL_UNKNOWN (914): No original transaction is named
              = available 7000.00 RUB, held 3000.00 RUB
            09:04 complete 1234 60 L auth=0-4
              Approve APPROVED (000) 0-4: Posted 60 L for 3000.00 RUB
              captured 3000.00 under 0-4
              = available 7000.00 RUB
        "#]],
    );
}

#[test]
fn a_refund_gives_back_money_and_usage_and_no_more_than_was_sold() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 sale 1234 60 L as=A
         09:10 refund 1234 20 L of=A
         09:20 refund 1234 50 L of=A as=too-much
         09:30 refund 1234 40 L of=A as=rest
         09:40 preauth 1234 5 L as=B
         09:41 refund 1234 5 L of=B as=unsold",
        expect![[r#"
            09:00 sale 1234 60 L as=A
              Approve APPROVED (000) 0-3: Approved 60 L for 3000.00 RUB
              captured 3000.00 under 0-3
              = available 47000.00 RUB, ****1234 daily volume left 40000 (day 2026-01-14 Europe/Moscow)
            09:10 refund 1234 20 L of=A
              Approve APPROVED (000) 0-3: Gave back 20 L for 1000.00 RUB
              refunded 1000.00 under 0-3
              = available 48000.00 RUB, ****1234 daily volume left 60000 (day 2026-01-14 Europe/Moscow)
            09:20 refund 1234 50 L of=A as=too-much
              Decline AMOUNT_MISMATCH (110): 50 L for 2500.00 RUB cannot come back: 60 L for 3000.00 RUB were sold
              = available 48000.00 RUB
            09:30 refund 1234 40 L of=A as=rest
              Approve APPROVED (000) 0-3: Gave back 40 L for 2000.00 RUB
              refunded 2000.00 under 0-3
              = available 50000.00 RUB, ****1234 daily volume left 100000 (day 2026-01-14 Europe/Moscow)
            09:40 preauth 1234 5 L as=B
              Approve APPROVED (000) 0-7 holds 5 L: Approved 5 L for 250.00 RUB
              = available 49750.00 RUB, held 250.00 RUB, ****1234 daily volume left 95000 (day 2026-01-14 Europe/Moscow)
            09:41 refund 1234 5 L of=B as=unsold
              Decline ORIGINAL_CLOSED (914): Nothing was sold under authorization 0-7
              = available 49750.00 RUB, held 250.00 RUB
        "#]],
    );
}

#[test]
fn a_repeat_gets_the_recorded_answer_and_changes_nothing() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 60 L as=A
         09:00 sale 1234 60 L as=A
         09:01 topup 100 as=T
         09:02 topup 100 as=T
         12:00 balance 1234",
        expect![[r#"
            09:00 sale 1234 60 L as=A
              Approve APPROVED (000) 0-3: Approved 60 L for 3000.00 RUB
              captured 3000.00 under 0-3
              = available 7000.00 RUB
            09:00 sale 1234 60 L as=A
              Approve APPROVED (000) 0-3 replayed: Approved 60 L for 3000.00 RUB
            09:01 topup 100 as=T
              topped up
              = available 7100.00 RUB
            09:02 topup 100 as=T
              repeated
            12:00 balance 1234
              Approve APPROVED (000): Contract C-1 has 7100.00 RUB available
              = available 7100.00 RUB
        "#]],
    );
}

#[test]
fn a_key_that_comes_with_another_body_is_refused() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 60 L as=A
         09:00 sale 1234 61 L as=A
         09:00 sale 1234 60 L as=A
         09:01 topup 100 as=T
         09:02 topup 200 as=T
         09:03 topup 100 as=A",
        expect![[r#"
            09:00 sale 1234 60 L as=A
              Approve APPROVED (000) 0-3: Approved 60 L for 3000.00 RUB
              captured 3000.00 under 0-3
              = available 7000.00 RUB
            09:00 sale 1234 61 L as=A
              Decline FMT_KEY_REUSED (913): Key A was used before for another request
            09:00 sale 1234 60 L as=A
              Approve APPROVED (000) 0-3 replayed: Approved 60 L for 3000.00 RUB
            09:01 topup 100 as=T
              topped up
              = available 7100.00 RUB
            09:02 topup 200 as=T
              refused FmtKeyReused: key T was used before for another request
            09:03 topup 100 as=A
              refused FmtKeyReused: key A was used before for another request
        "#]],
    );
}

#[test]
fn an_origin_that_was_seen_leaves_a_record_without_facts() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 10 L origin=7 | 09:01 sale 1234 10 L origin=7 | 09:02 sale 1234 10 L origin=6 | 09:20 sale 1234 10 L origin=8",
        expect![[r#"
            09:00 sale 1234 10 L origin=7
              Approve APPROVED (000) 0-3: Approved 10 L for 500.00 RUB
              captured 500.00 under 0-3
              = available 9500.00 RUB
            09:01 sale 1234 10 L origin=7
            09:02 sale 1234 10 L origin=6
            09:20 sale 1234 10 L origin=8
              Approve APPROVED (000) 0-6: Approved 10 L for 500.00 RUB
              captured 500.00 under 0-6
              = available 9000.00 RUB
        "#]],
    );
}

#[test]
fn purchases_in_quick_succession_are_flagged_or_declined() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 1 L
         09:04 sale 1234 1 L
         09:08 sale 1234 1 L
         09:12 sale 1234 1 L
         09:13 rule velocity decline
         09:14 sale 1234 1 L
         09:15 rule velocity off
         09:16 sale 1234 1 L
         09:17 rule velocity decline
         09:40 sale 1234 1 L",
        expect![[r#"
            09:00 sale 1234 1 L
              Approve APPROVED (000) 0-3: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-3
              = available 9950.00 RUB
            09:04 sale 1234 1 L
              Approve APPROVED (000) 0-4: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-4
              = available 9900.00 RUB
            09:08 sale 1234 1 L
              Approve APPROVED (000) 0-5: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-5
              = available 9850.00 RUB
            09:12 sale 1234 1 L
              Approve APPROVED_FLAGGED (000) 0-6: Approved 1 L for 50.00 RUB; 4 purchases in 15 min, from 4 on it is unusual: this needs a look
              captured 50.00 under 0-6
              = available 9800.00 RUB
            09:13 rule velocity decline
              rule set
              = available 9800.00 RUB
            09:14 sale 1234 1 L
              Decline FRAUD_VELOCITY (123): Card ****1234: 5 purchases in 15 min, from 4 on it is unusual; this needs a look
              = available 9800.00 RUB
            09:15 rule velocity off
              rule set
              = available 9800.00 RUB
            09:16 sale 1234 1 L
              Approve APPROVED (000) 0-10: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-10
              = available 9750.00 RUB
            09:17 rule velocity decline
              rule set
              = available 9750.00 RUB
            09:40 sale 1234 1 L
              Approve APPROVED (000) 0-12: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-12
              = available 9700.00 RUB
        "#]],
    );
}

#[test]
fn two_places_too_far_apart_are_flagged_or_declined() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 1 L at=Moscow
         09:30 sale 1234 1 L at=Tver
         11:30 sale 1234 1 L at=Tver
         13:00 sale 1234 1 L at=Moscow
         13:30 rule travel decline
         13:31 sale 1234 1 L at=Tver
         13:32 sale 1234 1 L
         13:33 offline 1234 1 L at=Tver
         13:34 rule travel off
         13:35 sale 1234 1 L at=Tver",
        expect![[r#"
            09:00 sale 1234 1 L at=Moscow
              Approve APPROVED (000) 0-3: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-3
              = available 9950.00 RUB
            09:30 sale 1234 1 L at=Tver
              Approve APPROVED_FLAGGED (000) 0-4: Approved 1 L for 50.00 RUB; 194 km from the last purchase in 30 min: 388 km/h, at most 130 km/h is believed: this needs a look
              captured 50.00 under 0-4
              = available 9900.00 RUB
            11:30 sale 1234 1 L at=Tver
              Approve APPROVED (000) 0-5: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-5
              = available 9850.00 RUB
            13:00 sale 1234 1 L at=Moscow
              Approve APPROVED (000) 0-6: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-6
              = available 9800.00 RUB
            13:30 rule travel decline
              rule set
              = available 9800.00 RUB
            13:31 sale 1234 1 L at=Tver
              Decline FRAUD_TRAVEL (102): Card ****1234: 194 km from the last purchase in 31 min: 375 km/h, at most 130 km/h is believed; this needs a look
              = available 9800.00 RUB
            13:32 sale 1234 1 L
              Approve APPROVED (000) 0-9: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-9
              = available 9750.00 RUB
            13:33 offline 1234 1 L at=Tver
              Approve POSTED_OFFLINE (000) 0-10: Posted 1 L for 50.00 RUB sold offline
              captured 50.00 under 0-10
              = available 9700.00 RUB
            13:34 rule travel off
              rule set
              = available 9700.00 RUB
            13:35 sale 1234 1 L at=Tver
              Approve APPROVED (000) 0-12: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-12
              = available 9650.00 RUB
        "#]],
    );
}

#[test]
fn what_is_not_known_is_declined() {
    check(
        "09:00 sale 1234 1 L
         09:01 open RUB Europe/Moscow
         09:02 sale 1234 1 L
         09:03 sale 1234 1 L nowhere
         09:04 offline 1234 1 L",
        expect![[r#"
            09:00 sale 1234 1 L
              Decline CONTRACT_UNKNOWN (119): Contract C-1 is not known
            09:01 open RUB Europe/Moscow
              contract opened
              = available 0.00 RUB
            09:02 sale 1234 1 L
              Decline CARD_UNKNOWN (118): Card 1234 is not in contract C-1
              = available 0.00 RUB
            09:03 sale 1234 1 L nowhere
              Decline CARD_UNKNOWN (118): Card 1234 is not known
            09:04 offline 1234 1 L
              Decline CARD_UNKNOWN (118): Card 1234 is not in contract C-1
              = available 0.00 RUB
        "#]],
    );
}

#[test]
fn orders_that_make_no_sense_are_refused() {
    check(
        "09:00 topup 100
         09:00 open RUB Mars/Olympus
         09:00 open RUB Europe/Moscow
         09:00 open RUB Europe/Moscow as=again
         09:00 topup 0
         09:00 topup 100 currency=EUR
         09:00 topup 10000000000000
         09:00 topup 1 as=T
         09:00 credit -1
         09:00 issue 1234
         09:00 issue 1234 as=again2
         09:00 block 9999
         09:00 unblock 9999
         09:00 limit 9999 5 L
         09:00 issue 5678 mask=4000123412345678",
        expect![[r#"
            09:00 topup 100
              refused ContractUnknown: contract C-1 is not known
            09:00 open RUB Mars/Olympus
              refused TimeZoneUnknown: "Mars/Olympus" is not in the IANA list of time zones
            09:00 open RUB Europe/Moscow
              contract opened
              = available 0.00 RUB
            09:00 open RUB Europe/Moscow as=again
              refused ContractExists: contract C-1 is open already
              = available 0.00 RUB
            09:00 topup 0
              refused FmtInvalid: a top-up must be more than zero
              = available 0.00 RUB
            09:00 topup 100 currency=EUR
              refused CurrencyMismatch: the contract is in RUB, the order in EUR
              = available 0.00 RUB
            09:00 topup 10000000000000
              topped up
              = available 10000000000000.00 RUB
            09:00 topup 1 as=T
              refused FmtInvalid: amount is out of range
              = available 10000000000000.00 RUB
            09:00 credit -1
              refused FmtInvalid: a credit line cannot be below zero
              = available 10000000000000.00 RUB
            09:00 issue 1234
              card issued
              = available 10000000000000.00 RUB
            09:00 issue 1234 as=again2
              refused CardExists: card 1234 is issued already
              = available 10000000000000.00 RUB
            09:00 block 9999
              refused CardUnknown: card 9999 is not in the contract
              = available 10000000000000.00 RUB
            09:00 unblock 9999
              refused CardUnknown: card 9999 is not in the contract
              = available 10000000000000.00 RUB
            09:00 limit 9999 5 L
              refused CardUnknown: card 9999 is not in the contract
              = available 10000000000000.00 RUB
            09:00 issue 5678 mask=4000123412345678
              refused FmtInvalid: pan_masked shows more than four digits
              = available 10000000000000.00 RUB
        "#]],
    );
}

#[test]
fn another_currency_is_declined() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 1 L currency=EUR | 09:01 offline 1234 1 L currency=EUR",
        expect![[r#"
        09:00 sale 1234 1 L currency=EUR
          Decline CURRENCY_MISMATCH (904): Contract C-1 is in RUB, the request in EUR
          = available 10000.00 RUB
        09:01 offline 1234 1 L currency=EUR
          Decline CURRENCY_MISMATCH (904): Contract C-1 is in RUB, the request in EUR
          = available 10000.00 RUB
    "#]],
    );
}

#[test]
fn a_clock_too_far_from_ours_is_declined_unless_the_fuel_is_gone() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 1 L received=+27h
         09:00 sale 1234 1 L received=-27h
         09:00 sale 1234 1 L received=+25h
         09:00 offline 1234 1 L received=+48h",
        expect![[r#"
            09:00 sale 1234 1 L received=+27h
              Decline FMT_CLOCK (904): The clock of terminal T-1 is 27 h behind ours
              = available 10000.00 RUB
            09:00 sale 1234 1 L received=-27h
              Decline FMT_CLOCK (904): The clock of terminal T-1 is 27 h ahead of ours
              = available 10000.00 RUB
            09:00 sale 1234 1 L received=+25h
              Approve APPROVED (000) 0-5: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-5
              = available 9950.00 RUB
            09:00 offline 1234 1 L received=+48h
              Approve POSTED_OFFLINE (000) 0-6: Posted 1 L for 50.00 RUB sold offline
              captured 50.00 under 0-6
              = available 9900.00 RUB
        "#]],
    );
}

#[test]
fn a_clock_that_runs_ahead_does_not_end_the_holds_of_others() {
    check_after(
        ONE_CARD,
        "08:30 issue 5678 | 09:00 preauth 1234 10 L | +2 09:00 sale 5678 1 L received=-48h | 09:00 sale 5678 1 L",
        expect![[r#"
            08:30 issue 5678
              card issued
              = available 10000.00 RUB
            09:00 preauth 1234 10 L
              Approve APPROVED (000) 0-4 holds 10 L: Approved 10 L for 500.00 RUB
              = available 9500.00 RUB, held 500.00 RUB
            +2 09:00 sale 5678 1 L received=-48h
              Decline FMT_CLOCK (904): The clock of terminal T-1 is 48 h ahead of ours
              = available 9500.00 RUB, held 500.00 RUB
            09:00 sale 5678 1 L
              hold 0-4 expired
              Approve APPROVED (000) 0-6: Approved 1 L for 50.00 RUB
              captured 50.00 under 0-6
              = available 9950.00 RUB
        "#]],
    );
}

#[test]
fn an_offline_sale_is_posted_and_may_overdraw() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 offline 1234 90 L | 10:00 offline 1234 2000 L | 11:00 sale 1234 1 L | 11:01 sale 1234 1 L offline",
        expect![[r#"
            09:00 offline 1234 90 L
              Approve POSTED_OFFLINE (000) 0-3: Posted 90 L for 4500.00 RUB sold offline
              captured 4500.00 under 0-3
              = available 45500.00 RUB, ****1234 daily volume left 10000 (day 2026-01-14 Europe/Moscow)
            10:00 offline 1234 2000 L
              Approve POSTED_OFFLINE (000) 0-4: Posted 2000 L for 100000.00 RUB sold offline; 1990 L over the card's limit of the day; 54500.00 RUB beyond the contract's balance
              captured 100000.00 under 0-4
              = available -54500.00 RUB, ****1234 daily volume left -1990000 (day 2026-01-14 Europe/Moscow)
            11:00 sale 1234 1 L
              Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 is 1990 L over its 100 L today; 1 L were asked for
              = available -54500.00 RUB
            11:01 sale 1234 1 L offline
              Approve POSTED_OFFLINE (000) 0-6: Posted 1 L for 50.00 RUB sold offline; 1991 L over the card's limit of the day; 54550.00 RUB beyond the contract's balance
              captured 50.00 under 0-6
              = available -54550.00 RUB, ****1234 daily volume left -1991000 (day 2026-01-14 Europe/Moscow)
        "#]],
    );
}

#[test]
fn an_offline_sale_uses_its_open_authorization() {
    check_after(
        ONE_CARD,
        "09:00 preauth 1234 60 L as=A | 09:05 offline 1234 50 L of=A | 09:06 offline 1234 50 L of=A as=again",
        expect![[r#"
            09:00 preauth 1234 60 L as=A
              Approve APPROVED (000) 0-3 holds 60 L: Approved 60 L for 3000.00 RUB
              = available 7000.00 RUB, held 3000.00 RUB
            09:05 offline 1234 50 L of=A
              Approve POSTED_OFFLINE (000) 0-3: Posted 50 L for 2500.00 RUB sold offline
              captured 2500.00 under 0-3
              = available 7500.00 RUB
            09:06 offline 1234 50 L of=A as=again
              Decline ORIGINAL_CLOSED (914): Authorization 0-3 was completed before
              = available 7500.00 RUB
        "#]],
    );
}

#[test]
fn a_dry_run_answers_and_leaves_nothing() {
    check_after(
        ONE_LIMITED_CARD,
        "09:00 dryrun 1234 60 L | 09:01 dryrun 1234 160 L | 09:02 dryrun 1234 160 L partial | 09:03 balance 1234",
        expect![[r#"
            09:00 dryrun 1234 60 L
              Approve APPROVED (000): Approved 60 L for 3000.00 RUB
              = available 50000.00 RUB
            09:01 dryrun 1234 160 L
              Decline LIMIT_PERIOD (121) [daily volume day 2026-01-14 Europe/Moscow]: Card ****1234 has 100 L of its 100 L left today; 160 L were asked for
              = available 50000.00 RUB
            09:02 dryrun 1234 160 L partial
              Partial LIMIT_PERIOD (002) [daily volume day 2026-01-14 Europe/Moscow]: Approved 100 L for 5000.00 RUB: Card ****1234 has 100 L of its 100 L left today; 160 L were asked for
              = available 50000.00 RUB
            09:03 balance 1234
              Approve APPROVED (000): Contract C-1 has 50000.00 RUB available
              = available 50000.00 RUB
        "#]],
    );
}

#[test]
fn a_request_that_makes_no_sense_is_declined() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 | 09:01 sale 1234 0 L | 09:02 sale 1234 1 L amount=-5 | 09:03 sale 1234 999999999999 L price=99999
         09:04 preauth 1234 1 L price=0 | 09:05 complete 1234 100 of=A | 09:06 offline 1234 999999999 L price=9000",
        expect![[r#"
            09:00 sale 1234
              Decline FMT_INVALID (904): The request has no item
              = available 10000.00 RUB
            09:01 sale 1234 0 L
              Decline FMT_INVALID (904): The request has an item without quantity
              = available 10000.00 RUB
            09:02 sale 1234 1 L amount=-5
              Decline FMT_INVALID (904): The request has an amount below zero
              = available 10000.00 RUB
            09:03 sale 1234 999999999999 L price=99999
              Decline FMT_INVALID (904): The request has an amount out of range
              = available 10000.00 RUB
            09:04 preauth 1234 1 L price=0
              Decline FMT_INVALID (904): The request has an item without price
              = available 10000.00 RUB
            09:05 complete 1234 100 of=A
              Decline FMT_INVALID (904): The request has an item without quantity
              = available 10000.00 RUB
            09:06 offline 1234 999999999 L price=9000
              Approve POSTED_OFFLINE (000) 0-9: Posted 999999999 L for 8999999991000.00 RUB sold offline; 8999999981000.00 RUB beyond the contract's balance
              captured 8999999991000.00 under 0-9
              = available -8999999981000.00 RUB
        "#]],
    );
}
