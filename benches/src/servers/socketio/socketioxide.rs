//! socketioxide behind axum, if its program is built. It is a separate package, outside of the workspace.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// The path of the program after the build command in the README.
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/peers/release/uptick-bench-socketioxide"
);

/// The lock file of the program.
pub(crate) const LOCK_FILE: &str = include_str!("../../../peers/socketioxide/Cargo.lock");

/// Returns whether the program is built.
pub(in super::super) fn is_built() -> bool {
    Path::new(PROGRAM).exists()
}

/// Replaces this process with the program.
pub(in super::super) fn serve() -> Result<()> {
    Err(Command::new(PROGRAM).exec()).with_context(|| format!("starting {PROGRAM} failed"))
}
