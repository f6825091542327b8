//! What happens next on a connection: one step after the other, until something has to be waited for.

use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::{Emitter, emit};
use uptick_event_loop::{Id, catch, spawn};
use uptick_socket::Connection;

use super::exchange::{Exchange, Incoming, keep_task};
use super::flags::Flags;
use super::{At, Entry, Timestamp, outgoing, with_entry, with_exchange};
use crate::body::BodyError;
use crate::h1::{BodyLength, Event, Invalid, RequestHead, Version};
use crate::handler::contained;
use crate::server::Service;
use crate::{HttpError, Method, Reply, Request};

/// How long the user may leave a piece of a body unread before the time for the body is no longer the client's.
const PATIENCE: Duration = Duration::from_secs(1);

/// A step that is done while nothing is borrowed.
enum Step {
    /// A request has come, and is in its place.
    Handle(Rc<Service>),
    /// A piece of the body, for its listeners.
    Piece(At, Bytes),
    /// The body has ended, for its listeners.
    PieceEnd(At),
    /// No more of the body comes, and why.
    Failed(At, BodyError),
    /// Whoever waits for the body reads on.
    Wake(Waker),
    /// An exchange is over that had more to it.
    Finished(Box<Exchange>),
    /// What came is no request.
    Refuse(Invalid),
    /// The connection ends.
    End(Connection),
    /// Something has to be waited for.
    Stop,
}

/// Bytes have come.
#[inline]
pub(super) fn received(key: Id, chunk: Bytes) {
    let entered = with_entry(key, |entry| {
        if entry.flags.contains(Flags::CLOSING) {
            return false;
        }
        if entry.flags.take(Flags::FRESH) {
            entry.since = Timestamp::now();
        }
        if entry.flags.contains(Flags::ACTIVE) {
            entry.count_body(chunk.len());
        }
        entry.decoder.push(chunk);
        entry.enter()
    });
    if entered == Some(true) {
        go_on(key);
    }
}

/// Goes on until something has to be waited for. Inside of itself it does nothing: it goes on anyway.
#[inline]
pub(super) fn advance(key: Id) {
    if with_entry(key, Entry::enter) == Some(true) {
        go_on(key);
    }
}

#[inline]
fn go_on(key: Id) {
    // A request is large: it is put here and not into a step.
    let mut request = None;
    loop {
        match with_entry(key, |entry| entry.step(key, &mut request)) {
            Some(Step::Handle(service)) => {
                if let Some(request) = request.take() {
                    handle(request, &service);
                }
            }
            Some(Step::Piece(at, piece)) => {
                respond_to_panic(
                    at,
                    catch(|| emit(&Incoming(at), Request::DATA, piece)).err(),
                );
            }
            Some(Step::PieceEnd(at)) => {
                respond_to_panic(at, catch(|| emit(&Incoming(at), Request::END, ())).err());
            }
            Some(Step::Failed(at, error)) => failed(at, error),
            Some(Step::Wake(waker)) => waker.wake(),
            Some(Step::Finished(exchange)) => drop(exchange),
            Some(Step::Refuse(invalid)) => {
                outgoing::refuse(key, invalid.status(), invalid.reason());
            }
            Some(Step::End(conn)) => conn.end(),
            Some(Step::Stop) | None => return,
        }
    }
}

/// Ends the connection: what is written is sent, and what still comes is thrown away.
pub(super) fn end(key: Id) {
    let conn = with_entry(key, |entry| {
        let ending = entry.flags.contains(Flags::CLOSING);
        entry.flags.insert(Flags::CLOSING);
        (!ending).then_some(entry.conn)
    });
    if let Some(Some(conn)) = conn {
        conn.end();
    }
}

impl Entry {
    /// Marks the connection as one that goes on; `false` when it does already.
    #[inline]
    fn enter(&mut self) -> bool {
        let nested = self.flags.contains(Flags::ADVANCING);
        self.flags.insert(Flags::ADVANCING);
        !nested
    }

