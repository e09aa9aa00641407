//! What is read back is what there was, whatever happened meanwhile.

use model::LedgerRecord;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::{Owner, STEPS_MAX, owner_after, requests};
use crate::ledger::Config;
use crate::ledger::shard::Shard;
use crate::ledger::snapshot::{Header, file::Writer, read, verify, whole};
use crate::ledger::state::PurchaseState;

const SEEDS: u64 = 300;

/// What the histories led through while a snapshot was under way: nothing is proven about what never occurs.
#[derive(Debug, Default)]
struct Seen {
    summed: usize,
    late: usize,
    fees: usize,
    forgotten: usize,
    replaced: usize,
    expired: usize,
    changed: usize,
}

/// Decides a history, and takes a snapshot from some moment on in pieces as small as a row; then more history.
fn check(seed: u64, seen: &mut Seen) {
    let mut random = SmallRng::seed_from_u64(seed ^ 0x5eed);
    let hour_us = 60 * model::MICROS_PER_MINUTE;
    let key_retention_us = [hour_us / 4, 6 * hour_us, 72 * hour_us][random.random_range(0..3)];
    let mut owner = Owner::new(Config { key_retention_us, ..Config::default() });
    let requests = requests(seed, STEPS_MAX);
    let begin = random.random_range(0..requests.len());
    // Begins with what a snapshot left packed, in every second history; now and then just before the next snapshot.
    let restored_at = seed.is_multiple_of(2).then(|| begin.saturating_sub(random.random_range(0..30)));
    let hurry = random.random_range(1..12);
    let mut taken: Option<(Header, Writer, Shard)> = None;
    let mut file = None;
    let mut late: Vec<LedgerRecord> = Vec::new();
    for (place, request) in requests.into_iter().enumerate() {
        if restored_at == Some(place) {
            let end = owner.end();
            owner.shard = read(&whole(&mut owner.shard, end)).expect("what was written").1;
        }
        if place == begin {
            // The state may be ahead of what stands in the ledger: an owner decides on while its records are under way.
            let offset = owner.end() - random.random_range(0..=owner.end().min(5));
            let then = owner.shard.clone();
            let header = owner.shard.begin_snapshot(offset).expect("the first");
            assert_eq!(owner.shard.begin_snapshot(offset), None, "seed {seed}: one at a time");
            taken = Some((header, Writer::begin(&header), then));
        }
        let record = owner.decide(request);
        if random.random_range(0..40) == 0 {
            // Another owner; what the one before it wrote comes late.
            owner.take_over();
            seen.replaced += late.len();
            late.drain(..).for_each(|record| owner.append(&record));
        }
        late = vec![record];
        if file.is_none()
            && random.random_range(0..hurry) == 0
            && let Some((_, writer, _)) = &mut taken
        {
            match owner.shard.slice_of(random.random_range(1..300)) {
                Some(slice) => writer.slice(&slice),
                None => file = Some(place),
            }
        }
    }
    let (header, mut writer, then) = taken.expect("it began");
    while let Some(slice) = owner.shard.slice_of(300) {
        writer.slice(&slice);
    }
    assert!(!owner.shard.snapshot_under_way());
    let file = writer.finish();
    let (told, restored) = read(&file).unwrap_or_else(|corrupt| panic!("seed {seed}: {corrupt}"));
    assert_eq!(told, header, "seed {seed}");
    assert_eq!(verify(&file), Ok(header), "seed {seed}");
    assert_eq!((restored.epoch(), restored.last_request()), (header.epoch, header.last_request), "seed {seed}");
    assert!(restored == then, "seed {seed}: the state as it stood when the snapshot began");
    let resumed = owner.folded(restored, header.offset);
    let folded = owner.folded(Shard::new(super::PARTITION), 0);
    assert!(resumed == folded, "seed {seed}: the snapshot and what followed are all that was recorded");
    assert!(resumed == owner.shard, "seed {seed}: the snapshot and what followed are the owner's state");
    let now = &owner.shard;
    let cards = now.tables.cards.iter();
    seen.summed += cards.clone().flat_map(|card| &card.older).count();
    let purchases = cards.flat_map(|card| &card.purchases);
    seen.expired += purchases.filter(|purchase| purchase.state == PurchaseState::Expired).count();
    seen.changed += usize::from(then.tables != now.tables);
    let tail = owner.ledger.iter().skip(usize::try_from(header.offset).unwrap());
    for record in tail {
        seen.late += usize::from(record.contains("COMPLETION_LATE"));
        seen.fees += usize::from(record.contains("fee_charged"));
    }
    seen.forgotten += usize::from(then.answers.first_kept() != now.answers.first_kept());
}

#[test]
fn a_snapshot_and_the_records_after_it_are_the_state_whatever_was_decided_while_it_was_taken() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        check(seed, &mut seen);
    }
    let Seen { summed, late, fees, forgotten, replaced, expired, changed } = seen;
    let all = [summed, late, fees, forgotten, replaced, expired, changed];
    assert!(all.iter().all(|times| *times > 0), "{seen:?}");
}

#[test]
fn a_snapshot_taken_at_once_is_the_state() {
    for seed in 0..20 {
        let mut owner = owner_after(seed, STEPS_MAX);
        let end = owner.end();
        let file = whole(&mut owner.shard, end);
        let (header, restored) = read(&file).unwrap();
        assert!(restored == owner.shard, "seed {seed}");
        assert_eq!(header.offset, end);
    }
    let mut empty = Shard::new(super::PARTITION);
    let (header, restored) = read(&whole(&mut empty, 0)).unwrap();
    assert!(restored == empty);
    assert_eq!((header.epoch, header.last_request), (None, None));
}

/// What follows from the rows is made again when they are read: what is due, whom a token names.
#[test]
fn a_restored_state_decides_on_with_the_same_bytes() {
    for seed in 0..40 {
        let requests = requests(seed, STEPS_MAX);
        let (before, after) = requests.split_at(requests.len() / 2);
        let mut owner = Owner::new(Config::default());
        for request in before {
            owner.decide(request.clone());
        }
        let (_, restored) = read(&whole(&mut owner.shard.clone(), owner.end())).unwrap();
        let mut next = Owner { shard: restored, ..owner.clone() };
        for request in after {
            owner.decide(request.clone());
            next.decide(request.clone());
            assert_eq!(next.ledger.last(), owner.ledger.last(), "seed {seed}");
        }
    }
}
