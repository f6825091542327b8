//! A client: its packets, and its sockets in the namespaces.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use smallvec::SmallVec;
use uptick_event_loop::{Timer, add_timer, catch};
use uptick_websocket::{Message, Text};

use crate::Parser;
use crate::engine::{Client, ClientProtocol};
use crate::error::DisconnectReason;
use crate::namespace;
use crate::protocol::packet::{Body, Decoder, Packet};
use crate::protocol::session::CloseReason;
use crate::server::ServerState;
use crate::socket::{SocketPhase, SocketState};

/// A client of a server, over one Engine.IO session.
pub(crate) struct Peer {
    own: Weak<Peer>,
    pub(crate) client: Client,
    server: Weak<ServerState>,
    decoder: RefCell<Decoder>,
    sockets: RefCell<SmallVec<[Rc<SocketState>; 1]>>,
    /// The timer that closes the connection if the client does not join a namespace in time.
    connect_timer: Cell<Option<Timer>>,
    /// The number of unfinished middleware runs, including runs for sockets that have left in the meantime.
    pending_joins: Cell<usize>,
}

impl Peer {
    pub(crate) fn open(server: &Weak<ServerState>, client: Client) -> Rc<dyn ClientProtocol> {
        let timeout = server
            .upgrade()
            .map(|server| server.options.connect_timeout);
        let timer = timeout.map(|timeout| {
            add_timer(timeout, move || {
                tracing::debug!("closing a client: it did not join a namespace in time");
                client.close();
            })
        });
        Rc::new_cyclic(|own| Peer {
            own: Weak::clone(own),
            client,
            server: Weak::clone(server),
            decoder: RefCell::default(),
            sockets: RefCell::default(),
            connect_timer: Cell::new(timer),
            pending_joins: Cell::new(0),
        })
    }

    pub(crate) fn server(&self) -> Option<Rc<ServerState>> {
        self.server.upgrade()
    }

    pub(crate) fn parser(&self) -> Parser {
        self.server()
            .map_or(Parser::default(), |server| server.options.parser)
    }

    /// Adds a socket. It may still be waiting for middleware.
    pub(crate) fn add(&self, socket: &Rc<SocketState>) {
        self.sockets.borrow_mut().push(Rc::clone(socket));
    }

    pub(crate) fn remove(&self, socket: &SocketState) {
        let mut sockets = self.sockets.borrow_mut();
        sockets.retain(|one| !std::ptr::eq(&**one, socket));
    }

    /// Stops the connect timer, because the client has joined a namespace.
    pub(crate) fn joined(&self) {
        if let Some(timer) = self.connect_timer.take() {
            timer.cancel();
        }
    }

    pub(crate) fn sockets(&self) -> SmallVec<[Rc<SocketState>; 1]> {
        self.sockets.borrow().clone()
    }

    /// Returns the number of namespaces that the client has joined or is joining.
    pub(crate) fn sockets_count(&self) -> usize {
        self.sockets.borrow().len()
    }

    /// Returns the number of unfinished middleware runs.
    pub(crate) fn pending_joins(&self) -> usize {
        self.pending_joins.get()
    }

    pub(crate) fn begin_join(&self) {
        self.pending_joins.set(self.pending_joins.get() + 1);
    }

    pub(crate) fn end_join(&self) {
        self.pending_joins
            .set(self.pending_joins.get().saturating_sub(1));
    }

    /// Runs callbacks of the program. If one panics, all sockets of the client are disconnected and the session is closed.
    pub(crate) fn contain(&self, f: impl FnOnce()) {
        if let Err(message) = catch(f) {
            tracing::error!("a callback of a socket panicked: {message}");
            self.abandon();
        }
    }

    fn find(&self, namespace: &Text) -> Option<Rc<SocketState>> {
        let sockets = self.sockets.borrow();
        let found = sockets
            .iter()
            .find(|socket| *namespace == *socket.namespace.name);
        found.cloned()
    }

    fn decode(&self, message: Message) -> Result<Option<Packet>, ()> {
        let server = self.server().ok_or(())?;
        let limits = &server.options.limits;
        let mut decoder = self.decoder.borrow_mut();
        let decoded = server.options.parser.decode(&mut decoder, message, limits);
        decoded.map_err(|error| tracing::debug!("{error}"))
    }

    /// Disconnects all sockets and closes the session, after an invalid packet or a panic in a callback.
    fn abandon(&self) {
        self.end(DisconnectReason::ForcedClose);
        self.client.close();
    }

    /// Handles a packet that is not allowed in the current state.
    fn violation(&self, message: &str) {
        tracing::debug!("closing a Socket.IO session: {message}");
        self.abandon();
    }

    fn end(&self, reason: DisconnectReason) {
        self.joined();
        for socket in self.sockets() {
            socket.disconnected(reason);
        }
        self.sockets.take();
    }

    fn on_packet(self: &Rc<Self>, packet: Packet) {
        let Packet {
            namespace,
            id,
            body,
        } = packet;
        let Some(socket) = self.find(&namespace) else {
            return match body {
                Body::Connect(auth) => namespace::connect(self, &namespace, auth),
                _ => {
                    self.violation("the client sent a packet to a namespace that it has not joined")
                }
            };
        };
        if socket.phase.get() == SocketPhase::Connecting {
            return match body {
                Body::Disconnect => socket.discard(),
                _ => self.violation("the client sent a packet before it joined the namespace"),
            };
        }
        match body {
            Body::Event { name, arguments } => {
                if let Some(name) = name {
                    socket.on_event(&name, arguments, id);
                }
            }
            Body::Ack(arguments) => {
                if let Some(id) = id {
                    socket.on_ack(id, arguments);
                }
            }
            Body::Disconnect => socket.disconnected(DisconnectReason::ClientNamespaceDisconnect),
            Body::Connect(_) | Body::ConnectError(_) => {
                self.violation("the client has already joined the namespace");
            }
        }
    }
}

impl ClientProtocol for Peer {
    fn message(&self, message: Message) {
        let Some(own) = self.own.upgrade() else {
            return;
        };
        match self.decode(message) {
            Ok(None) => {}
            Ok(Some(packet)) => self.contain(|| own.on_packet(packet)),
            Err(()) => self.abandon(),
        }
    }

    fn drained(&self) {
        for socket in self.sockets() {
            if let Err(message) = catch(|| socket.drained()) {
                tracing::error!("a `drain` callback of a socket panicked: {message}");
            }
        }
    }

    fn closed(&self, reason: CloseReason) {
        self.end(reason.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_idle_client_is_at_most_96_bytes() {
        let size = size_of::<Peer>();
        assert!(size <= 96, "{size} bytes");
    }
}
