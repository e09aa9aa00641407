//! What follows an authorization, or comes without one.

use expect_test::expect;

use super::script::Script;
use super::{ONE_CARD, ONE_LIMITED_CARD, check_after};
use crate::ledger::Config;

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
fn an_offline_sale_of_yesterday_counts_for_yesterday() {
    check_after(
        ONE_LIMITED_CARD,
        "+1 09:00 sale 1234 30 L | -1 22:00 offline 1234 90 L received=12h | +1 09:30 sale 1234 70 L",
        expect![[r#"
            +1 09:00 sale 1234 30 L
              Approve APPROVED (000) 0-3: Approved 30 L for 1500.00 RUB
              captured 1500.00 under 0-3
              = available 48500.00 RUB, ****1234 daily volume left 70000 (day 2026-01-15 Europe/Moscow)
            -1 22:00 offline 1234 90 L received=12h
              Approve POSTED_OFFLINE (000) 0-4: Posted 90 L for 4500.00 RUB sold offline
              captured 4500.00 under 0-4
              = available 44000.00 RUB, ****1234 daily volume left 70000 (day 2026-01-15 Europe/Moscow)
            +1 09:30 sale 1234 70 L
              Approve APPROVED (000) 0-5: Approved 70 L for 3500.00 RUB
              captured 3500.00 under 0-5
              = available 40500.00 RUB, ****1234 daily volume left 0 (day 2026-01-15 Europe/Moscow)
        "#]],
    );
}

#[test]
fn one_request_ends_a_bounded_number_of_holds() {
    let mut script = Script::new(Config::default());
    script.run("08:00 open RUB Europe/Moscow | 08:00 topup 10000 | 08:00 issue 1234 | 08:00 rule velocity off");
    for _ in 0..200 {
        script.run("09:00 preauth 1234 1 L");
    }
    let expired = |told: String| told.lines().filter(|line| line.ends_with("expired")).count();
    assert_eq!(expired(script.run("12:00 balance 1234")), 128);
    assert_eq!(expired(script.run("12:00 balance 1234")), 72);
    script.assert_fold_gives_the_same_state();
}

#[test]
fn a_sale_can_be_refunded_for_ten_days() {
    check_after(
        ONE_CARD,
        "09:00 sale 1234 10 L | 09:01 sale 1234 10 L
         +9 09:00 refund 1234 5 L auth=0-3
         +2 09:00 balance 1234
         09:01 refund 1234 5 L auth=0-3",
        expect![[r#"
            09:00 sale 1234 10 L
              Approve APPROVED (000) 0-3: Approved 10 L for 500.00 RUB
              captured 500.00 under 0-3
              = available 9500.00 RUB
            09:01 sale 1234 10 L
              Approve APPROVED (000) 0-4: Approved 10 L for 500.00 RUB
              captured 500.00 under 0-4
              = available 9000.00 RUB
            +9 09:00 refund 1234 5 L auth=0-3
              Approve APPROVED (000) 0-3: Gave back 5 L for 250.00 RUB
              refunded 250.00 under 0-3
              = available 9250.00 RUB
            +2 09:00 balance 1234
              Approve APPROVED (000): Contract C-1 has 9250.00 RUB available
              = available 9250.00 RUB
            09:01 refund 1234 5 L auth=0-3
              Decline ORIGINAL_UNKNOWN (914): Authorization 0-3 is not known for this card
              = available 9250.00 RUB
        "#]],
    );
}
