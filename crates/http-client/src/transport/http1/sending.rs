//! Sending: the head and the body of a request.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderName, HeaderValue};
use uptick_event_loop::Readiness;
use uptick_event_loop::driver::{self, Timestamp};
use uptick_http::Channel;
use uptick_http::h1::client::{self, Decoder, RequestBody};
use uptick_http::h1::{EncodeError, Encoder, RequestFields};
use uptick_socket::engine::Engine;

use super::request::{RequestFlags, RunningRequest, limits};
use super::session::{Http1Session, SessionFlags};
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, ExchangeTransport, OutgoingBody, OutgoingRequest};

/// Maximum size of a body or a piece that is copied to the other bytes of the request, in bytes. A longer one is queued without a copy.
const COPY_LIMIT: usize = 8 * 1024;

/// Number of bytes of a body in memory that are written at once. With TLS they are encrypted at once.
const SLICE: usize = 256 * 1024;

impl Http1Session {
    /// Begins a request. The session must be idle ([`is_reusable`](Http1Session::is_reusable)).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] if a part of the request is not valid. Nothing was sent in this case.
    pub(crate) fn begin(
        self: &Rc<Self>,
        request: OutgoingRequest<'_>,
    ) -> Result<Rc<Exchange>, Failure> {
        let (content, body) = match request.body {
            OutgoingBody::Empty => (None, RequestBody::None),
            OutgoingBody::Bytes(content) => {
                let length = content.len() as u64;
                (Some(content), RequestBody::Bytes(length))
            }
            OutgoingBody::Sized(length) => (None, RequestBody::Bytes(length)),
            OutgoingBody::Stream => (None, RequestBody::Stream),
        };
        let is_whole = content.is_some() || body == RequestBody::None;
        let content = content.unwrap_or_default();
        let head = client::Request {
            method: request.method,
            target: request.target,
            host: request.host,
            fields: RequestFields::List(request.fields),
            body,
            close: request.close || has_close(request.fields),
        };
        let start = self.conn.bytes_written();
        let is_copied = content.len() <= COPY_LIMIT;
        let mut encoded = Err(EncodeError::InvalidRequest("connection"));
        let accepted = self.conn.write_with(|out| {
            encoded = client::encode_request(out, &head);
            if encoded.is_ok() && is_copied {
                out.extend_from_slice(&content);
            }
        });
        let exchange = Rc::new(Exchange::new(
            request.settings.read_ahead,
            request.settings.max_body,
        ));
        if accepted.is_none() {
            exchange.fail(Failure::not_sent());
            return Ok(exchange);
        }
        let encoder = encoded.map_err(|error| invalid(&error))?;
        let mut state = self.state.borrow_mut();
        if state.flags.contains(SessionFlags::CLOSED) {
            exchange.fail(Failure::not_sent());
            return Ok(exchange);
        }
        exchange.set_transport(Rc::<Http1Session>::clone(self));
        state.end_idle();
        let mut flags = RequestFlags::default();
        flags.set(RequestFlags::WRITTEN, is_whole && is_copied);
        flags.set(RequestFlags::CLOSES, head.close);
        flags.set(RequestFlags::UPGRADES, request.upgrade);
        flags.set(
            RequestFlags::REUSED,
            state.flags.contains(SessionFlags::USED),
        );
        state.flags.insert(SessionFlags::USED);
        let mut decoder = Decoder::new();
        decoder.expect(request.method);
        let now = Timestamp::now();
        state.running = Some(Box::new(RunningRequest {
            exchange: Rc::clone(&exchange),
            decoder,
            limits: limits(request.settings.max_head),
            encoder: (!is_whole).then_some(encoder),
            rest: if is_copied { Bytes::new() } else { content },
            settings: request.settings,
            trailers: None,
            keep_alive: None,
            error: None,
            start,
            counts: (0, 0),
            sent: now,
            progress: now,
            flags,
        }));
        self.arm(&mut state);
        drop(state);
        if !is_copied {
            self.write_rest();
        }
        Ok(exchange)
    }

    /// Writes the rest of a body in memory, until the write queue is full.
    fn write_rest(&self) {
        loop {
            let piece = {
                let mut state = self.state.borrow_mut();
                let Some(running) = &mut state.running else {
                    return;
                };
                let length = running.rest.len().min(SLICE);
                let piece = running.rest.split_to(length);
                if piece.is_empty() {
                    return;
                }
                let is_last = running.rest.is_empty();
                running.flags.set(RequestFlags::WRITTEN, is_last);
                running.start_polling(self.conn);
                running.sent = running.progress;
                self.arm(&mut state);
                piece
            };
            if !self.conn.write(piece) {
                return;
            }
        }
    }

