//! What holds for every code.

use model::Prompt;

use super::*;

/// Every code, from the list that serde gives with its error.
fn codes() -> Vec<Code> {
    let error = serde_json::from_str::<Code>("\"no such code\"").expect_err("no such code").to_string();
    let names = error.split('`').skip(1).step_by(2).filter(|name| *name != "no such code");
    names.map(|name| serde_json::from_str(&format!("\"{name}\"")).expect("a code")).collect()
}

#[test]
fn every_code_has_its_words_in_every_language_and_the_cashier_learns_nothing_of_money() {
    let codes = codes();
    assert!(codes.contains(&Code::Approved) && codes.contains(&Code::TooMany), "{codes:?}");
    let verdicts = [Verdict::Approve, Verdict::Partial, Verdict::Decline, Verdict::Reprompt];
    for (code, verdict) in codes.iter().flat_map(|code| verdicts.map(|verdict| (*code, verdict))) {
        let situation = Situation { verdict, granted: amounts(40_000, 0, 277_777), ..refused(code) };
        let Texts { cashier, manager } = texts(&situation);
        for text in [&manager.en, &manager.ru, &manager.kk] {
            assert!(text.ends_with('.') && text.chars().count() > 10, "{code:?} {verdict:?}: {text:?}");
        }
        for text in [&cashier.en, &cashier.ru, &cashier.kk] {
            let said = text.to_lowercase();
            assert!((1..=60).contains(&text.chars().count()), "{code:?} {verdict:?}: {text:?}");
            assert!(!text.contains("2777") && !text.contains("4167") && !text.contains("RUB"), "{text:?}");
            for word in
                ["limit", "лимит", "funds", "средств", "қаражат", "fraud", "мошен", "алаяқ", "stolen", "украд", "ұрлан"]
            {
                assert!(!said.contains(word), "{code:?} {verdict:?}: {text:?}");
            }
            assert!(verdict == Verdict::Partial || !text.contains(|c: char| c.is_ascii_digit()), "{text:?}");
        }
    }
}

#[test]
fn the_longest_lines_fit_on_a_till() {
    let all =
        vec![Prompt::Driver, Prompt::Vehicle, Prompt::Odometer, Prompt::EngineHours, Prompt::Trip, Prompt::Trailer];
    let mut situations = vec![
        Situation { verdict: Verdict::Partial, granted: amounts(1_234_567, 1_000, 0), ..refused(Code::LimitPeriod) },
        Situation { notes: vec![Note::PromptsMissing(all.clone())], ..refused(Code::PromptMissing) },
    ];
    situations.extend(
        all.into_iter()
            .map(|prompt| Situation { notes: vec![Note::PromptInvalid(prompt)], ..refused(Code::PromptInvalid) }),
    );
    for situation in &situations {
        let Languages { en, ru, kk } = texts(situation).cashier;
        for text in [en, ru, kk] {
            assert!(text.chars().count() <= 60, "{} characters: {text}", text.chars().count());
        }
    }
}

#[test]
fn action_codes_begin_with_0_exactly_where_something_is_given() {
    for code in codes() {
        for kind in [TransactionKind::Preauth, TransactionKind::AdviceOffline] {
            assert!(iso39(Verdict::Approve, code, kind).starts_with('0'));
            assert!(iso39(Verdict::Partial, code, kind).starts_with('0'));
            let refused = iso39(Verdict::Decline, code, kind);
            assert!(refused.len() == 3 && !refused.starts_with('0'), "{code:?} {refused}");
        }
    }
    assert_eq!(iso39(Verdict::Reprompt, Code::PromptMissing, TransactionKind::Preauth), "184");
    assert_eq!(iso39(Verdict::Approve, Code::Approved, TransactionKind::Reversal), "400");
    assert_eq!(iso39(Verdict::Decline, Code::Funds, TransactionKind::Sale), "116");
}
