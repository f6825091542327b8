//! Sans-IO HTTP/2 (RFC 9113): received bytes in and events out, without sockets, clocks and threads.
//!
//! [`hpack`] is the compression of header blocks.

pub mod hpack;
