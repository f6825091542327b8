//! Encoding and decoding of messages and responses.

use bytes::Bytes;
use uptick_websocket::{Message, Text};

use super::CodecError;
use super::value::{put_value, value};
use super::wire::{Reader, put_bytes, put_number, put_size, put_strings};
use crate::adapter::{ClusterMessage, ClusterResponse, RemoteSession, RemoteSocket, Target};
use crate::protocol::packet::Encoded;

const BROADCAST: u8 = 1;
const SOCKETS_JOIN: u8 = 2;
const SOCKETS_LEAVE: u8 = 3;
const DISCONNECT_SOCKETS: u8 = 4;
const FETCH_SOCKETS: u8 = 5;
const SERVER_SIDE_EMIT: u8 = 6;
const RESTORE_SESSION: u8 = 7;
const CLIENT_COUNT: u8 = 16;
const ACK: u8 = 17;
const SOCKETS: u8 = 18;
const SERVER_SIDE_ACK: u8 = 19;
const SESSION: u8 = 20;
const GONE: u8 = 32;
const APPLIED: u8 = 33;

const VOLATILE: u8 = 1;
const REQUEST: u8 = 2;
const TIMEOUT: u8 = 4;
const CLOSE: u8 = 1;
const FOUND: u8 = 1;

const TEXT: u8 = 0;
const BINARY: u8 = 1;

/// A message from one worker to another.
#[derive(Clone, Debug, PartialEq)]
pub enum BusMessage {
    /// A message of a namespace.
    Message(ClusterMessage),
    /// A response of a namespace to a worker.
    Response {
        /// The bus id of the requesting worker.
        to: u64,
        /// The response.
        response: ClusterResponse,
    },
    /// The worker no longer has the namespace.
    Gone,
    /// The worker has applied a message that adds sockets to rooms.
    Applied {
        /// The bus id of the worker that sent the message.
        to: u64,
        /// The number of the message.
        sequence: u64,
    },
}

/// Decodes a message. Long frames and long binary values share the memory of `bytes`.
///
/// # Errors
///
/// Returns [`CodecError`] if the bytes are not a valid message.
pub fn decode(bytes: Bytes) -> Result<BusMessage, CodecError> {
    let mut reader = Reader::new(bytes);
    let reader = &mut reader;
    let kind = reader.byte()?;
    let message = match kind {
        GONE => BusMessage::Gone,
        APPLIED => BusMessage::Applied {
            to: reader.number()?,
            sequence: u64::from_le_bytes(reader.array()?),
        },
        CLIENT_COUNT..=SESSION => BusMessage::Response {
            to: reader.number()?,
            response: response(kind, reader)?,
        },
        _ => BusMessage::Message(cluster_message(kind, reader)?),
    };
    std::mem::replace(reader, Reader::new(Bytes::new())).finish()?;
    Ok(message)
}

fn cluster_message(kind: u8, reader: &mut Reader) -> Result<ClusterMessage, CodecError> {
    Ok(match kind {
        BROADCAST => {
            let flags = flags(reader, VOLATILE | REQUEST | TIMEOUT)?;
            ClusterMessage::Broadcast {
                volatile: flags & VOLATILE != 0,
                request: optional(flags & REQUEST, reader, Reader::string)?,
                timeout: optional(flags & TIMEOUT, reader, Reader::number)?,
                target: target(reader)?,
                packet: packet(reader)?,
            }
        }
        SOCKETS_JOIN => ClusterMessage::SocketsJoin {
            target: target(reader)?,
            rooms: reader.strings()?,
        },
        SOCKETS_LEAVE => ClusterMessage::SocketsLeave {
            target: target(reader)?,
            rooms: reader.strings()?,
        },
        DISCONNECT_SOCKETS => ClusterMessage::DisconnectSockets {
            target: target(reader)?,
            close: flags(reader, CLOSE)? != 0,
        },
        FETCH_SOCKETS => ClusterMessage::FetchSockets {
            target: target(reader)?,
            request: reader.string()?,
        },
        SERVER_SIDE_EMIT => {
            let flags = flags(reader, REQUEST)?;
            ClusterMessage::ServerSideEmit {
                request: optional(flags & REQUEST, reader, Reader::string)?,
                packet: packet(reader)?,
            }
        }
        RESTORE_SESSION => ClusterMessage::RestoreSession {
            pid: reader.string()?,
            offset: reader.string()?,
            request: reader.string()?,
        },
        kind => return Err(CodecError::Kind(kind)),
    })
}

