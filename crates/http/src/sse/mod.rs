//! Server-sent events.

mod event;

pub use event::{EventError, ServerEvent};

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::{Id, Table, Timer, UseRemoteOrLoopHandle, add_periodic_timer, catch};

use crate::response::EarlyEnd;
use crate::{BodyStream, Request, Response, StatusCode};
use event::write_comment;

/// From so many bytes that wait for the client on, `send` gives `false`.
const SOFT_LIMIT: usize = 64 << 10;
/// With so many bytes that wait for the client, the stream is cut.
const HARD_LIMIT: usize = 1 << 20;
/// How often a comment is sent where there is nothing else.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The sending side of a stream of server-sent events, from [`Response::events`].
///
/// A `Copy` handle; the stream lives as long as its response. `close` tells that the client has gone, or that the
/// response was never sent or was ended; `drain` that the client has caught up after [`send`](Self::send) gave `false`;
/// `error` that an event could not be sent, or that the client was too slow and the connection is cut.
///
/// # Limits
///
/// 64 KiB wait for a client that is slow before `send` gives `false`, and at most 1 MiB: a stream that finds more
/// waiting is cut, and the client connects again with the id of the last event that it got.
///
/// # Examples
///
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_http::{Request, Response, ServerEvent};
///
/// fn prices(req: Request) -> Response {
///     let (response, events) = Response::events();
///     let next = req.last_event_id().and_then(|id| id.parse().ok()).map_or(0, |id: u64| id + 1);
///     events.send(ServerEvent::new("7.20").name("price").id(next.to_string()));
///     events.on("close", |()| println!("the client has gone"));
///     response
/// }
/// # let _ = prices;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventStream {
    /// `None` when the thread is ending.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl EventStream {
        () => {
            /// The client has caught up after `send` gave `false`.
            DRAIN = "drain";
            /// The stream is over.
            CLOSE = "close";
        }
        EventError => {
            /// An event could not be sent, or the client was too slow.
            ERROR = "error", warn;
        }
    }
}

#[derive(Default)]
struct Entry {
    listeners: Listeners,
    waiting: Vec<u8>,
    /// What polls the response's body.
    waker: Option<Waker>,
    keep_alive: Option<Timer>,
    /// Something was sent since the last comment was due.
    busy: bool,
    /// `send` gave `false`: `drain` is owed.
    full: bool,
    ending: bool,
    failure: Option<EventError>,
    closing: bool,
}

