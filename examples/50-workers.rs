//! A service on all cores: worker processes that share a port, a bus between their WebSockets, and common counters.
//!
//! Run it:
//! ```text
//! $ cargo run --example 50-workers --features workers,tls
//! $ cargo run --example 50-workers --features workers,tls -- --processes 4 127.0.0.1:8080
//! $ cargo run --example 50-workers --features workers,tls -- --threads 4 127.0.0.1:8080
//! $ cargo run --example 50-workers --features workers,tls -- --cert cert.pem --key key.pem tls://127.0.0.1:8443
//! ```
//! Try it:
//! ```text
//! $ curl http://127.0.0.1:8080/
//! $ curl http://127.0.0.1:8080/stats
//! $ curl http://127.0.0.1:8080/metrics
//! $ npx wscat -c ws://127.0.0.1:8080/ws
//! ```
//! A worker that dies is replaced, and the others keep serving. Make one exit, and check the numbers again:
//! ```text
//! $ curl http://127.0.0.1:8080/exit
//! $ curl http://127.0.0.1:8080/stats
//! ```
//! `52-rolling-reload` is the same service and shows reloads and upgrades.

#[path = "50-workers/options.rs"]
mod options;
#[path = "50-workers/service.rs"]
mod service;

use options::Options;

const USAGE: &str = "usage: 50-workers [--processes N | --threads N] [--max-requests N] [--pid-file FILE] \
    [--cert FILE --key FILE] [URI]";

fn main() -> uptick::Result {
    service::run(Options::read(USAGE, true)?)
}