fn response(kind: u8, reader: &mut Reader) -> Result<ClusterResponse, CodecError> {
    let request = reader.string()?;
    Ok(match kind {
        CLIENT_COUNT => ClusterResponse::ClientCount {
            request,
            count: reader.size()?,
        },
        ACK => ClusterResponse::Ack {
            request,
            value: value(reader)?,
        },
        SOCKETS => ClusterResponse::Sockets {
            request,
            sockets: reader.list(socket)?,
        },
        SERVER_SIDE_ACK => ClusterResponse::ServerSideAck {
            request,
            value: value(reader)?,
        },
        SESSION => ClusterResponse::Session {
            request,
            session: match flags(reader, FOUND)? {
                0 => None,
                _ => Some(session(reader)?),
            },
        },
        kind => return Err(CodecError::Kind(kind)),
    })
}

fn session(reader: &mut Reader) -> Result<RemoteSession, CodecError> {
    Ok(RemoteSession {
        id: reader.string()?,
        rooms: reader.strings()?,
        data: value(reader)?,
        missed: reader.list(packet)?,
    })
}

fn socket(reader: &mut Reader) -> Result<RemoteSocket, CodecError> {
    Ok(RemoteSocket {
        id: reader.string()?,
        handshake: value(reader)?,
        rooms: reader.strings()?,
        data: value(reader)?,
    })
}

fn target(reader: &mut Reader) -> Result<Target, CodecError> {
    Ok(Target {
        rooms: reader.strings()?,
        except: reader.strings()?,
    })
}

fn packet(reader: &mut Reader) -> Result<Encoded, CodecError> {
    let kind = reader.byte()?;
    let head = reader.bytes()?;
    let head = match kind {
        TEXT => Message::Text(Text::try_from(head).map_err(|_| CodecError::Utf8)?),
        BINARY => Message::Binary(head),
        kind => return Err(CodecError::Kind(kind)),
    };
    Ok(Encoded::of_frames(head, reader.list(Reader::bytes)?))
}

/// Reads a byte of flags. Flags that are not in `known` are an error.
fn flags(reader: &mut Reader, known: u8) -> Result<u8, CodecError> {
    let flags = reader.byte()?;
    match flags & !known {
        0 => Ok(flags),
        _ => Err(CodecError::Kind(flags)),
    }
}

fn optional<T>(
    flag: u8,
    reader: &mut Reader,
    read: fn(&mut Reader) -> Result<T, CodecError>,
) -> Result<Option<T>, CodecError> {
    match flag {
        0 => Ok(None),
        _ => read(reader).map(Some),
    }
}

