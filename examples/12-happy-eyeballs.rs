//! Connects to a host name with several addresses, IPv6 and IPv4, and prints the address of the fastest one.
//!
//! An address that does not respond costs a quarter of a second, not minutes: then the next one is tried in
//! parallel.
//!
//! Run it with localhost:8080, or with another name:
//! ```text
//! $ cargo run --example 12-happy-eyeballs
//! $ cargo run --example 12-happy-eyeballs -- example.com:80
//! ```
//! Try it: `localhost` usually has two addresses. Serve one of them and see which one is used:
//! ```text
//! $ cargo run --example 01-echo -- tcp://127.0.0.1:8080
//! $ cargo run --example 01-echo -- tcp://[::1]:8080
//! ```

use std::time::{Duration, Instant};

use uptick::prelude::*;
use uptick::socket::{HappyEyeballsConnector, TcpConnector, TimeoutConnector};

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let uri = args.nth(1).unwrap_or("localhost:8080".into());

    // `Connector::new()` does this for every name; these are its parts.
    let staggered =
        HappyEyeballsConnector::new(TcpConnector::new()).attempt_delay(Duration::from_millis(250));
    let connector = TimeoutConnector::new(staggered, Duration::from_secs(10));

    let begin = Instant::now();
    let conn = uptick::block_on(connector.connect(uri))??;
    println!(
        "connected to {} after {} ms",
        conn.remote_address().unwrap_or_default(),
        begin.elapsed().as_millis()
    );
    conn.close();
    Ok(())
}
