//! Files and numbers that stay readable.

use expect_test::expect;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The names of an enum's variants by the numbers under which they stand in snapshots.
fn numbered<T: Serialize + DeserializeOwned>() -> String {
    let variant = |number: u8| {
        let payload = [&[number][..], &[0; 64]].concat();
        postcard::take_from_bytes::<T>(&payload).ok().map(|(variant, _)| serde_json::to_value(&variant).unwrap())
    };
    let names = (0..u8::MAX).map_while(variant).map(|json| match json {
        serde_json::Value::String(name) => name,
        other => other.as_object().and_then(|fields| fields.keys().next()).cloned().unwrap_or_default(),
    });
    names.collect::<Vec<_>>().join(" ")
}

/// Snapshots hold these by number. A new variant goes to the end of its enum; whoever must put it elsewhere, or takes one
/// away, makes a new format (see `a_file_of_format_1_is_what_its_ledger_folds_to`).
#[test]
fn the_vocabulary_keeps_its_numbers() {
    let all = [
        numbered::<model::Code>(),
        numbered::<model::TransactionKind>(),
        numbered::<model::Verdict>(),
        numbered::<model::Measure>(),
        numbered::<model::LimitMode>(),
        numbered::<model::CalendarUnit>(),
        numbered::<model::WeekStart>(),
        numbered::<model::RuleMode>(),
        numbered::<model::CardKind>(),
        numbered::<model::Closure>(),
        numbered::<model::Actor>(),
        numbered::<model::TopUpState>(),
        numbered::<model::OriginTopic>(),
        numbered::<model::Window>(),
    ];
    expect![[r#"
        APPROVED APPROVED_FLAGGED FMT_INVALID FMT_CLOCK FMT_KEY_REUSED AMOUNT_MISMATCH CURRENCY_MISMATCH CARD_UNKNOWN CARD_BLOCKED CARD_LOST CARD_STOLEN CARD_CLOSED CARD_EXPIRED CARD_NOT_YET PIN_REQUIRED PIN_WRONG PIN_LOCKED PROMPT_MISSING PROMPT_INVALID ODOMETER_RANGE CONTRACT_UNKNOWN CONTRACT_BLOCKED CONTRACT_EXPIRED CONTRACT_NOT_YET PRODUCT SITE TIME ENTRY_METHOD TANK_CAPACITY FUNDS LIMIT_TX LIMIT_PERIOD LIMIT_COUNT FRAUD_VELOCITY FRAUD_TRAVEL ORIGINAL_UNKNOWN COMPLETION_ABOVE_HOLD COMPLETION_LATE COMPLETION_DIFFERS ORIGINAL_CLOSED ORIGINAL_BILLED POSTED_OFFLINE OFFLINE_LIMIT POSTED_FORCED CONTRACT_EXISTS CARD_EXISTS TOP_UP_EXISTS TIME_ZONE_UNKNOWN LIMIT_UNKNOWN RESTRICTION_UNKNOWN GROUP_UNKNOWN VEHICLE_UNKNOWN DRIVER_UNKNOWN NOT_PERMITTED TOO_MANY
        preauth sale incremental completion advice_offline forced reversal void refund balance dry_run
        approve partial decline reprompt
        volume money count
        decline flag shadow
        day week month quarter year
        monday saturday sunday
        off shadow flag decline
        plastic virtual
        lost stolen returned
        client issuer_risk issuer_credit system
        credited register_matched register_missing amount_differs
        transactions commands ledger readings sales
        per_transaction calendar rolling lifetime one_off"#]].assert_eq(&all.join("\n"));
}
