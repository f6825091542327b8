//! The adapter compatible with `createAdapter`.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use uptick_redis::Redis;

use super::broker::{Broker, Channel, OnMessage, Topic};
use super::client::RedisBroker;
use super::link::Link;
use super::stats::{Counters, RedisAdapterStats};
use super::wire::WireError;
use super::wire::classic::{
    Broadcast, BroadcastFlags, Request, RequestBody, Response, ResponseBody,
};
use super::{DEFAULT_PREFIX, escape_pattern};
use crate::adapter::{
    Adapter, AdapterFactory, AdapterSink, ClusterMessage, ClusterResponse, Servers, Target,
};
use crate::{Promise, random};

/// Number of characters in the id of a server.
const UID_LENGTH: usize = 6;

/// Number of random characters from which an id is taken: a multiple of 4.
const RANDOM_LENGTH: usize = 8;

/// Connects the namespaces of servers on several machines over Redis, compatible with `createAdapter` of `@socket.io/redis-adapter` 8.
///
/// All servers with the same Redis server and [key](RedisAdapter::key) form one cluster, including Node.js servers with the official adapter.
///
/// Each broadcast is published once, and reaches every server. A server does not decode broadcasts to a single room in which it has no socket. Messages that are sent while
/// Redis is not connected are lost, as with the official adapter; they are [counted](RedisAdapter::stats) and logged. Requests wait for the responses of other servers
/// for at most [`request_timeout`](crate::SocketIoOptions::request_timeout), and then end with the responses received so far.
///
/// # Limits
///
/// Received messages of 64 MiB, nested at most 120 levels deep · 1,000 requests of a namespace that wait until Redis has confirmed its subscriptions · the queue of the
/// Redis client.
///
/// [Connection state recovery](crate::SocketIoOptions::recovery) works only on the server from which a client was disconnected.
///
/// # Examples
///
/// ```no_run
/// use uptick_redis::Redis;
/// use uptick_socketio::adapter::RedisAdapter;
/// use uptick_socketio::{SocketIo, SocketIoOptions};
///
/// let redis = Redis::connect("redis://127.0.0.1:6379")?;
/// let adapter = RedisAdapter::new(redis);
/// let io = SocketIo::with_options(SocketIoOptions::new().adapter(adapter.factory()));
/// io.emit("news", "to the clients of all servers");
/// # Ok::<(), uptick_redis::Error>(())
/// ```
pub struct RedisAdapter {
    broker: Rc<dyn Broker>,
    prefix: String,
    uses_specific_response_channel: bool,
    counters: Rc<Counters>,
}

impl RedisAdapter {
    /// Creates an adapter over a Redis client, which the program closes. Each server needs its own client, because servers are counted by their connections.
    pub fn new(redis: Redis) -> RedisAdapter {
        RedisAdapter::with_broker(RedisBroker::new(redis))
    }

    /// Creates an adapter over another Redis client.
    #[doc(hidden)]
    pub fn with_broker(broker: impl Broker + 'static) -> RedisAdapter {
        RedisAdapter {
            broker: Rc::new(broker),
            prefix: DEFAULT_PREFIX.to_owned(),
            uses_specific_response_channel: false,
            counters: Rc::default(),
        }
    }

