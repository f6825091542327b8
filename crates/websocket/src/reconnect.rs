//! WebSockets of a client that come again when they are lost.

mod backoff;

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::driver::time_of_call;
use uptick_event_loop::{
    Id, JoinHandle, Table, Timer, UseRemoteOrLoopHandle, add_timer, catch, future_tick, spawn,
};
use uptick_http::StatusCode;

use crate::protocol::handshake::client::Failure;
use crate::{CloseCode, Closed, Error, WebSocket, WebSocketConnector};

use backoff::{Backoff, asked_for, chance};

/// Keeps a WebSocket open: opens one, and another when it is lost, after a while that gets longer each time.
///
/// The while is 0.5 s at first, twice as long after each attempt that comes to nothing, 30 s at most, and a fifth more or
/// less, so that clients who have lost the same server do not come back all at once. After a WebSocket that was open for
/// 10 s it begins at 0.5 s again.
///
/// A server that answers 429 or 503 with `Retry-After` gets at least the wait that it asks for, 1 h at most, and up to a
/// fifth more. A `retry` listener can set another wait with [`Reconnecting::retry_in`].
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
/// reconnecting.on("retry", |retry: Retry| println!("{}; again in {:?}", retry.why, retry.delay));
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

/// What keeps a WebSocket open, until it is [stopped](Reconnecting::stop).
///
/// A `Copy` handle; one of what has ended does nothing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `retry` | [`Retry`] | a WebSocket is lost, or could not be opened, and there will be another attempt |
/// | `error` | [`Error`] | it was given up |
/// | `close` | `()` | it is over: the last event |
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reconnecting {
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// There will be another attempt: the payload of `retry`.
#[derive(Clone, Debug)]
pub struct Retry {
    /// How many attempts in a row have come to nothing, this one included.
    pub failed: u32,
    /// The wait before the next attempt; [`Reconnecting::retry_in`] changes it.
    pub delay: Duration,
    /// Why there will be another.
    pub why: Lost,
}

/// Why there is no WebSocket any more.
#[derive(Clone, Debug)]
pub enum Lost {
    /// It could not be opened.
    Failed(Error),
    /// It has ended.
    Closed(Closed),
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lost::Failed(error) => error.fmt(f),
            Lost::Closed(closed) => write!(f, "the WebSocket was closed with {}", closed.code),
        }
    }
}

events! {
    impl Reconnecting {
        Retry => {
            /// There will be another attempt.
            RETRY = "retry";
        }
        Error => {
            /// It was given up.
            ERROR = "error", warn;
        }
        () => {
            /// It is over.
            CLOSE = "close";
        }
    }
}

impl Reconnect {
    /// Has a connector open WebSockets at a URL.
    pub fn new(connector: WebSocketConnector, url: impl Into<String>) -> Self {
        Reconnect {
            connector,
            url: url.into(),
            backoff: Backoff {
                first: Duration::from_millis(500),
                most: Duration::from_secs(30),
            },
            max_retry_after: Duration::from_secs(3600),
            stable: Duration::from_secs(10),
            max_retries: None,
        }
    }

