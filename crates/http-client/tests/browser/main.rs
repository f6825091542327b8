//! Tests of the browser against servers in the same thread.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod memory;
mod pool;
mod pool_faults;
mod raw_servers;
mod requests;
mod scripted;

use std::future::Future;

use uptick_http::HttpServer;
use uptick_socket::Server;

/// Runs a test on a new loop.
fn run<T: 'static>(test: impl Future<Output = T> + 'static) -> T {
    uptick_event_loop::block_on(test).unwrap()
}

/// Serves `http` on a free port, and returns its URL.
fn serve(http: HttpServer) -> (String, Server) {
    let server = Server::bind("127.0.0.1:0").unwrap();
    let url = server.address().unwrap().replace("tcp://", "http://");
    http.listen(server);
    (url, server)
}
