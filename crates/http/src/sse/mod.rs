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

/// Number of buffered bytes from which `send` returns `false`.
const SOFT_LIMIT: usize = 64 << 10;
/// Number of buffered bytes from which another event aborts the stream.
const HARD_LIMIT: usize = 1 << 20;
/// Default interval of keep-alive comments.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The sender of a stream of server-sent events, created by [`Response::events`].
///
/// A `Copy` handle; the stream lives as long as its response. It emits `close` when the client disconnects, when the response has ended, or
/// when it was not sent; `drain` when the client has caught up after [`send`](Self::send) returned `false`; and `error` when an event could
/// not be sent, or when the client was too slow and the connection is closed.
///
/// # Limits
///
/// For a slow client, `send` returns `false` from 64 KiB of buffered events. If an event is sent while 1 MiB or more is buffered, the stream is
/// aborted, and the client reconnects with the id of the last event that it received.
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
///     events.on("close", |()| println!("the client has disconnected"));
///     response
/// }
/// # let _ = prices;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventStream {
    /// `None` if the thread is ending.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl EventStream {
        () => {
            /// The client has caught up after `send` returned `false`.
            DRAIN = "drain";
            /// The stream has closed.
            CLOSE = "close";
        }
        EventError => {
            /// An event could not be sent, or the client was too slow.
            ERROR = "error", warn;
        }
    }
}

#[derive(Default)]
struct EventStreamState {
    listeners: Listeners,
    buffer: Vec<u8>,
    /// The waker of the task that polls the body.
    waker: Option<Waker>,
    keep_alive: Option<Timer>,
    /// `true` if an event was sent since the last keep-alive interval started.
    was_active: bool,
    /// `true` once `send` has returned `false`, until `drain` is emitted.
    is_full: bool,
    is_ending: bool,
    failure: Option<EventError>,
    is_closing: bool,
}

thread_local! {
    static STREAMS: RefCell<Table<EventStreamState>> = const { RefCell::new(Table::new()) };
}

impl Response {
    /// Creates a 200 response of type `text/event-stream` with `Cache-Control: no-store`, and the handle that sends its events (WHATWG HTML,
    /// section 9.2).
    pub fn events() -> (Self, EventStream) {
        let stream = EventStream::new();
        let early_end = EarlyEnd::new(stream.id, EventStream::end_early);
        let pieces = EventBody(stream).map_err(Into::into);
        let body = BodyStream::endless(Box::pin(pieces), early_end);
        let response = Self::new(StatusCode::OK)
            .content_type("text/event-stream")
            .header("cache-control", "no-store")
            // Disables response buffering in nginx.
            .header("x-accel-buffering", "no")
            .with_body(body);
        (response, stream)
    }
}

impl Request {
    /// Returns the id of the last event that the client received before it reconnected (`Last-Event-ID`). The value is not verified.
    pub fn last_event_id(&self) -> Option<&str> {
        self.header("last-event-id").filter(|id| !id.is_empty())
    }
}

impl EventStream {
    fn new() -> Self {
        let id =
            STREAMS.try_with(|streams| streams.borrow_mut().insert(EventStreamState::default()));
        let stream = Self {
            id: id.ok().flatten(),
            local: PhantomData,
        };
        stream.keep_alive(Some(KEEP_ALIVE))
    }

    /// Sends an event: text, or a [`ServerEvent`] with a name and an id.
    ///
    /// Returns `false` if the sender should wait for `drain`, or if the event was not accepted: because the stream has ended, or because the event
    /// cannot be sent, in which case `error` is emitted.
    pub fn send(self, event: impl Into<ServerEvent>) -> bool {
        let event = event.into();
        self.push(|out| event.encode(out))
    }

    /// Sends a comment, which clients ignore. Returns `false` in the same cases as [`send`](Self::send).
    pub fn comment(self, text: &str) -> bool {
        self.push(|out| {
            write_comment(text, out);
            Ok(())
        })
    }

