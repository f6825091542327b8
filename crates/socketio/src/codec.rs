//! The packet parser of a server, which encodes and decodes packets.

use serde::Serialize;
use uptick_websocket::Message;

use crate::arguments::ToArguments;
#[cfg(feature = "msgpack")]
use crate::protocol::msgpack;
use crate::protocol::packet::{
    self, Decoder, EncodeError, Encoded, Encoder, Limits, Packet, PacketError,
};

/// The encoding of packets. Server and clients must use the same one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parser {
    /// JSON with attachments: `socket.io-parser`.
    #[default]
    Json,
    /// MessagePack: `socket.io-msgpack-parser`.
    #[cfg(feature = "msgpack")]
    MessagePack,
}

impl Parser {
    pub(crate) fn event<A: ToArguments + ?Sized>(
        self,
        namespace: &str,
        id: Option<u64>,
        name: &str,
        arguments: &A,
    ) -> Result<Encoded, EncodeError> {
        let mut encoder = Encoder::event(namespace, id, name)?;
        arguments.encode(&mut encoder)?;
        self.convert(&encoder.finish()?)
    }

    pub(crate) fn ack<A: ToArguments + ?Sized>(
        self,
        namespace: &str,
        id: u64,
        arguments: &A,
    ) -> Result<Encoded, EncodeError> {
        let mut encoder = Encoder::ack(namespace, id)?;
        arguments.encode(&mut encoder)?;
        self.convert(&encoder.finish()?)
    }

    pub(crate) fn connect<T: Serialize>(
        self,
        namespace: &str,
        data: &T,
    ) -> Result<Encoded, EncodeError> {
        self.convert(&packet::connect(namespace, Some(data))?)
    }

    pub(crate) fn connect_error<T: Serialize>(
        self,
        namespace: &str,
        data: &T,
    ) -> Result<Encoded, EncodeError> {
        self.convert(&packet::connect_error(namespace, data)?)
    }

    pub(crate) fn disconnect(self, namespace: &str) -> Result<Encoded, EncodeError> {
        self.convert(&packet::disconnect(namespace)?)
    }

    /// Decodes a message from a client. Returns `None` if the packet is still waiting for attachments.
    pub(crate) fn decode(
        self,
        decoder: &mut Decoder,
        message: Message,
        limits: &Limits,
    ) -> Result<Option<Packet>, PacketError> {
        match self {
            Parser::Json => decoder.push(message, limits),
            #[cfg(feature = "msgpack")]
            Parser::MessagePack => match message {
                Message::Binary(bytes) => msgpack::decode(bytes, limits).map(Some),
                Message::Text(_) => Err(PacketError::UnexpectedText),
            },
        }
    }

    /// Converts a packet from JSON to the encoding of the parser.
    pub(crate) fn convert(self, packet: &Encoded) -> Result<Encoded, EncodeError> {
        match self {
            Parser::Json => Ok(packet.clone()),
            #[cfg(feature = "msgpack")]
            Parser::MessagePack => match decode_own(packet) {
                Some(packet) => msgpack::encode(&packet),
                None => Ok(packet.clone()),
            },
        }
    }
}

/// Decodes a packet that this server has encoded as JSON.
pub(crate) fn decode_own(packet: &Encoded) -> Option<Packet> {
    let limits = Limits::default()
        .depth(usize::MAX)
        .attachments(usize::MAX)
        .attachment_bytes(usize::MAX)
        .namespace(usize::MAX);
    let mut decoder = Decoder::new();
    let mut decoded = None;
    for frame in packet.frames() {
        let message = match frame {
            // Strips the leading `4` of an Engine.IO message.
            Message::Text(text) => Message::Text(text.slice(1..)),
            binary => binary,
        };
        decoded = decoder.push(message, &limits).ok()?;
    }
    decoded
}
