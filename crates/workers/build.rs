//! Stops the build on systems other than Linux, with one error instead of many.
#![allow(
    clippy::print_stdout,
    reason = "this is how a build script reports to cargo"
)]

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if system != "linux" {
        println!(
            "cargo::error=uptick-workers needs Linux, not {system}: it shares connections between workers through epoll and sealed memory."
        );
    }
}
