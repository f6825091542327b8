//! The state of the transport: sessions, membership, publishing and receiving.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::{Timer, add_periodic_timer, add_timer, elapsed, future_tick};
use uptick_redis::{Message, Redis};

use super::message::{Control, Sender, decode_control, decode_data, encode_control, encode_data};
use super::options::RedisBusOptions;
use super::peers::RemotePeers;
use crate::bus::local::{self, cost};
use crate::bus::new_group;
use crate::bus::transport::{BusSink, TransportStats};

/// The number of bytes from which a list of topics is continued in another message.
const TOPICS_BYTES: usize = 64 * 1024;

pub(super) struct RedisState {
    pub(super) redis: Redis,
    options: RedisBusOptions,
    sink: RefCell<Option<BusSink>>,
    sender: Cell<Sender>,
    /// Set while messages and announcements can be sent: a session has begun.
    in_session: Cell<bool>,
    /// Set if an announcement could not be sent, so that a new session must begin.
    is_stale: Cell<bool>,
    /// The topics that the bus has announced.
    topics: RefCell<HashSet<Rc<str>>>,
    peers: RefCell<RemotePeers>,
    /// Time of the last own message that Redis has delivered.
    echoed: Cell<Duration>,
    dropped: Cell<u64>,
    /// Set while messages are dropped, so that it is logged once.
    is_dropping: Cell<bool>,
    malformed: Cell<u64>,
    start: RefCell<StartState>,
    heartbeat: Cell<Option<Timer>>,
    /// The channel and the message that are being published, reused to avoid an allocation.
    channel: RefCell<String>,
    encoded: RefCell<Vec<u8>>,
    /// The prefix of the channels of topics.
    topic_prefix: String,
    control_channel: String,
    is_closed: Cell<bool>,
}

/// The responses to the first hello.
#[derive(Default)]
struct StartState {
    is_over: bool,
    /// The number of other workers to which Redis has delivered the hello.
    expected: Option<u64>,
    responded: HashSet<u64>,
    callbacks: Vec<Box<dyn FnOnce()>>,
}

impl RedisState {
    pub(super) fn new(redis: Redis, options: RedisBusOptions) -> Rc<RedisState> {
        let state = Rc::new(RedisState {
            redis,
            topic_prefix: format!("{}:topic:", options.prefix),
            control_channel: format!("{}:control", options.prefix),
            options,
            sink: RefCell::default(),
            sender: Cell::default(),
            in_session: Cell::new(false),
            is_stale: Cell::new(false),
            topics: RefCell::default(),
            peers: RefCell::default(),
            echoed: Cell::default(),
            dropped: Cell::new(0),
            is_dropping: Cell::new(false),
            malformed: Cell::new(0),
            start: RefCell::default(),
            heartbeat: Cell::new(None),
            channel: RefCell::default(),
            encoded: RefCell::default(),
            is_closed: Cell::new(false),
        });
        let with = |f: fn(&Rc<RedisState>)| {
            let state = Rc::downgrade(&state);
            move || {
                if let Some(state) = state.upgrade() {
                    f(&state);
                }
            }
        };
        let (begin, end) = (with(RedisState::begin), with(RedisState::end));
        redis.on(Redis::READY, move |()| begin());
        redis.on(Redis::DISCONNECT, move |error| {
            tracing::warn!("the bus has lost its connection to Redis: {error}");
            end();
        });
        redis.on(Redis::ERROR, |error| {
            tracing::error!("the bus over Redis: {error}")
        });
        let weak = Rc::downgrade(&state);
        redis.on(Redis::MESSAGE, move |message: Message| {
            if let Some(state) = weak.upgrade() {
                state.receive(message);
            }
        });
        state
    }

