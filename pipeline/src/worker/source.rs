//! The first operator of a dataflow: messages from the worker's queue.
//!
//! In: the worker's bounded queue. Out: the messages as a stream, in order, sent at the source's time. Guarantees: time
//! moves forwards only, and only after the messages before it were sent; an empty schedule moves nothing, so that an idle
//! dataflow rests. Does not: wait. The worker's loop wakes it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crossbeam_channel::{Receiver, TryRecvError};
use timely::container::CapacityContainerBuilder;
use timely::dataflow::operators::generic::operator::source;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::Activator;

use super::{STEP_MESSAGES_MAX, Time};

/// Where a worker's messages come from, to be turned into a stream once.
pub struct Source<'scope, T> {
    scope: Scope<'scope, Time>,
    queue: Receiver<T>,
    link: Link,
}

impl<'scope, T: Clone + 'static> Source<'scope, T> {
    pub(super) fn new(scope: Scope<'scope, Time>, queue: Receiver<T>, link: Link) -> Self {
        Self { scope, queue, link }
    }
    /// This worker's number, from 0.
    #[must_use]
    pub fn worker_index(&self) -> usize {
        self.scope.index()
    }
    #[must_use]
    pub fn workers(&self) -> usize {
        self.scope.peers()
    }
    /// The messages, all at time zero: for dataflows in which nothing waits for time.
    #[must_use]
    pub fn stream(self) -> Stream<'scope, Time, Vec<T>> {
        self.stream_at(|_| None)
    }
    /// The messages; `watermark` looks at each before it is sent, and says how far time has come once it is. Earlier times
    /// than one given before are ignored.
    #[must_use]
    pub fn stream_at(self, mut watermark: impl FnMut(&T) -> Option<Time> + 'static) -> Stream<'scope, Time, Vec<T>> {
        let Self { scope, queue, link } = self;
        source::<_, CapacityContainerBuilder<Vec<T>>, _, _>(scope, "queue", move |capability, info| {
            *link.activator.borrow_mut() = Some(scope.activator_for(info.address));
            let mut capability = Some(capability);
            move |output| {
                let Some(held) = capability.as_mut() else { return };
                let (mut reached, mut closed) = (None, false);
                {
                    let mut session = output.session(&*held);
                    for _ in 0..STEP_MESSAGES_MAX {
                        match queue.try_recv() {
                            Ok(message) => {
                                reached = reached.max(watermark(&message));
                                session.give(message);
                            }
                            Err(TryRecvError::Empty) => break,
                            Err(TryRecvError::Disconnected) => {
                                closed = true;
                                break;
                            }
                        }
                    }
                } // here the session ships what it holds: only now may time move
                if let Some(time) = reached
                    && time > *held.time()
                {
                    held.downgrade(&time);
                }
                if closed {
                    capability = None;
                    link.closed.set(true);
                }
            }
        })
    }
}

/// What the worker's loop knows of its source.
#[derive(Clone, Default)]
pub(super) struct Link {
    activator: Rc<RefCell<Option<Activator>>>,
    closed: Rc<Cell<bool>>,
}

impl Link {
    pub(super) fn activator(&self) -> Option<Activator> {
        self.activator.borrow().clone()
    }
    /// True once the source has seen the end of its queue.
    pub(super) fn closed(&self) -> bool {
        self.closed.get()
    }
}
