//! node's `http`, if node is installed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// Connections are idle while the other servers take their turns, so there is no idle timeout.
const SCRIPT: &str = "
const server = require('node:http').createServer((request, response) => {
  let status = 200;
  let body = 'Hello, World!';
  if (request.url.startsWith('/user/')) {
    body = request.url.slice('/user/'.length);
  } else if (request.url !== '/hello') {
    status = 404;
  }
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
";

/// Returns the output of `node --version`; `None` if node is not installed.
pub(crate) fn version() -> Option<String> {
    let node = Command::new("node")
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let version = String::from_utf8(node.stdout).ok()?;
    node.status.success().then(|| version.trim().to_owned())
}

/// Replaces this process with node.
pub(in super::super) fn serve() -> Result<()> {
    let error = Command::new("node").args(["-e", SCRIPT]).exec();
    Err(error).context("starting node failed")
}
