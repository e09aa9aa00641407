//! How single fields stand in a snapshot.
//!
//! In and out: values of the state and of the vocabulary. Guarantees: what was written reads back as itself. Types of the
//! vocabulary that leave fields out of their JSON do not fit a format without field names: the common ones are named here
//! once more, field by field; the rare ones stand as the JSON of the wire format, by its rules.

use std::collections::BTreeMap;

use jiff::civil::Date;
use model::{
    Currency, Driver, Group, Limit, LimitId, LimitMode, Measure, Millilitres, MinorUnits, Payer, ProductSelector,
    RegisterLine, Schedule, Scope, TimestampUs, Vehicle, VehicleId, Window,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is written in another form than that of the wire.
pub(in crate::ledger) trait Stored: Sized {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Limit")]
struct LimitFields {
    id: LimitId,
    scope: Scope,
    product: ProductSelector,
    measure: Measure,
    value: i64,
    window: Window,
    #[serde(with = "json")]
    schedule: Option<Schedule>,
    mode: LimitMode,
    alert_left: Option<i64>,
    valid_from_us: Option<TimestampUs>,
    valid_to_us: Option<TimestampUs>,
    offline: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Vehicle")]
struct VehicleFields {
    id: VehicleId,
    tank_ml: Option<Millilitres>,
    fuel: Option<ProductSelector>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RegisterLine")]
struct RegisterLineFields {
    date: Date,
    reference: String,
    amount_minor: MinorUnits,
    currency: Option<Currency>,
    #[serde(with = "PayerFields")]
    payer: Payer,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Payer")]
struct PayerFields {
    tax_id: Option<String>,
    name: Option<String>,
}

macro_rules! stored {
    ($($type:ty as $fields:ty;)*) => {$(
        impl Stored for $type {
            fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$fields>::serialize(self, serializer)
            }
            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$fields>::deserialize(deserializer)
            }
        }
    )*};
}

stored! {
    Limit as LimitFields;
    Vehicle as VehicleFields;
    RegisterLine as RegisterLineFields;
    Group as Group;
    Driver as Driver;
}

/// `#[serde(with = "stored")]`
pub(in crate::ledger) mod stored {
    use super::{Deserializer, Serializer, Stored};

    pub(in crate::ledger) fn serialize<T: Stored, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.put(serializer)
    }

    pub(in crate::ledger) fn deserialize<'de, T: Stored, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::take(deserializer)
    }
}

/// Lines of the register by their own reference.
pub(in crate::ledger) mod register_lines {
    use super::{BTreeMap, Deserialize, Deserializer, RegisterLine, Serialize, Serializer, Stored, stored};

    struct Written<'a>(&'a RegisterLine);

    impl Serialize for Written<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.put(serializer)
        }
    }

    #[derive(Deserialize)]
    struct Read(#[serde(with = "stored")] RegisterLine);

    pub(in crate::ledger) fn serialize<S: Serializer>(
        lines: &BTreeMap<String, RegisterLine>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(lines.values().map(Written))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<String, RegisterLine>, D::Error> {
        let lines = Vec::<Read>::deserialize(deserializer)?;
        Ok(lines.into_iter().map(|Read(line)| (line.reference.clone(), line)).collect())
    }
}

/// A place or none: none is common and takes one byte.
pub(in crate::ledger) mod place {
    use super::{Deserialize, Deserializer, Serializer};
    use crate::ledger::state::{Ix, NONE};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives references")]
    pub(in crate::ledger) fn serialize<S: Serializer>(place: &Ix, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(place.wrapping_sub(NONE))
    }

    pub(in crate::ledger) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ix, D::Error> {
        u32::deserialize(deserializer).map(|place| place.wrapping_add(NONE))
    }
}

/// JSON as a text; nothing for what is empty or absent.
pub(in crate::ledger) mod json {
    use std::fmt;
    use std::marker::PhantomData;

    use serde::de::{DeserializeOwned, Visitor};

    use super::{Deserializer, Serialize, Serializer};

    pub(in crate::ledger) fn serialize<T, S>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize + Default + PartialEq,
        S: Serializer,
    {
        if *value == T::default() {
            return serializer.serialize_str("");
        }
        serializer.serialize_str(&serde_json::to_string(value).map_err(serde::ser::Error::custom)?)
    }

    pub(in crate::ledger) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: DeserializeOwned + Default,
        D: Deserializer<'de>,
    {
        deserializer.deserialize_str(Text(PhantomData))
    }

    struct Text<T>(PhantomData<T>);

    impl<T: DeserializeOwned + Default> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("JSON or nothing")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            if text.is_empty() { Ok(T::default()) } else { serde_json::from_str(text).map_err(E::custom) }
        }
    }
}
