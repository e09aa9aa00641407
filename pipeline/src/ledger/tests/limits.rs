//! Limits and balance: what is approved, cut or declined.

use expect_test::expect;

use super::{ONE_CARD, ONE_LIMITED_CARD, check, check_after};

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
