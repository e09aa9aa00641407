//! Reads a topic again and again to the ends that it has at that moment.

use std::time::{Duration, Instant};

use anyhow::bail;
use model::{LogSettings, Topic};
use rdkafka::message::{BorrowedMessage, Message};

use loadtest::kafka::Reader;

const READ_PATIENCE: Duration = Duration::from_secs(600);
const BATCH_MAX: usize = 4096;
const WAIT: Duration = Duration::from_millis(500);

pub(super) struct Follower {
    reader: Reader,
    topic: String,
    /// By partition: where it has been read to.
    next: Vec<i64>,
}

impl Follower {
    pub(super) fn open(log: &LogSettings, topic: Topic) -> anyhow::Result<Self> {
        let topic = log.topic_name(topic);
        let reader = Reader::open(&log.bootstrap, &[(&topic, log.partitions, Some(0))])?;
        let next = (0..log.partitions).map(|p| Ok(reader.span(&topic, p)?.0)).collect::<anyhow::Result<_>>()?;
        Ok(Self { reader, topic, next })
    }

    /// By partition: the offset after the last record read.
    pub(super) fn next(&self) -> &[i64] {
        &self.next
    }

    /// Shows every record up to the ends that the partitions have now.
    pub(super) fn read_on(
        &mut self,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let Self { reader, topic, next } = self;
        let ends = (0..).zip(next.iter()).map(|(p, _)| reader.end(topic, p)).collect::<anyhow::Result<Vec<_>>>()?;
        let begun = Instant::now();
        while next.iter().zip(&ends).any(|(next, end)| next < end) {
            let mut failed = None;
            reader.read(BATCH_MAX, WAIT, |message| {
                if let Some(next) = usize::try_from(message.partition()).ok().and_then(|index| next.get_mut(index)) {
                    *next = message.offset() + 1;
                }
                if failed.is_none() {
                    failed = each(message).err();
                }
            });
            if let Some(error) = failed {
                return Err(error);
            }
            if begun.elapsed() > READ_PATIENCE {
                bail!("{topic} could not be read to its end in {} s", READ_PATIENCE.as_secs());
            }
        }
        Ok(())
    }
}