    #[inline]
    fn step(&mut self, key: Id, place: &mut Option<Request>) -> Step {
        loop {
            let flags = self.flags;
            if flags.contains(Flags::CLOSING) {
                return self.stop();
            }
            if !flags.contains(Flags::ACTIVE) {
                return self.next_request(key, place);
            }
            if !flags.contains(Flags::RECEIVED) {
                match self.next_piece(key) {
                    Some(step) => return step,
                    None => continue,
                }
            }
            if !flags.contains(Flags::ANSWERED) {
                if self.flags.take(Flags::END_DUE) {
                    return Step::PieceEnd(self.at(key));
                }
                if self.decoder.buffered() > 0 {
                    // One read is taken ahead; an end of stream behind it is noticed all the same.
                    self.pause();
                }
                self.arm(key);
                return self.stop();
            }
            if flags.intersects(Flags::LAST | Flags::DRAINING) {
                self.flags.insert(Flags::CLOSING);
                self.stop();
                return Step::End(self.conn);
            }
            self.since = Timestamp::now();
            if let Some(exchange) = self.finish() {
                return Step::Finished(exchange);
            }
        }
    }

    #[inline]
    fn stop(&mut self) -> Step {
        self.flags.remove(Flags::ADVANCING);
        Step::Stop
    }

    #[inline]
    fn next_request(&mut self, key: Id, place: &mut Option<Request>) -> Step {
        if self.flags.contains(Flags::FULL) {
            // Who does not read answers gets no more of them.
            self.pause();
            return self.stop();
        }
        let event = self.decoder.next(&self.service.limits());
        match event {
            Some(Event::Head(head)) => self.begin(key, head, place),
            Some(Event::Error(invalid)) => Step::Refuse(invalid),
            Some(Event::Body(_) | Event::Trailers(_) | Event::Complete) => {
                self.next_request(key, place)
            }
            None => self.idle(key),
        }
    }

    /// There is no request.
    fn idle(&mut self, key: Id) -> Step {
        let in_head = !self.decoder.is_idle();
        let over = self.flags.contains(Flags::LAST) && !in_head;
        if over || self.flags.contains(Flags::PEER_ENDED) {
            self.flags.insert(Flags::CLOSING);
            self.stop();
            return Step::End(self.conn);
        }
        if in_head && !self.flags.contains(Flags::IN_HEAD) {
            self.flags.insert(Flags::IN_HEAD);
            self.since = Timestamp::now();
        }
        self.resume();
        self.arm(key);
        self.stop()
    }

    /// A request has come, or at least its head.
    #[inline]
    fn begin(&mut self, key: Id, head: RequestHead, place: &mut Option<Request>) -> Step {
        self.flags.remove(Flags::IN_HEAD);
        self.flags.insert(Flags::ACTIVE);
        if *head.method() == Method::HEAD {
            self.flags.insert(Flags::TO_HEAD);
        }
        if head.version() == Version::Http10 {
            self.flags.insert(Flags::OLD);
        }
        if !head.keep_alive() || self.flags.contains(Flags::DRAINING) {
            self.flags.insert(Flags::LAST);
        }
        let none = match head.body() {
            BodyLength::None | BodyLength::Bytes(0) => true,
            BodyLength::Bytes(length) => {
                self.flags
                    .set(Flags::LONG, length > u64::from(self.service.drain_limit()));
                false
            }
            BodyLength::Chunked => false,
        };
        if none && self.decoder.take_end() {
            self.flags.insert(Flags::RECEIVED);
        } else if head.expects_continue() {
            self.flags.insert(Flags::EXPECTS);
        }
        self.counted = 0;
        let proxies = self.service.proxies_of(self.conn);
        *place = Some(Request::new(self.at(key), self.conn, head, proxies));
        Step::Handle(Rc::clone(&self.service))
    }

    /// The body is still to come, or a part of it; `None` to look again. Each piece of it is a turn of the loop and not a
    /// call within a call: there may be thousands in one read.
    fn next_piece(&mut self, key: Id) -> Option<Step> {
        let flags = self.flags;
        if flags.contains(Flags::BODY_FAILED) {
            if flags.contains(Flags::ANSWERED) {
                self.flags.insert(Flags::CLOSING);
                self.stop();
                return Some(Step::End(self.conn));
            }
            self.arm(key);
            return Some(self.stop());
        }
        let drains = flags.contains(Flags::ANSWERED);
        if drains && self.flags.contains(Flags::LAST) {
            self.flags.insert(Flags::CLOSING);
            self.stop();
            return Some(Step::End(self.conn));
        }
        if !drains && let Some(reader) = self.exchange.as_mut().and_then(|e| e.reader.take()) {
            if self.decoder.buffered() > 0 {
                // The reader has this piece first.
                self.pause();
                return Some(Step::Wake(reader));
            }
            if flags.contains(Flags::PEER_ENDED) {
                return Some(Step::Wake(reader));
            }
            self.exchange().reader = Some(reader);
        }
        if !drains && !flags.contains(Flags::PUSHED) {
            if self.decoder.buffered() > 0 {
                self.pause();
            }
            self.arm(key);
            return Some(self.stop());
        }
        let at = self.at(key);
        let event = self.decoder.next(&self.service.limits());
        match event {
            Some(Event::Body(piece)) if !drains => Some(Step::Piece(at, piece)),
            Some(Event::Body(piece)) => {
                let count = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                self.counted = self.counted.saturating_add(count);
                if self.counted > self.service.drain_limit() {
                    self.flags.insert(Flags::LAST);
                }
                None
            }
            Some(Event::Trailers(trailers)) => {
                if !drains {
                    self.exchange().trailers = Some(trailers);
                }
                None
            }
            Some(Event::Complete) => {
                self.flags.insert(Flags::RECEIVED);
                self.since = Timestamp::now();
                (!drains).then_some(Step::PieceEnd(at))
            }
            Some(Event::Error(invalid)) => Some(Step::Failed(at, BodyError::Invalid(invalid))),
            Some(Event::Head(_)) => Some(Step::Failed(at, BodyError::Closed)),
            None if flags.contains(Flags::PEER_ENDED) => Some(Step::Failed(at, BodyError::Closed)),
            None => {
                self.resume();
                self.arm(key);
                Some(self.stop())
            }
        }
    }

