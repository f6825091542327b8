//! The intake of connections from the wrapped server, which loses none while there is no listener.
//!
//! The wrapped server is paused while there is no `connection` listener, so that clients stay in the kernel's backlog.
//! Connections that it had already accepted are held, and announced when a listener is added.

use std::collections::VecDeque;

use uptick_emitter::emit;
use uptick_event_loop::{catch, future_tick};

use super::{Decorated, Layer, ServerControl};
use crate::connection::Connection;
use crate::error::Error;
use crate::server::ServerInterface;

/// The wrapped server and its state.
#[derive(Debug)]
pub(super) struct WrappedServer {
    control: ServerControl,
    /// Set while the user has paused the server.
    paused: bool,
    /// Set while the wrapped server is paused, for any reason.
    inner_paused: bool,
    /// The connections received while there was no listener, in order. The wrapped server is paused while there are
    /// any, so that only connections that it had already accepted can follow.
    held: VecDeque<Connection>,
}

impl WrappedServer {
    pub(super) fn new<S: ServerInterface>(server: S) -> Self {
        WrappedServer {
            control: ServerControl::new(server),
            paused: false,
            inner_paused: false,
            held: VecDeque::new(),
        }
    }

    pub(super) fn control(&self) -> ServerControl {
        self.control.clone()
    }
}

/// The treatment of the next connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intake {
    /// The connection is announced, which needs a listener.
    Announce,
    /// The connection is refused.
    Refuse,
    /// The connection stays in the backlog.
    Wait,
}

impl<L: Layer> Decorated<L> {
    /// Pauses or resumes the wrapped server, as [`Layer::intake`] and the listeners currently require.
    pub fn update(self) {
        let changed = self.with_entry(|entry| {
            let intake = entry.layer.downcast_ref().map(L::intake);
            let listened = entry.listeners.has(Self::CONNECTION.slot());
            let wrapped = &mut entry.wrapped;
            let waits = match intake.unwrap_or(Intake::Announce) {
                Intake::Announce => !listened || !wrapped.held.is_empty(),
                Intake::Refuse => false,
                Intake::Wait => true,
            };
            let paused = wrapped.paused || waits;
            let was_paused = std::mem::replace(&mut wrapped.inner_paused, paused);
            (paused != was_paused).then(|| (wrapped.control(), paused))
        });
        match changed.flatten() {
            Some((inner, true)) => inner.pause(),
            Some((inner, false)) => inner.resume(),
            None => {}
        }
    }

    /// Emits `connection`, or holds the connection until there is a listener. If a listener panics, the connection
    /// emits an `error` and closes, and the server emits an `error`.
    pub fn announce(self, conn: Connection) {
        let is_next = self.with_entry(|entry| entry.wrapped.held.is_empty());
        if is_next != Some(true) || !self.emit_connection(conn) {
            let held = self.with_entry(|entry| {
                let wrapped = &mut entry.wrapped;
                wrapped.held.push_back(conn);
                wrapped.inner_paused.then(|| wrapped.control())
            });
            match held {
                // Other code may have resumed the wrapped server.
                Some(Some(inner)) => inner.pause(),
                Some(None) => {}
                None => conn.close(),
            }
        }
        self.update();
    }

    pub(super) fn set_paused(self, paused: bool) {
        self.with_entry(|entry| entry.wrapped.paused = paused);
        self.update();
    }

    /// Called when a `connection` listener was added.
    pub(super) fn listened(self) {
        self.update();
        if self.with_entry(|entry| entry.wrapped.held.is_empty()) == Some(false) {
            future_tick(move || self.release());
        }
    }

    /// Closes the connections that were not announced.
    pub(super) fn close_held(self) {
        while let Some(conn) = self.next_held() {
            conn.close();
        }
    }

    /// Announces the held connections while there is a listener.
    fn release(self) {
        while self.with_entry(|entry| entry.listeners.has(Self::CONNECTION.slot())) == Some(true)
            && let Some(conn) = self.next_held()
        {
            if conn.is_open() {
                self.emit_connection(conn);
            }
        }
        self.update();
    }

    /// Emits `connection`; returns `false` if there is no listener.
    fn emit_connection(self, conn: Connection) -> bool {
        catch(|| emit(&self, Self::CONNECTION, conn)).unwrap_or_else(|message| {
            conn.panicked(&message);
            self.report(Error::callback_panic(self.address(), &message));
            true
        })
    }

    fn next_held(self) -> Option<Connection> {
        self.with_entry(|entry| entry.wrapped.held.pop_front())
            .flatten()
    }
}
