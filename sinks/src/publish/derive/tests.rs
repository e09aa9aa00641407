use expect_test::{Expect, expect};
use model::Outcome;

use super::*;

/// Derives from facts given as JSON; the rest of the outcome is always the same.
fn check(facts: &str, expected: &Expect) {
    check_of(
        facts,
        r#""contract": "C-17","balance": {"currency":"KZT","own":1,"credit":0,"held":0,"available":1},"#,
        expected,
    );
}

fn check_of(facts: &str, whose: &str, expected: &Expect) {
    let json = format!(
        r#"{{"request": 7, "idem": "k-1", "at_us": 1768408267000000, "received_at_us": 1768408268000000, {whose} "facts": {facts}}}"#
    );
    let outcome: Outcome = serde_json::from_str(&json).expect("an outcome");
    let derived = derive(PartitionId(3), 41, &outcome);
    let mut lines: Vec<String> = derived.cards.iter().map(|card| serde_json::to_string(card).expect("json")).collect();
    lines.extend(derived.sale.iter().map(|sale| serde_json::to_string(sale).expect("json")));
    expected.assert_eq(&lines.join("\n"));
}

const TEXT: &str = r#"{"cashier": {"en": "", "ru": "", "kk": ""}, "manager": {"en": "", "ru": "", "kk": ""}}"#;

fn decided(kind: &str, verdict: &str, code: &str, replayed: bool) -> String {
    format!(
        r#"{{"decided": {{"kind": "{kind}", "card": "card-1", "site": "S-1", "terminal": "T-1", "pump": 4, "location": null,
        "items": [{{"code": "DIESEL", "qty_ml": 60000, "price_e4": 2950000, "amount_minor": 1770000}}], "fingerprint": 1,
        "decision": {{"idem": "k-1", "decision": "{verdict}", "iso39": "000", "code": "{code}",
        "text": {TEXT}, "replayed": {replayed}}}}}}}"#
    )
}

const ITEMS: &str = r#"[{"code": "DIESEL", "qty_ml": 40000, "price_e4": 2950000, "amount_minor": 1180000}]"#;

fn captured(amount_minor: i64) -> String {
    format!(
        r#"{{"captured": {{"card": "card-1", "auth_code": "A1", "site": "S-1", "terminal": "T-1", "pump": 4, "items": {ITEMS},
        "amount_minor": {amount_minor}}}}}"#
    )
}

#[test]
fn a_completed_sale_is_a_receipt_at_its_site() {
    check(
        &format!("[{}, {}]", decided("completion", "approve", "APPROVED", false), captured(1_180_000)),
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":"sold","at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","contract":"C-17","items":[{"code":"DIESEL","qty_ml":40000,"price_e4":2950000,"amount_minor":1180000}],"currency":"KZT"}"#
        ]],
    );
}

#[test]
fn an_approval_without_posting_is_no_sale() {
    check(&format!("[{}]", decided("preauth", "approve", "APPROVED", false)), &expect![""]);
    check(&format!("[{}]", decided("preauth", "partial", "APPROVED", false)), &expect![""]);
}

#[test]
fn a_driver_who_got_no_fuel_leaves_a_declined_wish() {
    check(
        &format!("[{}]", decided("preauth", "decline", "LIMIT_PERIOD", false)),
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":{"declined":"LIMIT_PERIOD"},"at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","contract":"C-17","items":[{"code":"DIESEL","qty_ml":60000,"price_e4":2950000,"amount_minor":1770000}],"currency":"KZT"}"#
        ]],
    );
}

#[test]
fn a_declined_wish_of_an_unknown_card_has_no_currency() {
    check_of(
        &format!("[{}]", decided("sale", "decline", "CARD_UNKNOWN", false)),
        "",
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":{"declined":"CARD_UNKNOWN"},"at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","items":[{"code":"DIESEL","qty_ml":60000,"price_e4":2950000,"amount_minor":1770000}],"currency":"XXX"}"#
        ]],
    );
}

#[test]
fn a_repeated_answer_is_not_another_wish() {
    check(&format!("[{}]", decided("preauth", "decline", "FUNDS", true)), &expect![""]);
}

#[test]
fn a_declined_completion_or_inquiry_is_no_wish_for_fuel() {
    for kind in ["completion", "reversal", "refund", "balance", "dry_run", "incremental", "void", "forced"] {
        check(&format!("[{}]", decided(kind, "decline", "ORIGINAL_UNKNOWN", false)), &expect![""]);
    }
}

#[test]
fn a_refund_is_given_back_at_the_terminal_that_asked() {
    let refunded = format!(
        r#"{{"refunded": {{"card": "card-1", "auth_code": "A1", "site": "S-1", "items": {ITEMS}, "amount_minor": 1180000}}}}"#
    );
    check(
        &format!("[{}, {refunded}]", decided("refund", "approve", "APPROVED", false)),
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":"refunded","at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","contract":"C-17","items":[{"code":"DIESEL","qty_ml":40000,"price_e4":2950000,"amount_minor":1180000}],"currency":"KZT"}"#
        ]],
    );
    check(
        &format!("[{}]", captured(-1_180_000)),
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":"refunded","at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","contract":"C-17","items":[{"code":"DIESEL","qty_ml":40000,"price_e4":2950000,"amount_minor":1180000}],"currency":"KZT"}"#
        ]],
    );
}

#[test]
fn a_sale_that_was_undone_is_taken_off_at_the_terminal_that_asked() {
    let voided = format!(
        r#"{{"voided": {{"card": "card-1", "auth_code": "A1", "site": "S-1", "items": {ITEMS}, "amount_minor": 1180000}}}}"#
    );
    check(
        &format!("[{}, {voided}]", decided("void", "approve", "APPROVED", false)),
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":"refunded","at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","contract":"C-17","items":[{"code":"DIESEL","qty_ml":40000,"price_e4":2950000,"amount_minor":1180000}],"currency":"KZT"}"#
        ]],
    );
}

#[test]
fn a_terminal_that_asks_again_for_a_prompt_leaves_no_declined_wish() {
    check(&format!("[{}]", decided("preauth", "reprompt", "PROMPT_MISSING", false)), &expect![""]);
}

#[test]
fn alerts_that_follow_a_sale_do_not_hide_it() {
    let alert = r#"{"limit_low": {"limit": "L-1", "window": "day 2026-01-14 Asia/Almaty", "left": 5}}"#;
    let expired = r#"{"hold_expired": {"card": "card-2", "auth_code": "A0"}}"#;
    check(
        &format!("[{expired}, {}, {}, {alert}]", decided("sale", "approve", "APPROVED", false), captured(1_180_000)),
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"kind":"sold","at_us":1768408267000000,"site":"S-1","terminal":"T-1","pump":4,"card":"card-1","contract":"C-17","items":[{"code":"DIESEL","qty_ml":40000,"price_e4":2950000,"amount_minor":1180000}],"currency":"KZT"}"#
        ]],
    );
}

#[test]
fn an_issued_card_enters_the_card_table() {
    check(
        r#"[{"card_issued": {"card": "card-9", "pan_masked": "*1234", "vehicle": null}}, {"pin_reset": {"card": "card-9"}}]"#,
        &expect![[
            r#"{"v":1,"origin":{"topic":"ledger","partition":3,"offset":41},"card":"card-9","contract":"C-17"}"#
        ]],
    );
}

#[test]
fn a_request_that_changed_nothing_leads_to_nothing() {
    check("[]", &expect![""]);
    check(r#"["command_repeated"]"#, &expect![""]);
}
