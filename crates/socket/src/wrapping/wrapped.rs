//! Which connections a wrapper lets come, so that none is lost while nobody listens to it.
//!
//! The wrapped server is paused for as long as nobody listens to the wrapper, so that clients wait in the kernel's
//! backlog. What had been accepted by then is held, and announced as soon as somebody listens.

use std::collections::VecDeque;

use uptick_emitter::emit;
use uptick_event_loop::{catch, future_tick};

use super::ServerControl;
use crate::connection::Connection;
use crate::server::ServerInterface;

/// What a wrapper keeps of the server that it wraps.
#[derive(Debug)]
pub struct Wrapped {
    control: ServerControl,
    /// Whether the user wants it paused.
    pub(crate) paused: bool,
    /// Whether the wrapped server was paused, for whatever reason.
    inner_paused: bool,
    /// The connections that came while nobody listened, in their order. The wrapped server is paused while there are
    /// any, so that only those can follow which it had accepted before.
    held: VecDeque<Connection>,
}

impl Wrapped {
    /// Keeps a server, whose events are taken separately.
    pub fn new<S: ServerInterface>(server: S) -> Self {
        Wrapped {
            control: ServerControl::new(server),
            paused: false,
            inner_paused: false,
            held: VecDeque::new(),
        }
    }

    /// The methods of the wrapped server.
    pub fn control(&self) -> ServerControl {
        self.control.clone()
    }
}

/// What becomes of the connection that comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// It is announced, for which somebody has to listen.
    Announce,
    /// It is refused.
    Refuse,
    /// It has to wait in the backlog.
    Wait,
}

/// A server that wraps another one.
pub trait Wrapper: ServerInterface {
    /// Calls `f` with what is kept of the wrapped server, `None` when that has closed.
    ///
    /// `f` is called inside of the borrow of a table and calls no server.
    fn with_wrapped<R>(self, f: impl FnOnce(&mut Wrapped) -> R) -> Option<R>;

    /// What becomes of the next connection. Default: it is announced.
    fn intake(self) -> Intake {
        Intake::Announce
    }
}

/// Pauses or resumes the wrapped server, as it should be now.
pub fn update<W: Wrapper>(server: W) {
    let listened = is_listened_to(server);
    let intake = server.intake();
    let changed = server.with_wrapped(|wrapped| {
        let waits = match intake {
            Intake::Announce => !listened || !wrapped.held.is_empty(),
            Intake::Refuse => false,
            Intake::Wait => true,
        };
        let paused = wrapped.paused || waits;
        let was_paused = std::mem::replace(&mut wrapped.inner_paused, paused);
        (paused != was_paused).then(|| (wrapped.control(), paused))
    });
    // It may be a server of the same type, so it is not called inside a borrow.
    match changed.flatten() {
        Some((inner, true)) => inner.pause(),
        Some((inner, false)) => inner.resume(),
        None => {}
    }
}

/// Pauses the wrapped server for the user, or no longer.
pub fn set_paused<W: Wrapper>(server: W, paused: bool) {
    server.with_wrapped(|wrapped| wrapped.paused = paused);
    update(server);
}

/// Does what is to be done when the wrapper has got a listener.
pub fn listener_added<W: Wrapper>(server: W, slot: u8) {
    if slot != W::CONNECTION.slot() {
        return;
    }
    update(server);
    if server.with_wrapped(|wrapped| wrapped.held.is_empty()) == Some(false) {
        future_tick(move || release(server));
    }
}

/// Emits `connection`, or holds the connection until somebody listens. It gets an error when a listener panics.
pub fn announce<W: Wrapper>(server: W, conn: Connection) {
    let is_next = server.with_wrapped(|wrapped| wrapped.held.is_empty());
    if is_next != Some(true) || !tell(server, conn) {
        let held = server.with_wrapped(|wrapped| {
            wrapped.held.push_back(conn);
            wrapped.inner_paused.then(|| wrapped.control())
        });
        match held {
            // Somebody else may have resumed it.
            Some(Some(inner)) => inner.pause(),
            Some(None) => {}
            None => conn.close(),
        }
    }
    update(server);
}

/// Closes the connections that nobody has heard of.
pub fn close_held<W: Wrapper>(server: W) {
    while let Some(conn) = next_held(server) {
        conn.close();
    }
}

/// Announces what is held, for as long as somebody listens.
fn release<W: Wrapper>(server: W) {
    while is_listened_to(server)
        && let Some(conn) = next_held(server)
    {
        if conn.is_open() {
            tell(server, conn);
        }
    }
    update(server);
}

/// Emits `connection`; `false` when nobody listens.
fn tell<W: Wrapper>(server: W, conn: Connection) -> bool {
    catch(|| emit(&server, W::CONNECTION, conn)).unwrap_or_else(|message| {
        conn.panicked(&message);
        true
    })
}

fn next_held<W: Wrapper>(server: W) -> Option<Connection> {
    server
        .with_wrapped(|wrapped| wrapped.held.pop_front())
        .flatten()
}

fn is_listened_to<W: Wrapper>(server: W) -> bool {
    server.with_listeners(|listeners| listeners.has(W::CONNECTION.slot())) == Some(true)
}
