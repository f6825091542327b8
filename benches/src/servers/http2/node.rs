//! node's `http2`, if node is installed.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

const SCRIPT: &str = "
const server = require('node:http2').createServer((request, response) => {
  const found = request.url === '/hello';
  const body = found ? 'Hello, World!' : '';
  response.writeHead(found ? 200 : 404, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': body.length,
  });
  response.end(body);
});
server.listen(0, '127.0.0.1', () => console.log(`127.0.0.1:${server.address().port}`));
";

/// Replaces this process with node.
pub(in super::super) fn serve() -> Result<()> {
    let error = Command::new("node").args(["-e", SCRIPT]).exec();
    Err(error).context("starting node failed")
}
