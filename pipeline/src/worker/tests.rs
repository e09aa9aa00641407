use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use model::PartitionId;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::pact::Exchange;

use super::*;

const PARTITIONS: usize = 5;
const MESSAGES: u32 = 2_000;
/// More than a test gives.
const BATCHES_MAX: usize = 1 << 14;

/// Partition and number.
type Message = (usize, u32);

/// Sends numbered messages of several partitions through an operator; gives what came out, by partition.
fn pass_through(workers: usize, capacity: usize, outputs: Option<usize>, pause: Duration) -> Vec<Vec<u32>> {
    let (sender, receiver) = sync_channel(outputs.unwrap_or(BATCHES_MAX));
    let dataflow = spawn::<Message, Message>("pass", workers, capacity, sender, |source| {
        source.stream().unary::<CapacityContainerBuilder<_>, _, _, _>(Pipeline, "pass", |_, _| {
            |input, output| input.for_each(|time, batch| output.session(&time).give_container(batch))
        })
    });
    let reader = std::thread::spawn(move || {
        let mut seen = vec![Vec::new(); PARTITIONS];
        for batch in receiver {
            std::thread::sleep(pause);
            for (partition, number) in batch {
                seen[partition].push(number);
            }
        }
        seen
    });
    for number in 0..MESSAGES {
        for partition in 0..PARTITIONS {
            let feed = dataflow.feed(PartitionId(i32::try_from(partition).unwrap()));
            feed.send((partition, number)).unwrap();
        }
        if number % 500 == 0 {
            std::thread::sleep(Duration::from_millis(3)); // let the workers fall asleep now and then
        }
    }
    dataflow.join();
    reader.join().unwrap()
}

fn check(workers: usize, capacity: usize, outputs: Option<usize>, pause: Duration) {
    let expected: Vec<u32> = (0..MESSAGES).collect();
    for (partition, seen) in pass_through(workers, capacity, outputs, pause).into_iter().enumerate() {
        assert!(seen == expected, "partition {partition}: {} of {MESSAGES} messages, or out of order", seen.len());
    }
}

#[test]
fn one_worker_passes_everything_on_in_order() {
    check(1, 64, None, Duration::ZERO);
}

#[test]
fn three_workers_pass_everything_on_in_order() {
    check(3, 64, None, Duration::ZERO);
}

#[test]
fn a_slow_reader_slows_the_feeds_and_loses_nothing() {
    check(1, 8, Some(1), Duration::from_micros(500));
    check(3, 8, Some(1), Duration::from_micros(500));
}

#[test]
fn a_full_queue_makes_the_feed_wait() {
    let (sender, receiver) = sync_channel(0);
    let dataflow = spawn::<u32, u32>("full", 1, 2, sender, |source| source.stream());
    let feed = dataflow.feeds()[0].clone();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let feeder = std::thread::spawn(move || {
        for number in 0..10_000 {
            feed.send(number).unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    std::thread::sleep(Duration::from_millis(50));
    // One step's worth inside the worker, two in the queue, one in the feeder's hand.
    assert!(sent.load(Ordering::Relaxed) <= STEP_MESSAGES_MAX + 3);
    let reader = std::thread::spawn(move || receiver.iter().flatten().collect::<Vec<_>>());
    feeder.join().unwrap();
    dataflow.join();
    assert_eq!(reader.join().unwrap(), (0..10_000).collect::<Vec<_>>());
}

#[test]
fn the_workers_end_when_the_last_feed_is_dropped() {
    for workers in [1, 3] {
        let (sender, receiver) = sync_channel(BATCHES_MAX);
        let dataflow = spawn::<u32, u32>("end", workers, 8, sender, |source| source.stream());
        let feed = dataflow.feeds()[0].clone();
        drop(dataflow);
        feed.send(7).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Ok(vec![7]));
        std::thread::sleep(Duration::from_millis(20));
        assert!(receiver.try_recv().is_err());
        drop(feed);
        // The workers held the other ends of the channel.
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)), Err(RecvTimeoutError::Disconnected));
    }
}

#[test]
fn feeds_are_told_when_nobody_reads_the_outputs() {
    let (sender, receiver) = sync_channel(BATCHES_MAX);
    let dataflow = spawn::<u32, u32>("unread", 3, 1, sender, |source| source.stream());
    drop(receiver);
    let feed = dataflow.feed(PartitionId(1));
    assert!((0..1_000_000).any(|number| feed.send(number) == Err(Ended)));
    drop(feed);
    dataflow.join();
}

#[test]
fn a_panic_of_one_worker_ends_all_and_is_passed_on() {
    let (sender, _receiver) = sync_channel(BATCHES_MAX);
    let dataflow = spawn::<u64, u64>("panic", 3, 8, sender, |source| {
        source.stream().unary::<CapacityContainerBuilder<_>, _, _, _>(Exchange::new(|n: &u64| *n), "panic", |_, _| {
            |input, output| {
                input.for_each(|time, batch| {
                    assert!(!batch.contains(&13), "thirteen");
                    output.session(&time).give_container(batch);
                });
            }
        })
    });
    dataflow.feeds()[0].send(13).unwrap();
    let joined = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dataflow.join()));
    assert!(joined.is_err());
}
