//! The bytes of which snapshots are made: figures one after the other, without names.

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

/// What is wrong with a slice. Which one, and where it lies, is said by who reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Broken(pub(in crate::ledger) &'static str);

/// What a slice holds: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Base,
    Codes,
    Contracts,
    /// Limits as they were set, of one contract.
    Settings,
    Cards,
    Answers,
}

impl Kind {
    const ALL: [Self; 6] = [Self::Base, Self::Codes, Self::Contracts, Self::Settings, Self::Cards, Self::Answers];

    pub(super) fn byte(self) -> u8 {
        self as u8
    }

    pub(super) fn of(byte: u8) -> Result<Self, Broken> {
        Self::ALL.get(usize::from(byte)).copied().ok_or(Broken("a slice of an unknown kind"))
    }
}

/// Adds a value.
pub(in crate::ledger) fn put<T: Serialize + ?Sized>(into: &mut Vec<u8>, value: &T) {
    postcard::serialize_with_flavor(value, To(into)).expect("memory takes whatever is written into it");
}

/// Takes a value off the front.
pub(in crate::ledger) fn take<'a, T: Deserialize<'a>>(from: &mut &'a [u8]) -> Result<T, Broken> {
    let (value, rest) = postcard::take_from_bytes(from).map_err(|error| match error {
        postcard::Error::DeserializeUnexpectedEnd => Broken("a slice that ends in the middle"),
        _ => Broken("a value that is none"),
    })?;
    *from = rest;
    Ok(value)
}

struct To<'a>(&'a mut Vec<u8>);

impl Flavor for To<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
