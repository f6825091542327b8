//! A reverse proxy: passes requests to one or several servers, WebSockets included. A server that cannot be reached gets no requests for a while.
//!
//! Run it in front of servers on other ports; the first argument is its own address:
//! ```text
//! $ cargo run --example 61-reverse-proxy -- 127.0.0.1:8000 http://127.0.0.1:8080
//! $ cargo run --example 61-reverse-proxy -- 127.0.0.1:8000 http://127.0.0.1:8080 http://127.0.0.1:8081
//! ```
//! Try it: `30-chat` or `24-server-sent-events` behind it, in a browser; stop one of two servers while requests are running;
//! <http://127.0.0.1:8000/proxy/servers> shows the state of the servers.
//! ```text
//! $ curl -i http://127.0.0.1:8000/
//! $ curl http://127.0.0.1:8000/proxy/servers
//! ```

use std::fmt::Write as _;
use std::time::Duration;

use uptick::http_client::{LoadBalancing, ProxyRoutes, Upstream};
use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8000".into());
    let first = args.next().unwrap_or("http://127.0.0.1:8080".into());

    let mut upstream = Upstream::try_new(&first)?
        .balancing(LoadBalancing::LeastConnections)
        .recovery_time(Duration::from_secs(5))
        .via("uptick");
    for url in args {
        upstream = upstream.try_server(&url)?;
    }

    let http = HttpServer::new();
    let servers = upstream.clone();
    http.get("/proxy/servers", move |_: Request| describe(&servers));
    http.proxy("/", upstream);
    http.on("error", |e: Error| eprintln!("{e}"));
    http.shutdown_on([SIGINT, SIGTERM], Duration::from_secs(10))?;

    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

/// Returns a line for each server: its URL, its state, and the number of requests and WebSockets in progress.
fn describe(upstream: &Upstream) -> String {
    let mut text = String::new();
    for server in upstream.servers() {
        let state = if server.is_available { "up" } else { "out" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {state} {}", server.url, server.active);
    }
    text
}
