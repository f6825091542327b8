//! The requests of a connection: from received bytes to handlers.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::driver::{self, Timestamp};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};

use super::flags::{ConnectionFlags, StreamFlags};
use super::output::{OutputWriter, ignore, response_head};
use super::state::{ConnectionState, Http2Connection};
use super::stream::Http2Stream;
use crate::connection::date;
use crate::exchange::{self, BodyPiece, BodyProgress, Exchange, Head};
use crate::h2::{ErrorCode, Event, StreamKey};
use crate::message::{RequestHead, ResponseBody};
use crate::site::Site;
use crate::{HttpError, Response, StatusCode};

impl Http2Connection {
    /// Handles received bytes.
    pub(super) fn received(&self, visit: &Visit<Connection>, bytes: &mut BytesMut) {
        {
            let mut state = self.state();
            if state.flags.contains(ConnectionFlags::CLOSING) {
                return bytes.clear();
            }
            if state.flags.contains(ConnectionFlags::ADVANCING) {
                // Only a stream that is read within its own callback gets here.
                return self.conn.unshift(bytes.split().freeze(), false);
            }
            state.flags.insert(ConnectionFlags::ADVANCING);
            if state.extra.is_some() {
                state.sweep();
            }
        }
        let now = driver::elapsed();
        let (mut responds, mut has_events) = (false, false);
        let mut spare = None;
        loop {
            let mut exchange: Rc<Exchange> = spare.take().unwrap_or_else(exchange::take);
            let Some(new) = Rc::get_mut(&mut exchange) else {
                continue;
            };
            let event = self.state().receive(bytes, &mut new.head, now);
            has_events |= event.is_some();
            match event {
                Some(Event::Request { stream, end }) => {
                    responds = true;
                    self.begin_request(visit, exchange, stream, end);
                }
                Some(event) => {
                    spare = Some(exchange);
                    responds |= matches!(event, Event::TooLarge { .. });
                    self.handle_event(event);
                }
                None => {
                    exchange::discard(exchange);
                    break;
                }
            }
        }
        if has_events {
            // A frame received in part is another one than before.
            self.state().flags.remove(ConnectionFlags::IN_HEAD);
        }
        self.run_actions(visit, responds);
    }

    fn handle_event(&self, event: Event) {
        match event {
            Event::Request { .. }
            | Event::Response { .. }
            | Event::ResponseTooLarge { .. }
            | Event::Interim { .. }
            | Event::WindowOpened => {}
            Event::GoAway { .. } => {
                self.state().flags.insert(ConnectionFlags::PEER_GOING_AWAY);
            }
            Event::TooLarge {
                stream,
                status,
                reason,
            } => self.refuse(stream, status, reason),
            Event::Malformed { reason, .. } => {
                tracing::debug!(
                    connection = self.conn.id(),
                    "an HTTP/2 request was reset: {reason}"
                );
            }
            Event::Data { stream, bytes, end } => match self.stream(stream) {
                Some(stream) => self.receive_data(&stream, bytes, end),
                None => self.state().codec.consumed(stream, bytes.len()),
            },
            Event::Trailers { stream, trailers } => {
                if let Some(stream) = self.stream(stream) {
                    self.receive_trailers(&stream, trailers);
                }
            }
            Event::Reset { stream, code } => {
                if let Some(stream) = self.stream(stream) {
                    self.reset_by_peer(&stream, code);
                }
            }
            Event::Closed(error) => {
                tracing::debug!(
                    connection = self.conn.id(),
                    "an HTTP/2 connection failed: {error}"
                );
                self.state().flags.insert(ConnectionFlags::CLOSING);
            }
        }
    }

    /// Starts the exchange of a request whose head was received.
    #[inline]
    fn begin_request(
        &self,
        visit: &Visit<Connection>,
        mut exchange: Rc<Exchange>,
        key: StreamKey,
        end: bool,
    ) {
        let site = self.service.site();
        let shared = self.shared();
        let new = Rc::get_mut(&mut exchange).zip(shared);
        let Some((new, shared)) = new else {
            let mut state = self.state();
            state.codec.reset(key, ErrorCode::REFUSED_STREAM);
            state.codec.remove(key);
            return exchange::discard(exchange);
        };
        let stream = Http2Stream::take(&shared, key);
        new.conn = Some(self.conn);
        new.proxies = site.proxies_of(|| self.conn.remote_ip());
        new.connect(Rc::<Http2Stream>::clone(&stream), Rc::<Site>::clone(&site));
        // The frames after an extended CONNECT request are those of its protocol.
        match end || exchange.head.is_upgrade() {
            true => exchange.body.set(BodyProgress::Received),
            false => exchange
                .awaits_continue
                .set(exchange.head.expects_continue()),
        }
        {
            let mut of_stream = stream.state();
            of_stream.flags.set(StreamFlags::REMOTE_ENDED, end);
            of_stream.exchange = Some(Rc::clone(&exchange));
        }
        let waits = {
            let mut state = self.state();
            state.flags.remove(ConnectionFlags::FRESH);
            state.codec.accept(key, Rc::clone(&stream));
            let waits = !state.may_start(self.service.is_sequential());
            if waits {
                stream.state().flags.insert(StreamFlags::WAITING);
                state.extra().waiting.push_back(key);
            }
            waits
        };
        if waits {
            return;
        }
        self.handle(visit, &stream, &exchange, &site);
        drop(exchange);
        self.settle(stream);
    }

