//! A context as a server uses it: loaded, loaded later, reloaded.

mod listeners;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::ClientHello;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::now;

use crate::context::TlsContext;
use crate::error::Error;
use crate::files::Files;
use crate::loaded::Loaded;
use crate::peers::VerifyPeer;
use listeners::ThreadListeners;

/// The interval in which loading is tried again after a failure, and in which the files of a context are checked that was not
/// loaded before the server was made.
const LAZY_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration with which a [`SecureServer`](crate::SecureServer) does handshakes: a [`TlsContext`] that is loaded, or
/// will be at the first handshake. Clones share everything, also on other threads.
///
/// It can be loaded again, with [`reload`](TlsConfig::reload) or
/// [when its files change](TlsContext::reload_on_change). If everything is well, the result replaces what was loaded before, for
/// the handshakes that begin from then on, on all threads. Open connections and handshakes under way are not affected. Sessions
/// can be resumed with their tickets afterwards, unless the verification of clients or the names of the server's certificate
/// have changed ([`TicketKeys`](crate::TicketKeys)).
///
/// Files are checked when a handshake begins: whether they exist, device and inode (links are followed), length and time of
/// modification. There is no timer, so an idle server costs nothing. Each change that turns out to be wrong is reported once.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `reload` | `()` | everything has been loaded again |
/// | `error` | [`Error`] | loading again failed, and everything stays as it was |
///
/// Listeners belong to the thread that registered them, and run there: at once on the thread that reloads, on others when their
/// loop takes its next turn.
///
/// If a context has never been loaded, the error is that of the handshakes, and there is no event. A listener that captures a
/// clone keeps it alive until [`remove_all_listeners`](Emitter::remove_all_listeners).
///
/// # Examples
/// ```no_run
/// use uptick_socket::prelude::*;
/// use uptick_tls::{SecureServer, TlsConfig, TlsContext};
///
/// let tls = TlsContext::new().local_cert("server.pem").load()?;
/// tls.on("reload", |()| println!("the certificate was reloaded"));
/// tls.on("error", |e: uptick_tls::Error| eprintln!("the old certificate stays: {e}"));
/// SecureServer::new(Server::bind("0.0.0.0:8443")?, tls.clone());
/// uptick_event_loop::add_signal(uptick_event_loop::SIGHUP, move |_| tls.reload())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    shared: Arc<Shared>,
}

events! {
    impl TlsConfig {
        () => {
            /// Everything has been loaded again.
            RELOAD = "reload";
        }
        Error => {
            /// Loading again failed.
            ERROR = "error", warn;
        }
    }
}

struct Shared {
    context: TlsContext,
    /// The interval in which the files are checked.
    interval: Option<Duration>,
    listeners: ThreadListeners,
    /// Held while files are read, so that a slow reader does not replace what a later one has read.
    loading: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: Option<Arc<Loaded>>,
    /// The reason why nothing is loaded.
    failed: Option<Error>,
    /// The time at which the files were read or checked.
    looked: Option<Instant>,
    /// The files as they were then.
    seen: Files,
}

impl State {
    /// Returns whether the files have to be checked.
    fn is_due(&self, interval: Duration, now: Instant) -> bool {
        self.looked
            .is_none_or(|at| now.saturating_duration_since(at) >= interval)
    }
}

impl Emitter for TlsConfig {
    type Events = TlsConfig;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.shared.listeners.with(f)
    }
}

impl TlsConfig {
    fn new(context: TlsContext, interval: Option<Duration>, loaded: Option<Loaded>) -> Self {
        let config = TlsConfig {
            shared: Arc::new(Shared {
                interval: context.reload_on_change.unwrap_or(interval),
                context,
                listeners: ThreadListeners::new(),
                loading: Mutex::default(),
                state: Mutex::default(),
            }),
        };
        if let Some(loaded) = loaded {
            config.replace(loaded);
        }
        config
    }

    /// Implements [`TlsContext::load`].
    pub(crate) fn load(context: TlsContext) -> Result<Self, Error> {
        let loaded = Loaded::load(&context)?;
        Ok(TlsConfig::new(context, None, Some(loaded)))
    }

