//! The official server, npm's `socket.io`, if it and node are installed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::PING_INTERVAL;

/// The path of the package after `npm install --prefix target/tools socket.io`.
const PACKAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/tools/node_modules/socket.io"
);

const SCRIPT: &str = "
const { Server } = require(process.argv[1]);
const http = require('node:http').createServer();
const io = new Server(http, { pingInterval: Number(process.argv[2]) });
io.on('connection', (socket) => {
  socket.on('echo', (text, ack) => ack(text));
});
io.of('/control').on('connection', (socket) => {
  socket.on('burst', (first, count) => {
    for (let number = first; number < first + count; number++) {
      io.emit('message', String(number).padStart(20, '0'));
    }
  });
});
http.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${http.address().port}`));
";

/// Returns the version of the package; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    let package = fs::read_to_string(format!("{PACKAGE}/package.json")).ok()?;
    let (_, rest) = package.split_once("\"version\": \"")?;
    rest.split('"').next().map(str::to_owned)
}

/// Replaces this process with node.
pub(in super::super) fn serve() -> Result<()> {
    let interval = PING_INTERVAL.as_millis().to_string();
    let error = Command::new("node")
        .args(["-e", SCRIPT, PACKAGE, &interval])
        .exec();
    Err(error).context("starting node failed")
}
