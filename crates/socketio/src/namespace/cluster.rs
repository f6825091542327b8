//! Messages from other servers, and requests to them.

use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::NamespaceState;
use super::delivery::{event_of, with_except};
use crate::adapter::{ClusterMessage, ClusterResponse, RemoteSocket, Servers, Target};
use crate::arguments::{FromArguments, ToArguments};
use crate::cluster::{Gathered, PendingRequest, Responses};
use crate::error::{DisconnectReason, Incomplete};
use crate::listeners::{ReceivedEvent, emit};
use crate::promise::Promise;
use crate::protocol::Value;
use crate::protocol::packet::{Arguments, Data, Encoded};
use crate::recovery::{Recovered, RecoveryClaim};
use crate::socket::{AckContext, PendingAck};
use crate::{Parser, Socket};

/// Timeout of a request in a namespace whose server is closed.
const NO_TIMEOUT: Duration = Duration::ZERO;

impl NamespaceState {
    /// Handles a message from another server.
    pub(crate) fn receive(self: &Rc<Self>, from: &str, message: ClusterMessage) {
        match message {
            ClusterMessage::Broadcast {
                packet,
                target,
                volatile,
                request: None,
                ..
            } => drop(self.deliver(packet, &target, None, volatile)),
            ClusterMessage::Broadcast {
                packet,
                target,
                request: Some(request),
                timeout,
                ..
            } => self.collect_acks_for(from, &packet, &target, request, timeout),
            ClusterMessage::SocketsJoin { target, rooms } => {
                self.apply(&target, None, |socket| {
                    for room in &rooms {
                        socket.join(room);
                    }
                });
            }
            ClusterMessage::SocketsLeave { target, rooms } => {
                self.apply(&target, None, |socket| {
                    for room in &rooms {
                        socket.leave(room);
                    }
                });
            }
            ClusterMessage::DisconnectSockets { target, close } => {
                self.disconnect_sockets_here(&target, None, close);
            }
            ClusterMessage::FetchSockets { target, request } => {
                let sockets = self.sockets_here(&target, None);
                self.respond(from, &ClusterResponse::Sockets { request, sockets });
            }
            ClusterMessage::RestoreSession {
                pid,
                offset,
                request,
            } => {
                let recovery = self.recovery.as_ref();
                let claim = RecoveryClaim { pid, offset };
                let session =
                    recovery.and_then(|recovery| recovery.borrow_mut().export_session(&claim));
                self.respond(from, &ClusterResponse::Session { request, session });
            }
            ClusterMessage::ServerSideEmit { packet, request } => {
                self.server_side_received(from, &packet, request);
            }
        }
    }

    pub(crate) fn receive_response(&self, from: &str, response: ClusterResponse) {
        let request = self.requests.borrow().find(response.request());
        let Some(request) = request else { return };
        request.response(from, response);
    }

    pub(crate) fn server_left(&self, server: &str) {
        let requests = self.requests.borrow().all();
        for request in requests {
            request.server_left(server);
        }
    }

    fn respond(&self, to: &str, response: &ClusterResponse) {
        if let Some(adapter) = self.adapter() {
            adapter.respond(to, response);
        }
    }

    /// Calls `f` with each socket of this server that `target` selects.
    pub(crate) fn apply(
        &self,
        target: &Target,
        except: Option<Socket>,
        f: impl Fn(&crate::socket::SocketState),
    ) {
        for socket in self.select_sockets(target, except) {
            f(&socket);
        }
    }

    pub(crate) fn disconnect_sockets_here(
        &self,
        target: &Target,
        except: Option<Socket>,
        close: bool,
    ) {
        for socket in self.select_sockets(target, except) {
            match close {
                true => socket.disconnect_client(),
                false => socket.leave_namespace(DisconnectReason::ServerNamespaceDisconnect),
            }
        }
    }

