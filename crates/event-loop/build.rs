//! Stops the build on systems that are not Unix, with one error instead of many.
#![allow(
    clippy::print_stdout,
    reason = "this is how a build script reports to cargo"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_CFG_UNIX").is_none() {
        println!(
            "cargo::error=Uptick needs a Unix system: Linux, macOS or FreeBSD. Windows is not supported; its subsystem for Linux is."
        );
    }
}
