//! Server wrappers with a layer that panics.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::Cell;
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_socket::decorated::{Decorated, Layer};
use uptick_socket::{Connection, Server, ServerInterface};

struct Panics;

impl Layer for Panics {
    fn accept(server: Decorated<Self>, conn: Connection) {
        server.announce(conn);
    }

    fn closed(_: Decorated<Self>) {
        panic!("on purpose");
    }
}

#[test]
fn a_server_whose_layer_panics_on_close_emits_close_and_is_stale() {
    let server = Decorated::new(Server::bind("127.0.0.1:0").unwrap(), Panics);
    let closed = Rc::new(Cell::new(0));
    let count = Rc::clone(&closed);
    server.on(Decorated::<Panics>::CLOSE, move |()| {
        count.set(count.get() + 1)
    });
    server.close();
    assert_eq!(closed.get(), 1);
    assert!(server.with(|_| ()).is_none());
}
