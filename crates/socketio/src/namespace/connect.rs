//! Joining a namespace: recovery, middleware, and the event `connection`.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::rc::Rc;

use futures::FutureExt;
use serde::Serialize;
use uptick_event_loop::spawn;
use uptick_http::LocalFuture;

use super::{Namespace, NamespaceState};
use crate::error::Refusal;
use crate::marker::{Later, Now};
use crate::peer::Peer;
use crate::protocol::packet::Data;
use crate::recovery::Recovered;
use crate::socket::{SocketPhase, SocketState};
use crate::{Socket, SocketId, SocketIo};

/// The stored form of a middleware.
pub type ConnectMiddleware = Rc<dyn Fn(Socket) -> Verdict>;

/// The result of a middleware: whether a socket is accepted.
pub enum Verdict {
    /// An immediate result.
    Now(Result<(), Refusal>),
    /// A future of the result.
    Later(LocalFuture<Result<(), Refusal>>),
}

impl std::fmt::Debug for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Now(verdict) => f.debug_tuple("Now").field(verdict).finish(),
            Verdict::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
        }
    }
}

/// Middleware of a namespace: `|socket: Socket| -> Result<(), Refusal>`, or a function that returns a future of that result.
///
/// `M` distinguishes the two forms, and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not namespace middleware",
    note = "middleware takes `|socket: Socket|` and returns `Result<(), Refusal>`, or a future of it"
)]
pub trait IntoConnectMiddleware<M> {
    /// Converts the function to its stored form.
    fn into_connect_middleware(self) -> ConnectMiddleware;
}

impl<F, E> IntoConnectMiddleware<(Now, E)> for F
where
    F: Fn(Socket) -> Result<(), E> + 'static,
    E: Into<Refusal>,
{
    fn into_connect_middleware(self) -> ConnectMiddleware {
        Rc::new(move |socket| Verdict::Now(self(socket).map_err(Into::into)))
    }
}

impl<F, R, E> IntoConnectMiddleware<(Later, R, E)> for F
where
    F: Fn(Socket) -> R + 'static,
    R: Future<Output = Result<(), E>> + 'static,
    E: Into<Refusal>,
{
    fn into_connect_middleware(self) -> ConnectMiddleware {
        Rc::new(move |socket| {
            let verdict = self(socket);
            Verdict::Later(Box::pin(async move { verdict.await.map_err(Into::into) }))
        })
    }
}

/// Handles a request to join a namespace: connects the client, or refuses it.
pub(crate) fn connect(peer: &Rc<Peer>, name: &str, auth: Option<Data>) {
    let Some(server) = peer.server() else { return };
    let limit = server.options.max_namespaces_per_client;
    if peer.sockets_count() >= limit || peer.pending_joins() >= limit {
        return refuse(peer, name, &Refusal::new("Too many namespaces"));
    }
    let Some(namespace) = server.for_client(name) else {
        return refuse(peer, name, &Refusal::new("Invalid namespace"));
    };
    let recovered = namespace.recover(auth.as_ref());
    let recovery = match recovered {
        Some(_) => None,
        None => namespace.recover_from_other_servers(auth.as_ref()),
    };
    let Some(recovery) = recovery else {
        return run_middleware(peer, &namespace, auth, recovered);
    };
    // Represents the client while its state is requested from other servers.
    let waiting = SocketState::create(peer, &namespace, auth.clone(), None);
    peer.add(&waiting);
    let pending_join = PendingJoin::begin(peer, &namespace);
    recovery.then(move |recovered| {
        let PendingJoin { peer, namespace } = &pending_join;
        let is_waiting = waiting.phase.get() == SocketPhase::Connecting && peer.client.is_open();
        waiting.discard();
        match (is_waiting, recovered) {
            (true, recovered) => peer.contain(|| run_middleware(peer, namespace, auth, recovered)),
            (false, Some(recovered)) => namespace.keep_again(recovered),
            (false, None) => {}
        }
    });
}

/// A client that is joining a namespace. The namespace is not removed in the meantime.
struct PendingJoin {
    peer: Rc<Peer>,
    namespace: Rc<NamespaceState>,
}

impl PendingJoin {
    fn begin(peer: &Rc<Peer>, namespace: &Rc<NamespaceState>) -> PendingJoin {
        peer.begin_join();
        namespace.connecting.set(namespace.connecting.get() + 1);
        PendingJoin {
            peer: Rc::clone(peer),
            namespace: Rc::clone(namespace),
        }
    }
}

impl Drop for PendingJoin {
    fn drop(&mut self) {
        let connecting = &self.namespace.connecting;
        connecting.set(connecting.get().saturating_sub(1));
        self.peer.end_join();
        self.namespace.remove_if_empty();
    }
}