    pub(super) fn attach(self: &Rc<Self>, sink: BusSink) {
        self.sink.replace(Some(sink));
        let (id, group) = local::identity().unwrap_or_else(|| {
            let group = new_group();
            (group + 1, group)
        });
        self.sender.set(Sender {
            group,
            id,
            session: 0,
        });
        drop(self.redis.subscribe(&self.control_channel));
        drop(self.redis.subscribe(self.channel_of_worker(id)));
        // The topics of the bus are announced after this method.
        let later = Rc::downgrade(self);
        future_tick(move || {
            if let Some(state) = later.upgrade() {
                state.begin();
            }
        });
        let weak = Rc::downgrade(self);
        let heartbeat = add_periodic_timer(self.options.heartbeat, move |_| {
            if let Some(state) = weak.upgrade() {
                state.beat();
            }
        });
        self.heartbeat.set(Some(heartbeat));
        let weak = Rc::downgrade(self);
        add_timer(self.options.ready_timeout, move || {
            if let Some(state) = weak.upgrade() {
                state.end_start();
            }
        });
    }

    pub(super) fn is_connected(&self) -> bool {
        self.in_session.get()
    }

    pub(super) fn malformed(&self) -> u64 {
        self.malformed.get()
    }

    pub(super) fn sender(&self) -> Sender {
        self.sender.get()
    }

    pub(super) fn peer_ids(&self) -> Vec<u64> {
        self.peers.borrow().ready().collect()
    }

    fn sink(&self) -> Option<BusSink> {
        self.sink.borrow().clone()
    }

    fn channel_of_worker(&self, id: u64) -> String {
        format!("{}:worker:{id}", self.options.prefix)
    }

    /// Begins a session, if there is a connection and the bus is attached. All subscriptions have been sent before.
    fn begin(self: &Rc<Self>) {
        if self.in_session.get()
            || self.is_closed.get()
            || self.sink.borrow().is_none()
            || !self.redis.is_ready()
        {
            return;
        }
        let sender = self.sender.get();
        self.sender.set(Sender {
            session: RandomState::new().hash_one(sender.id),
            ..sender
        });
        self.in_session.set(true);
        self.is_stale.set(false);
        self.echoed.set(elapsed());
        let mut hello = Vec::new();
        encode_control(&mut hello, self.sender.get(), &Control::Hello);
        let later = Rc::downgrade(self);
        let reply = self.redis.publish(&self.control_channel, hello);
        reply.then(move |receivers| {
            if let (Some(state), Ok(receivers)) = (later.upgrade(), receivers) {
                // The hello comes back as well.
                state.start.borrow_mut().expected = Some(receivers.saturating_sub(1));
                state.check_start();
            }
        });
        self.send_topics(&self.control_channel);
    }

    /// Ends the session, because the connection was lost, or announcements were.
    fn end(self: &Rc<Self>) {
        self.in_session.set(false);
        let gone = self.peers.borrow_mut().clear();
        for id in gone {
            if let Some(sink) = self.sink() {
                sink.peer_gone(id);
            }
        }
    }

    /// Sends all topics that have subscribers.
    fn send_topics(&self, channel: &str) {
        let all: Vec<Rc<str>> = self.topics.borrow().iter().cloned().collect();
        let mut bytes = 0;
        let mut topics = Vec::new();
        for topic in &all {
            bytes += topic.len() + 2;
            topics.push(&**topic);
            if bytes >= TOPICS_BYTES {
                self.send(channel, &Control::Topics(std::mem::take(&mut topics)));
                bytes = 0;
            }
        }
        if !topics.is_empty() {
            self.send(channel, &Control::Topics(topics));
        }
        self.send(channel, &Control::Ready);
    }

    /// Sends a control message.
    fn send(&self, channel: &str, control: &Control<'_>) {
        if !self.in_session.get() {
            return;
        }
        // The client accepts this many bytes beyond the limit of messages.
        if self.redis.queued_bytes() > self.options.queue_limit.saturating_add(32 * 1024 * 1024) {
            return self.is_stale.set(true);
        }
        let mut encoded = self.encoded.borrow_mut();
        encoded.clear();
        encode_control(&mut encoded, self.sender.get(), control);
        drop(self.redis.publish(channel, &encoded[..]));
    }

    fn send_to_all(&self, control: &Control<'_>) {
        self.send(&self.control_channel, control);
    }

