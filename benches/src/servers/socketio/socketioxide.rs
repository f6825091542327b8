//! socketioxide behind axum, if its program is built: it is a package of its own, outside of the workspace.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// Where the command in the README puts it.
const PROGRAM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/peers/release/uptick-bench-socketioxide"
);

/// Its dependencies.
pub(crate) const LOCK_FILE: &str = include_str!("../../../peers/socketioxide/Cargo.lock");

/// Returns whether the program is built.
pub(in super::super) fn is_built() -> bool {
    Path::new(PROGRAM).exists()
}

/// Becomes the program.
pub(in super::super) fn serve() -> Result<()> {
    Err(Command::new(PROGRAM).exec()).with_context(|| format!("starting {PROGRAM} failed"))
}
