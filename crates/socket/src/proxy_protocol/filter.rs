//! The filter that reads the header of a connection.

use std::rc::Rc;

use bytes::Bytes;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

use super::options::ProxyProtocolOptions;
use super::protocol::{Header, Parsed, Version, parse};
use super::server::{ProxyHeaders, announce_with_header, mark_begun, refuse};
use crate::decorated::PendingConnection;

/// The filter that reads the header, notifies the server, and removes itself from the connection.
///
/// It buffers an incomplete header, whose size the parser limits.
pub(super) struct HeaderFilter {
    waiting: PendingConnection<ProxyHeaders>,
    options: Rc<ProxyProtocolOptions>,
    received: Vec<u8>,
    refused: bool,
}

impl HeaderFilter {
    pub(super) fn new(
        waiting: PendingConnection<ProxyHeaders>,
        options: Rc<ProxyProtocolOptions>,
    ) -> Self {
        HeaderFilter {
            waiting,
            options,
            received: Vec::new(),
            refused: false,
        }
    }

    /// Announces the connection, and delivers the bytes received after the first `consumed` ones.
    fn done(&mut self, header: Option<Header>, consumed: usize, context: &mut FilterContext) {
        let waiting = self.waiting;
        let received = Bytes::from(std::mem::take(&mut self.received));
        context.call_later(move || announce_with_header(waiting, header));
        context.deliver(received.slice(consumed..));
        context.remove();
    }

    fn refuse(&mut self, reason: String, context: &mut FilterContext) {
        self.refused = true;
        let waiting = self.waiting;
        context.call_later(move || refuse(waiting, &reason));
    }

    /// Returns `true` if the received bytes can only be a header: they begin with a complete signature.
    fn is_header(&self) -> bool {
        let signature = match self.received.first() {
            Some(b'P') => b"PROXY ".len(),
            _ => 12,
        };
        self.received.len() >= signature
    }
}

impl Filter for HeaderFilter {
    fn received(
        &mut self,
        bytes: &mut [u8],
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        if self.refused {
            return Ok(());
        }
        if self.received.is_empty() && !mark_begun(self.waiting) {
            // The connection was announced before any bytes were received.
            context.deliver_within(0..bytes.len());
            context.remove();
            return Ok(());
        }
        self.received.extend_from_slice(bytes);
        match parse(&self.received, self.options.max_payload) {
            Parsed::Incomplete => {}
            Parsed::Header { header, consumed } if self.options.accepts(header.version) => {
                self.done(Some(header), consumed, context);
            }
            Parsed::Header { header, .. } => {
                let version = match header.version {
                    Version::V1 => 1,
                    Version::V2 => 2,
                };
                let reason = format!("version {version} of the PROXY protocol is not accepted");
                self.refuse(reason, context);
            }
            Parsed::NotProxy if self.options.optional => self.done(None, 0, context),
            Parsed::NotProxy => {
                self.refuse("it does not begin with a PROXY header".into(), context);
            }
            Parsed::Invalid(invalid) => self.refuse(invalid.to_string(), context),
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        context.send(bytes);
        Ok(())
    }

    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), StreamError> {
        if self.refused {
            return Ok(());
        }
        let nothing = self.received.is_empty();
        if self.options.optional && !self.is_header() {
            // Announcing a connection that was announced does nothing.
            self.done(None, 0, context);
            context.deliver_end();
        } else if nothing {
            let waiting = self.waiting;
            context.call_later(move || waiting.close());
        } else {
            self.refuse("it ended within its PROXY header".into(), context);
        }
        Ok(())
    }

    fn closed(&mut self) {
        self.waiting.take();
    }
}
