//! The limits of a contract as they were ever set, by place and by name.
//!
//! In: settings one after the other, or those of a snapshot in bytes. Out: a setting by its place, the latest of a name.
//! Guarantees: a setting is never changed or removed, so answers may name it by place; what came from a snapshot is unpacked
//! when somebody asks for it first: most contracts of a large network are not asked for in the first hours after a start.
//! Does not: count anything; counters do (`usage`).

use std::cell::OnceCell;

use model::{Limit, LimitId, TimestampUs};
use serde::{Deserialize, Serialize};

use super::snapshot::fields::stored;
use super::snapshot::slices::{Broken, put, take};
use super::state::{Ix, Map};

/// One setting of a limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Setting {
    #[serde(with = "stored")]
    pub(super) limit: Limit,
    pub(super) version: u32,
}

/// The latest setting of a limit's name; a removed limit keeps its name, so that its versions go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    pub(super) setting: Ix,
    pub(super) removed: bool,
    /// The first setting since it was last removed, and its moment: limits keep their order, one-off limits their begin.
    pub(super) first: Ix,
    pub(super) since: TimestampUs,
}

#[derive(Clone, Debug)]
pub(super) struct Settings {
    open: OnceCell<Open>,
    /// As it came from a snapshot, for as long as nothing is added.
    packed: Option<Box<Packed>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Open {
    all: Vec<Setting>,
    names: Map<LimitId, Named>,
}

/// Settings and names in the bytes of a snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Packed {
    /// Promised by the contract, and found so far.
    pub(super) promised: usize,
    pub(super) found: usize,
    pub(super) settings: Vec<u8>,
    pub(super) count_of_names: usize,
    pub(super) names: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { open: OnceCell::from(Open::default()), packed: None }
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        self.open() == other.open()
    }
}

impl Settings {
    pub(super) fn of_snapshot(packed: Packed) -> Self {
        Self { open: OnceCell::new(), packed: Some(Box::new(packed)) }
    }

    pub(super) fn len(&self) -> usize {
        match (self.open.get(), &self.packed) {
            (None, Some(packed)) => packed.promised,
            _ => self.open().all.len(),
        }
    }

    pub(super) fn get(&self, place: Ix) -> Option<&Setting> {
        self.open().all.get(place as usize)
    }

    pub(super) fn all(&self) -> &[Setting] {
        &self.open().all
    }

    pub(super) fn named(&self, id: &LimitId) -> Option<Named> {
        self.open().names.get(id).copied()
    }

    /// Every name that there ever was, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = Named> {
        self.open().names.values().copied()
    }

    pub(super) fn push(&mut self, setting: Setting) {
        self.open_mut().all.push(setting);
    }

    pub(super) fn name(&mut self, id: LimitId, named: Named) {
        self.open_mut().names.insert(id, named);
    }

    /// Gives the setting that was the latest.
    pub(super) fn remove(&mut self, id: &LimitId) -> Option<Ix> {
        let named = self.open_mut().names.get_mut(id)?;
        named.removed = true;
        Some(named.setting)
    }

    /// What it stands on, while nobody has added to it.
    pub(super) fn packed(&self) -> Option<&Packed> {
        self.packed.as_deref()
    }

    pub(super) fn packed_mut(&mut self) -> Option<&mut Packed> {
        self.packed.as_deref_mut()
    }

    pub(super) fn put_names(&self, into: &mut Vec<u8>) {
        match &self.packed {
            Some(packed) => into.extend_from_slice(&packed.names),
            None => self.open().names.values().for_each(|named| put(into, named)),
        }
    }

    pub(super) fn count_of_names(&self) -> usize {
        self.packed.as_ref().map_or_else(|| self.open().names.len(), |packed| packed.count_of_names)
    }

    /// Unpacks what came from a snapshot, if that was not done before.
    pub(super) fn unpack(&self) -> Result<(), Broken> {
        if self.open.get().is_none() {
            let open = self.packed.as_deref().map_or_else(|| Ok(Open::default()), Packed::open)?;
            let _ = self.open.set(open);
        }
        Ok(())
    }

    /// # Panics
    /// When the bytes of a snapshot, whose checksum was right, are no settings.
    fn open(&self) -> &Open {
        self.open.get_or_init(|| {
            let open = self.packed.as_deref().map_or_else(|| Ok(Open::default()), Packed::open);
            open.unwrap_or_else(|Broken(why)| panic!("the limits of a contract in a snapshot cannot be read: {why}"))
        })
    }

    fn open_mut(&mut self) -> &mut Open {
        self.open();
        self.packed = None;
        self.open.get_mut().expect("opened above")
    }
}

impl Packed {
    fn open(&self) -> Result<Open, Broken> {
        let mut all: Vec<Setting> = Vec::with_capacity(self.found.min(self.settings.len()));
        let mut settings = self.settings.as_slice();
        while !settings.is_empty() {
            all.push(take(&mut settings)?);
        }
        if all.len() != self.promised {
            return Err(Broken("another number of limits than there were"));
        }
        let mut bytes = self.names.as_slice();
        let mut names = Map::with_capacity_and_hasher(self.count_of_names.min(bytes.len()), Default::default());
        while !bytes.is_empty() {
            let named: Named = take(&mut bytes)?;
            let setting = all.get(named.setting as usize).ok_or(Broken("a limit without setting"))?;
            names.insert(setting.limit.id.clone(), named);
        }
        if names.len() != self.count_of_names {
            return Err(Broken("another number of names than there were"));
        }
        Ok(Open { all, names })
    }
}
