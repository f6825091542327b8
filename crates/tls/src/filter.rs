//! The TLS layer of a connection.

use std::sync::Arc;

use bytes::Bytes;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

use crate::error::Error;
use crate::records::Output;
use crate::session::{HandshakeControl, Plaintext, Session};

/// An object that is notified of the end of a handshake.
pub(crate) trait HandshakeObserver {
    /// Called when the handshake is complete and the connection can be used.
    fn done(self: Box<Self>);

    /// Called when the connection has closed before the handshake was complete.
    fn closed(self: Box<Self>);

    /// Returns the server's control of the handshake; `None` on a client.
    fn control(&self) -> Option<&dyn HandshakeControl>;
}

/// The output to the underlying layer.
struct LowerLayer<'a>(&'a mut FilterContext);

impl Output for LowerLayer<'_> {
    fn push(&mut self, record: Vec<u8>) {
        self.0.send(record.into());
    }
}

pub(crate) struct TlsFilter {
    session: Session,
    /// The observer, until the handshake is complete.
    observer: Option<Box<dyn HandshakeObserver>>,
    /// Set once the peer's end of stream was delivered.
    ended: bool,
    /// Set if the underlying connection ended while the handshake was queued.
    ended_below: bool,
}

impl TlsFilter {
    pub(crate) fn new(session: Session, observer: impl HandshakeObserver + 'static) -> Self {
        TlsFilter {
            session,
            observer: Some(Box::new(observer)),
            ended: false,
            ended_below: false,
        }
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Handles the new state of the session after bytes were received and their plaintext was delivered.
    fn after_receive(
        &mut self,
        received: Result<(), Error>,
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        if !self.session.is_handshaking()
            && let Some(observer) = self.observer.take()
        {
            context.then(move || observer.done());
        }
        if self.session.peer_closed() {
            self.deliver_end(context);
        }
        if self.session.is_queued() {
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
        let control = self
            .observer
            .as_ref()
            .and_then(|observer| observer.control());
        let session = &mut self.session;
        let mut within = 0..0;
        let received = context.answer_with(|buffer, out| {
            let mut plaintext = Plaintext::new(buffer);
            let received = session.receive(bytes, &mut plaintext, out, control);
            within = plaintext.within;
            received
        });
        context.deliver_within(within);
        self.after_receive(received, context)
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        let control = self
            .observer
            .as_ref()
            .and_then(|observer| observer.control());
        let session = &mut self.session;
        // No bytes are received here: all plaintext is from held bytes, and so in the buffer.
        let received = context
            .answer_with(|buffer, out| session.resume(&mut Plaintext::new(buffer), out, control));
        self.after_receive(received, context)?;
        if self.ended_below && !self.session.is_queued() {
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
        let sent = self.session.send(bytes, &mut LowerLayer(context));
        sent.map_err(|error| self.failed(error))
    }

    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        if self.session.is_queued() {
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
                // This side has to send close_notify before it closes, even if the peer has not (RFC 8446, section 6.1).
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
        self.session.negotiated()?.alpn_protocol
    }

    fn closed(&mut self) {
        if let Some(observer) = self.observer.take() {
            observer.closed();
        }
    }
}
