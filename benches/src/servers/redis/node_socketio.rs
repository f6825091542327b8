//! The official Socket.IO server with npm's `@socket.io/redis-adapter` and `redis`, as the README of the adapter shows it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::super::socketio::PING_INTERVAL;
use super::url;

/// The packages of `npm install --prefix target/tools socket.io @socket.io/redis-adapter redis`.
const MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/node_modules/");

const SCRIPT: &str = "
const [, modules, url, pingInterval] = process.argv;
const { Server } = require(modules + 'socket.io');
const { createAdapter } = require(modules + '@socket.io/redis-adapter');
const { createClient } = require(modules + 'redis');
const publisher = createClient({ url });
const subscriber = publisher.duplicate();
Promise.all([publisher.connect(), subscriber.connect()]).then(() => {
  const http = require('node:http').createServer();
  const adapter = createAdapter(publisher, subscriber);
  const io = new Server(http, { pingInterval: Number(pingInterval), adapter });
  const sent = io.of('/sent');
  const broadcast = (namespace) => (first, count) => {
    for (let number = first; number < first + count; number++) {
      namespace.emit('message', String(number).padStart(20, '0'));
    }
  };
  io.of('/control').on('connection', (socket) => {
    socket.on('burst', broadcast(io));
    socket.on('send', broadcast(sent));
  });
  http.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${http.address().port}`));
});
";

/// The versions of the packages; `None` if one of them is not installed.
pub(crate) fn versions() -> Option<String> {
    let version = |package: &str| {
        let text = fs::read_to_string(format!("{MODULES}{package}/package.json")).ok()?;
        let (_, rest) = text.split_once("\"version\": \"")?;
        rest.split('"')
            .next()
            .map(|version| format!("npm's {package} {version}"))
    };
    let packages = ["socket.io", "@socket.io/redis-adapter", "redis"];
    let versions: Option<Vec<_>> = packages.into_iter().map(version).collect();
    Some(versions?.join(" · "))
}

/// Becomes node.
pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let interval = PING_INTERVAL.as_millis().to_string();
    let error = Command::new("node")
        .args(["-e", SCRIPT, MODULES, url(argument)?, &interval])
        .exec();
    Err(error).context("starting node failed")
}
