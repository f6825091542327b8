//! nghttpd, the server of nghttp2, if it is installed.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::super::announce;
use super::{free_port, version_of};

/// Returns the version of nghttp2; `None` if nghttpd is not installed.
pub(crate) fn version() -> Option<String> {
    version_of("nghttpd", "--version", "nghttpd nghttp2/")
}

/// Announces the address and replaces this process with nghttpd, which serves the files of a directory and listens a moment
/// later.
pub(in super::super) fn serve(directory: &Path) -> Result<()> {
    let port = free_port()?;
    announce(format_args!("127.0.0.1:{port}"))?;
    let error = Command::new("nghttpd")
        .args(["--no-tls", "--address", "127.0.0.1", "--htdocs"])
        .arg(directory)
        .arg(port.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .exec();
    Err(error).context("starting nghttpd failed")
}