    /// Sets the prefix of the channels. All servers of a cluster need the same one. Default: `socket.io`.
    #[must_use]
    pub fn key(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Sets whether responses are published on a channel that only the requesting server receives. Servers accept responses on both channels.
    /// Default: false.
    #[must_use]
    pub fn publish_on_specific_response_channel(mut self, specific: bool) -> Self {
        self.uses_specific_response_channel = specific;
        self
    }

    /// Returns the factory for [`SocketIoOptions::adapter`](crate::SocketIoOptions::adapter).
    pub fn factory(&self) -> AdapterFactory {
        let (broker, counters) = (Rc::clone(&self.broker), Rc::clone(&self.counters));
        let (prefix, specific) = (self.prefix.clone(), self.uses_specific_response_channel);
        Rc::new(move |sink| {
            let link = Link::new(Rc::clone(&broker), Rc::clone(&counters));
            ClassicNamespace::open(link, &prefix, specific, sink)
        })
    }

    /// Returns the counters of the adapter, summed over its namespaces.
    pub fn stats(&self) -> RedisAdapterStats {
        self.counters.get()
    }
}

impl fmt::Debug for RedisAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAdapter")
            .field("key", &self.prefix)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The adapter of a namespace.
struct ClassicNamespace {
    uid: String,
    namespace: Rc<str>,
    /// `PREFIX#NSP#`
    broadcasts: String,
    /// `PREFIX-request#NSP#`
    requests: String,
    /// `PREFIX-response#NSP#`
    responses: String,
    uses_specific_response_channel: bool,
    /// The first bytes of the own broadcasts, which are received, too.
    own_broadcast: Vec<u8>,
    link: Rc<Link>,
    sink: AdapterSink,
}

impl ClassicNamespace {
    fn open(
        link: Rc<Link>,
        prefix: &str,
        uses_specific_response_channel: bool,
        sink: AdapterSink,
    ) -> Rc<ClassicNamespace> {
        let mut uid = [0; RANDOM_LENGTH];
        random::characters(&mut uid);
        let uid = String::from_utf8_lossy(&uid[..UID_LENGTH]).into_owned();
        let namespace = sink.namespace().name();
        // An array of three elements, the first of which is the id.
        let mut own_broadcast = vec![0x93, 0xa0 | UID_LENGTH as u8];
        own_broadcast.extend_from_slice(uid.as_bytes());
        let adapter = Rc::new(ClassicNamespace {
            broadcasts: format!("{prefix}#{namespace}#"),
            requests: format!("{prefix}-request#{namespace}#"),
            responses: format!("{prefix}-response#{namespace}#"),
            uses_specific_response_channel,
            own_broadcast,
            uid,
            namespace,
            link,
            sink,
        });
        let broadcasts = format!("{}*", escape_pattern(&adapter.broadcasts));
        adapter.subscribe(Topic::Pattern(broadcasts), ClassicNamespace::broadcast);
        let requests = Topic::Channel(adapter.requests.clone());
        adapter.subscribe(requests, |adapter, _, payload| {
            adapter.request_received(payload)
        });
        for channel in [
            adapter.responses.clone(),
            format!("{}{}#", adapter.responses, adapter.uid),
        ] {
            adapter.subscribe(Topic::Channel(channel), |adapter, _, payload| {
                adapter.response_received(payload);
            });
        }
        adapter
    }

    fn subscribe(
        self: &Rc<Self>,
        topic: Topic,
        receive: impl Fn(&ClassicNamespace, &str, Bytes) + 'static,
    ) {
        let adapter = Rc::downgrade(self);
        let on_message: OnMessage = Rc::new(move |channel, payload| {
            if let Some(adapter) = adapter.upgrade()
                && adapter.link.is_open()
            {
                receive(&adapter, channel, payload);
            }
        });
        self.link.subscribe(topic, on_message);
    }

    /// Handles a message of the pattern of broadcasts.
    fn broadcast(&self, channel: &str, payload: Bytes) {
        let counters = &self.link.counters;
        let Some(room) = channel.strip_prefix(&*self.broadcasts) else {
            return counters.update(|stats| stats.ignored += 1);
        };
        if payload.starts_with(&self.own_broadcast) {
            return counters.update(|stats| stats.ignored += 1);
        }
        let room = room.strip_suffix('#').unwrap_or(room);
        if !room.is_empty() && !self.sink.needs_all_rooms() && !self.sink.has_room(room) {
            return counters.update(|stats| stats.skipped += 1);
        }
        let accept = |uid: &str, namespace: &str| uid != self.uid && namespace == &*self.namespace;
        match Broadcast::decode_for(payload, accept) {
            Ok(Some(broadcast)) => self.pass(
                &broadcast.uid,
                ClusterMessage::Broadcast {
                    packet: broadcast.packet,
                    target: broadcast.target,
                    volatile: broadcast.flags.volatile,
                    request: None,
                    timeout: None,
                },
            ),
            Ok(None) => counters.update(|stats| stats.ignored += 1),
            Err(error) => counters.malformed(channel, &error.to_string()),
        }
    }

    /// Passes a message to the namespace.
    fn pass(&self, from: &str, message: ClusterMessage) {
        self.link.counters.update(|stats| stats.received += 1);
        self.sink.message(from, message);
    }

