//! A quick look at ledger records: only what a load run needs, so that measuring costs little beside what is measured.

use std::borrow::Cow;
use std::fmt;

use model::{AuthCode, Code, Verdict};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, Visitor};

#[derive(Deserialize)]
pub(crate) struct Record<'a> {
    pub(crate) epoch: i64,
    #[serde(borrow)]
    pub(crate) body: Body<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body<'a> {
    Takeover(IgnoredAny),
    #[serde(borrow)]
    Outcome(Outcome<'a>),
}

#[derive(Deserialize)]
pub(crate) struct Outcome<'a> {
    #[serde(borrow)]
    pub(crate) idem: Cow<'a, str>,
    pub(crate) facts: Vec<Fact>,
}

/// One fact: a decision, a refusal or repeat of an order, or something else.
pub(crate) enum Fact {
    Decided(Decided),
    Refused(Code),
    Repeated,
    Other,
}

#[derive(Deserialize)]
struct DecidedBody {
    decision: Decided,
}

#[derive(Deserialize)]
struct RefusedBody {
    code: Code,
}

#[derive(Deserialize)]
pub(crate) struct Decided {
    pub(crate) decision: Verdict,
    pub(crate) code: Code,
    #[serde(default)]
    pub(crate) auth_code: Option<AuthCode>,
    /// Present while something stays reserved.
    #[serde(default)]
    pub(crate) hold: Option<IgnoredAny>,
    #[serde(default)]
    pub(crate) allowed: Vec<Allowed>,
    #[serde(default)]
    pub(crate) replayed: bool,
}

#[derive(Deserialize)]
pub(crate) struct Allowed {
    pub(crate) qty_ml: u64,
}

impl<'de> Deserialize<'de> for Fact {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyFact;
        impl<'de> Visitor<'de> for AnyFact {
            type Value = Fact;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fact of the ledger")
            }
            fn visit_str<E>(self, name: &str) -> Result<Fact, E> {
                Ok(if name == "command_repeated" { Fact::Repeated } else { Fact::Other })
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fact, A::Error> {
                let mut fact = Fact::Other;
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    match &*name {
                        "decided" => fact = Fact::Decided(map.next_value::<DecidedBody>()?.decision),
                        "command_refused" => fact = Fact::Refused(map.next_value::<RefusedBody>()?.code),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(fact)
            }
        }
        deserializer.deserialize_any(AnyFact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(json: &str) -> Vec<Fact> {
        let record = format!(r#"{{"v":1,"epoch":3,"body":{{"outcome":{{"request":0,"idem":"a-1","facts":{json}}}}}}}"#);
        let record: Record<'_> = serde_json::from_str(&record).expect("a record");
        match record.body {
            Body::Outcome(outcome) if record.epoch == 3 && outcome.idem == "a-1" => outcome.facts,
            _ => panic!("an outcome was expected"),
        }
    }

    #[test]
    fn a_decision_is_found_among_other_facts() {
        let found = facts(
            r#"[{"hold_expired":{"card":"K","auth_code":"9"}},
                {"decided":{"kind":"preauth","fingerprint":1,"decision":{"idem":"a-1","decision":"partial","iso39":"002",
                 "code":"LIMIT_PERIOD","auth_code":"17","hold":{"qty_ml":5},"allowed":[{"code":"053","qty_ml":5000}],"replayed":true}}}]"#,
        );
        assert!(matches!(found[0], Fact::Other));
        let Fact::Decided(decided) = &found[1] else { panic!("a decision was expected") };
        assert!(decided.replayed && decided.hold.is_some());
        assert_eq!(
            (decided.decision, decided.code, decided.allowed[0].qty_ml),
            (Verdict::Partial, Code::LimitPeriod, 5000)
        );
    }

    #[test]
    fn orders_are_refused_or_repeated() {
        assert!(matches!(facts(r#"["command_repeated"]"#)[..], [Fact::Repeated]));
        let refused = facts(r#"[{"command_refused":{"code":"CARD_EXISTS","message":"it is there"}}]"#);
        assert!(matches!(refused[..], [Fact::Refused(Code::CardExists)]));
    }
}
