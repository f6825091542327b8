//! Sending events and acknowledgements to one client.

use std::time::Duration;

use uptick_websocket::Sent;

use super::{PendingAck, SocketState};
use crate::Parser;
use crate::arguments::ToArguments;
use crate::error::AckError;
use crate::protocol::packet::Encoded;

impl SocketState {
    /// Sends an event that requests no acknowledgement.
    pub(super) fn emit<A: ToArguments + ?Sized>(
        &self,
        event: &str,
        arguments: &A,
        volatile: bool,
    ) -> Sent {
        if !self.is_connected() || volatile && !self.client.is_writable() {
            return Sent::Dropped;
        }
        let Some(packet) = self.namespace.encode(event, arguments) else {
            return Sent::Dropped;
        };
        match volatile {
            true => self.send(packet),
            false => self.namespace.deliver_to(self, packet),
        }
    }

    /// Sends an event that requests an acknowledgement.
    pub(super) fn emit_awaiting<A: ToArguments + ?Sized>(
        &self,
        event: &str,
        arguments: &A,
        volatile: bool,
        timeout: Option<Duration>,
        callback: PendingAck,
    ) {
        let Some(server) = self.namespace.server() else {
            return callback(Err(AckError::Disconnected));
        };
        if volatile && !self.client.is_writable() {
            return callback(Err(AckError::NotSent));
        }
        let id = self.namespace.next_ack();
        let encoded = Parser::Json.event(&self.namespace.name, Some(id), event, arguments);
        let packet = match encoded {
            Ok(packet) => packet,
            Err(error) => {
                tracing::error!("sending the event {event:?} failed: {error}");
                return callback(Err(AckError::NotSent));
            }
        };
        let timeout = timeout.unwrap_or(server.options.ack_timeout);
        if self.await_ack(id, timeout, callback) && self.send(packet) == Sent::Dropped {
            self.cancel_ack(id);
        }
    }

    fn send(&self, packet: Encoded) -> Sent {
        let converted = self.namespace.convert(packet.clone());
        let sent = self.client.send_packet(&converted);
        self.notify_outgoing(&packet);
        sent
    }

    /// Sends an acknowledgement.
    pub(super) fn acknowledge<A: ToArguments + ?Sized>(&self, id: u64, arguments: &A) {
        if !self.is_connected() {
            return;
        }
        let Some(server) = self.namespace.server() else {
            return;
        };
        let encoded = server
            .options
            .parser
            .ack(&self.namespace.name, id, arguments);
        match encoded {
            Ok(packet) => drop(self.client.send_packet(&packet)),
            Err(error) => tracing::error!("acknowledging an event failed: {error}"),
        }
    }
}
