//! Client side of HTTP/1.1: request encoder and response decoder.
//!
//! [`encode_request`] writes the head of a request, and returns the [`Encoder`](super::Encoder) for its body. A [`Decoder`] reads the responses of
//! one connection. It is as strict as the request decoder: it refuses a response whose end is not certain.
//!
//! ```
//! use http::Method;
//! use uptick_http::h1::client::{self, Decoder, Event, Request, RequestBody};
//! use uptick_http::h1::{Limits, RequestFields};
//!
//! let mut out = Vec::new();
//! let request = Request {
//!     method: &Method::GET,
//!     target: "/hello",
//!     host: "example.com",
//!     fields: RequestFields::default(),
//!     body: RequestBody::None,
//!     close: false,
//! };
//! client::encode_request(&mut out, &request)?.finish(&mut out, None)?;
//! assert_eq!(out, b"GET /hello HTTP/1.1\r\nhost: example.com\r\n\r\n");
//!
//! let limits = Limits::default();
//! let mut decoder = Decoder::new();
//! decoder.expect(&Method::GET);
//! decoder.push("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi".into());
//! let Some(Event::Head(head)) = decoder.next(&limits) else { panic!("no head") };
//! assert_eq!((head.status().as_u16(), head.reason()), (200, &b"OK"[..]));
//! assert!(matches!(decoder.next(&limits), Some(Event::Body(piece)) if piece == "Hi"));
//! assert!(matches!(decoder.next(&limits), Some(Event::Complete)));
//! # Ok::<(), uptick_http::h1::EncodeError>(())
//! ```

mod decoder;
mod request;
mod response_head;

#[doc(hidden)]
pub use decoder::HEAD_TOO_LONG;
pub use decoder::{Decoder, Event};
pub use request::{Request, RequestBody, encode_request};
#[doc(hidden)]
pub use response_head::MALFORMED_LINE;
pub use response_head::{BodyLength, ResponseHead};
