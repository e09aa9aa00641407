//! Who goes first when processors are scarce: what stands between a request and its decision, before all else.
//!
//! Linux counts priorities per thread, and the threads and processes that a thread starts, librdkafka's among them, inherit
//! its own. Nothing here needs a privilege. A system that refuses, or has no such settings, runs everything alike.

/// Lets decisions go first: to be called by threads that nobody's decision waits for, but people do. They have little weight
/// beside those that decide.
pub(crate) fn give_way() {
    #[cfg(target_os = "linux")]
    linux::set(libc::SCHED_BATCH, linux::niceness() + 10);
}

/// Lets everybody else go first: for history, which only must not be lost. Whoever wakes up takes the processor from such a thread
/// at once; beside one that never sleeps it gets next to nothing.
pub(crate) fn come_last() {
    #[cfg(target_os = "linux")]
    linux::set(libc::SCHED_IDLE, linux::niceness());
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "system calls without a safe wrapper in the standard library")]
mod linux {
    /// `struct sched_attr` of `sched_setattr(2)`.
    #[repr(C)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    const SIZE: u32 = 48;
    const _: () = assert!(size_of::<Attributes>() == SIZE as usize);

    /// Of the calling thread.
    pub(super) fn niceness() -> i32 {
        // SAFETY: a plain system call; to Linux "process 0" is the calling thread.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    /// Sets the calling thread's policy and niceness. Allocates nothing, so that it may be called between fork and exec.
    pub(super) fn set(policy: i32, nice: i32) {
        let attributes = Attributes {
            size: SIZE,
            policy: policy.unsigned_abs(),
            flags: 0,
            nice: nice.min(19),
            priority: 0,
            runtime: 0,
            deadline: 0,
            period: 0,
        };
        // SAFETY: the structure is as long as it says and outlives the call. A refusal changes nothing.
        unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn in_thread(check: fn()) {
            std::thread::spawn(check).join().expect("the thread checks");
        }

        fn policy() -> i32 {
            // SAFETY: a plain system call.
            unsafe { libc::sched_getscheduler(0) }
        }

        #[test]
        fn what_gives_way_is_behind_and_so_is_what_it_starts() {
            let before = niceness();
            in_thread(|| {
                let before = niceness();
                crate::priority::give_way();
                assert_eq!((niceness(), policy()), ((before + 10).min(19), libc::SCHED_BATCH));
                let own = niceness();
                std::thread::scope(|scope| {
                    scope.spawn(|| assert_eq!((niceness(), policy()), (own, libc::SCHED_BATCH)));
                });
            });
            in_thread(|| {
                crate::priority::come_last();
                std::thread::scope(|scope| {
                    scope.spawn(|| assert_eq!(policy(), libc::SCHED_IDLE));
                });
            });
            assert_eq!(niceness(), before, "other threads keep theirs");
        }
    }
}
