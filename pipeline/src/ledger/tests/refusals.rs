//! Fraud rules, and requests that cannot be what they say.

use expect_test::expect;

use super::{ONE_CARD, check, check_after};

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
