//! Restoring the state of clients that reconnect.

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use futures::future::{Either, select};
use uptick_event_loop::{sleep, spawn};

use super::entry_id::EntryId;
use super::namespace::StreamsNamespace;
use crate::adapter::redis::wire::cluster_message::Content;
use crate::adapter::redis::wire::stream_entry::{self, ReceivedEntry};
use crate::adapter::{ClusterMessage, RestoredSession, SavedSession, Target};
use crate::protocol::packet::Encoded;
use crate::{Promise, SocketId};

/// Maximum number of events that are kept for a client that is reconnecting.
const CAPTURE_LIMIT: usize = 100_000;

/// Number of entries that are read at once.
const SCAN_COUNT: usize = 1000;

/// An event of the namespace.
struct LoggedEvent {
    id: EntryId,
    packet: Encoded,
    target: Target,
}

/// The events that a server read while a client was reconnecting.
#[derive(Default)]
pub(super) struct Captured {
    events: Vec<LoggedEvent>,
    /// Set once there were too many events.
    is_incomplete: bool,
}

/// Collects missed events.
struct MissedEvents {
    session: SavedSession,
    missed: Vec<Encoded>,
    bytes: usize,
    max_count: usize,
    max_bytes: usize,
}

impl MissedEvents {
    /// Adds an event if it is for the client. Returns `false` if a limit is exceeded.
    fn add(&mut self, packet: &Encoded, target: &Target, offset: &str) -> bool {
        if !self.session.is_selected_by(target) {
            return true;
        }
        let Some(packet) = packet.with_argument(offset) else {
            return true;
        };
        self.bytes += packet.size();
        self.missed.push(packet);
        self.missed.len() <= self.max_count && self.bytes <= self.max_bytes
    }
}

/// Removes and returns the state of a client, and the events that it missed. There is no result if this takes longer than the timeout of requests.
pub(super) fn restore(
    adapter: Rc<StreamsNamespace>,
    pid: &str,
    offset: &str,
) -> Promise<Option<RestoredSession>> {
    let (Some(pid), Some(offset)) = (SocketId::parse(pid), EntryId::parse(offset)) else {
        return Promise::ready(None);
    };
    let state = adapter.sink.namespace().state();
    let Some(server) = state.and_then(|state| state.server()) else {
        return Promise::ready(None);
    };
    let timeout = server.options.request_timeout;
    let (promise, resolver) = Promise::pending();
    spawn(async move {
        let restored = adapter.restore(pid, offset);
        let restored = match select(pin!(restored), pin!(sleep(timeout))).await {
            Either::Left((restored, _)) => restored,
            Either::Right(_) => {
                tracing::error!("restoring the state of a Socket.IO client failed: no response");
                None
            }
        };
        resolver.resolve(restored);
    });
    promise
}

impl StreamsNamespace {
    async fn restore(&self, pid: SocketId, offset: EntryId) -> Option<RestoredSession> {
        let captured = Rc::new(RefCell::new(Captured::default()));
        self.captures.borrow_mut().push(Rc::downgrade(&captured));
        let stream = self.stream.borrow().clone()?;
        let (redis, name) = (stream.state.redis, &stream.state.name);
        let state = redis.getdel::<Option<Bytes>>(self.session_key(&pid));
        let first = redis.xrange_count(name, offset.to_string(), offset.to_string(), 1);
        let (state, first) = (state.await, first.await);
        let session = match (state, first) {
            (Ok(Some(state)), Ok(first)) if !first.is_empty() => state,
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!("restoring the state of a Socket.IO client failed: {error}");
                return None;
            }
            _ => return None,
        };
        let session = stream_entry::decode_session(&session).inspect_err(|error| {
            let counters = &self.shared.counters;
            counters.malformed(&self.session_key(&pid), &error.to_string());
        });
        let (session, namespace) = session.ok()?;
        let is_foreign = namespace.as_ref().is_some_and(|name| **name != *self.name);
        if *session.pid != *pid || is_foreign {
            return None;
        }
        let (max_count, max_bytes) = {
            let state = self.sink.namespace().state()?;
            state.recovery.as_ref()?.borrow().limits()
        };
        let mut missed = MissedEvents {
            session,
            missed: Vec::new(),
            bytes: 0,
            max_count,
            max_bytes,
        };
        let mut last = offset;
        loop {
            let start = last.next().to_string();
            let entries = redis.xrange_count(name, start, "+", SCAN_COUNT);
            let entries = entries.await.ok()?;
            for entry in &entries {
                last = EntryId::parse(&entry.id)?;
                if let Some((packet, target)) = self.event_of(&entry.fields)
                    && !missed.add(&packet, &target, &entry.id)
                {
                    return None;
                }
            }
            if entries.len() < SCAN_COUNT {
                break;
            }
        }
        // Entries up to the last one are not passed to the namespace later. Entries after it that were passed already are in `captured`.
        stream.state.reached(last).await;
        let captured = captured.take();
        if captured.is_incomplete {
            return None;
        }
        for event in captured.events {
            let is_new = event.id > last;
            if is_new && !missed.add(&event.packet, &event.target, &event.id.to_string()) {
                return None;
            }
        }
        Some(RestoredSession {
            session: missed.session,
            missed: missed.missed,
            is_verified: namespace.is_some(),
        })
    }

    /// Decodes an entry if it is a recoverable event of this namespace.
    fn event_of(&self, fields: &[(String, Bytes)]) -> Option<(Encoded, Target)> {
        let entry = ReceivedEntry::of(fields).ok()?;
        if entry.namespace != &*self.name || !entry.is_broadcast() {
            return None;
        }
        match entry.decode().ok()? {
            Content::Message(ClusterMessage::Broadcast {
                packet,
                target,
                volatile: false,
                ..
            }) => Some((packet, target)),
            _ => None,
        }
    }

    /// Keeps an event for the clients that are reconnecting.
    pub(super) fn capture(&self, id: EntryId, packet: &Encoded, target: &Target) {
        let mut captures = self.captures.borrow_mut();
        captures.retain(|captured| match captured.upgrade() {
            Some(captured) => {
                let mut captured = captured.borrow_mut();
                captured.is_incomplete |= captured.events.len() >= CAPTURE_LIMIT;
                if !captured.is_incomplete {
                    captured.events.push(LoggedEvent {
                        id,
                        packet: packet.clone(),
                        target: target.clone(),
                    });
                }
                !captured.is_incomplete
            }
            None => false,
        });
    }
}
