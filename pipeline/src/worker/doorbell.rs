//! Wakes a worker that sleeps.
//!
//! In: a ring after each message that was queued. Out: the sleeping thread runs. Guarantees: a message that is queued
//! before the ring is seen, either by the worker's last look before it sleeps or by the wake-up. Costs a fence and a load
//! while the worker is awake, one system call when it sleeps. Does not: count rings.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;

#[derive(Default)]
pub(super) struct Doorbell {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Doorbell {
    /// The calling thread answers from now on.
    pub(super) fn attach(&self) {
        self.thread.get_or_init(std::thread::current);
    }
    /// To be called after the message is in its queue.
    pub(super) fn ring(&self) {
        // Pairs with the fence in `arm`: of "message queued" and "asleep set", at least one side sees the other's.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed)
            && self.asleep.swap(false, Ordering::AcqRel)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
    /// The worker is about to sleep; it must look at its queues once more after this.
    pub(super) fn arm(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }
    pub(super) fn disarm(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
