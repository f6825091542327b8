//! Responses to requests.

use bytes::Bytes;

use super::super::WireError;
use super::super::fields::{Fields, of_socket};
use super::super::value::{self, number, object, strings};
use crate::adapter::RemoteSocket;
use crate::protocol::Value;

/// A response to a [`Request`](super::Request).
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The id of the request.
    pub id: String,
    /// The content.
    pub body: ResponseBody,
}

/// The content of a [`Response`].
#[derive(Clone, Debug, PartialEq)]
pub enum ResponseBody {
    /// The socket was changed. A response to old servers.
    Done,
    /// The names of the rooms of the server.
    Rooms(Vec<String>),
    /// The ids of sockets of the server. A response to old servers.
    SocketIds(Vec<String>),
    /// The sockets of the server.
    Sockets(Vec<RemoteSocket>),
    /// The acknowledgement of the server.
    ServerSideAck(Value),
    /// The number of clients to which a broadcast was sent.
    ClientCount(usize),
    /// The acknowledgement of one client.
    Ack(Value),
}

impl Response {
    /// Decodes a response.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if the bytes are not a valid response, or if its type is unknown.
    pub fn decode(bytes: Bytes) -> Result<Response, WireError> {
        Response::decode_for(bytes, |_| true)?.ok_or(WireError::Structure)
    }

    /// Decodes a response if `accept` returns `true` for the id of its request.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if the bytes are not a valid response, or if its type is unknown.
    pub fn decode_for(
        bytes: Bytes,
        accept: impl FnOnce(&str) -> bool,
    ) -> Result<Option<Response>, WireError> {
        let mut fields = Fields::of(value::decode(bytes)?)?;
        let id = fields.string("requestId")?;
        if !accept(&id) {
            return Ok(None);
        }
        let body = match fields.optional_integer("type")? {
            Some(super::SERVER_SIDE_EMIT) => ResponseBody::ServerSideAck(fields.value("data")),
            Some(super::BROADCAST_CLIENT_COUNT) => {
                ResponseBody::ClientCount(fields.count("clientCount")?)
            }
            Some(super::BROADCAST_ACK) => ResponseBody::Ack(fields.value("packet")),
            Some(kind) => return Err(WireError::UnknownType(kind)),
            None => untyped(&mut fields)?,
        };
        Ok(Some(Response { id, body }))
    }

    /// Encodes a response.
    pub fn encode(&self) -> Bytes {
        let request = ("requestId", Value::from(self.id.as_str()));
        let typed = |kind: u64, key, content| {
            let kind = ("type", Value::Number(kind.into()));
            object([kind, request.clone(), (key, content)])
        };
        let value = match &self.body {
            ResponseBody::Done => object([request]),
            ResponseBody::Rooms(rooms) => object([request, ("rooms", strings(rooms))]),
            ResponseBody::SocketIds(ids) => object([request, ("sockets", strings(ids))]),
            ResponseBody::Sockets(sockets) => {
                let sockets = sockets.iter().map(of_socket).collect();
                object([request, ("sockets", Value::Array(sockets))])
            }
            ResponseBody::ServerSideAck(value) => {
                typed(super::SERVER_SIDE_EMIT, "data", value.clone())
            }
            ResponseBody::ClientCount(count) => {
                typed(super::BROADCAST_CLIENT_COUNT, "clientCount", number(*count))
            }
            ResponseBody::Ack(value) => {
                let ack = typed(super::BROADCAST_ACK, "packet", value.clone());
                return value::encode_msgpack(&ack);
            }
        };
        value::encode(&value)
    }
}

/// Decodes the content of a response without a type.
fn untyped(fields: &mut Fields) -> Result<ResponseBody, WireError> {
    match (fields.get("sockets"), fields.get("rooms")) {
        (Some(sockets), _) => match sockets.at(0) {
            Some(Value::String(_)) => fields.rooms("sockets").map(ResponseBody::SocketIds),
            _ => fields.sockets().map(ResponseBody::Sockets),
        },
        (None, Some(_)) => fields.rooms("rooms").map(ResponseBody::Rooms),
        (None, None) => Ok(ResponseBody::Done),
    }
}