    /// Reads and checks all files, and uses their content for the handshakes that begin from now on, on all threads.
    ///
    /// # Errors
    /// Those of [`TlsContext::load`]. Then everything stays as it is. The error is an `error` event as well.
    pub fn reload(&self) -> Result<(), Error> {
        let seen = self.state().seen.clone();
        self.load_again(seen.look_again())
    }

    /// Returns the configuration for a client that begins a handshake.
    pub(crate) fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        self.loaded()?.select(hello.server_name(), self)
    }

    /// Returns whether clients are asked for certificates.
    pub(crate) fn verifies_clients(&self) -> bool {
        !matches!(self.shared.context.verify_peer, None | Some(VerifyPeer::No))
    }

    pub(crate) fn context(&self) -> &TlsContext {
        &self.shared.context
    }

    /// Returns the interval in which files are checked.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.shared.interval
    }

    /// Reports that loading again failed.
    pub(crate) fn report(&self, error: Error) {
        listeners::emit(self, TlsConfig::ERROR, error);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn loading(&self) -> MutexGuard<'_, ()> {
        let loading = self.shared.loading.lock();
        loading.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is loaded. Loads it first, or again, if it is time for that.
    fn loaded(&self) -> Result<Arc<Loaded>, Error> {
        let now = now();
        let mut state = self.state();
        let Some(loaded) = state.loaded.clone() else {
            drop(state);
            return self.load_first(now);
        };
        let due = |interval| state.is_due(interval, now);
        if !self.shared.interval.is_some_and(due) {
            return Ok(loaded);
        }
        // Other threads go on with what is loaded.
        state.looked = Some(now);
        let before = state.seen.clone();
        drop(state);
        let seen = before.look_again();
        if seen == before {
            return Ok(loaded);
        }
        // The error is an event; the handshake goes on with what is loaded.
        let _ = self.load_again(seen);
        let reloaded = self.state().loaded.clone();
        Ok(reloaded.unwrap_or(loaded))
    }

    /// Loads the context if it is not loaded yet. Other threads wait.
    fn load_first(&self, now: Instant) -> Result<Arc<Loaded>, Error> {
        let _loading = self.loading();
        let mut state = self.state();
        if let Some(loaded) = &state.loaded {
            return Ok(Arc::clone(loaded));
        }
        if let Some(error) = &state.failed
            && !state.is_due(LAZY_INTERVAL, now)
        {
            return Err(error.clone());
        }
        state.looked = Some(now);
        drop(state);
        match Loaded::load(&self.shared.context) {
            Ok(loaded) => Ok(self.replace(loaded)),
            Err(error) => {
                self.state().failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// `seen` are the files as they were before they are read.
    fn load_again(&self, seen: Files) -> Result<(), Error> {
        let loading = self.loading();
        let loaded = Loaded::load(&self.shared.context);
        let result = match loaded {
            Ok(loaded) => {
                self.replace(loaded);
                Ok(())
            }
            Err(error) => {
                self.state().seen = seen;
                Err(error)
            }
        };
        drop(loading);
        match &result {
            Ok(()) => listeners::emit(self, TlsConfig::RELOAD, ()),
            Err(error) => self.report(error.clone()),
        }
        result
    }

    fn replace(&self, loaded: Loaded) -> Arc<Loaded> {
        let loaded = Arc::new(loaded);
        let old = {
            let mut state = self.state();
            state.failed = None;
            state.looked = Some(now());
            state.seen = loaded.files.clone();
            state.loaded.replace(Arc::clone(&loaded))
        };
        drop(old);
        loaded
    }
}

impl From<TlsContext> for TlsConfig {
    /// Loads it when the first handshake begins. As long as that fails it is tried again, at most once a second.
    fn from(context: TlsContext) -> Self {
        TlsConfig::new(context, Some(LAZY_INTERVAL), None)
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("context", &self.shared.context)
            .field("loaded", &self.state().loaded.is_some())
            .finish_non_exhaustive()
    }
}