    /// Writes a part of the body with `encode`; with `is_last`, it ends the body. Returns `false` if the writer should wait.
    fn write_body(
        &self,
        is_last: bool,
        encode: impl FnOnce(&mut Encoder) -> Result<bool, EncodeError>,
    ) -> bool {
        let (exchange, encoder) = {
            let mut state = self.state.borrow_mut();
            let running = state.running.as_mut();
            let taken = running.and_then(|running| {
                let encoder = running.encoder.take()?;
                Some((Rc::clone(&running.exchange), encoder))
            });
            match taken {
                Some(taken) => taken,
                None => return false,
            }
        };
        let mut encoder = encoder;
        let was_sending = self.conn.is_sending();
        let written = encode(&mut encoder);
        {
            let mut state = self.state.borrow_mut();
            let running = state.running.as_mut();
            let Some(running) = running.filter(|running| Rc::ptr_eq(&running.exchange, &exchange))
            else {
                return false;
            };
            running.encoder = (!is_last).then_some(encoder);
            running.flags.set(RequestFlags::WRITTEN, is_last);
            running.sent = Timestamp::now();
            let is_queued = was_sending || matches!(written, Ok(false));
            if is_queued && !running.has(RequestFlags::POLLED) {
                running.start_polling(self.conn);
            }
            self.arm(&mut state);
        }
        match written {
            Ok(accepted) => accepted,
            Err(error) => {
                self.fail(invalid(&error));
                false
            }
        }
    }

    /// Continues with the body, as the write queue is below its limit.
    pub(super) fn drained(&self) {
        self.write_rest();
        let exchange = {
            let state = self.state.borrow();
            let running = state.running.as_ref();
            running
                .filter(|running| running.encoder.is_some())
                .map(|running| Rc::clone(&running.exchange))
        };
        if let Some(exchange) = exchange {
            exchange.writable();
        }
    }

    /// Writes a piece of a body.
    fn write_piece(&self, encoder: &mut Encoder, piece: Bytes) -> Result<bool, EncodeError> {
        let mut written = Ok(());
        if piece.len() <= COPY_LIMIT {
            let accepted = self
                .conn
                .write_with(|out| written = encoder.body(out, &piece));
            return written.map(|()| accepted.unwrap_or(false));
        }
        let opened = self
            .conn
            .write_with(|out| written = encoder.open_piece(out, piece.len()).map(drop));
        written?;
        if opened.is_none() {
            return Ok(false);
        }
        let accepted = self.conn.write(piece);
        let closed = self.conn.write_with(|out| encoder.close_piece(out));
        Ok(accepted && closed.unwrap_or(false))
    }
}

impl ExchangeTransport for Http1Session {
    fn write(&self, piece: Bytes) -> bool {
        self.write_body(false, |encoder| self.write_piece(encoder, piece))
    }

    fn end(&self, trailers: Option<&HeaderMap>) {
        self.write_body(true, |encoder| {
            let mut finished = Ok(());
            let accepted = self.conn.write_with(|out| {
                finished = encoder.finish(out, trailers).map(drop);
            });
            finished.map(|()| accepted.unwrap_or(false))
        });
    }

    fn resume(&self) {
        {
            let mut state = self.state.borrow_mut();
            let Some(running) = &mut state.running else {
                return;
            };
            if !running.has(RequestFlags::PAUSED) {
                return;
            }
            running.flags.remove(RequestFlags::PAUSED);
            running.progress = Timestamp::now();
            self.arm(&mut state);
        }
        self.conn.resume();
        // Received bytes may not be decoded yet; the reader is not called from its own call.
        if let Some(token) = self.token() {
            driver::ready_later(token, Readiness::empty());
        }
    }

    fn take_upgraded(&self) -> Option<Channel> {
        let (conn, rest) = Http1Session::take_upgraded(self)?;
        conn.pause();
        conn.unshift(rest, false);
        Some(conn.into())
    }

    fn cancel(&self) {
        drop(self.take_and_close());
    }
}

/// Returns the failure of a request that cannot be encoded.
fn invalid(error: &EncodeError) -> Failure {
    Failure::new(ErrorKind::InvalidRequest, error.to_string())
}

/// Returns `true` if there is a header `Connection` with the option `close`.
fn has_close(fields: &[(HeaderName, HeaderValue)]) -> bool {
    fields.iter().any(|(name, value)| {
        *name == CONNECTION
            && value
                .as_bytes()
                .split(|&byte| byte == b',')
                .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}
