//! The data directory of the engines: one process at a time uses it, and everything has its place in it.
//!
//! The lock is the kernel's (`flock`): it ends with its process, however that ends, so there is no stale lock. The
//! process id in the file is only for the message.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The directory is this process's while this lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error("another Forecourt{} uses {}; stop it, or choose another directory", pid_text(*.pid), .directory.display())]
    Held { directory: PathBuf, pid: Option<u32> },
    #[error("cannot lock the data directory {}", .directory.display())]
    Io { directory: PathBuf, source: std::io::Error },
}

fn pid_text(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

/// Makes the directory if it is not there and takes it for this process.
pub(crate) fn lock(directory: &Path) -> Result<DirectoryLock, LockError> {
    let failed = |source| LockError::Io { directory: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let path = directory.join("forecourt.lock");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(failed)?;
            file.rewind().map_err(failed)?;
            file.write_all(std::process::id().to_string().as_bytes()).map_err(failed)?;
            Ok(DirectoryLock { _file: file })
        }
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // A pid that cannot be read is left out of the message.
            let _ = file.read_to_string(&mut text);
            Err(LockError::Held { directory: directory.to_owned(), pid: text.trim().parse().ok() })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_names_its_user_and_is_free_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let held = lock(directory.path()).unwrap();
        let refused = lock(directory.path()).unwrap_err().to_string();
        assert!(refused.starts_with(&format!("another Forecourt (pid {}) uses ", std::process::id())), "{refused}");
        drop(held);
        lock(directory.path()).unwrap();
    }

    #[test]
    fn a_lock_file_that_a_dead_process_left_is_no_obstacle() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("forecourt.lock"), "4194304999 rubbish").unwrap();
        lock(directory.path()).unwrap();
    }
}