    pub(crate) fn sockets_here(
        &self,
        target: &Target,
        except: Option<Socket>,
    ) -> Vec<RemoteSocket> {
        let sockets = self.select_sockets(target, except);
        sockets.iter().map(|socket| socket.to_remote()).collect()
    }

    /// Sends an event to sockets of this server, and their acknowledgements to another server.
    fn collect_acks_for(
        self: &Rc<Self>,
        from: &str,
        packet: &Encoded,
        target: &Target,
        request: String,
        timeout: Option<u64>,
    ) {
        let timeout = timeout.map(Duration::from_millis);
        let from: Rc<str> = from.into();
        let shared: Rc<str> = request.as_str().into();
        let on_ack = {
            let (namespace, from) = (self.handle(), Rc::clone(&from));
            move |value: Option<Value>| {
                if let Some(value) = value
                    && let Some(namespace) = namespace.state()
                {
                    let request = shared.to_string();
                    namespace.respond(&from, &ClusterResponse::Ack { request, value });
                }
            }
        };
        let on_count = |count| {
            self.respond(&from, &ClusterResponse::ClientCount { request, count });
        };
        self.send_with_ack(packet, target, None, timeout, on_count, Rc::new(on_ack));
    }

    /// Sends an event that requests an acknowledgement to sockets of this server. Calls `on_count` with their number before any acknowledgement can arrive, and
    /// `on_ack` once for each socket.
    fn send_with_ack(
        &self,
        packet: &Encoded,
        target: &Target,
        except: Option<Socket>,
        timeout: Option<Duration>,
        on_count: impl FnOnce(usize),
        on_ack: Rc<dyn Fn(Option<Value>)>,
    ) {
        let sockets = self.select_sockets(target, except);
        on_count(sockets.len());
        let Some(server) = self.server() else { return };
        let Some((name, arguments)) = event_of(packet) else {
            return;
        };
        let id = self.next_ack();
        let packet = match Parser::Json.event(&self.name, Some(id), &name, &arguments) {
            Ok(packet) => packet,
            Err(error) => {
                tracing::error!(
                    "sending the event {name:?} in {:?} failed: {error}",
                    self.name
                );
                return sockets.iter().for_each(|_| on_ack(None));
            }
        };
        let timeout = timeout.unwrap_or(server.options.ack_timeout);
        let encoded = self.convert(packet.clone());
        for socket in sockets {
            let on_ack = Rc::clone(&on_ack);
            let callback: PendingAck = Box::new(move |acknowledged| {
                on_ack(acknowledged.ok().map(|arguments| first_value(&arguments)));
            });
            if socket.await_ack(id, timeout, callback) {
                socket.client.send_packet(&encoded);
                socket.notify_outgoing(&packet);
            }
        }
    }

