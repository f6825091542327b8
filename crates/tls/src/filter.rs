//! TLS as a layer of a connection.

use std::sync::Arc;

use bytes::Bytes;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

use crate::error::Error;
use crate::records::Output;
use crate::session::{Gate, Plaintext, Session};

/// An object that waits for a handshake.
pub(crate) trait Waiter {
    /// Called when the handshake is done and the connection can be used again.
    fn done(self: Box<Self>);

    /// Called when the connection has closed before the handshake was done.
    fn closed(self: Box<Self>);

    /// Returns the gate of the handshake, on a server.
    fn gate(&self) -> Option<&dyn Gate>;
}

/// The layer below, to which records are sent.
struct Down<'a>(&'a mut FilterContext);

impl Output for Down<'_> {
    fn push(&mut self, record: Vec<u8>) {
        self.0.send(record.into());
    }
}

pub(crate) struct TlsFilter {
    session: Session,
    /// The object that waits, until the handshake is done.
    waiter: Option<Box<dyn Waiter>>,
    /// Whether the end of the peer was delivered.
    ended: bool,
    /// Whether the connection below ended while the handshake waited for its turn.
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

    /// Acts on the state of the session after bytes were received and their plaintext was delivered.
    fn settle(
        &mut self,
        received: Result<(), Error>,
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        if !self.session.is_handshaking()
            && let Some(waiter) = self.waiter.take()
        {
            context.then(move || waiter.done());
        }
        if self.session.peer_closed() {
            self.deliver_end(context);
        }
        if self.session.waits() {
            context.wait();
        }
        received.map_err(|error| self.failed(error))
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
    fn received(
        &mut self,
        bytes: &mut [u8],
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        let gate = self.waiter.as_ref().and_then(|waiter| waiter.gate());
        let session = &mut self.session;
        let mut within = 0..0;
        let received = context.answer_with(|buffer, out| {
            let mut plaintext = Plaintext::new(buffer);
            let received = session.receive(bytes, &mut plaintext, out, gate);
            within = plaintext.within;
            received
        });
        context.deliver_within(within);
        self.settle(received, context)
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        let gate = self.waiter.as_ref().and_then(|waiter| waiter.gate());
        let session = &mut self.session;
        // Nothing is received: all plaintext is of bytes that were held, and so in the buffer.
        let received = context
            .answer_with(|buffer, out| session.resume(&mut Plaintext::new(buffer), out, gate));
        self.settle(received, context)?;
        if self.ended_below && !self.session.waits() {
            self.ended_below = false;
            return self.peer_ended(context);
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        self.sending_slice(&bytes, context)
    }

    fn sending_slice(
        &mut self,
        bytes: &[u8],
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        let sent = self.session.send(bytes, &mut Down(context));
        sent.map_err(|error| self.failed(error))
    }

    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        if self.session.waits() {
            self.ended_below = true;
            return Ok(());
        }
        match self.session.ended_below() {
            Ok(()) => {
                self.deliver_end(context);
                Ok(())
            }
            Err(error) => {
                let error = self.failed(error);
                // It is required before this side closes, whatever the peer has left out (RFC 8446, section 6.1).
                self.ending(context)?;
                Err(error)
            }
        }
    }

    fn ending(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        context
            .send_with(|out| self.session.end(out))
            .map_err(|error| self.failed(error))
    }

    fn alpn_protocol(&self) -> Option<&[u8]> {
        self.session.agreed()?.alpn_protocol
    }

    fn closed(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.closed();
        }
    }
}
