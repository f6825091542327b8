//! TLS as a layer of a connection.

use std::sync::Arc;

use bytes::Bytes;
use uptick_socket::wrapping::Waiting;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

use crate::error::Error;
use crate::server::{SecureServer, handshake_done};
use crate::session::Session;

/// The most bytes that are delivered as one `data`.
const CHUNK: usize = 64 * 1024;

pub(crate) struct TlsFilter {
    session: Session,
    /// Who waits for the handshake, until it is done.
    handshake: Option<Waiting<SecureServer>>,
    /// The end of the peer is handed on.
    ended: bool,
}

impl TlsFilter {
    pub(crate) fn new(session: Session, handshake: Waiting<SecureServer>) -> Self {
        TlsFilter {
            session,
            handshake: Some(handshake),
            ended: false,
        }
    }

    fn flush(&mut self, mut out: Vec<u8>, context: &mut FilterContext) -> Result<(), Error> {
        let result = self.session.take_output(&mut out);
        context.send(out.into());
        result
    }

    fn deliver(&mut self, plaintext: Vec<u8>, context: &mut FilterContext) {
        let mut plaintext = Bytes::from(plaintext);
        while plaintext.len() > CHUNK {
            context.deliver(plaintext.split_to(CHUNK));
        }
        context.deliver(plaintext);
        if self.session.peer_closed() && !std::mem::replace(&mut self.ended, true) {
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
        let received = self.session.receive(&bytes, &mut plaintext);
        // Also the alert that goes with an error.
        let flushed = self.flush(Vec::new(), context);
        if !self.session.is_handshaking()
            && let Some(handshake) = self.handshake.take()
        {
            context.then(move || handshake_done(handshake));
        }
        self.deliver(plaintext, context);
        received.and(flushed).map_err(|error| self.failed(error))
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 256 + 64);
        let sent = self.session.send(&bytes, &mut out);
        let flushed = self.flush(out, context);
        sent.and(flushed).map_err(|error| self.failed(error))
    }

    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        self.session
            .ended_below()
            .map_err(|error| self.failed(error))?;
        if !std::mem::replace(&mut self.ended, true) {
            context.deliver_end();
        }
        Ok(())
    }

    fn ending(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        self.session.end();
        self.flush(Vec::new(), context)
            .map_err(|error| self.failed(error))
    }

    fn closed(&mut self) {
        if let Some(handshake) = self.handshake.take() {
            handshake.take();
        }
    }
}
