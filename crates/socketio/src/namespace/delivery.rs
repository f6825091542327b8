//! Delivery of broadcasts to the sockets of this server.
//!
//! Cost of an event for many sockets over WebSockets: it is encoded once. For each socket, its client is looked up and a frame is copied to the send queue of its
//! connection. Nothing is allocated per socket.

use std::rc::Rc;

use super::NamespaceState;
use crate::Socket;
use crate::SocketId;
use crate::adapter::{Adapter, ClusterMessage, SavedSession, Target};
use crate::arguments::ToArguments;
use crate::codec::decode_own;
use crate::protocol::packet::{Arguments, Body, Data, Encoded};
use crate::recovery::{RecoverableSession, Recovered, RecoveryClaim};
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
        if !flags.local
            && !flags.volatile
            && let Some(log) = self.shared_log()
        {
            let target = with_except(target, except);
            let mut receivers = self.take_receivers();
            self.rooms.borrow().select(&target, None, &mut receivers);
            let count = receivers.len();
            self.put_receivers(receivers);
            self.append(&*log, packet, target);
            return count;
        }
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
            Some(recovery) if !volatile && !self.uses_shared_log.get() => {
                let except = except.and_then(SocketState::of).map(|socket| socket.id);
                let offset = recovery
                    .borrow_mut()
                    .log(packet.clone(), target.clone(), except);
                with_offset(packet, &offset)
            }
            _ => packet,
        };
        self.send_to_selected(packet, target, except, volatile)
    }

    /// Sends an event to the sockets that `target` selects, including those on other servers, over the log of the adapter. Its receivers are selected when this server
    /// reads it from the log. If it is not added to the log, the sockets of this server receive it without an offset.
    fn append(&self, log: &dyn Adapter, packet: Encoded, target: Target) {
        let message = ClusterMessage::Broadcast {
            packet,
            target,
            volatile: false,
            request: None,
            timeout: None,
        };
        let appended = log.append(&message);
        let namespace = self.handle();
        appended.then(move |appended| {
            if let ClusterMessage::Broadcast { packet, target, .. } = message
                && !appended
                && let Some(namespace) = namespace.state()
            {
                namespace.send_to_selected(packet, &target, None, false);
            }
        });
    }

    /// Sends an event of the log of the adapter to the selected sockets of this server.
    pub(crate) fn deliver_logged(&self, packet: Encoded, target: &Target, offset: &str) {
        let packet = match &self.recovery {
            Some(recovery) => {
                let mut recovery = recovery.borrow_mut();
                recovery.logged(&packet, target, offset);
                with_offset(packet, offset)
            }
            None => packet,
        };
        self.send_to_selected(packet, target, None, false);
    }

    /// Sends a packet to the selected sockets of this server. Returns the number of sockets.
    fn send_to_selected(
        &self,
        packet: Encoded,
        target: &Target,
        except: Option<Socket>,
        volatile: bool,
    ) -> usize {
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
        if let Some(log) = self.shared_log() {
            let target = Target {
                rooms: vec![socket.id.as_str().to_owned()],
                except: Vec::new(),
            };
            self.append(&*log, packet, target);
            return uptick_websocket::Sent::Sent;
        }
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
        let (pid, session) = recovered.into_session();
        self.keep_session(pid, session);
    }

    /// Stores the state of a disconnected client.
    pub(crate) fn keep_session(&self, pid: SocketId, session: RecoverableSession) {
        let Some(recovery) = &self.recovery else {
            return;
        };
        if let Some(log) = self.shared_log() {
            let session = SavedSession {
                id: session.id.as_str().to_owned(),
                pid: pid.as_str().to_owned(),
                rooms: session.rooms,
                data: session.data,
            };
            return log.save_session(session, recovery.borrow().retention());
        }
        recovery.borrow_mut().keep(pid, session);
        if self.is_dynamic() {
            self.remove_later(recovery.borrow().retention());
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
