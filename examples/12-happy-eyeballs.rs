//! Connects to a host name that may have many addresses, IPv6 and IPv4, and says which one was fastest.
//!
//! An address that does not answer costs a quarter of a second, not minutes: then the next one is tried as well.
//!
//! Run it, on localhost:8080 or on a name of your own:
//! ```text
//! $ cargo run --example 12-happy-eyeballs
//! $ cargo run --example 12-happy-eyeballs -- example.com:80
//! ```
//! Poke it: `localhost` has two addresses as a rule; serve one of them and see which one it takes:
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

    // `Connector::new()` does this for every name; here are the parts of it.
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
