//! Snapshots by running workers.

use std::sync::mpsc::sync_channel;

use model::{LedgerRecord, PartitionId};

use super::{Owner, PARTITION, STEPS_MAX, owner_after, requests, takeover};
use crate::ledger::shard::Shard;
use crate::ledger::snapshot::file::Writer;
use crate::ledger::snapshot::{Header, Part, read, whole};
use crate::ledger::{Config, Input, Output, spawn};

/// Runs one worker on these inputs: the records and the parts that it gives.
fn run(inputs: Vec<Input>) -> (Vec<LedgerRecord>, Vec<(PartitionId, Part)>) {
    let (sender, outputs) = sync_channel(1 << 14);
    let dataflow = spawn(Config::default(), sender);
    let feed = dataflow.feed(PARTITION);
    inputs.into_iter().for_each(|input| feed.send(input).unwrap());
    drop(feed);
    dataflow.join();
    let (mut records, mut parts) = (Vec::new(), Vec::new());
    for output in outputs.iter().flatten() {
        match output {
            Output::Record { record, .. } => records.push(*record),
            Output::Snapshot { partition, part } => parts.push((partition, part)),
            Output::TickDue { .. } => {}
        }
    }
    (records, parts)
}

fn files(parts: &[(PartitionId, Part)]) -> Vec<(Header, Vec<u8>)> {
    let mut writer = None;
    parts.iter().filter_map(|(_, part)| Writer::take(&mut writer, part)).collect()
}

fn start(partition: PartitionId) -> [Input; 2] {
    [Input::Fold { partition, offset: 0, record: takeover() }, Input::Start { partition, epoch: 0 }]
}

#[test]
fn a_worker_takes_a_snapshot_between_batches_and_to_its_end() {
    let partition = PARTITION;
    let requests: Vec<_> = (0..).zip(requests(5, 4_000)).collect();
    let (before, after) = requests.split_at(requests.len() / 2);
    let mut inputs = start(partition).to_vec();
    inputs.push(Input::Decide { partition, epoch: 0, requests: before.to_vec() });
    let offset = i64::try_from(before.len()).unwrap() + 1;
    inputs.push(Input::Snapshot { partition, offset });
    inputs.push(Input::Snapshot { partition, offset }); // one is under way
    inputs.push(Input::Snapshot { partition: PartitionId(7), offset }); // not here
    inputs.push(Input::Decide { partition, epoch: 0, requests: after.to_vec() });
    let (records, parts) = run(inputs);
    assert_eq!(records.len(), requests.len(), "deciding went on");
    assert!(matches!(parts.first(), Some((_, Part::Begin(_)))) && matches!(parts.last(), Some((_, Part::End))));
    let files = files(&parts);
    assert_eq!(files.len(), 1);
    let (header, restored) = read(&files[0].1).unwrap();
    assert_eq!(header, files[0].0);
    assert_eq!((header.partition, header.offset, header.epoch), (partition, offset, Some(0)));
    let mut owner = Owner::new(Config::default());
    for (_, request) in before {
        owner.decide(request.clone());
    }
    assert!(restored == owner.shard);
}

#[test]
fn a_restored_shard_goes_on_where_the_snapshot_ended() {
    let partition = PARTITION;
    let all = requests(6, STEPS_MAX);
    let (before, after) = all.split_at(all.len() / 2);
    let mut owner = Owner::new(Config::default());
    for request in before {
        owner.decide(request.clone());
    }
    let end = owner.end();
    let (header, shard) = read(&whole(&mut owner.shard, end)).unwrap();
    let after: Vec<_> = (owner.next..).zip(after.iter().cloned()).collect();
    let (records, _) = run(vec![
        Input::Restore { partition, shard: Box::new(shard) },
        Input::Restore { partition, shard: Box::new(Shard::new(partition)) }, // too late
        Input::Restore { partition: PartitionId(1), shard: Box::new(Shard::new(partition)) }, // of another
        Input::Decide { partition: PartitionId(1), epoch: 0, requests: after.clone() },
        Input::Fold { partition, offset: header.offset, record: takeover() },
        Input::Start { partition, epoch: header.offset },
        Input::Decide { partition, epoch: header.offset, requests: after.clone() },
    ]);
    owner.take_over();
    for (_, request) in after {
        owner.decide(request);
    }
    let written: Vec<String> = records.iter().map(|record| serde_json::to_string(record).unwrap()).collect();
    assert_eq!(written, owner.ledger[owner.ledger.len() - written.len()..]);
    assert!(!written.is_empty());
}

#[test]
fn a_revoked_partition_ends_no_snapshot() {
    let partition = PARTITION;
    let other = PartitionId(1);
    let Owner { shard, .. } = owner_after(5, 4_000);
    let mut inputs = vec![Input::Restore { partition, shard: Box::new(shard) }];
    inputs.extend(start(other));
    inputs.push(Input::Snapshot { partition, offset: 1 });
    inputs.push(Input::Revoke { partition });
    inputs.push(Input::Snapshot { partition: other, offset: 1 });
    let (_, parts) = run(inputs);
    let ends: Vec<_> = parts.iter().filter(|(_, part)| matches!(part, Part::End)).map(|(of, _)| *of).collect();
    assert_eq!(ends, [other]);
    let begun = parts.iter().filter(|(_, part)| matches!(part, Part::Begin(_))).count();
    assert_eq!(begun, 2);
    let files = files(&parts);
    assert_eq!(files.len(), 1, "a new beginning takes the place of what never ended");
    assert_eq!(files[0].0.partition, other);
    assert!(read(&files[0].1).is_ok());
}