    /// Sends a heartbeat, and removes workers that have sent none.
    fn beat(self: &Rc<Self>) {
        if self.is_stale.get() && self.redis.queued_bytes() <= self.options.queue_limit {
            self.end();
            return self.begin();
        }
        self.send_to_all(&Control::Alive);
        // While Redis delivers nothing, other workers are not gone.
        let since = self.echoed.get().saturating_sub(self.options.peer_timeout);
        let silent = self.peers.borrow().silent_since(since);
        for id in silent {
            self.remove(id);
        }
    }

    fn remove(&self, id: u64) {
        let was_ready = self.peers.borrow_mut().remove(id);
        if was_ready && let Some(sink) = self.sink() {
            sink.peer_gone(id);
        }
    }

    fn receive(self: &Rc<Self>, message: Message) {
        if self.is_closed.get() {
            return;
        }
        let topic = message.channel.strip_prefix(self.topic_prefix.as_bytes());
        let is_valid = match topic {
            Some(topic) => self.receive_data(topic, message.payload),
            None => {
                let is_direct = message.channel != self.control_channel;
                self.receive_control(&message.payload, is_direct)
            }
        };
        if is_valid.is_none() {
            self.malformed.set(self.malformed.get() + 1);
            tracing::debug!("the bus has received a malformed message over Redis");
        }
    }

    /// Delivers a message of a topic. Returns `None` if it is malformed.
    fn receive_data(&self, topic: &[u8], message: Bytes) -> Option<()> {
        let (sender, payload) = decode_data(message)?;
        let topic = std::str::from_utf8(topic).ok()?;
        if sender.group == self.sender.get().group {
            return Some(());
        }
        self.peers.borrow_mut().hear(sender.id, elapsed());
        if let Some(sink) = self.sink() {
            sink.deliver(topic, payload);
        }
        Some(())
    }

    /// Handles a control message. Returns `None` if it is malformed.
    fn receive_control(self: &Rc<Self>, message: &[u8], is_direct: bool) -> Option<()> {
        let (sender, control) = decode_control(message)?;
        let own = self.sender.get();
        if sender.id == own.id {
            self.echoed.set(elapsed());
            return Some(());
        }
        if !self.in_session.get() {
            return Some(());
        }
        if sender.group == own.group {
            // Workers of the same group are connected by another transport.
            match control {
                Control::Hello => self.send(&self.channel_of_worker(sender.id), &Control::Ready),
                Control::Ready if is_direct => self.responded(sender.id),
                _ => {}
            }
            return Some(());
        }
        self.handle(sender, &control);
        if is_direct && control == Control::Ready {
            self.responded(sender.id);
        }
        Some(())
    }

    /// Handles a control message of another machine.
    fn handle(self: &Rc<Self>, sender: Sender, control: &Control<'_>) {
        let session = self.peers.borrow().session(sender.id);
        let is_known = session == Some(sender.session);
        if let Control::Subscribe(_) | Control::Unsubscribe(_) | Control::Bye = control
            && !is_known
        {
            return;
        }
        if !is_known {
            self.remove(sender.id);
        }
        if !self.peers.borrow_mut().add(sender, elapsed()) {
            tracing::warn!("the bus ignores a worker: too many are connected over Redis");
            return;
        }
        match control {
            Control::Hello | Control::Request => {
                self.send_topics(&self.channel_of_worker(sender.id));
            }
            Control::Topics(topics) => {
                let mut peers = self.peers.borrow_mut();
                for topic in topics {
                    peers.subscribe(sender.id, topic);
                }
            }
            Control::Subscribe(topic) => self.peers.borrow_mut().subscribe(sender.id, topic),
            Control::Unsubscribe(topic) => self.peers.borrow_mut().unsubscribe(sender.id, topic),
            Control::Ready => {
                let is_new = self.peers.borrow_mut().set_ready(sender.id);
                if is_new && let Some(sink) = self.sink() {
                    sink.peer(sender.id);
                }
            }
            Control::Alive => {
                if !self.peers.borrow().is_ready(sender.id) {
                    self.send(&self.channel_of_worker(sender.id), &Control::Request);
                }
            }
            Control::Bye => self.remove(sender.id),
        }
    }

