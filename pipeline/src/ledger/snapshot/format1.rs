//! Format 1: rows stood one after the other, without their lengths.

use super::rows::take_contract as contract;
use super::slices::{Broken, take};
use crate::ledger::settings::{Named, Packed, Setting, Settings};
use crate::ledger::state::{Contract, Ix};

pub(super) fn take_contract(from: &mut &[u8]) -> Result<(Ix, Contract), Broken> {
    let (ix, promised, count_of_names, mut contract) = contract(from)?;
    let names = skipped::<Named>(from, count_of_names)?.to_vec();
    contract.settings = Settings::of_snapshot(Packed { promised, count_of_names, names, ..Packed::default() });
    Ok((ix, contract))
}

/// The contract of a slice of settings, and how many follow.
pub(super) fn take_settings(from: &mut &[u8]) -> Result<(Ix, usize), Broken> {
    let ix = take(from)?;
    let (mut rest, mut count) = (*from, 0);
    while !rest.is_empty() {
        let _: Setting = take(&mut rest)?;
        count += 1;
    }
    Ok((ix, count))
}

fn skipped<'a, T: serde::Deserialize<'a>>(from: &mut &'a [u8], count: usize) -> Result<&'a [u8], Broken> {
    let all = *from;
    for _ in 0..count {
        let _: T = take(from)?;
    }
    Ok(all.get(..all.len() - from.len()).unwrap_or_default())
}