    fn count_body(&mut self, count: usize) {
        if !self.flags.contains(Flags::ANSWERED) {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.counted = self.counted.saturating_add(count);
        }
    }

    #[inline]
    pub(super) fn pause(&mut self) {
        if !self.flags.contains(Flags::PAUSED) {
            self.flags.insert(Flags::PAUSED);
            self.paused = Timestamp::now();
            self.conn.pause();
        }
    }

    #[inline]
    pub(super) fn resume(&mut self) {
        if self.flags.take(Flags::PAUSED) {
            if self.paused.after(PATIENCE).is_before(Timestamp::now()) {
                self.flags.insert(Flags::HELD_UP);
            }
            self.conn.resume();
        }
    }
}

/// Has the handler answer.
#[inline]
fn handle(request: Request, service: &Rc<Service>) {
    let at = request.at();
    let again = request.again();
    service.count_request();
    service.tell_request(&request);
    match service.answer(request) {
        Reply::Ready(response) => {
            outgoing::respond_to(&again, response);
        }
        Reply::Later(future) => {
            wait_for_answer(at, again);
            let task = spawn(async move {
                // A reply can be made of any future, also of one that panics.
                match contained(future).await {
                    Some(response) => {
                        outgoing::respond(at, response);
                    }
                    None => unanswered(at),
                }
            });
            keep_task(at, task);
        }
        Reply::Detached => {
            wait_for_answer(at, again);
            unanswered(at);
        }
    }
}

/// Starts the time for a response that comes later.
fn wait_for_answer(at: At, request: Request) {
    with_exchange(at, |entry| {
        if !entry.flags.contains(Flags::STARTED) {
            entry.since = Timestamp::now();
        }
        entry.exchange().request = Some(request);
    });
}

/// The handler is done and has not answered: somebody has to hold the responder.
fn unanswered(at: At) {
    let forgotten = with_exchange(at, |entry| {
        !entry.flags.intersects(Flags::STARTED | Flags::HELD)
    });
    if forgotten == Some(true) {
        let error = HttpError::internal("the handler has neither answered nor taken the responder");
        outgoing::respond(at, error.into());
    }
}

/// Responds to a panic of a listener of the exchange with an error.
fn respond_to_panic(at: At, panic: Option<String>) {
    if let Some(message) = panic {
        outgoing::respond(at, HttpError::panicked(message).into());
    }
}

/// No more of the body comes.
pub(super) fn failed(at: At, error: BodyError) {
    let listened = with_exchange(at, |entry| {
        entry.flags.insert(Flags::BODY_FAILED | Flags::LAST);
        let exchange = entry.exchange();
        exchange.failure.get_or_insert_with(|| error.clone());
        let reader = exchange.reader.take();
        (reader, entry.flags.contains(Flags::STARTED))
    });
    let Some((reader, started)) = listened else {
        return;
    };
    if let Some(reader) = reader {
        return reader.wake();
    }
    let listens = Incoming(at).with_listeners(|all| all.has(Request::ERROR.slot()));
    if listens == Some(true) {
        respond_to_panic(
            at,
            catch(|| emit(&Incoming(at), Request::ERROR, error.clone())).err(),
        );
    } else if !started {
        outgoing::respond(at, HttpError::from(error).into());
    }
}