    /// Sets how long is waited before the second attempt, 10 ms at least; it is doubled for each further one. Default: 0.5 s.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.backoff.first = delay;
        self
    }

    /// Sets how long is waited at most, besides the fifth that is added by chance. Default: 30 s.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.backoff.most = delay;
        self
    }

    /// Sets the longest wait that a server can ask for with `Retry-After`, besides the fifth that is added by chance; zero
    /// ignores `Retry-After`. Default: 1 h.
    #[must_use]
    pub fn max_retry_after(mut self, limit: Duration) -> Self {
        self.max_retry_after = limit;
        self
    }

    /// Sets for how long a WebSocket has to be open, so that the attempts before it are forgotten. Default: 10 s.
    #[must_use]
    pub fn stable_after(mut self, time: Duration) -> Self {
        self.stable = time;
        self
    }

    /// Sets after how many further attempts in a row it is given up; `None` is never. Default: `None`.
    #[must_use]
    pub fn max_retries(mut self, count: Option<u32>) -> Self {
        self.max_retries = count;
        self
    }

    /// The wait after so many attempts in a row that came to nothing.
    fn delay(&self, failed: u32, why: &Lost) -> Duration {
        let delay = self.backoff.delay(failed, chance());
        match retry_after(why).map(|wait| wait.min(self.max_retry_after)) {
            Some(wait) if !wait.is_zero() => delay.max(asked_for(wait, chance())),
            _ => delay,
        }
    }

    /// Begins in the loop's next iteration. `callback` is called with each WebSocket that is opened, for its listeners.
    ///
    /// It goes on after a WebSocket was closed by either side, until [`Reconnecting::stop`]; when the callback panics, the
    /// WebSocket is lost. A URL that is none, and a request that cannot be written, are given up at once.
    pub fn start(self, callback: impl FnMut(WebSocket) + 'static) -> Reconnecting {
        let entry = Entry {
            plan: self,
            callback: Some(Box::new(callback)),
            listeners: Listeners::new(),
            failed: 0,
            stopped: false,
            state: State::Between,
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

/// What is kept for each.
struct Entry {
    plan: Reconnect,
    /// None while it is called.
    callback: Option<Box<dyn FnMut(WebSocket)>>,
    listeners: Listeners,
    /// How many attempts in a row have come to nothing.
    failed: u32,
    stopped: bool,
    state: State,
}

/// What is under way.
enum State {
    Between,
    Connecting(JoinHandle<()>),
    /// Since a time on the loop's clock.
    Open(WebSocket, Duration),
    Waiting(Timer),
}

thread_local! {
    static ENTRIES: RefCell<Table<Entry>> = const { RefCell::new(Table::new()) };
}

impl Emitter for Reconnecting {
    type Events = Reconnecting;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_entry(|entry| f(&mut entry.listeners))
    }
}

impl Reconnecting {
    fn with_entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        ENTRIES
            .try_with(|all| all.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }

    /// The WebSocket that is open now.
    pub fn socket(self) -> Option<WebSocket> {
        self.with_entry(|entry| match entry.state {
            State::Open(ws, _) => Some(ws),
            _ => None,
        })
        .flatten()
    }

    /// Ends it: a WebSocket that is open is closed with 1000, an attempt is given up, and there will be no other. `close`
    /// comes when that is done.
    pub fn stop(self) {
        let state = self.with_entry(|entry| {
            if entry.stopped {
                return None;
            }
            entry.stopped = true;
            Some(std::mem::replace(&mut entry.state, State::Between))
        });
        match state.flatten() {
            Some(State::Open(ws, _)) => {
                // Its end is the end of this, too.
                ws.close(CloseCode::NORMAL, "");
                return;
            }
            Some(State::Connecting(task)) => task.cancel(),
            Some(State::Waiting(timer)) => timer.cancel(),
            Some(State::Between) => {}
            None => return,
        }
        future_tick(move || self.finish());
    }

    /// Sets the wait before the next attempt, counted from now. It does nothing unless an attempt is waited for, as from the
    /// `retry` listeners on.
    pub fn retry_in(self, delay: Duration) {
        self.with_entry(|entry| {
            if let State::Waiting(timer) = &entry.state {
                timer.cancel();
                entry.state = State::Waiting(add_timer(delay, move || self.attempt()));
            }
        });
    }

    fn attempt(self) {
        let connecting = self.with_entry(|entry| entry.plan.connector.connect(&entry.plan.url));
        let Some(connecting) = connecting else { return };
        let task = spawn(async move {
            match connecting.await {
                Ok(ws) => self.opened(ws),
                Err(error) => self.lost(Lost::Failed(error)),
            }
        });
        self.with_entry(|entry| entry.state = State::Connecting(task));
    }

    fn opened(self, ws: WebSocket) {
        let callback = self.with_entry(|entry| {
            entry.state = State::Open(ws, time_of_call());
            entry.callback.take()
        });
        let Some(Some(mut callback)) = callback else {
            ws.terminate();
            return;
        };
        // After the listeners of the callback, who may stop it.
        ws.on(WebSocket::CLOSE, move |closed| {
            future_tick(move || self.lost(Lost::Closed(closed)));
        });
        if let Err(message) = catch(|| callback(ws)) {
            tracing::error!("a callback of a reconnecting WebSocket panicked: {message}");
            ws.terminate();
        }
        self.with_entry(|entry| entry.callback = Some(callback));
    }

    fn lost(self, why: Lost) {
        let next = self.with_entry(|entry| {
            let state = std::mem::replace(&mut entry.state, State::Between);
            if entry.stopped {
                return None;
            }
            if let State::Open(_, since) = state
                && time_of_call().saturating_sub(since) >= entry.plan.stable
            {
                entry.failed = 0;
            }
            entry.failed = entry.failed.saturating_add(1);
            let failed = entry.failed;
            let many = entry.plan.max_retries.is_some_and(|most| failed > most);
            if many || is_hopeless(&why) {
                return Some(Err(failed));
            }
            let delay = entry.plan.delay(failed, &why);
            entry.state = State::Waiting(add_timer(delay, move || self.attempt()));
            Some(Ok((failed, delay)))
        });
        match next.flatten() {
            Some(Ok((failed, delay))) => {
                emit(&self, Reconnecting::RETRY, Retry { failed, delay, why });
            }
            Some(Err(attempts)) => {
                let last = match why {
                    Lost::Failed(error @ Error::InvalidUrl { .. }) => error,
                    why => Error::GivenUp {
                        attempts,
                        why: why.to_string().into(),
                    },
                };
                self.with_entry(|entry| entry.stopped = true);
                emit(&self, Reconnecting::ERROR, last);
                self.finish();
            }
            None => self.finish(),
        }
    }

    /// Emits `close`, once, and forgets all.
    fn finish(self) {
        emit(&self, Reconnecting::CLOSE, ());
        let entry = ENTRIES.try_with(|all| all.borrow_mut().remove(self.id?));
        drop(entry);
    }
}

/// The wait that the server asks for with `Retry-After`, if the status is 429 or 503.
fn retry_after(why: &Lost) -> Option<Duration> {
    let Lost::Failed(Error::Refused { refusal, .. }) = why else {
        return None;
    };
    let status = refusal.status();
    let later = [
        StatusCode::TOO_MANY_REQUESTS,
        StatusCode::SERVICE_UNAVAILABLE,
    ];
    later
        .contains(&status)
        .then(|| refusal.retry_after())
        .flatten()
}

/// Whether another attempt would come to the same.
fn is_hopeless(why: &Lost) -> bool {
    matches!(
        why,
        Lost::Failed(
            Error::InvalidUrl { .. }
                | Error::Handshake {
                    source: Failure::Request(_),
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
