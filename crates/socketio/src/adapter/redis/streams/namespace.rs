//! The adapter of a namespace.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::StreamsShared;
use super::entry_id::EntryId;
use super::restore::Captured;
use super::stream::Stream;
use crate::adapter::redis::broker::{Broker, Channel, OnMessage, Topic};
use crate::adapter::redis::link::Link;
use crate::adapter::redis::wire::cluster_message::{self, Content};
use crate::adapter::redis::wire::stream_entry::{self, ReceivedEntry};
use crate::adapter::{
    Adapter, AdapterSink, ClusterMessage, ClusterResponse, RestoredSession, SavedSession, Servers,
};
use crate::{Promise, random};

/// The adapter of a namespace.
pub(super) struct StreamsNamespace {
    own: Weak<StreamsNamespace>,
    uid: String,
    pub(super) name: Rc<str>,
    /// `PREFIX#NSP#`
    channel: String,
    link: Rc<Link>,
    pub(super) stream: RefCell<Option<Rc<Stream>>>,
    pub(super) shared: Rc<StreamsShared>,
    pub(super) sink: AdapterSink,
    /// The clients that are reconnecting: they need the events that this server reads meanwhile.
    pub(super) captures: RefCell<Vec<Weak<RefCell<Captured>>>>,
    is_open: Cell<bool>,
}

impl StreamsNamespace {
    pub(super) fn open(
        broker: Rc<dyn Broker>,
        stream: Rc<Stream>,
        sink: AdapterSink,
    ) -> Rc<StreamsNamespace> {
        let name = sink.namespace().name();
        let shared = Rc::clone(&stream.state.shared);
        let adapter = Rc::new_cyclic(|own| StreamsNamespace {
            own: Weak::clone(own),
            uid: format!("{:016x}", random::number()),
            channel: format!("{}#{name}#", shared.options.channel_prefix),
            link: Link::new(broker, Rc::clone(&shared.counters)),
            name,
            stream: RefCell::new(Some(Rc::clone(&stream))),
            shared,
            sink,
            captures: RefCell::default(),
            is_open: Cell::new(true),
        });
        let state = &stream.state;
        state.add_namespace(Rc::clone(&adapter.name), Weak::clone(&adapter.own));
        for channel in [adapter.channel.clone(), adapter.channel_of(&adapter.uid)] {
            let topic = match adapter.shared.options.sharded_channels {
                true => Topic::Sharded(channel),
                false => Topic::Channel(channel),
            };
            adapter.link.subscribe(topic, adapter.on_message());
        }
        adapter
    }

    /// Returns the channel of responses to a server.
    fn channel_of(&self, uid: &str) -> String {
        format!("{}{uid}#", self.channel)
    }