    /// Sends an event to sockets, including those on other servers, and collects the first argument of each acknowledgement.
    pub(crate) fn broadcast_with_ack<T: DeserializeOwned + 'static, A: ToArguments + ?Sized>(
        self: &Rc<Self>,
        event: &str,
        arguments: &A,
        target: &Target,
        except: Option<Socket>,
        local: bool,
        timeout: Option<Duration>,
    ) -> Promise<Result<Vec<T>, Incomplete<T>>> {
        let Some(packet) = self.encode(event, arguments) else {
            return Promise::ready(Err(Incomplete {
                received: Vec::new(),
            }));
        };
        let (promise, resolver) = Promise::pending();
        let ack_timeout = self
            .server()
            .map_or(NO_TIMEOUT, |server| server.options.ack_timeout);
        let wait = timeout.unwrap_or(ack_timeout);
        let (id, request) = self.begin(Responses::Acks(Vec::new(), resolver), wait);
        let servers = self.request(local, || ClusterMessage::Broadcast {
            packet: packet.clone(),
            target: with_except(target, except),
            volatile: false,
            request: Some(id.clone()),
            timeout: timeout.map(|timeout| timeout.as_millis() as u64),
        });
        let responses = Rc::clone(&request);
        let on_ack = move |value| responses.client_acknowledged(value);
        let on_count = |count| request.expect_clients(count);
        // Longer than the timeout of the request, so that the request ends first.
        let ack_timeout = wait.saturating_add(Duration::from_secs(1));
        self.send_with_ack(
            &packet,
            target,
            except,
            Some(ack_timeout),
            on_count,
            Rc::new(on_ack),
        );
        await_servers(&request, servers);
        self.forget_when_done(id, &request);
        promise.map(typed)
    }

    pub(crate) fn fetch_sockets(
        self: &Rc<Self>,
        target: &Target,
        except: Option<Socket>,
        local: bool,
    ) -> Promise<Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> {
        let (promise, resolver) = Promise::pending();
        let own = self.sockets_here(target, except);
        let timeout = self.request_timeout();
        let (id, request) = self.begin(Responses::Sockets(own, resolver), timeout);
        let servers = self.request(local, || ClusterMessage::FetchSockets {
            target: with_except(target, except),
            request: id.clone(),
        });
        await_servers(&request, servers);
        self.forget_when_done(id, &request);
        promise.map(|gathered| gathered.map_err(|received| Incomplete { received }))
    }

    /// Requests the state of a reconnecting client from other servers. Returns `None` if there are none, or if the client does not request recovery.
    pub(super) fn recover_from_other_servers(
        self: &Rc<Self>,
        auth: Option<&Data>,
    ) -> Option<Promise<Option<Recovered>>> {
        self.recovery.as_ref()?;
        let adapter = self.adapter()?;
        let claim = RecoveryClaim::of(auth)?;
        if self.uses_shared_log.get() {
            let restored = adapter.restore_session(&claim.pid, &claim.offset);
            let namespace = self.handle();
            return Some(restored.map(move |restored| {
                let namespace = namespace.state()?;
                let recovery = namespace.recovery.as_ref()?;
                recovery.borrow_mut().import_restored(restored?)
            }));
        }
        let (promise, resolver) = Promise::pending();
        let (id, request) = self.begin(Responses::Session(None, resolver), self.request_timeout());
        let servers = self.request(false, || ClusterMessage::RestoreSession {
            pid: claim.pid.clone(),
            offset: claim.offset.clone(),
            request: id.clone(),
        });
        await_servers(&request, servers);
        self.forget_when_done(id, &request);
        let namespace = self.handle();
        Some(promise.map(move |session| {
            let namespace = namespace.state()?;
            let recovery = namespace.recovery.as_ref()?;
            recovery.borrow_mut().import_session(claim, session?)
        }))
    }

    pub(crate) fn server_side_emit<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) {
        if let Some(packet) = self.encode(event, arguments) {
            self.publish(|| ClusterMessage::ServerSideEmit {
                packet,
                request: None,
            });
        }
    }

    pub(crate) fn server_side_emit_with_ack<T: FromArguments + 'static, A: ToArguments + ?Sized>(
        self: &Rc<Self>,
        event: &str,
        arguments: &A,
    ) -> Promise<Result<Vec<T>, Incomplete<T>>> {
        let Some(packet) = self.encode(event, arguments) else {
            return Promise::ready(Err(Incomplete {
                received: Vec::new(),
            }));
        };
        let (promise, resolver) = Promise::pending();
        let timeout = self.request_timeout();
        let (id, request) = self.begin(Responses::ServerSide(Vec::new(), resolver), timeout);
        let servers = self.request(false, || ClusterMessage::ServerSideEmit {
            packet,
            request: Some(id.clone()),
        });
        await_servers(&request, servers);
        self.forget_when_done(id, &request);
        promise.map(|gathered: Gathered<Value>| {
            let parse = |value: Value| T::from_arguments(&Arguments::of_values(vec![value])).ok();
            parsed(gathered, parse)
        })
    }

    fn request_timeout(&self) -> Duration {
        self.server()
            .map_or(NO_TIMEOUT, |server| server.options.request_timeout)
    }

    fn begin(&self, responses: Responses, timeout: Duration) -> (String, Rc<PendingRequest>) {
        let request = PendingRequest::new(responses, timeout);
        let mut requests = self.requests.borrow_mut();
        let id = requests.next_id();
        requests.insert(id.clone(), Rc::clone(&request));
        (id, request)
    }

    /// Sends a request to other servers if there is an adapter. Returns the servers that will respond.
    fn request(&self, local: bool, message: impl FnOnce() -> ClusterMessage) -> Promise<Servers> {
        match self.adapter().filter(|_| !local) {
            Some(adapter) => adapter.request(&message()),
            None => Promise::ready(Servers::Known(Vec::new())),
        }
    }

    /// Removes a request when it is done: now, or when it ends.
    fn forget_when_done(self: &Rc<Self>, id: String, request: &Rc<PendingRequest>) {
        if request.is_done() {
            self.requests.borrow_mut().remove(&id);
            return;
        }
        let namespace = self.handle();
        request.when_done(move || {
            if let Some(namespace) = namespace.state() {
                namespace.requests.borrow_mut().remove(&id);
            }
        });
    }

    /// Emits an event from another server to the listeners of the namespace.
    fn server_side_received(&self, from: &str, packet: &Encoded, request: Option<String>) {
        let Some((name, arguments)) = event_of(packet) else {
            tracing::error!("ignoring a message from the server {from:?}: it is not an event");
            return;
        };
        let context = match request {
            Some(request) => AckContext::Server {
                namespace: self.handle(),
                server: from.into(),
                request: request.into(),
            },
            None => AckContext::None,
        };
        let received = ReceivedEvent {
            name: &name,
            arguments: &arguments,
            context,
        };
        if let Some(pattern) = &self.pattern {
            emit(&pattern.server_side, Some(&name), &received);
        }
        emit(&self.server_side, Some(&name), &received);
    }

    /// Sends the acknowledgement of an event to the server that emitted it.
    pub(crate) fn acknowledge_server<A: ToArguments + ?Sized>(
        &self,
        server: &str,
        request: &str,
        arguments: &A,
    ) {
        let encoded = Parser::Json.event("/", None, "ack", arguments);
        let value = match encoded.map(|packet| event_of(&packet)) {
            Ok(Some((_, arguments))) => first_value(&arguments),
            Ok(None) => Value::Null,
            Err(error) => {
                tracing::error!("acknowledging an event of the server {server:?} failed: {error}");
                return;
            }
        };
        let request = request.to_owned();
        self.respond(server, &ClusterResponse::ServerSideAck { request, value });
    }
}

fn await_servers(request: &Rc<PendingRequest>, servers: Promise<Servers>) {
    let request = Rc::clone(request);
    servers.then(move |servers| request.expect_servers(servers));
}

/// Returns the first argument.
fn first_value(arguments: &Arguments) -> Value {
    arguments.parse(0).unwrap_or_default()
}

fn typed<T: DeserializeOwned>(gathered: Gathered<Value>) -> Result<Vec<T>, Incomplete<T>> {
    parsed(gathered, |value| T::deserialize(value).ok())
}

/// Parses the collected values. Values that do not fit the type are left out, and the result is `Incomplete`.
fn parsed<T>(
    gathered: Gathered<Value>,
    parse: impl Fn(Value) -> Option<T>,
) -> Result<Vec<T>, Incomplete<T>> {
    let (values, complete) = match gathered {
        Ok(values) => (values, true),
        Err(values) => (values, false),
    };
    let count = values.len();
    let received: Vec<T> = values.into_iter().filter_map(parse).collect();
    match complete && received.len() == count {
        true => Ok(received),
        false => Err(Incomplete { received }),
    }
}
