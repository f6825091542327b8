//! WebSockets of a client, to servers of this crate and to some that are none.
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

/// The URL of a path of a server.
fn url(http: HttpServer, path: &str) -> String {
    let address = http.address().unwrap();
    format!("ws://{}{path}", &address["tcp://".len()..])
}

/// What comes of an attempt, while the loop is turned by hand.
#[track_caller]
fn outcome(connecting: Connecting) -> Result<WebSocket, Error> {
    let place = Rc::new(RefCell::new(None));
    let there = Rc::clone(&place);
    drop(spawn(async move {
        let result = connecting.await;
        *there.borrow_mut() = Some(result);
    }));
    run_until(|| place.borrow().is_some());
    place.take().unwrap()
}
