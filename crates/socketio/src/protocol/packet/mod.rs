//! Packets of Socket.IO protocol 5.
//!
//! A packet is one message of text, and behind it one binary message for each of its attachments. [`Decoder`] puts them together. [`Encoder`] writes events
//! and acknowledgements as [`Encoded`] packets, which are encoded once for any number of clients.
//!
//! The decoder accepts what `socket.io-parser` accepts, with these exceptions, which no official client sends: a type, an id or a number of attachments has to
//! be written in decimal digits (JavaScript also takes white space for 0), an id is at most 2^53 − 1, and there are [`Limits`].

mod arguments;
mod decoder;
mod encoder;
mod error;

pub use arguments::{Arguments, Data};
pub use decoder::{Decoder, Limits};
pub(crate) use encoder::to_value;
pub use encoder::{Encoded, Encoder, connect, connect_error, disconnect};
pub use error::{EncodeError, PacketError};

use uptick_websocket::Text;

/// The version of the protocol.
pub const PROTOCOL: u8 = 5;

/// The greatest id of a packet: the greatest integer that JavaScript represents exactly.
pub const MAX_ID: u64 = (1 << 53) - 1;

/// Names of events that no packet may have, because they mean something to clients or servers.
pub const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// A packet of Socket.IO, with its attachments in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Packet {
    /// The namespace, with its leading slash.
    pub namespace: Text,
    /// The id of the acknowledgement that is wanted, or of the packet that is acknowledged.
    pub id: Option<u64>,
    /// The type of the packet, and its data.
    pub body: Body,
}

/// The type of a packet, and its data.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// CONNECT: a client joins the namespace, with an object for authentication, or the server confirms that.
    Connect(Option<Data>),
    /// DISCONNECT: one side leaves the namespace.
    Disconnect,
    /// EVENT or BINARY_EVENT.
    Event {
        /// The name of the event, a number in decimal digits. `None` if the packet has no data at all: the official server accepts that, and no listener
        /// is called.
        name: Option<Text>,
        /// The arguments behind the name.
        arguments: Arguments,
    },
    /// ACK or BINARY_ACK.
    Ack(Arguments),
    /// CONNECT_ERROR: the server refuses a client. A string, or an object with the keys `message` and `data`.
    ConnectError(Option<Data>),
}

/// Returns whether a name of an event is [reserved](RESERVED_EVENTS).
pub fn is_reserved(name: &str) -> bool {
    RESERVED_EVENTS.contains(&name)
}

/// Returns the name of an event that is a number, as JavaScript writes it.
pub(crate) fn numeric_name(number: f64) -> Text {
    match number.fract() == 0.0 && number.abs() < 1e21 {
        // Negative zero is written without its sign.
        true => Text::from(format!("{:.0}", number + 0.0)),
        false => Text::from(number.to_string()),
    }
}
