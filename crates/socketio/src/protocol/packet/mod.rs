//! Socket.IO packets, protocol version 5.
//!
//! A packet is sent as one text message, followed by one binary message for each of its attachments. [`Decoder`] reassembles them. [`Encoder`] writes events
//! and acknowledgements as [`Encoded`] packets, which are encoded once for any number of clients.
//!
//! The decoder accepts the same input as `socket.io-parser`, with these exceptions, which no official client depends on: a type, an id or a number of attachments must
//! be written in decimal digits (JavaScript also accepts white space as 0), an id is at most 2^53 − 1, and [`Limits`] apply.

mod arguments;
mod decoder;
mod encoder;
mod error;

pub use arguments::{Arguments, Data};
#[cfg(feature = "redis")]
pub(crate) use decoder::replace_surrogates;
pub use decoder::{Decoder, Limits};
pub(crate) use encoder::to_value;
pub use encoder::{Encoded, Encoder, connect, connect_error, disconnect};
pub use error::{EncodeError, PacketError};

use uptick_websocket::Text;

/// The version of the protocol.
pub const PROTOCOL: u8 = 5;

/// Maximum id of a packet: the greatest integer that JavaScript represents exactly.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// Event names that packets must not use, because clients or servers give them a special meaning.
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A Socket.IO packet, with its attachments in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The namespace, with its leading slash.
    pub namespace: Text,
    /// The id of the requested acknowledgement, or of the acknowledged packet.
    pub id: Option<u64>,
    /// The type of the packet, and its data.
    pub body: Body,
}

/// The type of a packet, and its data.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// CONNECT: a client joins the namespace, with an object of authentication data, or the server confirms that.
    Connect(Option<Data>),
    /// DISCONNECT: the client or the server leaves the namespace.
    Disconnect,
    /// EVENT or BINARY_EVENT.
    Event {
        /// The name of the event. A number is converted to decimal digits. `None` if the packet has no data at all: the official server accepts such a packet and
        /// calls no listener.
        name: Option<Text>,
        /// The arguments after the name.
        arguments: Arguments,
    },
    /// ACK or BINARY_ACK.
    Ack(Arguments),
    /// CONNECT_ERROR: the server refuses a client. The data is a string, or an object with the keys `message` and `data`.
    ConnectError(Option<Data>),
}

/// Returns `true` if an event name is [reserved](RESERVED_EVENTS).
pub fn is_reserved(name: &str) -> bool {
    RESERVED_EVENTS.contains(&name)
}

/// Returns the name of an event that is a number, formatted as in JavaScript.
pub(crate) fn numeric_name(number: f64) -> Text {
    match number.fract() == 0.0 && number.abs() < 1e21 {
        // Negative zero is written without its sign.
        true => Text::from(format!("{:.0}", number + 0.0)),
        false => Text::from(number.to_string()),
    }
}
