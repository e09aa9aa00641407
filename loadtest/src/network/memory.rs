//! What the network remembers between two runs: its clock, its tanks, and which keys are used up.
//!
//! Keys and time are reserved ahead: what a crash forgets is skipped on the next start, never used twice.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

const VERSION: u32 = 1;
const KEYS_PER_BLOCK: u64 = 50_000;
/// Gauge numbers that are skipped after a crash: more than a gauge sends between two saves.
const SEQ_SKIP: u64 = 1_000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Memory {
    version: u32,
    pub(crate) seed: u64,
    /// Tells the keys of this network from those of another with the same seed.
    pub(crate) instance: String,
    /// When it first opened.
    pub(crate) began_us: i64,
    pub(crate) simulated_us: i64,
    /// Keys below this number may have been used.
    keys_reserved: u64,
    /// True when the last run ended in order.
    clean: bool,
    pub(crate) cards_issued: bool,
    /// By station: each tank's contents.
    pub(crate) tanks: Vec<Vec<TankMemory>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TankMemory {
    pub(crate) volume_ml: i64,
    pub(crate) seq: u64,
}

impl Memory {
    /// The memory of a network that never ran.
    pub(crate) fn fresh(seed: u64, instance: String, now_us: i64) -> Self {
        Self {
            version: VERSION,
            seed,
            instance,
            began_us: now_us,
            simulated_us: now_us,
            keys_reserved: 0,
            clean: true,
            cards_issued: false,
            tanks: Vec::new(),
        }
    }

    /// Reads the file; `None` when there is none yet. `skip_us` is the simulated time that a crash may have forgotten.
    pub(crate) fn load(path: &Path, seed: u64, skip_us: i64) -> anyhow::Result<Option<Self>> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mut memory: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged; remove it to start the simulated network anew", path.display()))?;
        ensure!(memory.version == VERSION, "{} has version {}, expected {VERSION}", path.display(), memory.version);
        ensure!(
            memory.seed == seed,
            "{} belongs to a network with --seed {}; use that seed or another data directory",
            path.display(),
            memory.seed
        );
        if !memory.clean {
            memory.simulated_us += skip_us;
            for tank in memory.tanks.iter_mut().flatten() {
                tank.seq += SEQ_SKIP;
            }
        }
        Ok(Some(memory))
    }
}

/// The file, and the block of keys that it has reserved.
pub(crate) struct Store {
    path: PathBuf,
    pub(crate) memory: Memory,
    next_key: u64,
}

impl Store {
    /// Takes the memory over and reserves the first block of keys before any is used.
    pub(crate) fn open(path: PathBuf, memory: Memory) -> anyhow::Result<Self> {
        let next_key = memory.keys_reserved;
        let mut store = Self { path, memory, next_key };
        store.memory.clean = false;
        store.reserve()?;
        Ok(store)
    }

    /// A number that no run of this network has used.
    pub(crate) fn key(&mut self) -> anyhow::Result<u64> {
        if self.next_key >= self.memory.keys_reserved {
            self.reserve()?;
        }
        self.next_key += 1;
        Ok(self.next_key - 1)
    }

    fn reserve(&mut self) -> anyhow::Result<()> {
        self.memory.keys_reserved = self.next_key + KEYS_PER_BLOCK;
        self.write()
    }

    pub(crate) fn save(&mut self, simulated_us: i64, tanks: Vec<Vec<TankMemory>>) -> anyhow::Result<()> {
        self.memory.simulated_us = simulated_us;
        self.memory.tanks = tanks;
        self.write()
    }

    /// The last save of a run that ends in order: nothing needs to be skipped.
    pub(crate) fn close(mut self, simulated_us: i64, tanks: Vec<Vec<TankMemory>>) -> anyhow::Result<()> {
        self.memory.clean = true;
        self.memory.keys_reserved = self.next_key;
        self.save(simulated_us, tanks)
    }

    /// Written beside and renamed, so that a crash leaves the old file or the new one.
    fn write(&self) -> anyhow::Result<()> {
        let beside = self.path.with_extension("json.new");
        let write = || -> anyhow::Result<()> {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(&serde_json::to_vec(&self.memory)?)?;
            file.sync_data()?;
            std::fs::rename(&beside, &self.path)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("forecourt-network-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        folder.join("simulated-network.json")
    }

    #[test]
    fn a_key_is_never_given_twice_not_even_after_a_crash() {
        let path = folder("keys");
        let mut seen = HashSet::new();
        for run in 0..5 {
            let memory =
                Memory::load(&path, 1, 0).expect("readable").unwrap_or_else(|| Memory::fresh(1, "a".into(), 0));
            let mut store = Store::open(path.clone(), memory).expect("writable");
            for _ in 0..60_000 {
                assert!(seen.insert(store.key().expect("a key")));
            }
            if run % 2 == 0 {
                store.close(0, Vec::new()).expect("writable");
            }
        }
    }

    #[test]
    fn a_run_that_ended_in_order_goes_on_where_it_stopped() {
        let path = folder("order");
        let tanks = vec![vec![TankMemory { volume_ml: 17, seq: 4 }]];
        Store::open(path.clone(), Memory::fresh(1, "a".into(), 5))
            .expect("writable")
            .close(9, tanks.clone())
            .expect("writable");
        let memory = Memory::load(&path, 1, 1_000).expect("readable").expect("there");
        assert_eq!((memory.simulated_us, memory.tanks), (9, tanks));
    }

    #[test]
    fn after_a_crash_the_forgotten_time_is_skipped() {
        let path = folder("crash");
        let mut store = Store::open(path.clone(), Memory::fresh(1, "a".into(), 5)).expect("writable");
        store.save(9, vec![vec![TankMemory { volume_ml: 17, seq: 4 }]]).expect("writable");
        let memory = Memory::load(&path, 1, 1_000).expect("readable").expect("there");
        assert_eq!((memory.simulated_us, memory.tanks[0][0].seq), (1_009, 1_004));
    }

    #[test]
    fn another_seed_is_another_network() {
        let path = folder("seed");
        Store::open(path.clone(), Memory::fresh(1, "a".into(), 5)).expect("writable");
        assert!(Memory::load(&path, 2, 0).expect_err("refused").to_string().contains("--seed 1"));
    }
}
