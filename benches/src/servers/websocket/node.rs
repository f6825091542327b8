//! npm's package `ws`, if it and node are installed.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

/// The path of the package after `npm install --prefix target/tools ws`.
const PACKAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/tools/node_modules/ws"
);

const SCRIPT: &str = "
const { WebSocketServer } = require(process.argv[1]);
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
server.on('connection', (ws) => {
  ws.on('error', () => {});
  ws.on('message', (data, binary) => ws.send(data, { binary }));
});
server.on('listening', () => console.log(`127.0.0.1:${server.address().port}`));
";

/// Returns the version of the package; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    let package = fs::read_to_string(format!("{PACKAGE}/package.json")).ok()?;
    let (_, rest) = package.split_once("\"version\": \"")?;
    rest.split('"').next().map(str::to_owned)
}

/// Replaces this process with node.
pub(in super::super) fn serve() -> Result<()> {
    let error = Command::new("node").args(["-e", SCRIPT, PACKAGE]).exec();
    Err(error).context("starting node failed")
}
