//! Requests to all servers.

use bytes::Bytes;

use super::super::WireError;
use super::super::fields::{Fields, Flags};
use super::super::packet::{check_type, data_of, packet_of};
use super::super::value::{self, object, strings};
use super::broadcast::packet_value;
use crate::adapter::Target;
use crate::protocol::Value;
use crate::protocol::packet::Encoded;

/// The entries of an object.
type Entries = Vec<(&'static str, Value)>;

/// A request to all servers.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The id of the requesting server. An emitter has none, or `emitter`.
    pub uid: Option<String>,
    /// The request id, if a response is requested.
    pub id: Option<String>,
    /// The content.
    pub body: RequestBody,
}

/// The content of a [`Request`].
#[derive(Clone, Debug, PartialEq)]
pub enum RequestBody {
    /// Requests the ids of sockets. Only old servers send it.
    Sockets {
        /// The rooms; all sockets without rooms.
        rooms: Vec<String>,
    },
    /// Requests the names of all rooms.
    AllRooms,
    /// Adds sockets to rooms. With a request id, which only old servers send, the server that has the socket responds.
    Join {
        /// The selected sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Removes sockets from rooms. Request ids as for `Join`.
    Leave {
        /// The selected sockets.
        target: Target,
        /// The rooms.
        rooms: Vec<String>,
    },
    /// Disconnects sockets. Request ids as for `Join`.
    Disconnect {
        /// The selected sockets.
        target: Target,
        /// `true` if the connections of their clients are closed, too.
        close: bool,
    },
    /// Requests a list of sockets.
    Fetch {
        /// The selected sockets.
        target: Target,
    },
    /// Emits an event to the listeners of the namespace on the servers.
    ServerSideEmit {
        /// The event.
        packet: Encoded,
    },
    /// Sends an event to sockets and requests acknowledgements.
    Broadcast {
        /// The event.
        packet: Encoded,
        /// The selected sockets.
        target: Target,
        /// The timeout of acknowledgements in milliseconds.
        timeout: Option<u64>,
        /// `true` if the event may be dropped for slow clients.
        volatile: bool,
    },
}

impl Request {
    /// Decodes a request in a namespace.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if the bytes are not a valid request, or if its type is unknown.
    pub fn decode(bytes: Bytes, namespace: &str) -> Result<Request, WireError> {
        let mut fields = Fields::of(value::decode(bytes)?)?;
        let kind = fields.integer("type")?;
        let uid = fields.optional_string("uid")?;
        let mut id = fields.optional_string("requestId")?;
        let body = match kind {
            super::SOCKETS => RequestBody::Sockets {
                rooms: fields.rooms("rooms")?,
            },
            super::ALL_ROOMS => RequestBody::AllRooms,
            super::REMOTE_JOIN..=super::REMOTE_DISCONNECT => remote(kind, &mut fields, &mut id)?,
            super::REMOTE_FETCH => RequestBody::Fetch {
                target: fields.fields("opts")?.target()?,
            },
            super::SERVER_SIDE_EMIT => RequestBody::ServerSideEmit {
                packet: packet_of(namespace, fields.value("data"))?,
            },
            super::BROADCAST => {
                let mut packet = fields.fields("packet")?;
                check_type(packet.integer("type")?)?;
                let mut options = fields.fields("opts")?;
                let flags = Flags::of(&mut options);
                RequestBody::Broadcast {
                    packet: packet_of(namespace, packet.value("data"))?,
                    target: options.target()?,
                    timeout: flags.timeout,
                    volatile: flags.volatile,
                }
            }
            kind => return Err(WireError::UnknownType(kind)),
        };
        Ok(Request { uid, id, body })
    }

    /// Encodes a request in a namespace.
    ///
    /// # Errors
    ///
    /// Returns [`WireError::Event`] if the packet of the request is not a JSON event.
    pub fn encode(&self, namespace: &str) -> Result<Bytes, WireError> {
        let head = [("uid", &self.uid), ("requestId", &self.id)];
        let head = head
            .into_iter()
            .filter_map(|(key, text)| Some((key, Value::from(text.as_deref()?))));
        let (kind, body) = self.body.entries(namespace)?;
        let kind = [("type", Value::Number(kind.into()))];
        let entries = head.chain(kind).chain(body);
        let value = Value::Object(
            entries
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
        );
        Ok(match self.body {
            RequestBody::Broadcast { .. } => value::encode_msgpack(&value),
            _ => value::encode(&value),
        })
    }
}

/// Decodes a request that changes sockets. Old servers name a single socket and a single room.
fn remote(
    kind: u64,
    fields: &mut Fields,
    id: &mut Option<String>,
) -> Result<RequestBody, WireError> {
    let (target, rooms) = match fields.optional("opts") {
        Some(options) => {
            // Without a response.
            *id = None;
            let rooms = match kind {
                super::REMOTE_DISCONNECT => Vec::new(),
                _ => fields.rooms("rooms")?,
            };
            (Fields::of(options)?.target()?, rooms)
        }
        None => {
            let target = Target {
                rooms: vec![fields.string("sid")?],
                except: Vec::new(),
            };
            let rooms = match kind {
                super::REMOTE_DISCONNECT => Vec::new(),
                _ => vec![fields.room("room")?],
            };
            (target, rooms)
        }
    };
    Ok(match kind {
        super::REMOTE_JOIN => RequestBody::Join { target, rooms },
        super::REMOTE_LEAVE => RequestBody::Leave { target, rooms },
        _ => RequestBody::Disconnect {
            target,
            close: fields.boolean("close"),
        },
    })
}

impl RequestBody {
    /// Returns the type and the other entries of the request.
    fn entries(&self, namespace: &str) -> Result<(u64, Entries), WireError> {
        Ok(match self {
            RequestBody::Sockets { rooms } => (super::SOCKETS, vec![("rooms", strings(rooms))]),
            RequestBody::AllRooms => (super::ALL_ROOMS, Vec::new()),
            RequestBody::Join { target, rooms } => (
                super::REMOTE_JOIN,
                vec![("opts", options(target)), ("rooms", strings(rooms))],
            ),
            RequestBody::Leave { target, rooms } => (
                super::REMOTE_LEAVE,
                vec![("opts", options(target)), ("rooms", strings(rooms))],
            ),
            RequestBody::Disconnect { target, close } => (
                super::REMOTE_DISCONNECT,
                vec![("opts", options(target)), ("close", Value::Bool(*close))],
            ),
            RequestBody::Fetch { target } => (super::REMOTE_FETCH, vec![("opts", options(target))]),
            RequestBody::ServerSideEmit { packet } => {
                (super::SERVER_SIDE_EMIT, vec![("data", data_of(packet)?)])
            }
            RequestBody::Broadcast {
                packet,
                target,
                timeout,
                volatile,
            } => {
                let volatile = volatile.then_some(("volatile", Value::Bool(true)));
                let timeout = timeout.map(|timeout| ("timeout", Value::Number(timeout.into())));
                let flags = volatile.into_iter().chain(timeout);
                let flags = flags.map(|(key, flag)| (key.to_owned(), flag)).collect();
                let options = object([
                    ("rooms", strings(&target.rooms)),
                    ("except", strings(&target.except)),
                    ("flags", Value::Object(flags)),
                ]);
                let packet = packet_value(namespace, packet)?;
                (
                    super::BROADCAST,
                    vec![("packet", packet), ("opts", options)],
                )
            }
        })
    }
}

fn options(target: &Target) -> Value {
    object([
        ("rooms", strings(&target.rooms)),
        ("except", strings(&target.except)),
    ])
}
