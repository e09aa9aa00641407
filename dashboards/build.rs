//! The page is embedded from `web/dist`, which `make web` fills. The folder is made if it is not there, because cargo can
//! only watch what exists, and without watching a new page would not get into the binary.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::fs::create_dir_all("web/dist").is_ok() {
        println!("cargo::rerun-if-changed=web/dist");
    }
}
