//! HTTP/1 as the transport of exchanges.

use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_event_loop::catch;
use uptick_socket::engine::Engine;
use uptick_stream::FileRange;

use super::flags::ConnectionFlags;
use super::state::HttpConnection;
use crate::body::BodyError;
use crate::exchange::{self, BodyPiece, Exchange, ExchangeTransport, Head};
use crate::h1::{ResponseBody, Version};
use crate::{HeaderMap, StatusCode, Upgrade};

impl ExchangeTransport for HttpConnection {
    #[inline]
    fn is_closing(&self) -> bool {
        self.state().flags.contains(ConnectionFlags::CLOSING)
    }

    fn poll_body(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.poll_piece(exchange, taken, limit, context)
    }

    fn resume_body(&self, exchange: &Exchange) {
        self.push_body(exchange);
    }

    #[inline]
    fn respond(&self, exchange: &Exchange, head: &Head<'_>, body: BodyPiece<'_>) -> bool {
        self.send_whole(&self.conn, exchange, head, body)
    }

    fn send_early_hints(&self, headers: &HeaderMap) -> bool {
        self.send_interim(StatusCode::EARLY_HINTS, headers)
    }

    fn start(&self, exchange: &Exchange, head: &Head<'_>, length: ResponseBody) -> bool {
        self.send_head(exchange, head, length)
    }

    fn sends_body(&self, exchange: &Exchange) -> bool {
        let encoder = self.state().encoder(exchange);
        encoder.is_some_and(|encoder| encoder.sends_body())
    }

    fn write(&self, exchange: &Exchange, piece: BodyPiece<'_>) -> bool {
        self.send_piece(exchange, piece)
    }

    fn write_file(&self, exchange: &Exchange, range: FileRange) -> Result<bool, FileRange> {
        self.send_file(exchange, range)
    }

    fn finish(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool {
        self.send_end(exchange, trailers)
    }

    fn is_full(&self) -> bool {
        self.state().flags.contains(ConnectionFlags::FULL)
    }

    fn set_last(&self) {
        self.state().flags.insert(ConnectionFlags::LAST);
    }

    fn abort(&self) {
        let version = self.exchange().map(|exchange| exchange.head.version());
        match version {
            // For HTTP/1.0, an orderly close may mark the end of the body.
            Some(Version::Http10) => self.conn.reset(),
            _ => self.conn.close(),
        }
    }

    fn upgrade(&self, exchange: &Exchange, head: &Head<'_>, upgrade: Upgrade) -> bool {
        let sent = self.send_upgrade(exchange, head);
        self.switch_protocol(upgrade);
        sent
    }
}

impl HttpConnection {
    /// Passes the connection to another protocol, together with the bytes received after the request.
    fn switch_protocol(&self, upgrade: Upgrade) {
        let (finished, rest, ended) = {
            let mut state = self.state();
            state.deadline.cancel();
            // HTTP has no further part in this connection.
            state.flags.insert(ConnectionFlags::CLOSING);
            let rest = state.decoder.take().map(|mut decoder| decoder.take_rest());
            let ended = state.flags.contains(ConnectionFlags::PEER_ENDED);
            (state.finish(), rest.unwrap_or_default(), ended)
        };
        let conn = self.conn;
        conn.clear_session();
        conn.set_allow_half_open(false);
        conn.unshift(rest, ended);
        if let Some(finished) = finished
            && let Err(message) = catch(|| exchange::release(finished))
        {
            tracing::error!(
                "a value of a request's listener panicked while it was dropped: {message}"
            );
        }
        self.service.upgraded(conn.into());
        if let Err(message) = catch(|| upgrade.run(conn.into())) {
            tracing::error!("an upgrade callback panicked: {message}");
            conn.close();
        }
        self.service.closed();
    }
}
