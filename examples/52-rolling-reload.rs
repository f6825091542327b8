//! A service that is reloaded and upgraded without losing a connection.
//!
//! Run it:
//! ```text
//! $ cargo run --example 52-rolling-reload --features workers,tls -- --pid-file service.pid
//! ```
//! Start new workers, which take over when all of them are ready; the old ones end their connections. Browsers reconnect over
//! three seconds, not all at once:
//! ```text
//! $ curl http://127.0.0.1:8080/
//! {"worker":1,"pid":4711,"generation":1}
//! $ kill -HUP $(cat service.pid)
//! $ curl http://127.0.0.1:8080/
//! {"worker":1,"pid":4721,"generation":2}
//! ```
//! Execute a new version of the program: build it, then
//! ```text
//! $ kill -USR2 $(cat service.pid)
//! ```
//! The new program takes over the listening socket. If it does not start, the old one keeps serving. The pid file contains the
//! new process id once the new program is serving.
//!
//! Stop it. Requests in progress are completed, WebSockets are closed with 1001:
//! ```text
//! $ kill -TERM $(cat service.pid)
//! ```

#[path = "50-workers/options.rs"]
mod options;
#[path = "50-workers/service.rs"]
mod service;

use options::Options;

const USAGE: &str = "usage: 52-rolling-reload [--processes N] [--max-requests N] [--pid-file FILE] \
    [--cert FILE --key FILE] [URI]";

fn main() -> uptick::Result {
    service::run(Options::read(USAGE, false)?)
}