    /// Passes a request to the server's routes, and sends the response.
    #[inline]
    fn handle(
        &self,
        writer: &impl OutputWriter,
        stream: &Rc<Http2Stream>,
        exchange: &Rc<Exchange>,
        site: &Rc<Site>,
    ) {
        self.service.count_http2_request();
        let send = |head: &Head<'_>, body: BodyPiece<'_>| {
            self.send_whole(writer, stream, exchange, head, body)
        };
        if self.service.handle(exchange, site, send) {
            stream.state().since = Timestamp::now();
            self.await_response();
        }
    }

    /// Handles the reset of a stream.
    fn reset_by_peer(&self, stream: &Rc<Http2Stream>, code: ErrorCode) {
        tracing::trace!(connection = self.conn.id(), "a stream was reset: {code}");
        let channel = {
            let mut state = self.state();
            let mut of_stream = stream.state();
            of_stream.flags.insert(StreamFlags::CLOSED);
            state.drop_output(&mut of_stream);
            of_stream.channel.clone()
        };
        if let Some(channel) = channel {
            channel.receive_reset();
        }
        self.settle(Rc::clone(stream));
    }

    /// Handles the requests that have waited, as far as they may start. Returns `true` if one has started.
    pub(super) fn start_waiting(&self) -> bool {
        let next = {
            let mut state = self.state();
            match state.extra {
                None => return false,
                Some(_) => state.take_waiting(self.service.is_sequential()),
            }
        };
        let Some(stream) = next.and_then(|key| self.stream(key)) else {
            return false;
        };
        stream.state().flags.remove(StreamFlags::WAITING);
        if let Some(exchange) = stream.exchange() {
            let site = self.service.site();
            self.handle(&self.conn, &stream, &exchange, &site);
        }
        self.list(&stream);
        true
    }

    /// Responds to a request that exceeds a limit, as in HTTP/1.
    #[cold]
    fn refuse(&self, key: StreamKey, status: StatusCode, reason: &'static str) {
        let mut response = Response::from(HttpError::new(status, reason));
        let site = self.service.site();
        if site.hooks.finishes() {
            response = site.hooks.finish(Some(self.conn), response, None);
        }
        self.service.count_response(response.status());
        let body = response.body().as_bytes().unwrap_or_default();
        let date = date::now();
        let length = ResponseBody::Bytes(body.len() as u64);
        let head = response_head(&Head::of(&response), &date, length, false);
        let mut borrowed = self.state();
        let state = &mut *borrowed;
        let sends_body = state.codec.capacity(key) >= body.len() && !body.is_empty();
        let codec = &mut state.codec;
        let open = self.conn.write_with(|out| {
            ignore(codec.send_head(key, &head, !sends_body, out));
            if sends_body {
                ignore(codec.send_data(key, body, true, out));
            }
        });
        state.written(open);
        let shared = self.shared().filter(|_| state.codec.is_receiving(key));
        let Some(shared) = shared else {
            state.codec.remove(key);
            return;
        };
        // Some clients lose the response if a reset follows it directly.
        let stream = Http2Stream::take(&shared, key);
        stream
            .state()
            .flags
            .insert(StreamFlags::ENDED | StreamFlags::DRAINING);
        state.codec.accept(key, Rc::clone(&stream));
        drop(borrowed);
        self.remove_if_over(stream);
    }
}

impl ConnectionState {
    /// Returns the next event of received bytes. The bytes are discarded if the connection is closing.
    #[inline]
    fn receive(
        &mut self,
        bytes: &mut BytesMut,
        head: &mut RequestHead,
        now: Duration,
    ) -> Option<Event> {
        if self.flags.contains(ConnectionFlags::CLOSING) {
            bytes.clear();
            return None;
        }
        self.codec.receive(bytes, head, now)
    }

    /// Returns `true` if a request that was received now may start immediately. It waits while too much output is queued, and in
    /// sequential mode for the other requests.
    #[inline]
    fn may_start(&self, is_sequential: bool) -> bool {
        let is_first = self
            .extra
            .as_ref()
            .is_none_or(|extra| extra.waiting.is_empty());
        is_first && self.has_room() && (!is_sequential || self.open_streams() == 1)
    }

    fn has_room(&self) -> bool {
        self.queued < self.codec.limits().max_queued_output()
    }

    /// Takes the request that has waited longest, if it may start.
    #[cold]
    fn take_waiting(&mut self, is_sequential: bool) -> Option<StreamKey> {
        let waiting = self.extra.as_ref()?.waiting.len();
        let may_start = !self.flags.contains(ConnectionFlags::CLOSING)
            && self.has_room()
            && (!is_sequential || self.open_streams() == waiting);
        let extra = self.extra.as_mut().filter(|_| may_start)?;
        extra.waiting.pop_front()
    }
}
