//! The WebSockets of `Bun.serve`, if Bun is installed.

use anyhow::Result;

use super::super::http::bun;

/// WebSockets are idle while the other servers take their turns, so there is no idle timeout.
const SCRIPT: &str = "
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  idleTimeout: 0,
  development: false,
  fetch: (request, server) =>
    server.upgrade(request) ? undefined : new Response('', { status: 426 }),
  websocket: {
    idleTimeout: 0,
    perMessageDeflate: false,
    message: (ws, message) => void ws.send(message),
  },
});
console.log(`127.0.0.1:${server.port}`);
";

/// Replaces this process with Bun.
pub(in super::super) fn serve() -> Result<()> {
    bun::run(SCRIPT)
}
