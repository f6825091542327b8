//! The messages of adapters based on `ClusterAdapter` of `socket.io-adapter`.
//!
//! `{type, data, uid, nsp}`: the type is a number, `uid` identifies the sending server, `nsp` is the namespace.
//!
//! Adapters that transport these parts separately use [`data_of_message`], [`data_of_response`] and [`from_parts`].

use bytes::Bytes;

use super::WireError;
use super::fields::{Fields, Flags, of_socket};
use super::packet::{check_type, data_of, packet_of};
use super::value::{self, number, object, strings};
use crate::adapter::{ClusterMessage, ClusterResponse, Target};
use crate::protocol::Value;

const INITIAL_HEARTBEAT: u64 = 1;
const HEARTBEAT: u64 = 2;
const BROADCAST: u64 = 3;
const SOCKETS_JOIN: u64 = 4;
const SOCKETS_LEAVE: u64 = 5;
const DISCONNECT_SOCKETS: u64 = 6;
const FETCH_SOCKETS: u64 = 7;
const FETCH_SOCKETS_RESPONSE: u64 = 8;
const SERVER_SIDE_EMIT: u64 = 9;
const SERVER_SIDE_EMIT_RESPONSE: u64 = 10;
const BROADCAST_CLIENT_COUNT: u64 = 11;
const BROADCAST_ACK: u64 = 12;
const ADAPTER_CLOSE: u64 = 13;

/// A received message.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceivedMessage {
    /// The id of the sending server.
    pub uid: String,
    /// The namespace.
    pub namespace: String,
    /// The content.
    pub content: Content,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A message of a namespace.
    Message(ClusterMessage),
    /// A response of a namespace.
    Response(ClusterResponse),
    /// A server joined the cluster.
    InitialHeartbeat,
    /// A server is in the cluster.
    Heartbeat,
    /// A server left the cluster.
    AdapterClose,
}

/// Decodes a message.
///
/// # Errors
///
/// Returns [`WireError`] if the bytes are not a valid message, or if its type is unknown.
pub fn decode(bytes: Bytes) -> Result<ReceivedMessage, WireError> {
    let mut fields = Fields::of(value::decode(bytes)?)?;
    let kind = fields.integer("type")?;
    let uid = fields.string("uid")?;
    let namespace = fields.string("nsp")?;
    let data = fields.value("data");
    let content = from_parts(kind, data, &namespace)?;
    Ok(ReceivedMessage {
        uid,
        namespace,
        content,
    })
}

/// Encodes a message of a namespace: as MessagePack if it contains binary data, otherwise as JSON.
///
/// # Errors
///
/// Returns [`WireError`] if the format has no such message, or if its packet is not a JSON event.
pub fn encode_message(
    uid: &str,
    namespace: &str,
    message: &ClusterMessage,
) -> Result<Bytes, WireError> {
    Ok(envelope(uid, namespace, data_of_message(message)?))
}

/// Encodes a response of a namespace: as MessagePack if it contains binary data, otherwise as JSON.
///
/// # Errors
///
/// Returns [`WireError`] if the format has no such response.
pub fn encode_response(
    uid: &str,
    namespace: &str,
    response: &ClusterResponse,
) -> Result<Bytes, WireError> {
    Ok(envelope(uid, namespace, data_of_response(response)?))
}

/// Returns the last bytes of all encoded messages of a server in a namespace: as JSON, and as MessagePack.
pub fn endings(uid: &str, namespace: &str) -> [Bytes; 2] {
    let (uid, namespace) = (Value::from(uid), Value::from(namespace));
    let entries = object([("uid", uid), ("nsp", namespace)]);
    // Without the beginning of the object.
    [value::encode_json, value::encode_msgpack].map(|encode| encode(&entries).slice(1..))
}

fn envelope(uid: &str, namespace: &str, (kind, data): (u64, Value)) -> Bytes {
    value::encode(&object([
        ("type", Value::Number(kind.into())),
        ("data", data),
        ("uid", Value::from(uid)),
        ("nsp", Value::from(namespace)),
    ]))
}

/// Returns the type and the data of a message.
///
/// # Errors
///
/// Returns [`WireError`] if the format has no such message, or if its packet is not a JSON event.
pub fn data_of_message(message: &ClusterMessage) -> Result<(u64, Value), WireError> {
    Ok(match message {
        ClusterMessage::Broadcast {
            packet,
            target,
            volatile,
            request,
            timeout,
        } => {
            let mut flags = Vec::new();
            if *volatile {
                flags.push(("volatile", Value::Bool(true)));
            }
            if let Some(timeout) = timeout {
                flags.push(("timeout", Value::Number((*timeout).into())));
            }
            let packet = object([("type", number(2)), ("data", data_of(packet)?)]);
            let options = options(target, flags);
            let data = match request {
                None => object([("packet", packet), ("opts", options)]),
                Some(request) => object([
                    ("packet", packet),
                    ("requestId", Value::from(request.as_str())),
                    ("opts", options),
                ]),
            };
            (BROADCAST, data)
        }
        ClusterMessage::SocketsJoin { target, rooms } => (
            SOCKETS_JOIN,
            object([("opts", options(target, [])), ("rooms", strings(rooms))]),
        ),
        ClusterMessage::SocketsLeave { target, rooms } => (
            SOCKETS_LEAVE,
            object([("opts", options(target, [])), ("rooms", strings(rooms))]),
        ),
        ClusterMessage::DisconnectSockets { target, close } => (
            DISCONNECT_SOCKETS,
            object([
                ("opts", options(target, [])),
                ("close", Value::Bool(*close)),
            ]),
        ),
        ClusterMessage::FetchSockets { target, request } => (
            FETCH_SOCKETS,
            object([
                ("opts", options(target, [])),
                ("requestId", Value::from(request.as_str())),
            ]),
        ),
        ClusterMessage::ServerSideEmit { packet, request } => {
            let packet = data_of(packet)?;
            let data = match request {
                None => object([("packet", packet)]),
                Some(request) => object([
                    ("requestId", Value::from(request.as_str())),
                    ("packet", packet),
                ]),
            };
            (SERVER_SIDE_EMIT, data)
        }
        ClusterMessage::RestoreSession { .. } => return Err(WireError::Unsupported),
    })
}

