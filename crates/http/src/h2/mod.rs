//! Sans-IO HTTP/2 (RFC 9113): received bytes in and events out, without sockets, clocks and threads.
//!
//! A [`Connection`] is one connection with its streams. [`hpack`] is the compression of header blocks.
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::BytesMut;
//! use uptick_http::h1::RequestHead;
//! use uptick_http::h2::{Connection, Event, Limits, ResponseBody, ResponseHead};
//!
//! let mut connection: Connection<()> = Connection::server(&Limits::default());
//! let mut input = BytesMut::from(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]);
//! input.extend_from_slice(b"\0\0\0\x04\0\0\0\0\0"); // SETTINGS
//! input.extend_from_slice(b"\0\0\x0e\x01\x05\0\0\0\x01"); // HEADERS that end stream 1
//! input.extend_from_slice(b"\x82\x84\x86\x41\x09h.example"); // GET / http, and the authority
//!
//! let (mut head, mut out) = (RequestHead::default(), Vec::new());
//! let event = connection.receive(&mut input, &mut head, Duration::ZERO);
//! let Some(Event::Request { stream, end: true }) = event else { panic!("{event:?}") };
//! assert_eq!((head.raw_path(), head.host()), ("/", Some("h.example")));
//!
//! connection.accept(stream, ());
//! connection.write_control(&mut out);
//! let response = ResponseHead {
//!     status: http::StatusCode::OK,
//!     content_type: Some("text/plain"),
//!     date: None,
//!     fields: None,
//!     body: ResponseBody::Bytes(5),
//!     to_head: false,
//! };
//! if connection.send_head(stream, &response, false, &mut out)? {
//!     connection.send_data(stream, b"hello", true, &mut out)?;
//! }
//! connection.remove(stream);
//! assert!(out.ends_with(b"hello"));
//! # Ok::<(), uptick_http::h2::SendError>(())
//! ```

mod client;
mod connection;
mod control;
mod data;
mod error;
mod event;
mod fields;
mod frame;
mod glitches;
mod headers;
pub mod hpack;
mod limits;
mod priority;
mod reader;
mod receive;
mod resets;
mod schedule;
mod send;
mod settings;
mod streams;
mod window;

pub use crate::message::{RequestFields, ResponseBody};
pub use client::Request;
pub use connection::Connection;
pub use error::{ConnectionError, ErrorCode, SendError};
pub use event::Event;
pub use limits::Limits;
pub use send::ResponseHead;
pub use streams::StreamKey;
