//! The requests of a connection: from received bytes to handlers.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::catch;
use uptick_event_loop::driver::{self, Timestamp};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Visit};

use super::flags::{ConnectionFlags, StreamFlags};
use super::output::{OutputWriter, ignore};
use super::state::{ConnectionState, Http2Connection};
use super::stream::Http2Stream;
use crate::connection::date;
use crate::exchange::{self, BodyPiece, BodyProgress, Exchange, Head};
use crate::h2::{ErrorCode, Event, ResponseHead, StreamKey};
use crate::message::{RequestHead, ResponseBody};
use crate::site::Site;
use crate::{HttpError, Response, StatusCode};

/// Number of control bytes that may wait for room in the connection before reading is paused.
const MAX_WAITING_CONTROL: usize = 4 * 1024;

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

    /// Ends the exchange of a stream if its response is accepted or the stream is closed, and removes the stream if nothing of it is left.
    pub(super) fn settle(&self, stream: Rc<Http2Stream>) {
        let (finished, unread, closed) = {
            let mut of_stream = stream.state();
            let closed = of_stream.flags.contains(StreamFlags::CLOSED);
            let over = of_stream
                .exchange
                .take_if(|exchange| closed || exchange.is_done());
            let unread = match over {
                Some(_) => std::mem::take(&mut of_stream.incoming).len(),
                None => 0,
            };
            (over, unread, closed)
        };
        if finished.is_some() && !closed {
            self.discard_rest(&stream);
        }
        self.consumed(&stream, unread);
        if let Some(exchange) = finished {
            if closed && !exchange.is_done() {
                self.abandon(&stream, exchange);
            } else {
                exchange::release(exchange);
            }
        }
        self.remove_if_over(stream);
    }

    /// Discards the rest of a request body whose response is complete.
    #[inline]
    fn discard_rest(&self, stream: &Http2Stream) {
        let mut of_stream = stream.state();
        if of_stream.flags.contains(StreamFlags::REMOTE_ENDED) {
            return;
        }
        of_stream.flags.insert(StreamFlags::DRAINING);
        drop(of_stream);
        self.state().codec.discard(stream.key());
    }

    /// Ends the exchange of a stream that was closed before its response. While the program uses the request, the stream still counts.
    #[cold]
    fn abandon(&self, stream: &Rc<Http2Stream>, exchange: Rc<Exchange>) {
        exchange.abandon();
        let other = Rc::clone(&exchange);
        exchange::release(exchange);
        let mut state = self.state();
        let is_closing = state.flags.contains(ConnectionFlags::CLOSING);
        if Rc::strong_count(&other) > 1 && !is_closing {
            state.since = Timestamp::now();
            state.extra().lingering.push((stream.key(), other));
        } else {
            drop(state);
            exchange::discard(other);
        }
    }

    /// Removes a stream if nothing of it is left.
    #[inline]
    fn remove_if_over(&self, stream: Rc<Http2Stream>) {
        {
            let mut state = self.state();
            let state = &mut *state;
            {
                let mut of_stream = stream.state();
                let is_over = of_stream.exchange.is_none()
                    && of_stream.channel.is_none()
                    && of_stream
                        .flags
                        .intersects(StreamFlags::ENDED | StreamFlags::CLOSED);
                if !is_over || state.lingers(stream.key()) {
                    return;
                }
                // The client may finish a short body. It learns from a reset that it need not (RFC 9113, section 8.1), but some clients
                // lose the response then.
                if of_stream.is_draining() {
                    if !of_stream.flags.contains(StreamFlags::LINGERING) {
                        of_stream.flags.insert(StreamFlags::LINGERING);
                        of_stream.since = Timestamp::now();
                        self.await_end(state);
                    }
                    return;
                }
            }
            drop(state.codec.remove(stream.key()));
            state.since = Timestamp::now();
            if let Some(extra) = &mut state.extra {
                extra.waiting.retain(|key| *key != stream.key());
            }
        }
        Http2Stream::release(stream);
    }

    /// Handles the requests that have waited, as far as they may start. Returns `true` if one has started.
    fn start_waiting(&self) -> bool {
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
        let head = Head::of(&response);
        let head = ResponseHead {
            status: head.status,
            content_type: head.content_type,
            date: Some(&date),
            fields: head.headers,
            body: ResponseBody::Bytes(body.len() as u64),
            to_head: false,
        };
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

    /// Runs deferred actions, unless the connection is being handled.
    pub(super) fn advance(&self) {
        {
            let mut state = self.state();
            if state.flags.contains(ConnectionFlags::ADVANCING) {
                return;
            }
            state.flags.insert(ConnectionFlags::ADVANCING);
        }
        self.run_actions(&self.conn, false);
    }

    /// Runs the deferred actions of the streams, and writes the output that is accepted. `responds` is `true` if received frames caused
    /// responses.
    fn run_actions(&self, writer: &impl OutputWriter, responds: bool) {
        loop {
            let key = {
                let mut state = self.state();
                state.listed.pop()
            };
            let Some(key) = key else {
                self.pump();
                if self.state().listed.is_empty() && !self.start_waiting() {
                    break;
                }
                continue;
            };
            if let Some(stream) = self.stream(key) {
                stream.state().flags.remove(StreamFlags::LISTED);
                self.run_actions_of(stream);
            }
        }
        self.finish_event(writer, responds);
    }

    fn run_actions_of(&self, stream: Rc<Http2Stream>) {
        let exchange = stream.exchange();
        if let Some(exchange) = exchange {
            let is_drained =
                stream.state().flags.contains(StreamFlags::FULL) && !self.is_full(&stream);
            if is_drained {
                stream.state().flags.remove(StreamFlags::FULL);
                exchange.drained();
            }
            self.deliver(&stream, &exchange);
        }
        self.settle(stream);
    }

    /// Writes control frames, and updates the state of the connection after an event.
    fn finish_event(&self, writer: &impl OutputWriter, responds: bool) {
        let (ends, drains) = {
            let mut state = self.state();
            state.flags.remove(ConnectionFlags::ADVANCING);
            if state.flags.contains(ConnectionFlags::GOING_AWAY)
                && state.codec.is_ping_acknowledged()
            {
                state.announce_last();
            }
            let closing = state.flags.contains(ConnectionFlags::CLOSING);
            if state.codec.control_len() > 0
                && (closing || !state.flags.contains(ConnectionFlags::FULL))
            {
                let codec = &mut state.codec;
                let open = writer.append(|out| codec.write_control(out));
                state.written(open);
            }
            if closing {
                (true, false)
            } else {
                if state.flags.contains(ConnectionFlags::FULL)
                    && (responds || state.codec.control_len() > MAX_WAITING_CONTROL)
                {
                    self.pause(&mut state);
                }
                self.update_waits(&mut state);
                (state.is_over(), state.drains())
            }
        };
        if ends {
            self.end();
        } else if drains {
            self.begin_draining();
        }
    }

    /// Ends the connection: written output is sent, and further input is discarded.
    pub(super) fn end(&self) {
        self.state().flags.insert(ConnectionFlags::CLOSING);
        self.close_streams();
        self.conn.end();
    }

    /// Closes all streams.
    pub(super) fn close_streams(&self) {
        // Reset streams whose requests the program still uses are removed as well.
        let extra = self.state().extra.take();
        for stream in self.streams() {
            let channel = {
                let mut of_stream = stream.state();
                of_stream.flags.insert(StreamFlags::CLOSED);
                of_stream.channel.clone()
            };
            if let Some(channel) = channel {
                channel.receive_reset();
            }
            let this = Rc::clone(&stream);
            // Values captured by listeners may panic when they are dropped.
            if let Err(message) = catch(|| self.settle(this)) {
                tracing::error!(
                    "a callback of a request panicked as its connection closed: {message}"
                );
                self.remove_if_over(stream);
            }
        }
        drop(extra);
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

    /// Announces the last stream that is handled, unless it was announced. The connection ends after it.
    pub(super) fn announce_last(&mut self) {
        if !self.flags.contains(ConnectionFlags::LAST_ANNOUNCED) {
            self.flags.insert(ConnectionFlags::LAST_ANNOUNCED);
            self.codec.go_away(ErrorCode::NO_ERROR);
        }
    }

    /// Frees the slots of reset streams whose requests the program no longer uses.
    #[cold]
    fn sweep(&mut self) {
        let Some(extra) = &mut self.extra else { return };
        let codec = &mut self.codec;
        extra.lingering.retain(|(key, exchange)| {
            let is_used = Rc::strong_count(exchange) > 1;
            if !is_used {
                drop(codec.remove(*key));
            }
            is_used
        });
    }

    /// Returns `true` if the program still uses the request of a reset stream.
    #[inline]
    fn lingers(&self, key: StreamKey) -> bool {
        self.extra
            .as_ref()
            .is_some_and(|extra| extra.lingering.iter().any(|(other, _)| *other == key))
    }

    /// Returns `true` if the end of the connection must be announced.
    fn drains(&self) -> bool {
        self.flags.contains(ConnectionFlags::DRAINING)
            && !self.flags.contains(ConnectionFlags::GOING_AWAY)
    }

    /// Returns `true` if the connection ends: no stream is open, and none follows.
    fn is_over(&self) -> bool {
        let none_follows = ConnectionFlags::PEER_ENDED
            | ConnectionFlags::PEER_GOING_AWAY
            | ConnectionFlags::LAST_ANNOUNCED;
        self.open_streams() == 0 && self.flags.intersects(none_follows)
    }
}