/// Runs the middleware for a client, which may be recovered.
fn run_middleware(
    peer: &Rc<Peer>,
    namespace: &Rc<NamespaceState>,
    auth: Option<Data>,
    recovered: Option<Recovered>,
) {
    let is_verified = recovered
        .as_ref()
        .is_some_and(|recovered| recovered.is_verified);
    let skip = is_verified && namespace.skips_middleware();
    let socket = SocketState::create(peer, namespace, auth, recovered.as_ref());
    peer.add(&socket);
    let middlewares = match skip {
        true => Vec::new(),
        false => namespace.middlewares(),
    };
    let joining = JoiningSocket {
        socket,
        recovered,
        pending_join: PendingJoin::begin(peer, namespace),
    };
    joining.run(middlewares, 0);
}

/// Sends CONNECT_ERROR.
fn refuse(peer: &Peer, namespace: &str, refusal: &Refusal) {
    match peer.parser().connect_error(namespace, refusal) {
        Ok(packet) => drop(peer.client.send_packet(&packet)),
        Err(error) => tracing::error!("refusing a client of {namespace:?} failed: {error}"),
    }
}

/// The data of a CONNECT packet sent by the server.
#[derive(Serialize)]
struct ConnectData<'a> {
    sid: &'a SocketId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<&'a SocketId>,
}

/// A socket that is joining a namespace.
struct JoiningSocket {
    socket: Rc<SocketState>,
    recovered: Option<Recovered>,
    pending_join: PendingJoin,
}

impl JoiningSocket {
    /// Runs the middleware starting at index `at`. If one returns a future, a task awaits it and continues with the next.
    fn run(self, middlewares: Vec<ConnectMiddleware>, at: usize) {
        for (index, middleware) in middlewares.iter().enumerate().skip(at) {
            if !self.is_waiting() {
                break;
            }
            match middleware(self.socket.handle()) {
                Verdict::Now(Ok(())) => {}
                Verdict::Now(Err(refusal)) => return self.end(Err(refusal)),
                Verdict::Later(future) => {
                    spawn(async move {
                        let peer = Rc::clone(&self.pending_join.peer);
                        let verdict = AssertUnwindSafe(future).catch_unwind().await;
                        peer.contain(|| match verdict {
                            Ok(Ok(())) => self.run(middlewares, index + 1),
                            Ok(Err(refusal)) => self.end(Err(refusal)),
                            Err(panic) => resume_unwind(panic),
                        });
                    });
                    return;
                }
            }
        }
        self.end(Ok(()));
    }

    /// Returns `true` if the client is still waiting to be connected.
    fn is_waiting(&self) -> bool {
        self.socket.phase.get() == SocketPhase::Connecting
            && self.pending_join.peer.client.is_open()
    }

    fn end(self, verdict: Result<(), Refusal>) {
        let PendingJoin { peer, namespace } = &self.pending_join;
        match verdict {
            _ if !self.is_waiting() => {
                self.socket.discard();
                if let Some(recovered) = self.recovered
                    && !peer.client.is_open()
                {
                    namespace.keep_again(recovered);
                }
            }
            Err(refusal) => {
                self.socket.discard();
                refuse(peer, &namespace.name, &refusal);
            }
            Ok(()) => self.complete(),
        }
    }

    /// Confirms the connection, sends the events that a recovered socket missed, and emits `connection`.
    fn complete(self) {
        let JoiningSocket {
            socket,
            recovered,
            pending_join,
        } = self;
        let PendingJoin { peer, namespace } = &pending_join;
        let connected = ConnectData {
            sid: &socket.id,
            pid: socket.pid.as_deref(),
        };
        match peer.parser().connect(&namespace.name, &connected) {
            Ok(packet) => drop(peer.client.send_packet(&packet)),
            Err(error) => tracing::error!("confirming a client failed: {error}"),
        }
        socket.phase.set(SocketPhase::Connected);
        peer.joined();
        namespace.add_socket(&socket);
        let recovered = recovered.as_ref();
        for packet in recovered.map_or_else(Vec::new, |recovered| namespace.missed(recovered)) {
            peer.client.send_packet(&namespace.convert(packet));
        }
        socket.enter_rooms();
        for room in recovered.into_iter().flat_map(|recovered| &recovered.rooms) {
            socket.join(room);
        }
        if &*namespace.name == "/"
            && let Some(server) = namespace.server()
        {
            uptick_emitter::emit(&server.handle(), SocketIo::CONNECTION, socket.handle());
        }
        namespace.emit_to_both(Namespace::CONNECTION, socket.handle());
    }
}
