//! Client WebSockets that reconnect.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::driver::current_time;
use uptick_event_loop::{
    Backoff, Id, JoinHandle, Table, Timer, UseRemoteOrLoopHandle, add_timer, catch, future_tick,
    jitter, spawn,
};
use uptick_http::StatusCode;

use crate::protocol::handshake::client::HandshakeError;
use crate::{CloseCode, Closed, Error, WebSocket, WebSocketConnector};

/// Minimum delay, to prevent a busy loop: 10 ms.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// The default delays.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30))
    .with_min(MIN_DELAY)
    .with_jitter(20, 20);

/// A client WebSocket that is opened again after each loss, with an increasing delay.
///
/// The first delay is 0.5 s. It doubles after each failed attempt, up to 30 s. Up to a fifth is randomly added or
/// subtracted, so that clients that lost the same server do not all reconnect at once. After a WebSocket was open for
/// 10 s, the delay starts at 0.5 s again.
///
/// If a server responds with 429 or 503 and `Retry-After`, the delay is at least the requested one, limited to 1 h, plus up to a
/// random fifth. A `retry` listener can set another delay with [`Reconnecting::retry_in`].
///
/// # Examples
/// ```no_run
/// use uptick_emitter::Emitter;
/// use uptick_websocket::{Message, Reconnect, Retry, WebSocket, WebSocketConnector};
///
/// let connector = WebSocketConnector::default();
/// let reconnecting = Reconnect::new(connector, "ws://127.0.0.1:8080/news").start(|ws: WebSocket| {
///     ws.on("open", move |()| ws.send("What have I missed?"));
///     ws.on("message", |message: Message| println!("{message:?}"));
/// });
/// reconnecting.on("retry", |retry: Retry| println!("{}; again in {:?}", retry.reason, retry.delay));
/// uptick_event_loop::run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reconnect {
    connector: WebSocketConnector,
    url: String,
    backoff: Backoff,
    max_retry_after: Duration,
    stable: Duration,
    max_retries: Option<u32>,
}

/// A running [`Reconnect`], until it is [stopped](Reconnecting::stop).
///
/// A `Copy` handle; the methods of a stale handle do nothing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `retry` | [`Retry`] | a WebSocket was lost or could not be opened, and another attempt will follow |
/// | `error` | [`Error`] | reconnecting has failed |
/// | `close` | `()` | reconnecting has ended; the last event |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reconnecting {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// The next attempt: the payload of `retry`.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The number of consecutive failed attempts, including this one.
    pub failed: u32,
    /// The delay before the next attempt; [`Reconnecting::retry_in`] changes it.
    pub delay: Duration,
    /// The reason for the next attempt.
    pub reason: ReconnectCause,
}

/// The reason why a WebSocket was lost.
#[derive(Clone, Debug)]
pub enum ReconnectCause {
    /// The WebSocket could not be opened.
    Failed(Error),
    /// The WebSocket was closed.
    Closed(Closed),
}

impl fmt::Display for ReconnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReconnectCause::Failed(error) => error.fmt(f),
            ReconnectCause::Closed(closed) => {
                write!(f, "the WebSocket was closed with {}", closed.code)
            }
        }
    }
}

events! {
    impl Reconnecting {
        Retry => {
            /// Another attempt will follow.
            RETRY = "retry";
        }
        Error => {
            /// Reconnecting has failed.
            ERROR = "error", warn;
        }
        () => {
            /// Reconnecting has ended.
            CLOSE = "close";
        }
    }
}

impl Reconnect {
    /// Creates a configuration that opens WebSockets at a URL with a connector.
    pub fn new(connector: WebSocketConnector, url: impl Into<String>) -> Self {
        Reconnect {
            connector,
            url: url.into(),
            backoff: BACKOFF,
            max_retry_after: Duration::from_secs(3600),
            stable: Duration::from_secs(10),
            max_retries: None,
        }
    }

