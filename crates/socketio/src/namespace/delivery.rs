//! Delivery of broadcasts to the sockets of this server.
//!
//! Cost of an event for many sockets over WebSockets: it is encoded once. For each socket, its client is looked up and a frame is copied to the send queue of its
//! connection. Nothing is allocated per socket.

use std::rc::Rc;

use super::NamespaceState;
use crate::Socket;
use crate::adapter::{ClusterMessage, Target};
use crate::arguments::ToArguments;
use crate::codec::decode_own;
use crate::protocol::packet::{Arguments, Body, Data, Encoded};
use crate::recovery::{Recovered, RecoveryClaim};
use crate::socket::SocketState;

/// Options of a broadcast.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BroadcastFlags {
    pub(crate) volatile: bool,
    pub(crate) local: bool,
}

impl NamespaceState {
    /// Sends an event to the sockets that `target` selects, including those on other servers. Returns the number of sockets of this server.
    pub(crate) fn broadcast<A: ToArguments + ?Sized>(
        self: &Rc<Self>,
        event: &str,
        arguments: &A,
        target: &Target,
        except: Option<Socket>,
        flags: BroadcastFlags,
    ) -> usize {
        let Some(packet) = self.encode(event, arguments) else {
            return 0;
        };
        if !flags.local {
            self.publish(|| ClusterMessage::Broadcast {
                packet: packet.clone(),
                target: with_except(target, except),
                volatile: flags.volatile,
                request: None,
                timeout: None,
            });
        }
        self.deliver(packet, target, except, flags.volatile)
    }

    /// Encodes an event as JSON, without an offset.
    pub(crate) fn encode<A: ToArguments + ?Sized>(
        &self,
        event: &str,
        arguments: &A,
    ) -> Option<Encoded> {
        let encoded = crate::Parser::Json.event(&self.name, None, event, arguments);
        encoded
            .inspect_err(|error| {
                tracing::error!(
                    "sending the event {event:?} in {:?} failed: {error}",
                    self.name
                );
            })
            .ok()
    }

    /// Sends a packet to the selected sockets of this server, with an offset if it is recoverable. Returns the number of sockets.
    pub(crate) fn deliver(
        &self,
        packet: Encoded,
        target: &Target,
        except: Option<Socket>,
        volatile: bool,
    ) -> usize {
        let packet = match &self.recovery {
            Some(recovery) if !volatile => {
                let except = except.and_then(SocketState::of).map(|socket| socket.id);
                let offset = recovery
                    .borrow_mut()
                    .log(packet.clone(), target.clone(), except);
                with_offset(packet, &offset)
            }
            _ => packet,
        };
        let mut receivers = self.take_receivers();
        self.rooms.borrow().select(target, except, &mut receivers);
        let count = receivers.len();
        let converted = self.convert(packet.clone());
        match volatile {
            true => receivers
                .iter()
                .filter(|(_, client)| client.is_writable())
                .for_each(|(_, client)| _ = client.send_packet(&converted)),
            false => receivers
                .iter()
                .for_each(|(_, client)| _ = client.send_packet(&converted)),
        }
        // After the packet, so that events sent by listeners do not overtake it.
        if self.outgoing_listeners.get() > 0 {
            for (socket, _) in &receivers {
                if let Some(socket) = SocketState::of(*socket) {
                    socket.notify_outgoing(&packet);
                }
            }
        }
        self.put_receivers(receivers);
        count
    }

    /// Sends a recoverable packet to one socket.
    pub(crate) fn deliver_to(
        &self,
        socket: &SocketState,
        packet: Encoded,
    ) -> uptick_websocket::Sent {
        let packet = match &self.recovery {
            Some(recovery) => {
                let target = Target {
                    rooms: vec![socket.id.as_str().to_owned()],
                    except: Vec::new(),
                };
                let offset = recovery.borrow_mut().log(packet.clone(), target, None);
                with_offset(packet, &offset)
            }
            None => packet,
        };
        let sent = socket.client.send_packet(&self.convert(packet.clone()));
        socket.notify_outgoing(&packet);
        sent
    }

    /// Converts a packet from JSON to the encoding of the server's parser.
    pub(crate) fn convert(&self, packet: Encoded) -> Encoded {
        let Some(server) = self.server() else {
            return packet;
        };
        let converted = server.options.parser.convert(&packet);
        converted.unwrap_or_else(|error| {
            tracing::error!("encoding a packet of {:?} failed: {error}", self.name);
            packet
        })
    }

    /// Publishes a message to other servers, if there is an adapter.
    pub(crate) fn publish(&self, message: impl FnOnce() -> ClusterMessage) {
        if let Some(adapter) = self.adapter() {
            adapter.publish(&message());
        }
    }

    /// Takes the state of a reconnecting client, if this server has it.
    pub(super) fn recover(&self, auth: Option<&Data>) -> Option<Recovered> {
        let recovery = self.recovery.as_ref()?;
        let claim = RecoveryClaim::of(auth)?;
        recovery.borrow_mut().restore(&claim)
    }

    /// Stores the state of a client again that left while it was reconnecting.
    pub(super) fn keep_again(&self, recovered: Recovered) {
        if let Some(recovery) = &self.recovery {
            let (pid, session) = recovered.into_session();
            recovery.borrow_mut().keep(pid, session);
        }
    }

    /// Returns the events that a reconnected client missed, including events since it reconnected.
    pub(super) fn missed(&self, recovered: &Recovered) -> Vec<Encoded> {
        let recovery = self.recovery.as_ref();
        recovery.map_or_else(Vec::new, |recovery| {
            recovery.borrow().missed_until_now(recovered)
        })
    }

    pub(super) fn skips_middleware(&self) -> bool {
        let recovery = self.recovery.as_ref();
        recovery.is_some_and(|recovery| recovery.borrow().skips_middleware())
    }
}

/// Returns the packet with an offset appended.
fn with_offset(packet: Encoded, offset: &str) -> Encoded {
    packet.with_argument(offset).unwrap_or(packet)
}

/// Returns the target to send to other servers. They know the excluded socket only by its id.
pub(crate) fn with_except(target: &Target, except: Option<Socket>) -> Target {
    let mut target = target.clone();
    let id = except.and_then(SocketState::of).map(|socket| socket.id);
    target.except.extend(id.map(|id| id.as_str().to_owned()));
    target
}

/// Returns the event name and the arguments of a packet that this server has encoded.
pub(crate) fn event_of(packet: &Encoded) -> Option<(uptick_websocket::Text, Arguments)> {
    match decode_own(packet)?.body {
        Body::Event { name, arguments } => Some((name?, arguments)),
        _ => None,
    }
}