    /// Ends the response after the buffered events have been sent. The client then reconnects, and stops only if the response to that request is
    /// 204.
    pub fn end(self) {
        self.entry(|entry| entry.is_ending = true);
        self.wake();
    }

    /// Ends the response for a shutdown of the server, after a `retry` field if there is a reconnection time.
    fn end_early(id: Option<Id>, reconnect_after: Option<Duration>) {
        let local = PhantomData;
        let stream = EventStream { id, local };
        stream.entry(|entry| {
            if let Some(time) = reconnect_after.filter(|_| entry.accepts_events()) {
                // A `retry` field cannot fail.
                let _ = ServerEvent::reconnect_after(time).encode(&mut entry.buffer);
            }
        });
        stream.end();
    }

    /// Sets the interval at which a comment is sent if there are no events, so that proxies do not close an idle connection and a client that
    /// disappeared without closing the connection is detected. `None` disables it. Default: 15 s.
    pub fn keep_alive(self, interval: Option<Duration>) -> Self {
        let exists = self.entry(|entry| entry.keep_alive.take().map(Timer::cancel));
        if let (Some(_), Some(interval)) = (exists, interval) {
            let timer = add_periodic_timer(interval, move |_| self.send_keep_alive());
            self.entry(|entry| entry.keep_alive = Some(timer));
        }
        self
    }

    /// Returns whether the stream accepts events.
    pub fn is_open(self) -> bool {
        self.entry(|entry| entry.accepts_events()).unwrap_or(false)
    }

    fn push(self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), EventError>) -> bool {
        let pushed = self.entry(|entry| {
            if !entry.accepts_events() {
                return Ok(false);
            }
            if entry.buffer.len() >= HARD_LIMIT {
                let error = EventError::TooSlow { limit: HARD_LIMIT };
                entry.failure = Some(error.clone());
                return Err(error);
            }
            write(&mut entry.buffer)?;
            entry.was_active = true;
            entry.is_full |= entry.buffer.len() >= SOFT_LIMIT;
            Ok(!entry.is_full)
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

    /// Sends an empty comment if nothing was sent since the last call and nothing is buffered.
    fn send_keep_alive(self) {
        let is_idle =
            self.entry(|entry| !std::mem::take(&mut entry.was_active) && entry.buffer.is_empty());
        if is_idle == Some(true) {
            self.comment("");
            self.entry(|entry| entry.was_active = false);
        }
    }

    /// Wakes the task that polls the body.
    fn wake(self) {
        if let Some(Some(waker)) = self.entry(|entry| entry.waker.take()) {
            waker.wake();
        }
    }

    fn close(self) {
        let closes = self.entry(|entry| !std::mem::replace(&mut entry.is_closing, true));
        if closes != Some(true) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a callback panicked while its event stream closed: {message}");
        }
        let removed = STREAMS.try_with(|streams| streams.borrow_mut().remove(self.id?));
        let Ok(Some(entry)) = removed else { return };
        if let Some(timer) = entry.keep_alive {
            timer.cancel();
        }
        if let Err(message) = catch(move || drop(entry.listeners)) {
            tracing::error!("a callback panicked while its event stream closed: {message}");
        }
    }

    fn entry<R>(self, f: impl FnOnce(&mut EventStreamState) -> R) -> Option<R> {
        STREAMS
            .try_with(|streams| streams.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }
}

impl EventStreamState {
    fn accepts_events(&self) -> bool {
        !self.is_ending && !self.is_closing && self.failure.is_none()
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

/// The body of the response. Each poll returns all buffered events as one piece.
struct EventBody(EventStream);

impl Stream for EventBody {
    type Item = Result<Bytes, EventError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = self.0;
        let next = stream.entry(|entry| {
            if let Some(error) = &entry.failure {
                return Poll::Ready((Some(Err(error.clone())), false));
            }
            if !entry.buffer.is_empty() {
                let piece = Bytes::from(std::mem::take(&mut entry.buffer));
                let drains = std::mem::take(&mut entry.is_full) && entry.accepts_events();
                return Poll::Ready((Some(Ok(piece)), drains));
            }
            if entry.is_ending {
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