    /// Sets the delay before the second attempt, at least 10 ms; it doubles for each further attempt. Default: 0.5 s.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.backoff = self.backoff.with_first(delay);
        self
    }

    /// Sets the maximum delay, without the random fifth. Default: 30 s.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.backoff = self.backoff.with_max(delay);
        self
    }

    /// Sets the maximum delay that a server can request with `Retry-After`, without the random fifth; zero
    /// ignores `Retry-After`. Default: 1 h.
    #[must_use]
    pub fn max_retry_after(mut self, limit: Duration) -> Self {
        self.max_retry_after = limit;
        self
    }

    /// Sets the time for which a WebSocket must be open to reset the delay and the number of failed attempts. Default: 10 s.
    #[must_use]
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable = time;
        self
    }

    /// Sets the maximum number of consecutive retries; `None` disables the limit. Default: `None`.
    #[must_use]
    pub fn max_retries(mut self, count: Option<u32>) -> Self {
        self.max_retries = count;
        self
    }

    /// Returns the delay after `failed` consecutive failed attempts.
    fn delay(&self, failed: u32, reason: &ReconnectCause) -> Duration {
        let delay = self.backoff.delay(failed);
        match retry_after(reason).map(|wait| wait.min(self.max_retry_after)) {
            Some(wait) if !wait.is_zero() => delay.max(requested_delay(wait)),
            _ => delay,
        }
    }

    /// Starts in the loop's next iteration. `callback` is called with each opened WebSocket, to add listeners.
    ///
    /// It reconnects after a close by either side, until [`Reconnecting::stop`]. If the callback panics, the
    /// WebSocket is terminated and counts as lost. An invalid URL or request is not retried.
    pub fn start(self, callback: impl FnMut(WebSocket) + 'static) -> Reconnecting {
        let entry = ReconnectEntry {
            config: self,
            callback: Some(Box::new(callback)),
            listeners: Listeners::new(),
            failed: 0,
            stopped: false,
            state: ReconnectState::Idle,
        };
        let id = ENTRIES.try_with(|all| all.borrow_mut().insert(entry));
        let reconnecting = Reconnecting {
            id: id.ok().flatten(),
            local: PhantomData,
        };
        reconnecting.attempt();
        reconnecting
    }
}

/// The state of a running [`Reconnect`].
struct ReconnectEntry {
    config: Reconnect,
    /// `None` while it is called.
    callback: Option<Box<dyn FnMut(WebSocket)>>,
    listeners: Listeners,
    /// The number of consecutive failed attempts.
    failed: u32,
    stopped: bool,
    state: ReconnectState,
}

/// The current operation.
enum ReconnectState {
    Idle,
    Connecting(JoinHandle<()>),
    /// Open since a time of the loop's clock.
    Open(WebSocket, Duration),
    Delayed(Timer),
}

thread_local! {
    static ENTRIES: RefCell<Table<ReconnectEntry>> = const { RefCell::new(Table::new()) };
}

impl Emitter for Reconnecting {
    type Events = Reconnecting;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }
}

