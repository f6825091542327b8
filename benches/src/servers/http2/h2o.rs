//! h2o with one thread, if it is installed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::super::announce;
use super::{FILE, free_port, version_of};

/// Returns the version of h2o; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    version_of("h2o", "--version", "h2o version ")
}

/// Announces the address and replaces this process with h2o, which listens a moment later.
///
/// h2o serves a file: the fastest of its handlers. Connections are idle while the other servers take their turns.
pub(in super::super) fn serve(directory: &Path) -> Result<()> {
    let port = free_port()?;
    let file = directory.join(FILE);
    let mut configuration = format!(
        "listen: {{host: 127.0.0.1, port: {port}}}\n\
         num-threads: 1\n\
         max-connections: 20000\n\
         http2-idle-timeout: 3600\n\
         file.mime.setdefaulttype: 'text/plain; charset=utf-8'\n\
         hosts:\n  default:\n    paths:\n      /hello:\n        file.file: '{}'\n",
        file.display()
    );
    if rustix::process::geteuid().is_root() {
        // Otherwise h2o becomes the user `nobody`, and no longer ends with its parent.
        configuration += "user: root\n";
    }
    let path = directory.join("h2o.conf");
    fs::write(&path, configuration)?;
    announce(format_args!("127.0.0.1:{port}"))?;
    let error = Command::new("h2o")
        .arg("-c")
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .exec();
    Err(error).context("starting h2o failed")
}
