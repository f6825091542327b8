//! The preface of HTTP/2 on a connection without ALPN (RFC 9113, section 3.3).

use bytes::BytesMut;
use uptick_socket::Connection;
use uptick_socket::engine::Visit;

use super::flags::ConnectionFlags;
use super::state::HttpConnection;
use crate::connection::http2;

/// The start of the preface. No HTTP/1 request uses this method (RFC 9113, section 11.6).
const START: &[u8] = b"PRI ";

impl HttpConnection {
    /// Checks the first bytes of a connection: an HTTP/2 connection is passed on. Returns `true` if nothing is left to do here, also if
    /// more bytes are needed to decide.
    #[cold]
    pub(super) fn is_preface(&self, visit: &Visit<Connection>, bytes: &mut BytesMut) -> bool {
        if bytes.first() != Some(&START[0]) && self.state().decoder.is_none()
            || !self.service.site().settings.http2
            || visit.handle().alpn().is_some()
        {
            return false;
        }
        let held_back = self.state().decoder.take();
        if let Some(mut decoder) = held_back {
            let mut all = BytesMut::from(&decoder.take_rest()[..]);
            all.extend_from_slice(bytes);
            *bytes = all;
        }
        if bytes.starts_with(START) {
            self.state().flags.insert(ConnectionFlags::CLOSING);
            self.state().deadline.cancel();
            http2::take_over(visit, &self.service, bytes);
            return true;
        }
        if START.starts_with(bytes) {
            self.state().push(bytes.split().freeze());
            return true;
        }
        false
    }
}