    fn as_channel<'a>(&self, name: &'a str) -> Channel<'a> {
        match self.shared.options.sharded_channels {
            true => Channel::Sharded(name),
            false => Channel::Plain(name),
        }
    }

    fn on_message(&self) -> OnMessage {
        let adapter = Weak::clone(&self.own);
        Rc::new(move |channel, payload| {
            if let Some(adapter) = adapter.upgrade()
                && adapter.is_open.get()
            {
                adapter.message_received(channel, payload);
            }
        })
    }

    /// Handles a message of a channel.
    fn message_received(&self, channel: &str, payload: Bytes) {
        let counters = &self.shared.counters;
        match cluster_message::decode(payload) {
            Ok(message) if message.uid == self.uid || message.namespace != *self.name => {
                counters.update(|stats| stats.ignored += 1);
            }
            Ok(message) => self.pass(&message.uid, message.content),
            Err(error) => counters.malformed(channel, &error.to_string()),
        }
    }

    /// Handles an entry of the stream.
    pub(super) fn entry_received(&self, id: EntryId, offset: &str, entry: ReceivedEntry<'_>) {
        if !self.is_open.get() {
            return;
        }
        let counters = &self.shared.counters;
        let is_own = entry.uid == self.uid;
        let is_recoverable = self.sink.needs_all_rooms();
        if is_own && !is_recoverable {
            return counters.update(|stats| stats.ignored += 1);
        }
        let content = match entry.decode() {
            Ok(content) => content,
            Err(error) => {
                let stream = &self.shared.options.stream_name;
                return counters.malformed(stream, &error.to_string());
            }
        };
        match content {
            Content::Message(ClusterMessage::Broadcast {
                packet,
                target,
                volatile: false,
                request: None,
                ..
            }) => {
                match is_own {
                    true => counters.update(|stats| stats.ignored += 1),
                    false => counters.update(|stats| stats.received += 1),
                }
                if is_recoverable {
                    self.capture(id, &packet, &target);
                }
                self.sink.logged(packet, &target, offset);
            }
            _ if is_own => counters.update(|stats| stats.ignored += 1),
            content => self.pass(entry.uid, content),
        }
    }

    /// Passes a message of another server to the namespace.
    fn pass(&self, from: &str, content: Content) {
        let counters = &self.shared.counters;
        match content {
            Content::Message(message) => {
                counters.update(|stats| stats.received += 1);
                self.sink.message(from, message);
            }
            Content::Response(response) => {
                counters.update(|stats| stats.received += 1);
                self.sink.response(from, response);
            }
            // Sent by older versions of the official adapter. Servers are counted by their subscriptions instead.
            Content::InitialHeartbeat | Content::Heartbeat | Content::AdapterClose => {
                counters.update(|stats| stats.ignored += 1);
            }
        }
    }

    fn add(&self, message: &ClusterMessage) -> Promise<bool> {
        let stream = self.stream.borrow().clone();
        let Some(stream) = stream else {
            return Promise::ready(false);
        };
        match stream_entry::encode(&self.uid, &self.name, message) {
            Ok(fields) => stream.state.add(fields),
            Err(error) => {
                self.shared.counters.lost(&error.to_string());
                Promise::ready(false)
            }
        }
    }

    /// Returns the key of the state of a client.
    pub(super) fn session_key(&self, pid: &str) -> String {
        format!("{}{pid}", self.shared.options.session_key_prefix)
    }
}

impl Adapter for StreamsNamespace {
    fn publish(&self, message: &ClusterMessage) {
        if let ClusterMessage::ServerSideEmit { .. } = message {
            let payload = cluster_message::pack_message(&self.uid, &self.name, message);
            let channel = self.as_channel(&self.channel);
            return self.link.publish(channel, payload);
        }
        // Errors are reported when they occur.
        self.add(message).then(|_| ());
    }

    fn request(&self, message: &ClusterMessage) -> Promise<Servers> {
        if let ClusterMessage::RestoreSession { .. } = message {
            // The state is in Redis.
            return Promise::ready(Servers::Count(0));
        }
        let payload = cluster_message::pack_message(&self.uid, &self.name, message);
        self.link.request(self.as_channel(&self.channel), payload)
    }

    fn respond(&self, to: &str, response: &ClusterResponse) {
        if let ClusterResponse::Session { .. } = response {
            return;
        }
        let payload = cluster_message::pack_response(&self.uid, &self.name, response);
        let channel = self.channel_of(to);
        self.link.publish(self.as_channel(&channel), payload);
    }

    fn has_log(&self) -> bool {
        true
    }

    fn append(&self, message: &ClusterMessage) -> Promise<bool> {
        self.add(message)
    }

    fn save_session(&self, session: SavedSession, time: Duration) {
        let stream = self.stream.borrow().clone();
        let Some(stream) = stream else { return };
        let key = self.session_key(&session.pid);
        let state = stream_entry::encode_session(&self.name, &session);
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let saved = stream
            .state
            .redis
            .command(("SET", key, state, "PX", milliseconds));
        saved.then(|saved: Result<(), uptick_redis::Error>| {
            if let Err(error) = saved {
                tracing::error!("saving the state of a Socket.IO client failed: {error}");
            }
        });
    }

    fn restore_session(&self, pid: &str, offset: &str) -> Promise<Option<RestoredSession>> {
        match self.own.upgrade() {
            Some(own) => super::restore::restore(own, pid, offset),
            None => Promise::ready(None),
        }
    }

    fn close(&self) {
        self.is_open.set(false);
        self.link.close();
        if let Some(stream) = self.stream.take() {
            stream.state.remove_namespace(&self.name);
        }
    }
}

impl Drop for StreamsNamespace {
    fn drop(&mut self) {
        self.close();
    }
}
