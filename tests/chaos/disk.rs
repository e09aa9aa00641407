//! A small disk of an engine's own, a tmpfs, that can be filled to the last byte and freed.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LeftOut;

const FILLER: &str = "filler";

/// Unmounted when dropped.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    pub(crate) fn mount(path: &Path, mebibytes: u32) -> Result<Self, LeftOut> {
        std::fs::create_dir_all(path).expect("a folder");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "forecourt-chaos"]).arg(path).output();
        match mounted {
            Ok(output) if output.status.success() => Ok(Self { path: path.to_owned() }),
            Ok(output) => Err(format!("a tmpfs cannot be mounted: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(format!("mount cannot be run: {error}")),
        }
    }

    /// Nothing more can be written. How many bytes it took.
    pub(crate) fn fill(&self) -> u64 {
        let mut file = File::create(self.path.join(FILLER)).expect("a file");
        let (mut taken, mut piece) = (0_u64, vec![0_u8; 1 << 20]);
        loop {
            match file.write(&piece) {
                Ok(written) => taken += written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull && piece.len() > 1 => piece.truncate(1),
                Err(error) if error.kind() == ErrorKind::StorageFull => return taken,
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
        }
    }

    pub(crate) fn free(&self) {
        std::fs::remove_file(self.path.join(FILLER)).expect("the filler can be removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the engine that used it is being killed at this moment.
        let _ = Command::new("umount").arg("-l").arg(&self.path).output();
    }
}
