//! WebSocket (RFC 6455) and message compression (RFC 7692) without I/O: bytes in and
//! messages out, messages in and bytes out.
//!
//! [`handshake`] has the opening handshake of both sides. After it, a [`Decoder`] decodes the bytes received by one side of
//! the connection. It is strict: it reports the first protocol violation ([`Invalid`]), and decodes nothing after it.
//! [`frame`] and [`close`] encode frames, and [`deflate`] compresses messages.
//!
//! ```
//! use uptick_websocket::Message;
//! use uptick_websocket::protocol::frame::{self, Flags, Opcode};
//! use uptick_websocket::protocol::{Decoder, Event, Limits, Role};
//!
//! let limits = Limits::default();
//! let mut decoder = Decoder::new(Role::Server);
//! decoder.push(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"[..].into());
//! let Some(Event::Message(message)) = decoder.next(&limits, None) else { panic!("no message") };
//! assert_eq!(message, Message::from("Hello"));
//! assert!(decoder.next(&limits, None).is_none() && decoder.is_idle());
//!
//! let mut out = Vec::new();
//! frame::append(&mut out, Opcode::Text, Flags::FIN, None, message.as_bytes());
//! assert_eq!(out, b"\x81\x05Hello");
//! ```

pub mod close;
mod close_code;
mod decoder;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub(crate) mod head;
mod invalid;
mod limits;
pub mod mask;
mod partial_message;
mod utf8;

pub use close::CloseFrame;
pub use close_code::CloseCode;
pub use decoder::{Decoder, Event, Role};
pub use deflate::{Deflater, Inflater};
pub use invalid::Invalid;
pub use limits::Limits;
pub use utf8::Utf8Validator;