    fn request_received(&self, payload: Bytes) {
        let request = match Request::decode(payload, &self.namespace) {
            Ok(request) => request,
            Err(error) => return self.malformed_request(&error),
        };
        if request.uid.as_deref() == Some(&*self.uid) {
            return self.link.counters.update(|stats| stats.ignored += 1);
        }
        let from = request.uid.unwrap_or_default();
        match (request.body, request.id) {
            (RequestBody::Sockets { rooms }, Some(id)) => {
                let except = Vec::new();
                let ids = self.socket_ids(&Target { rooms, except });
                self.answer(&from, id, ResponseBody::SocketIds(ids));
            }
            (RequestBody::AllRooms, Some(id)) => {
                let rooms = self.sink.namespace().rooms();
                let mut rooms: Vec<String> = rooms.iter().map(|room| room.to_string()).collect();
                rooms.extend(self.socket_ids(&Target::default()));
                self.answer(&from, id, ResponseBody::Rooms(rooms));
            }
            (RequestBody::Join { target, rooms }, id) => {
                let message = ClusterMessage::SocketsJoin { target, rooms };
                self.change(&from, id, message);
            }
            (RequestBody::Leave { target, rooms }, id) => {
                let message = ClusterMessage::SocketsLeave { target, rooms };
                self.change(&from, id, message);
            }
            (RequestBody::Disconnect { target, close }, id) => {
                let message = ClusterMessage::DisconnectSockets { target, close };
                self.change(&from, id, message);
            }
            (RequestBody::Fetch { target }, Some(request)) => {
                self.pass(&from, ClusterMessage::FetchSockets { target, request });
            }
            (RequestBody::ServerSideEmit { packet }, request) => {
                self.pass(&from, ClusterMessage::ServerSideEmit { packet, request });
            }
            (
                RequestBody::Broadcast {
                    packet,
                    target,
                    timeout,
                    volatile,
                },
                request @ Some(_),
            ) => self.pass(
                &from,
                ClusterMessage::Broadcast {
                    packet,
                    target,
                    volatile,
                    request,
                    timeout,
                },
            ),
            (_, None) => self.malformed_request(&WireError::Key("requestId")),
        }
    }

    fn malformed_request(&self, error: &WireError) {
        let counters = &self.link.counters;
        counters.malformed(&self.requests, &error.to_string());
    }

    /// Changes sockets. Old servers send a request id, to which the server with the socket responds.
    fn change(&self, from: &str, id: Option<String>, message: ClusterMessage) {
        let id = id.filter(|_| match &message {
            ClusterMessage::SocketsJoin { target, .. }
            | ClusterMessage::SocketsLeave { target, .. }
            | ClusterMessage::DisconnectSockets { target, .. } => {
                target.rooms.iter().any(|room| self.sink.has_room(room))
            }
            _ => false,
        });
        self.pass(from, message);
        if let Some(id) = id {
            self.answer(from, id, ResponseBody::Done);
        }
    }

    /// Returns the ids of the sockets of this server that `target` selects.
    fn socket_ids(&self, target: &Target) -> Vec<String> {
        let Some(state) = self.sink.namespace().state() else {
            return Vec::new();
        };
        let sockets = state.select_sockets(target, None);
        sockets.iter().map(|socket| socket.id.to_string()).collect()
    }

    /// Responds to a request of the server `to`.
    fn answer(&self, to: &str, id: String, body: ResponseBody) {
        let is_specific = self.uses_specific_response_channel
            // The official adapter publishes these responses on the common channel.
            && !matches!(body, ResponseBody::ServerSideAck(_));
        let payload = Response { id, body }.encode();
        let specific;
        let channel = match is_specific {
            true => {
                specific = format!("{}{to}#", self.responses);
                &specific
            }
            false => &self.responses,
        };
        self.link.publish(Channel::Plain(channel), Ok(payload));
    }