thread_local! {
    static STREAMS: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

impl Response {
    /// 200 with server-sent events, and the handle that sends them: `text/event-stream`, not to be kept by caches.
    /// (WHATWG HTML section 9.2)
    pub fn events() -> (Self, EventStream) {
        let stream = EventStream::new();
        let early_end = EarlyEnd::new(stream.id, EventStream::end_early);
        let pieces = EventBody(stream).map_err(Into::into);
        let body = BodyStream::endless(Box::pin(pieces), early_end);
        let response = Self::new(StatusCode::OK)
            .content_type("text/event-stream")
            .header("cache-control", "no-store")
            // Has proxies of nginx's kind hand each event on at once.
            .header("x-accel-buffering", "no")
            .with_body(body);
        (response, stream)
    }
}

impl Request {
    /// The id of the last event that a client got before it connected again; the client may have made it up.
    pub fn last_event_id(&self) -> Option<&str> {
        self.header("last-event-id").filter(|id| !id.is_empty())
    }
}

impl EventStream {
    fn new() -> Self {
        let id = STREAMS.try_with(|streams| streams.borrow_mut().insert(Entry::default()));
        let stream = Self {
            id: id.ok().flatten(),
            local: PhantomData,
        };
        stream.keep_alive(Some(KEEP_ALIVE))
    }

    /// Sends an event: text, or a [`ServerEvent`] with a name and an id.
    ///
    /// `false` when the sender should wait for `drain`, or when nothing is taken: the stream is over, or the event
    /// cannot be sent, which the `error` event says.
    pub fn send(self, event: impl Into<ServerEvent>) -> bool {
        let event = event.into();
        self.push(|out| event.write(out))
    }

    /// Sends a comment, which clients ignore; `false` as in [`send`](Self::send).
    pub fn comment(self, text: &str) -> bool {
        self.push(|out| {
            write_comment(text, out);
            Ok(())
        })
    }

    /// Ends the response once the client has taken what waits; the client connects again by itself, unless it is
    /// answered with 204 then.
    pub fn end(self) {
        self.entry(|entry| entry.ending = true);
        self.wake();
    }

    /// Ends the response in a shutdown of the server, behind a `retry` field if there is a time after which the client is to reconnect.
    fn end_early(id: Option<Id>, reconnect_after: Option<Duration>) {
        let local = PhantomData;
        let stream = EventStream { id, local };
        stream.entry(|entry| {
            if let Some(time) = reconnect_after.filter(|_| entry.takes()) {
                // It has nothing that cannot be sent.
                let _ = ServerEvent::reconnect_after(time).write(&mut entry.waiting);
            }
        });
        stream.end();
    }

    /// Sets how often a comment is sent if nothing else is, so that proxies do not take the connection for
    /// dead and a client that has vanished without an end of stream is noticed; `None` for never. Default: 15 s.
    pub fn keep_alive(self, interval: Option<Duration>) -> Self {
        let exists = self.entry(|entry| entry.keep_alive.take().map(Timer::cancel));
        if let (Some(_), Some(interval)) = (exists, interval) {
            let timer = add_periodic_timer(interval, move |_| self.stay_alive());
            self.entry(|entry| entry.keep_alive = Some(timer));
        }
        self
    }

    /// Whether an event would be taken.
    pub fn is_open(self) -> bool {
        self.entry(|entry| entry.takes()).unwrap_or(false)
    }

    fn push(self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), EventError>) -> bool {
        let pushed = self.entry(|entry| {
            if !entry.takes() {
                return Ok(false);
            }
            if entry.waiting.len() >= HARD_LIMIT {
                let error = EventError::TooSlow { limit: HARD_LIMIT };
                entry.failure = Some(error.clone());
                return Err(error);
            }
            write(&mut entry.waiting)?;
            entry.busy = true;
            entry.full |= entry.waiting.len() >= SOFT_LIMIT;
            Ok(!entry.full)
        });
        match pushed {
            Some(Ok(more)) => {
                self.wake();
                more
            }
            Some(Err(error)) => {
                emit(&self, Self::ERROR, error);
                self.wake();
                false
            }
            None => false,
        }
    }

    fn stay_alive(self) {
        let quiet =
            self.entry(|entry| !std::mem::take(&mut entry.busy) && entry.waiting.is_empty());
        if quiet == Some(true) {
            self.comment("");
            self.entry(|entry| entry.busy = false);
        }
    }

    /// Has the response's body be polled.
    fn wake(self) {
        if let Some(Some(waker)) = self.entry(|entry| entry.waker.take()) {
            waker.wake();
        }
    }

    fn close(self) {
        let closes = self.entry(|entry| !std::mem::replace(&mut entry.closing, true));
        if closes != Some(true) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a callback panicked as its stream of events closed: {message}");
        }
        let removed = STREAMS.try_with(|streams| streams.borrow_mut().remove(self.id?));
        let Ok(Some(entry)) = removed else { return };
        if let Some(timer) = entry.keep_alive {
            timer.cancel();
        }
        if let Err(message) = catch(move || drop(entry.listeners)) {
            tracing::error!("a callback panicked as its stream of events closed: {message}");
        }
    }

    fn entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        STREAMS
            .try_with(|streams| streams.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }
}

impl Entry {
    fn takes(&self) -> bool {
        !self.ending && !self.closing && self.failure.is_none()
    }
}

impl Emitter for EventStream {
    type Events = Self;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.entry(|entry| f(&mut entry.listeners))
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventStream").field(&self.id).finish()
    }
}

/// The body of the response: what waits, in one piece.
struct EventBody(EventStream);

impl Stream for EventBody {
    type Item = Result<Bytes, EventError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.0;
        let next = stream.entry(|entry| {
            if let Some(error) = &entry.failure {
                return Poll::Ready((Some(Err(error.clone())), false));
            }
            if !entry.waiting.is_empty() {
                let piece = Bytes::from(std::mem::take(&mut entry.waiting));
                let drains = std::mem::take(&mut entry.full) && entry.takes();
                return Poll::Ready((Some(Ok(piece)), drains));
            }
            if entry.ending {
                return Poll::Ready((None, false));
            }
            entry.waker = Some(context.waker().clone());
            Poll::Pending
        });
        let Some(next) = next else {
            return Poll::Ready(None);
        };
        next.map(|(piece, drains)| {
            if drains {
                emit(&stream, EventStream::DRAIN, ());
            }
            piece
        })
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
