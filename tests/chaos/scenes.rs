//! The scenes, by what is disturbed.

pub(crate) mod clocks;
pub(crate) mod disks;
pub(crate) mod history;
pub(crate) mod messages;
pub(crate) mod networks;
pub(crate) mod processes;
