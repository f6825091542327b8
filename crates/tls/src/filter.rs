//! TLS as a layer of a connection.

use std::sync::Arc;

use bytes::Bytes;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

use crate::error::Error;
use crate::session::{Gate, Session};

/// The most bytes that are delivered as one `data`.
const CHUNK: usize = 64 * 1024;

/// Who waits for a handshake.
pub(crate) trait Waiter {
    /// The handshake is done. Called when the connection is whole again.
    fn done(self: Box<Self>);

    /// The connection has closed before.
    fn closed(self: Box<Self>);

    /// Who decides about the handshake, on a server.
    fn gate(&self) -> Option<&dyn Gate>;
}

pub(crate) struct TlsFilter {
    session: Session,
    /// Until the handshake is done.
    waiter: Option<Box<dyn Waiter>>,
    /// The end of the peer is handed on.
    ended: bool,
    /// The end of the connection below has come while the handshake waited for its turn.
    ended_below: bool,
}

impl TlsFilter {
    pub(crate) fn new(session: Session, waiter: impl Waiter + 'static) -> Self {
        TlsFilter {
            session,
            waiter: Some(Box::new(waiter)),
            ended: false,
            ended_below: false,
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    fn flush(&mut self, mut out: Vec<u8>, context: &mut FilterContext) -> Result<(), Error> {
        let result = self.session.take_output(&mut out);
        context.send(out.into());
        result
    }

    /// Hands on what has come of bytes that were received.
    fn settle(
        &mut self,
        received: Result<(), Error>,
        plaintext: Vec<u8>,
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        // Also the alert that goes with an error.
        let flushed = self.flush(Vec::new(), context);
        if !self.session.is_handshaking()
            && let Some(waiter) = self.waiter.take()
        {
            context.then(move || waiter.done());
        }
        self.deliver(plaintext, context);
        received.and(flushed).map_err(|error| self.failed(error))
    }

    fn deliver(&mut self, plaintext: Vec<u8>, context: &mut FilterContext) {
        let mut plaintext = Bytes::from(plaintext);
        while plaintext.len() > CHUNK {
            context.deliver(plaintext.split_to(CHUNK));
        }
        context.deliver(plaintext);
        if self.session.peer_closed() {
            self.deliver_end(context);
        }
    }

    fn deliver_end(&mut self, context: &mut FilterContext) {
        if !std::mem::replace(&mut self.ended, true) {
            context.deliver_end();
        }
    }

    fn failed(&self, error: Error) -> StreamError {
        let what = match self.session.is_handshaking() {
            true => "TLS handshake",
            false => "TLS connection",
        };
        StreamError::Filter {
            what: what.into(),
            source: Arc::new(error),
        }
    }
}

impl Filter for TlsFilter {
    fn received(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        let mut plaintext = Vec::new();
        let gate = self.waiter.as_ref().and_then(|waiter| waiter.gate());
        let received = self.session.receive(&bytes, &mut plaintext, gate);
        self.settle(received, plaintext, context)
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        let mut plaintext = Vec::new();
        let gate = self.waiter.as_ref().and_then(|waiter| waiter.gate());
        let received = self.session.resume(&mut plaintext, gate);
        self.settle(received, plaintext, context)?;
        if self.ended_below && !self.session.waits() {
            self.ended_below = false;
            return self.peer_ended(context);
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        let mut out = Vec::with_capacity(self.session.encrypted_len(bytes.len()));
        let sent = self.session.send(&bytes, &mut out);
        let flushed = self.flush(out, context);
        sent.and(flushed).map_err(|error| self.failed(error))
    }

    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        if self.session.waits() {
            self.ended_below = true;
            return Ok(());
        }
        self.session
            .ended_below()
            .map_err(|error| self.failed(error))?;
        self.deliver_end(context);
        Ok(())
    }

    fn ending(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        self.session.end();
        self.flush(Vec::new(), context)
            .map_err(|error| self.failed(error))
    }

    fn closed(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.closed();
        }
    }
}
