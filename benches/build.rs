//! Records the compiler version, which the benchmark prints with its results.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_else(|| "rustc, unknown version".to_owned());
    println!("cargo::rustc-env=UPTICK_BENCH_RUSTC={}", version.trim());
}