/// Returns the type and the data of a response.
///
/// # Errors
///
/// Returns [`WireError::Unsupported`] if the format has no such response.
pub fn data_of_response(response: &ClusterResponse) -> Result<(u64, Value), WireError> {
    let (kind, key, content) = match response {
        ClusterResponse::Sockets { sockets, .. } => (
            FETCH_SOCKETS_RESPONSE,
            "sockets",
            Value::Array(sockets.iter().map(of_socket).collect()),
        ),
        ClusterResponse::ServerSideAck { value, .. } => {
            (SERVER_SIDE_EMIT_RESPONSE, "packet", value.clone())
        }
        ClusterResponse::ClientCount { count, .. } => {
            (BROADCAST_CLIENT_COUNT, "clientCount", number(*count))
        }
        ClusterResponse::Ack { value, .. } => (BROADCAST_ACK, "packet", value.clone()),
        ClusterResponse::Session { .. } => return Err(WireError::Unsupported),
    };
    let request = Value::from(response.request());
    Ok((kind, object([("requestId", request), (key, content)])))
}

fn options<'a>(target: &Target, flags: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let flags = flags.into_iter().map(|(key, flag)| (key.to_owned(), flag));
    object([
        ("rooms", strings(&target.rooms)),
        ("except", strings(&target.except)),
        ("flags", Value::Object(flags.collect())),
    ])
}

/// Decodes the content of a message from its type and data.
///
/// # Errors
///
/// Returns [`WireError`] if the data does not fit the type, or if the type is unknown.
pub fn from_parts(kind: u64, data: Value, namespace: &str) -> Result<Content, WireError> {
    match kind {
        INITIAL_HEARTBEAT => return Ok(Content::InitialHeartbeat),
        HEARTBEAT => return Ok(Content::Heartbeat),
        ADAPTER_CLOSE => return Ok(Content::AdapterClose),
        BROADCAST..ADAPTER_CLOSE => {}
        kind => return Err(WireError::UnknownType(kind)),
    }
    let mut data = Fields::of(data).map_err(|_| WireError::Key("data"))?;
    if let FETCH_SOCKETS_RESPONSE
    | SERVER_SIDE_EMIT_RESPONSE
    | BROADCAST_CLIENT_COUNT
    | BROADCAST_ACK = kind
    {
        return response(kind, &mut data).map(Content::Response);
    }
    Ok(Content::Message(message(kind, &mut data, namespace)?))
}

fn message(kind: u64, data: &mut Fields, namespace: &str) -> Result<ClusterMessage, WireError> {
    if kind == SERVER_SIDE_EMIT {
        return Ok(ClusterMessage::ServerSideEmit {
            packet: packet_of(namespace, data.value("packet"))?,
            request: data.optional_string("requestId")?,
        });
    }
    let mut options = data.fields("opts")?;
    let target = options.target()?;
    Ok(match kind {
        BROADCAST => {
            let mut packet = data.fields("packet")?;
            check_type(packet.integer("type")?)?;
            let flags = Flags::of(&mut options);
            ClusterMessage::Broadcast {
                packet: packet_of(namespace, packet.value("data"))?,
                target,
                volatile: flags.volatile,
                request: data.optional_string("requestId")?,
                timeout: flags.timeout,
            }
        }
        SOCKETS_JOIN => ClusterMessage::SocketsJoin {
            target,
            rooms: data.rooms("rooms")?,
        },
        SOCKETS_LEAVE => ClusterMessage::SocketsLeave {
            target,
            rooms: data.rooms("rooms")?,
        },
        DISCONNECT_SOCKETS => ClusterMessage::DisconnectSockets {
            target,
            close: data.boolean("close"),
        },
        FETCH_SOCKETS => ClusterMessage::FetchSockets {
            target,
            request: data.string("requestId")?,
        },
        kind => return Err(WireError::UnknownType(kind)),
    })
}

fn response(kind: u64, data: &mut Fields) -> Result<ClusterResponse, WireError> {
    let request = data.string("requestId")?;
    Ok(match kind {
        FETCH_SOCKETS_RESPONSE => ClusterResponse::Sockets {
            request,
            sockets: data.sockets()?,
        },
        SERVER_SIDE_EMIT_RESPONSE => ClusterResponse::ServerSideAck {
            request,
            value: data.value("packet"),
        },
        BROADCAST_CLIENT_COUNT => ClusterResponse::ClientCount {
            request,
            count: data.count("clientCount")?,
        },
        BROADCAST_ACK => ClusterResponse::Ack {
            request,
            value: data.value("packet"),
        },
        kind => return Err(WireError::UnknownType(kind)),
    })
}