    fn response_received(&self, payload: Bytes) {
        let counters = &self.link.counters;
        let response = match Response::decode_for(payload, |id| id.starts_with(&self.uid)) {
            Ok(Some(response)) => response,
            Ok(None) => return counters.update(|stats| stats.ignored += 1),
            Err(error) => return counters.malformed(&self.responses, &error.to_string()),
        };
        let request = response.id[self.uid.len()..].to_owned();
        let response = match response.body {
            ResponseBody::Sockets(sockets) => ClusterResponse::Sockets { request, sockets },
            ResponseBody::ServerSideAck(value) => ClusterResponse::ServerSideAck { request, value },
            ResponseBody::ClientCount(count) => ClusterResponse::ClientCount { request, count },
            ResponseBody::Ack(value) => ClusterResponse::Ack { request, value },
            // This adapter does not send such requests.
            ResponseBody::Done | ResponseBody::Rooms(_) | ResponseBody::SocketIds(_) => {
                return counters.update(|stats| stats.ignored += 1);
            }
        };
        counters.update(|stats| stats.received += 1);
        // Responses do not contain the id of the server. They are counted instead.
        self.sink.response("", response);
    }

    /// Returns a request id that is unique in the cluster: responses on the common channel are received by all servers.
    fn request_id(&self, id: &str) -> String {
        format!("{}{id}", self.uid)
    }

    fn encode_request(&self, id: Option<&str>, body: RequestBody) -> Result<Bytes, WireError> {
        let request = Request {
            uid: Some(self.uid.clone()),
            id: id.map(|id| self.request_id(id)),
            body,
        };
        request.encode(&self.namespace)
    }
}

impl Adapter for ClassicNamespace {
    fn publish(&self, message: &ClusterMessage) {
        let body = match message.clone() {
            ClusterMessage::Broadcast {
                packet,
                target,
                volatile,
                ..
            } => {
                let flags = BroadcastFlags {
                    volatile,
                    compress: None,
                };
                let payload =
                    Broadcast::encode(&self.uid, &self.namespace, &packet, &target, flags);
                let of_room;
                let channel = match &*target.rooms {
                    [room] => {
                        of_room = format!("{}{room}#", self.broadcasts);
                        &of_room
                    }
                    _ => &self.broadcasts,
                };
                return self.link.publish(Channel::Plain(channel), payload);
            }
            ClusterMessage::SocketsJoin { target, rooms } => RequestBody::Join { target, rooms },
            ClusterMessage::SocketsLeave { target, rooms } => RequestBody::Leave { target, rooms },
            ClusterMessage::DisconnectSockets { target, close } => {
                RequestBody::Disconnect { target, close }
            }
            ClusterMessage::ServerSideEmit { packet, .. } => RequestBody::ServerSideEmit { packet },
            ClusterMessage::FetchSockets { .. } | ClusterMessage::RestoreSession { .. } => return,
        };
        let payload = self.encode_request(None, body);
        self.link.publish(Channel::Plain(&self.requests), payload);
    }

    fn request(&self, message: &ClusterMessage) -> Promise<Servers> {
        let (id, body) = match message.clone() {
            ClusterMessage::Broadcast {
                packet,
                target,
                volatile,
                request,
                timeout,
            } => (
                request,
                RequestBody::Broadcast {
                    packet,
                    target,
                    timeout,
                    volatile,
                },
            ),
            ClusterMessage::FetchSockets { target, request } => {
                (Some(request), RequestBody::Fetch { target })
            }
            ClusterMessage::ServerSideEmit { packet, request } => {
                (request, RequestBody::ServerSideEmit { packet })
            }
            // The wire format has no such request.
            _ => return Promise::ready(Servers::Count(0)),
        };
        let payload = self.encode_request(id.as_deref(), body);
        self.link.request(Channel::Plain(&self.requests), payload)
    }

    fn respond(&self, to: &str, response: &ClusterResponse) {
        let body = match response {
            ClusterResponse::ClientCount { count, .. } => ResponseBody::ClientCount(*count),
            ClusterResponse::Ack { value, .. } => ResponseBody::Ack(value.clone()),
            ClusterResponse::Sockets { sockets, .. } => ResponseBody::Sockets(sockets.clone()),
            ClusterResponse::ServerSideAck { value, .. } => {
                ResponseBody::ServerSideAck(value.clone())
            }
            ClusterResponse::Session { .. } => return,
        };
        self.answer(to, response.request().to_owned(), body);
    }

    fn close(&self) {
        self.link.close();
    }
}