    /// Records a response to the first hello.
    fn responded(&self, id: u64) {
        let mut start = self.start.borrow_mut();
        if !start.is_over {
            start.responded.insert(id);
            drop(start);
            self.check_start();
        }
    }

    fn check_start(&self) {
        let start = self.start.borrow();
        let responded = start.responded.len() as u64;
        let is_complete = start.expected.is_some_and(|expected| responded >= expected);
        drop(start);
        if is_complete {
            self.end_start();
        }
    }

    fn end_start(&self) {
        let callbacks = {
            let mut start = self.start.borrow_mut();
            start.is_over = true;
            start.responded = HashSet::new();
            std::mem::take(&mut start.callbacks)
        };
        for callback in callbacks {
            callback();
        }
    }

    pub(super) fn when_ready(&self, callback: Box<dyn FnOnce()>) {
        let mut start = self.start.borrow_mut();
        match start.is_over {
            true => future_tick(callback),
            false => start.callbacks.push(callback),
        }
    }

    pub(super) fn publish(&self, topic: &str, payload: &Bytes) {
        let fits = self.in_session.get()
            && self.redis.pending() < self.options.pending_limit
            && self
                .redis
                .queued_bytes()
                .saturating_add(cost(topic, payload))
                <= self.options.queue_limit;
        if !fits {
            self.dropped.set(self.dropped.get() + 1);
            if !self.is_dropping.replace(true) {
                let cause = match self.in_session.get() {
                    true => "Redis is slow",
                    false => "there is no connection",
                };
                tracing::warn!("the bus drops messages to other machines: {cause}");
            }
            return;
        }
        self.is_dropping.set(false);
        let mut channel = self.channel.borrow_mut();
        channel.clear();
        channel.push_str(&self.topic_prefix);
        channel.push_str(topic);
        let mut encoded = self.encoded.borrow_mut();
        encoded.clear();
        encode_data(&mut encoded, self.sender.get(), payload);
        // Errors are reported by the client.
        match self.options.sharded {
            false => drop(self.redis.publish(&**channel, &encoded[..])),
            true => drop(self.redis.spublish(&**channel, &encoded[..])),
        }
        // A large message must not keep its memory.
        encoded.shrink_to(64 * 1024);
    }

    pub(super) fn subscribe(&self, topic: &str) {
        self.topics.borrow_mut().insert(topic.into());
        let channel = format!("{}{topic}", self.topic_prefix);
        match self.options.sharded {
            false => drop(self.redis.subscribe(channel)),
            true => drop(self.redis.ssubscribe(channel)),
        }
        self.send_to_all(&Control::Subscribe(topic));
    }

    pub(super) fn unsubscribe(&self, topic: &str) {
        self.topics.borrow_mut().remove(topic);
        let channel = format!("{}{topic}", self.topic_prefix);
        match self.options.sharded {
            false => drop(self.redis.unsubscribe(channel)),
            true => drop(self.redis.sunsubscribe(channel)),
        }
        self.send_to_all(&Control::Unsubscribe(topic));
    }

    pub(super) fn stats(&self) -> TransportStats {
        TransportStats {
            dropped: self.dropped.get(),
            queued_bytes: self.redis.queued_bytes(),
        }
    }

    /// Reports the queue for Redis as that of each worker.
    pub(super) fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        let queued = self.redis.queued_bytes();
        for id in self.peers.borrow().ready() {
            visit(id, queued);
        }
    }

    pub(super) fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        self.peers.borrow().subscribers(topic, visit);
    }

    pub(super) fn close(&self) {
        if self.is_closed.replace(true) {
            return;
        }
        self.send_to_all(&Control::Bye);
        self.stop();
        self.redis.close();
    }

    fn stop(&self) {
        self.in_session.set(false);
        if let Some(timer) = self.heartbeat.take() {
            timer.cancel();
        }
    }
}

impl Drop for RedisState {
    fn drop(&mut self) {
        if !self.is_closed.get() {
            self.stop();
            self.redis.disconnect();
        }
    }
}
