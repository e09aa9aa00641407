//! What Unix offers for child processes and the standard library does not: a child that dies with its parent, and
//! signals.
#![expect(unsafe_code, reason = "prctl and kill are system calls without a safe wrapper in the standard library")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The child will be killed when the *thread* that spawns it ends, however it ends; and it stands in a process group of
/// its own, so that Ctrl-C in the terminal reaches only this program, which ends its children in order.
pub(super) fn bind_to_this_thread(command: &mut Command) {
    let parent = std::process::id();
    command.process_group(0);
    let before_exec = move || {
        // SAFETY: plain system calls, allowed between fork and exec.
        let (set, now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have died before the call took effect.
        if u32::try_from(now) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(before_exec) };
}

/// The child takes the last place when processors are scarce.
pub(super) fn come_last(command: &mut Command) {
    let before_exec = || {
        crate::priority::come_last();
        Ok(())
    };
    // SAFETY: the closure makes system calls and allocates nothing.
    unsafe { command.pre_exec(before_exec) };
}

/// Asks a child to end. To be called before it is waited for, so that the number is still its own.
pub(super) fn terminate(child: &std::process::Child) {
    if let Ok(pid) = libc::pid_t::try_from(child.id()) {
        // SAFETY: a signal to a child that was not waited for yet.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}