/// Appends the message of a namespace to `out`.
pub fn encode_message(out: &mut Vec<u8>, message: &ClusterMessage) {
    match message {
        ClusterMessage::Broadcast {
            packet,
            target,
            volatile,
            request,
            timeout,
        } => {
            let flag = |set: bool, flag: u8| if set { flag } else { 0 };
            out.push(BROADCAST);
            out.push(
                flag(*volatile, VOLATILE)
                    | flag(request.is_some(), REQUEST)
                    | flag(timeout.is_some(), TIMEOUT),
            );
            put_optional(out, request.as_deref());
            if let Some(timeout) = timeout {
                put_number(out, *timeout);
            }
            put_target(out, target);
            put_packet(out, packet);
        }
        ClusterMessage::SocketsJoin { target, rooms } => {
            out.push(SOCKETS_JOIN);
            put_target(out, target);
            put_strings(out, rooms);
        }
        ClusterMessage::SocketsLeave { target, rooms } => {
            out.push(SOCKETS_LEAVE);
            put_target(out, target);
            put_strings(out, rooms);
        }
        ClusterMessage::DisconnectSockets { target, close } => {
            out.push(DISCONNECT_SOCKETS);
            put_target(out, target);
            out.push(if *close { CLOSE } else { 0 });
        }
        ClusterMessage::FetchSockets { target, request } => {
            out.push(FETCH_SOCKETS);
            put_target(out, target);
            put_bytes(out, request.as_bytes());
        }
        ClusterMessage::ServerSideEmit { packet, request } => {
            out.push(SERVER_SIDE_EMIT);
            out.push(if request.is_some() { REQUEST } else { 0 });
            put_optional(out, request.as_deref());
            put_packet(out, packet);
        }
        ClusterMessage::RestoreSession {
            pid,
            offset,
            request,
        } => {
            out.push(RESTORE_SESSION);
            for text in [pid, offset, request] {
                put_bytes(out, text.as_bytes());
            }
        }
    }
}

/// Appends a response to the worker with the bus id `to`.
///
/// # Errors
///
/// Returns [`CodecError::TooDeep`] if a value is nested deeper than [`DEPTH_LIMIT`](super::DEPTH_LIMIT).
pub fn encode_response(
    out: &mut Vec<u8>,
    to: u64,
    response: &ClusterResponse,
) -> Result<(), CodecError> {
    let mut begin = |kind: u8| {
        out.push(kind);
        put_number(out, to);
        put_bytes(out, response.request().as_bytes());
    };
    match response {
        ClusterResponse::ClientCount { count, .. } => {
            begin(CLIENT_COUNT);
            put_size(out, *count);
        }
        ClusterResponse::Ack { value, .. } => {
            begin(ACK);
            put_value(out, value)?;
        }
        ClusterResponse::Sockets { sockets, .. } => {
            begin(SOCKETS);
            put_size(out, sockets.len());
            for socket in sockets {
                put_bytes(out, socket.id.as_bytes());
                put_value(out, &socket.handshake)?;
                put_strings(out, &socket.rooms);
                put_value(out, &socket.data)?;
            }
        }
        ClusterResponse::ServerSideAck { value, .. } => {
            begin(SERVER_SIDE_ACK);
            put_value(out, value)?;
        }
        ClusterResponse::Session { session, .. } => {
            begin(SESSION);
            out.push(if session.is_some() { FOUND } else { 0 });
            if let Some(session) = session {
                put_bytes(out, session.id.as_bytes());
                put_strings(out, &session.rooms);
                put_value(out, &session.data)?;
                put_size(out, session.missed.len());
                for packet in &session.missed {
                    put_packet(out, packet);
                }
            }
        }
    }
    Ok(())
}

/// Appends the message that the worker no longer has the namespace.
pub fn encode_gone(out: &mut Vec<u8>) {
    out.push(GONE);
}

/// Appends the confirmation that a message was applied.
pub fn encode_applied(out: &mut Vec<u8>, to: u64, sequence: u64) {
    out.push(APPLIED);
    put_number(out, to);
    out.extend_from_slice(&sequence.to_le_bytes());
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    if let Some(text) = text {
        put_bytes(out, text.as_bytes());
    }
}

fn put_target(out: &mut Vec<u8>, target: &Target) {
    put_strings(out, &target.rooms);
    put_strings(out, &target.except);
}

fn put_packet(out: &mut Vec<u8>, packet: &Encoded) {
    let mut frames = packet.frames();
    let head = frames.next().unwrap_or_else(|| Message::Text(Text::new()));
    out.push(if head.is_text() { TEXT } else { BINARY });
    put_bytes(out, head.as_bytes());
    put_size(out, packet.frame_count().saturating_sub(1));
    for attachment in frames {
        put_bytes(out, attachment.as_bytes());
    }
}
