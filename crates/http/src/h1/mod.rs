//! Sans-IO HTTP/1.1 (RFC 9112): received bytes in and events out, messages in and bytes out.
//!
//! On a server, a [`Decoder`] reads the requests of one connection. It is strict: it refuses a request that two servers might interpret
//! differently ([`InvalidMessage`]), and then reads nothing more. An [`Encoder`] writes one response, with the framing required by its status
//! and by the request. All header names are written in lower case. The module [`client`] contains the client side, and uses the same body
//! decoder.
//!
//! ```
//! use uptick_http::h1::{Decoder, Event, Limits};
//!
//! let limits = Limits::default();
//! let mut decoder = Decoder::new();
//! decoder.push("GET /hello?from=me HTTP/1.1\r\nHost: example.com\r\n\r\n".into());
//! let Some(Event::Head(head)) = decoder.next(&limits) else { panic!("no head") };
//! assert_eq!((head.raw_path(), head.query()), ("/hello", Some("from=me")));
//! assert_eq!(head.host(), Some("example.com"));
//! assert!(matches!(decoder.next(&limits), Some(Event::Complete)));
//! assert!(decoder.next(&limits).is_none() && decoder.is_idle());
//! ```

mod body;
mod chunked;
pub mod client;
mod decoder;
mod encoder;
mod framing;
mod input;
mod interim;
mod limits;
mod lines;
mod parse;

pub use crate::message::{
    BodyLength, Fields, InvalidMessage, RequestFields, RequestHead, ResponseBody, TargetForm,
    Trailers, Version, is_owned,
};
pub use decoder::{Decoder, Event};
#[doc(hidden)]
pub use encoder::RESPONSE_START;
pub(crate) use encoder::write_plain;
pub use encoder::{CONTINUE, EncodeError, Encoder, Persistence, ResponseHead};
pub use interim::write_interim;
pub use limits::Limits;
