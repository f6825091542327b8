//! `Bun.serve`, if Bun is installed.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

/// The path of Bun after `npm install --prefix target/tools bun`.
const INSTALLED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../target/tools/node_modules/.bin/bun"
);

/// Bun adds `Content-Length` and `Date`. Connections are idle while the other servers take their turns, so there is no idle
/// timeout.
const SCRIPT: &str = "
const headers = { 'Content-Type': 'text/plain; charset=utf-8' };
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  idleTimeout: 0,
  development: false,
  routes: {
    '/hello': () => new Response('Hello, World!', { headers }),
    '/user/:id': (request) => new Response(request.params.id, { headers }),
  },
  fetch: () => new Response('', { status: 404, headers }),
});
console.log(`127.0.0.1:${server.port}`);
";

/// Returns the version of Bun; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    let bun = Command::new(program())
        .arg("--version")
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let version = String::from_utf8(bun.stdout).ok()?;
    bun.status.success().then(|| version.trim().to_owned())
}

/// Replaces this process with Bun.
pub(in super::super) fn serve() -> Result<()> {
    run(SCRIPT)
}

/// Replaces this process with Bun, which runs `script`.
pub(in super::super) fn run(script: &str) -> Result<()> {
    let error = Command::new(program()).args(["-e", script]).exec();
    Err(error).context("starting Bun failed")
}

/// Returns the program installed by npm, or the one in `PATH`.
fn program() -> &'static str {
    match Path::new(INSTALLED).exists() {
        true => INSTALLED,
        false => "bun",
    }
}