impl Reconnecting {
    fn with_entry<R>(self, f: impl FnOnce(&mut ReconnectEntry) -> R) -> Option<R> {
        ENTRIES
            .try_with(|all| all.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }

    /// Returns the WebSocket that is currently open.
    pub fn socket(self) -> Option<WebSocket> {
        self.with_entry(|entry| match entry.state {
            ReconnectState::Open(ws, _) => Some(ws),
            _ => None,
        })
        .flatten()
    }

    /// Stops reconnecting: closes an open WebSocket with 1000, and cancels an attempt in progress. `close`
    /// is emitted when that is done.
    pub fn stop(self) {
        let state = self.with_entry(|entry| {
            if entry.stopped {
                return None;
            }
            entry.stopped = true;
            Some(std::mem::replace(&mut entry.state, ReconnectState::Idle))
        });
        match state.flatten() {
            Some(ReconnectState::Open(ws, _)) => {
                // Its `close` event leads to `finish`.
                ws.close(CloseCode::NORMAL, "");
                return;
            }
            Some(ReconnectState::Connecting(task)) => task.cancel(),
            Some(ReconnectState::Delayed(timer)) => timer.cancel(),
            Some(ReconnectState::Idle) => {}
            None => return,
        }
        future_tick(move || self.finish());
    }

    /// Sets the delay before the next attempt, counted from now. Does nothing unless the next attempt is scheduled, which is the case
    /// from the `retry` event on.
    pub fn retry_in(self, delay: Duration) {
        self.with_entry(|entry| {
            if let ReconnectState::Delayed(timer) = &entry.state {
                timer.cancel();
                entry.state = ReconnectState::Delayed(add_timer(delay, move || self.attempt()));
            }
        });
    }

    fn attempt(self) {
        let connecting = self.with_entry(|entry| entry.config.connector.connect(&entry.config.url));
        let Some(connecting) = connecting else { return };
        let task = spawn(async move {
            match connecting.await {
                Ok(ws) => self.opened(ws),
                Err(error) => self.lost(ReconnectCause::Failed(error)),
            }
        });
        self.with_entry(|entry| entry.state = ReconnectState::Connecting(task));
    }

    fn opened(self, ws: WebSocket) {
        let callback = self.with_entry(|entry| {
            entry.state = ReconnectState::Open(ws, current_time());
            entry.callback.take()
        });
        let Some(Some(mut callback)) = callback else {
            ws.terminate();
            return;
        };
        // Added after the listeners of the callback, which may call `stop`.
        ws.on(WebSocket::CLOSE, move |closed| {
            future_tick(move || self.lost(ReconnectCause::Closed(closed)));
        });
        if let Err(message) = catch(|| callback(ws)) {
            tracing::error!("a callback of a reconnecting WebSocket panicked: {message}");
            ws.terminate();
        }
        self.with_entry(|entry| entry.callback = Some(callback));
    }

    fn lost(self, reason: ReconnectCause) {
        let next = self.with_entry(|entry| {
            let state = std::mem::replace(&mut entry.state, ReconnectState::Idle);
            if entry.stopped {
                return None;
            }
            if let ReconnectState::Open(_, since) = state
                && current_time().saturating_sub(since) >= entry.config.stable
            {
                entry.failed = 0;
            }
            entry.failed = entry.failed.saturating_add(1);
            let failed = entry.failed;
            let is_exhausted = entry.config.max_retries.is_some_and(|max| failed > max);
            if is_exhausted || is_permanent(&reason) {
                return Some(Err(failed));
            }
            let delay = entry.config.delay(failed, &reason);
            entry.state = ReconnectState::Delayed(add_timer(delay, move || self.attempt()));
            Some(Ok((failed, delay)))
        });
        match next.flatten() {
            Some(Ok((failed, delay))) => {
                emit(
                    &self,
                    Reconnecting::RETRY,
                    Retry {
                        failed,
                        delay,
                        reason,
                    },
                );
            }
            Some(Err(attempts)) => {
                let last = match reason {
                    ReconnectCause::Failed(error @ Error::InvalidUrl { .. }) => error,
                    reason => Error::ReconnectFailed {
                        attempts,
                        reason: reason.to_string().into(),
                    },
                };
                self.with_entry(|entry| entry.stopped = true);
                emit(&self, Reconnecting::ERROR, last);
                self.finish();
            }
            None => self.finish(),
        }
    }

    /// Emits `close` and removes the entry.
    fn finish(self) {
        emit(&self, Reconnecting::CLOSE, ());
        let entry = ENTRIES.try_with(|all| all.borrow_mut().remove(self.id?));
        drop(entry);
    }
}

/// Returns a delay requested by a server plus up to a random fifth, so that its clients do not all reconnect at once.
fn requested_delay(wait: Duration) -> Duration {
    jitter(wait..=wait.saturating_add(wait / 5)).max(MIN_DELAY)
}

/// Returns the delay requested with `Retry-After`, if the status is 429 or 503.
fn retry_after(reason: &ReconnectCause) -> Option<Duration> {
    let ReconnectCause::Failed(Error::Refused { refusal, .. }) = reason else {
        return None;
    };
    let status = refusal.status();
    let retryable = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    retryable
        .contains(&status)
        .then(|| refusal.retry_after())
        .flatten()
}

/// Returns `true` if another attempt would fail in the same way.
fn is_permanent(reason: &ReconnectCause) -> bool {
    matches!(
        reason,
        ReconnectCause::Failed(
            Error::InvalidUrl { .. }
                | Error::Handshake {
                    source: HandshakeError::Request(_),
                    ..
                }
        )
    )
}

impl fmt::Debug for Reconnecting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnecting")
            .field("socket", &self.socket())
            .finish_non_exhaustive()
    }
}
