//! The handle of an event source.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use uptick_emitter::{Emitter, ListenerId, Listeners, emit, events};
use uptick_event_loop::{Id, JoinHandle, Table, UseRemoteOrLoopHandle, catch, future_tick, spawn};

use super::connector::StreamConnector;
use super::message::MessageEvent;
use super::session::EventSession;
use super::settings::EventSourceSettings;
use crate::error::Error;

/// A client of server-sent events (WHATWG HTML, section 9.2): it receives the events of a URL, and reconnects when the stream ends.
///
/// A `Copy` handle; the methods of a closed event source do nothing.
///
/// Requests have the header `Last-Event-ID` with the id of the last event, so that the server can continue after it. The next request follows
/// after 3 s, or after the time that the server has sent (`retry`). The delay doubles with each further request that brings no event, up to 30 s,
/// and up to a fifth is randomly added, so that clients that lost the same server do not all reconnect at once.
///
/// The source stops for good after a response with status 204, and fails after another status than 200 or another content type than
/// `text/event-stream`. Redirects are followed as by the browser.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `open` | `()` | the response has started |
/// | `message` | [`MessageEvent`] | an event without a name was received |
/// | `event` | [`MessageEvent`] | an event with or without a name was received, before `message` |
/// | `retry` | [`EventSourceRetry`] | the stream has ended or could not be opened, and another request will follow |
/// | `error` | [`Error`] | the source has failed |
/// | `close` | `()` | the source has closed; the last event |
///
/// [`on_event`](EventSource::on_event) registers a listener for the events with a certain name.
///
/// # Limits
/// A line of the stream and the data of an event have at most 1 MiB each; a larger one fails the source.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventSource {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// The state of an [`EventSource`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReadyState {
    /// A request is in progress, or will follow after a delay.
    Connecting,
    /// The response has started.
    Open,
    /// The source was closed or has failed.
    Closed,
}

/// The next request: the payload of `retry`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventSourceRetry {
    /// The number of consecutive requests without an event, including this one.
    pub failed: u32,
    /// The delay before the next request.
    pub delay: Duration,
    /// The error; `None` if the server has ended the stream.
    pub reason: Option<Error>,
}

events! {
    impl EventSource {
        () => {
            /// The response has started.
            OPEN = "open";
            /// The source has closed: the last event.
            CLOSE = "close";
        }
        MessageEvent => {
            /// An event without a name was received.
            MESSAGE = "message";
            /// An event with or without a name was received.
            EVENT = "event";
        }
        EventSourceRetry => {
            /// The stream has ended or could not be opened, and another request will follow.
            RETRY = "retry";
        }
        Error => {
            /// The source has failed.
            ERROR = "error", warn;
        }
    }
}

struct EventSourceEntry {
    listeners: Listeners,
    ready_state: ReadyState,
    last_event_id: Arc<str>,
    task: Option<JoinHandle<()>>,
    /// `true` once `close` is scheduled.
    is_finishing: bool,
}

thread_local! {
    static SOURCES: RefCell<Table<EventSourceEntry>> = const { RefCell::new(Table::new()) };
}

impl Emitter for EventSource {
    type Events = EventSource;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }
}

impl EventSource {
    /// Starts a source in the next iteration of the loop.
    pub(super) fn start(
        url: String,
        connector: Box<dyn StreamConnector>,
        settings: EventSourceSettings,
    ) -> EventSource {
        let entry = EventSourceEntry {
            listeners: Listeners::new(),
            ready_state: ReadyState::Connecting,
            last_event_id: settings.last_event_id.as_str().into(),
            task: None,
            is_finishing: false,
        };
        let id = SOURCES.try_with(|all| all.borrow_mut().insert(entry));
        let source = EventSource {
            id: id.ok().flatten(),
            local: PhantomData,
        };
        let session = EventSession::new(source, url, connector, settings);
        let task = spawn(session.run());
        source.with_entry(|entry| entry.task = Some(task));
        source
    }

    fn with_entry<R>(self, f: impl FnOnce(&mut EventSourceEntry) -> R) -> Option<R> {
        SOURCES
            .try_with(|all| all.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }

    /// Registers a listener for the events with a name. `message` is the name of events without one.
    ///
    /// # Examples
    /// ```no_run
    /// # use uptick_http_client::{EventSource, MessageEvent};
    /// # fn example(source: EventSource) {
    /// source.on_event("price", |event: MessageEvent| println!("{}", event.data));
    /// # }
    /// ```
    pub fn on_event<R: 'static>(
        self,
        name: impl Into<String>,
        mut callback: impl FnMut(MessageEvent) -> R + 'static,
    ) -> ListenerId {
        let name = name.into();
        self.on(EventSource::EVENT, move |event: MessageEvent| {
            if *event.event == *name {
                callback(event);
            }
        })
    }

    /// Returns the state.
    pub fn ready_state(self) -> ReadyState {
        let state = self.with_entry(|entry| entry.ready_state);
        state.unwrap_or(ReadyState::Closed)
    }

    /// Returns the id of the last event that had one; empty if there was none, and after `close`.
    pub fn last_event_id(self) -> Arc<str> {
        let id = self.with_entry(|entry| Arc::clone(&entry.last_event_id));
        id.unwrap_or_else(|| Arc::from(""))
    }

    /// Closes the source: cancels the request. No further event is emitted except `close`, which follows in the same iteration of the
    /// loop or in the next one.
    pub fn close(self) {
        let task = self.with_entry(|entry| {
            entry.ready_state = ReadyState::Closed;
            entry.task.take()
        });
        if let Some(task) = task.flatten() {
            task.cancel();
            self.finish_later();
        }
    }

    pub(super) fn is_open(self) -> bool {
        self.ready_state() != ReadyState::Closed
    }

    /// Changes the state, unless the source was closed.
    pub(super) fn set_ready_state(self, state: ReadyState) {
        self.with_entry(|entry| {
            if entry.ready_state != ReadyState::Closed {
                entry.ready_state = state;
            }
        });
    }

    /// Records the last event id. Returns `false` if the source was closed.
    pub(super) fn set_last_event_id(self, id: &Arc<str>) -> bool {
        let is_open = self.with_entry(|entry| {
            if entry.last_event_id != *id {
                entry.last_event_id = Arc::clone(id);
            }
            entry.ready_state != ReadyState::Closed
        });
        is_open.unwrap_or(false)
    }

    /// Returns `true` if the event `event` has a listener.
    pub(super) fn has_any_listener(self) -> bool {
        let has = self.with_entry(|entry| entry.listeners.has(EventSource::EVENT.slot()));
        has.unwrap_or(false)
    }

    /// Emits `close` from the loop, once.
    pub(super) fn finish_later(self) {
        let finishes = self.with_entry(|entry| {
            entry.ready_state = ReadyState::Closed;
            !std::mem::replace(&mut entry.is_finishing, true)
        });
        if finishes == Some(true) {
            future_tick(move || self.finish());
        }
    }

    fn finish(self) {
        if let Err(message) = catch(|| emit(&self, EventSource::CLOSE, ())) {
            tracing::error!("a callback panicked while its event source closed: {message}");
        }
        let removed = SOURCES.try_with(|all| all.borrow_mut().remove(self.id?));
        drop(removed);
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("id", &self.id)
            .field("ready_state", &self.ready_state())
            .finish()
    }
}
