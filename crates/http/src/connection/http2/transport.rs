//! A stream as the transport of its exchange.

use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_stream::FileRange;

use super::flags::{ConnectionFlags, StreamFlags};
use super::stream::Http2Stream;
use crate::body::BodyError;
use crate::exchange::{BodyPiece, Exchange, ExchangeTransport, Head};
use crate::h2::ErrorCode;
use crate::message::ResponseBody;
use crate::{HeaderMap, StatusCode, Upgrade};

impl ExchangeTransport for Http2Stream {
    fn is_closing(&self) -> bool {
        self.connection().is_none_or(|http| http.is_closed(self))
    }

    fn poll_body(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        match self.connection() {
            Some(http) => http.poll_piece(self, exchange, taken, limit, context),
            None => Poll::Ready(Some(Err(BodyError::Closed))),
        }
    }

    fn resume_body(&self, exchange: &Exchange) {
        if let Some(http) = self.connection() {
            http.push_body(self, exchange);
        }
    }

    fn respond(&self, exchange: &Exchange, head: &Head<'_>, body: BodyPiece<'_>) -> bool {
        let Some(http) = self.connection() else {
            return false;
        };
        let sent = http.send_whole(&http.conn, self, exchange, head, body);
        http.list(self);
        sent
    }

    fn send_early_hints(&self, headers: &HeaderMap) -> bool {
        let http = self.connection();
        http.is_some_and(|http| http.send_interim(self, StatusCode::EARLY_HINTS, headers))
    }

    fn start(&self, exchange: &Exchange, head: &Head<'_>, length: ResponseBody) -> bool {
        let http = self.connection();
        http.is_some_and(|http| http.send_head(self, exchange, head, length))
    }

    fn sends_body(&self, _: &Exchange) -> bool {
        self.state().flags.contains(StreamFlags::SENDS_BODY)
    }

    fn write(&self, exchange: &Exchange, piece: BodyPiece<'_>) -> bool {
        let http = self.connection();
        http.is_some_and(|http| http.send_piece(self, exchange, piece))
    }

    fn write_file(&self, _: &Exchange, range: FileRange) -> Result<bool, FileRange> {
        // Frames interleave the bodies of the streams, so the kernel cannot send the file.
        Err(range)
    }

    fn finish(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool {
        let http = self.connection();
        http.is_some_and(|http| http.send_end(self, exchange, trailers))
    }

    fn is_full(&self) -> bool {
        self.connection().is_none_or(|http| http.is_full(self))
    }

    fn set_last(&self) {
        // An error of a stream leaves the connection usable.
    }

    fn abort(&self) {
        if let Some(http) = self.connection() {
            http.reset(self, ErrorCode::INTERNAL_ERROR);
        }
    }

    fn upgrade(&self, exchange: &Exchange, head: &Head<'_>, upgrade: Upgrade) -> bool {
        let Some(http) = self.connection() else {
            return false;
        };
        let Some(stream) = http.stream(self.key()) else {
            return false;
        };
        // Success is 200 here (RFC 8441, section 5), and the protocol is that of the request.
        let head = Head {
            status: StatusCode::OK,
            ..*head
        };
        let sent = http.send_head(self, exchange, &head, ResponseBody::Stream);
        if sent {
            exchange
                .response
                .set(crate::exchange::ResponseProgress::Done);
            http.switch_protocol(&stream, upgrade);
        }
        sent && !http.state().flags.contains(ConnectionFlags::CLOSING)
    }
}
