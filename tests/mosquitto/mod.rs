//! Mosquitto as an operator would set it up for Forecourt: sessions on disk, and nothing dropped for a reader that is away.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::instance::{eventually, run};

/// Dropping it kills it.
pub(crate) struct Mosquitto {
    child: Option<Child>,
    file: PathBuf,
    pub(crate) port: u16,
}

impl Mosquitto {
    pub(crate) fn start(port: u16, folder: &Path) -> Self {
        // Every change is saved; otherwise, only every half hour.
        Self::configured(port, folder, "autosave_on_changes true\nautosave_interval 1\n")
    }

    /// Saves its sessions every half hour, as it does when nobody says otherwise.
    pub(crate) fn saving_seldom(port: u16, folder: &Path) -> Self {
        Self::configured(port, folder, "")
    }

    fn configured(port: u16, folder: &Path, saving: &str) -> Self {
        let file = folder.join("mosquitto.conf");
        // Started by root, it would become a user who may not write here, and would go on without saving anything.
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nuser root\npersistence true\npersistence_location {}/\n\
             {saving}max_queued_messages 0\n",
            folder.display()
        );
        std::fs::write(&file, text).expect("a configuration file");
        let mut mosquitto = Self { child: None, file, port };
        mosquitto.launch();
        mosquitto
    }

    /// Returns when it listens.
    pub(crate) fn launch(&mut self) {
        assert!(self.child.is_none(), "mosquitto runs already");
        let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
        let child = Command::new(program)
            .arg("-c")
            .arg(&self.file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto starts: deploy/setup test installs it");
        self.child = Some(child);
        eventually("mosquitto listens", Duration::from_secs(10), || {
            std::net::TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it can be killed");
        child.wait().expect("it is gone");
    }

    /// Asks it to end, as its service manager does.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        run("kill", &["-TERM", &child.id().to_string()]);
        child.wait().expect("it ends");
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
