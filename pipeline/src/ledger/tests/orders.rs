//! Orders, keys and repeats.

use expect_test::expect;

use super::{ONE_CARD, check, check_after};

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
fn a_key_is_remembered_for_three_days() {
    check_after(
        ONE_CARD,
        "09:00 topup 1 as=T | +2 23:00 topup 1 as=T | +1 10:00 balance 1234 | 10:01 topup 1 as=T",
        expect![[r#"
            09:00 topup 1 as=T
              topped up
              = available 10001.00 RUB
            +2 23:00 topup 1 as=T
              repeated
            +1 10:00 balance 1234
              Approve APPROVED (000): Contract C-1 has 10001.00 RUB available
              = available 10001.00 RUB
            10:01 topup 1 as=T
              topped up
              = available 10002.00 RUB
        "#]],
    );
}
