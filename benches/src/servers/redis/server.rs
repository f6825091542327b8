//! `redis-server` on a free port, without persistence.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use super::super::announce;

/// Announces the address and becomes Redis, which listens a moment later.
pub(in super::super) fn serve() -> Result<()> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    announce(address)?;
    let error = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port"])
        .arg(address.port().to_string())
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .exec();
    Err(error).context("starting redis-server failed")
}
