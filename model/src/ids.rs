//! Identifiers: short texts, each its own type, checked once when they enter.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest identifier that is accepted, in bytes.
pub(crate) const ID_LEN_MAX: usize = 64;

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("identifier is empty")]
    Empty,
    #[error("identifier has {0} bytes, at most {ID_LEN_MAX} are allowed")]
    TooLong(usize),
    #[error("identifier holds {0:?}; only letters, digits and . _ : @ * - are allowed")]
    Character(char),
}

fn checked(text: &str) -> Result<Arc<str>, IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > ID_LEN_MAX {
        return Err(IdError::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_alphanumeric() || matches!(c, '.' | '_' | ':' | '@' | '*' | '-'))) {
        Some(c) => Err(IdError::Character(c)),
        None => Ok(text.into()),
    }
}

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and wraps a text: 1 to 64 bytes of letters, digits and `. _ : @ * -`.
            pub fn new(text: &str) -> Result<Self, IdError> {
                checked(text).map(Self)
            }
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
        impl schemars::JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": ID_LEN_MAX })
            }
        }
    )*};
}

id! {
    /// A fuel contract: one balance, one currency, one time zone, many cards.
    ContractId;
    /// The stand-in for a card number. Never the number itself.
    CardToken;
    /// A filling station.
    SiteId;
    /// A tank within its site, for example `3`.
    TankId;
    /// A payment terminal of a site.
    TerminalId;
    /// Names one request for ever: a repeat of the key gets the recorded answer.
    IdempotencyKey;
    /// A network product code, for example `053` or `DIESEL`.
    ProductCode;
    /// The authorization code that a completion or reversal quotes.
    AuthCode;
    /// A group of cards within a contract.
    GroupId;
    /// A vehicle of a contract, for example its registration number.
    VehicleId;
    /// A driver of a contract: what the terminal's prompt asks for.
    DriverId;
    /// A limit within its contract.
    LimitId;
    /// A restriction within its contract.
    RestrictionId;
    /// A region as the network names it, for example `RU-MOW`.
    RegionId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_short_and_plain() {
        assert_eq!(ContractId::new("C-17").map(|c| c.to_string()), Ok("C-17".into()));
        assert_eq!(ContractId::new(""), Err(IdError::Empty));
        assert_eq!(SiteId::new(&"x".repeat(65)), Err(IdError::TooLong(65)));
        assert_eq!(CardToken::new("a b"), Err(IdError::Character(' ')));
        assert_eq!(CardToken::new("a/b"), Err(IdError::Character('/')));
        assert!(SiteId::new("АЗС-12").is_ok());
    }
}
