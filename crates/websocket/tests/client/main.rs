//! Client WebSockets, connected to servers of this crate and to other servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "../support/mod.rs"]
mod support;

mod connecting;
mod reconnecting;
mod refusals;

use std::cell::RefCell;
use std::rc::Rc;

use uptick_event_loop::spawn;
use uptick_http::HttpServer;
use uptick_websocket::{Connecting, Error, WebSocket};

use support::run_until;

/// Returns the URL of a path of a server.
fn url(http: HttpServer, path: &str) -> String {
    let address = http.address().unwrap();
    format!("ws://{}{path}", &address["tcp://".len()..])
}

/// Runs the loop until an attempt completes, and returns its result.
#[track_caller]
fn outcome(connecting: Connecting) -> Result<WebSocket, Error> {
    let slot = Rc::new(RefCell::new(None));
    let shared = Rc::clone(&slot);
    drop(spawn(async move {
        let result = connecting.await;
        *shared.borrow_mut() = Some(result);
    }));
    run_until(|| slot.borrow().is_some());
    slot.take().unwrap()
}
