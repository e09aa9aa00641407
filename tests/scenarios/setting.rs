//! Settings of the engine and of the answers' languages: lines that begin with `with`, before anything happens.
//!
//!     with texts in Russian and Kazakh
//!     with holds of 30 min outdoor
//!     with 5 PIN tries

use model::{Device, ProductCode};
use pipeline::ledger::{Config, HoldPolicy};

use crate::clauses::{Parsed, duration, id, number};

#[derive(Clone)]
pub(crate) enum Setting {
    Languages(Vec<Language>),
    Hold(HoldPolicy),
    PinTries(u8),
    PinLock(i64),
    OfflineAgeing(Vec<(i64, u8)>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Russian,
    Kazakh,
}

impl Setting {
    pub(crate) fn apply(self, config: &mut Config, languages: &mut Vec<Language>) {
        match self {
            Self::Languages(more) => languages.extend(more),
            Self::Hold(policy) => config.hold_policies.push(policy),
            Self::PinTries(tries) => config.pin_tries_max = tries,
            Self::PinLock(us) => config.pin_lock_us = us,
            Self::OfflineAgeing(steps) => config.offline_ageing = steps,
        }
    }
}

pub(crate) fn setting(text: &str) -> Parsed<Setting> {
    if let Some(languages) = text.strip_prefix("texts in ") {
        let language = |name| match name {
            "Russian" => Ok(Language::Russian),
            "Kazakh" => Ok(Language::Kazakh),
            _ => Err(format!("{name:?} is not spoken")),
        };
        return languages.split(" and ").map(language).collect::<Parsed<_>>().map(Setting::Languages);
    }
    if let Some(hold) = text.strip_prefix("holds of ") {
        let words: Vec<&str> = hold.split(' ').collect();
        let (&[count, unit], whose) = words.split_first_chunk().ok_or("how long?")?;
        let mut policy = HoldPolicy { device: None, group: None, ttl_us: duration(&format!("{count} {unit}"))? };
        for word in whose {
            match *word {
                "outdoor" => policy.device = Some(Device::Outdoor),
                "indoor" => policy.device = Some(Device::Indoor),
                group => policy.group = Some(id(group, ProductCode::new)?),
            }
        }
        return Ok(Setting::Hold(policy));
    }
    if let Some(tries) = text.strip_suffix(" PIN tries") {
        return number(tries).map(Setting::PinTries);
    }
    if let Some(lock) = text.strip_prefix("a PIN lock of ") {
        return duration(lock).map(Setting::PinLock);
    }
    if let Some(steps) = text.strip_prefix("offline lists worth ") {
        let step = |step: &str| {
            let (percent, age) = step.split_once(" % up to ").ok_or_else(|| format!("{step:?}: up to what age?"))?;
            Ok::<_, String>((duration(age)?, number(percent)?))
        };
        return steps.split(" and ").map(step).collect::<Parsed<_>>().map(Setting::OfflineAgeing);
    }
    Err(format!("there is no setting {text:?}"))
}
