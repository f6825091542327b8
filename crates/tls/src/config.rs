//! The configuration of a server: a context that is loaded at once or later, and reloaded.

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
use crate::files::FileStates;
use crate::loaded::LoadedContext;
use crate::peers::VerifyPeer;
use listeners::ThreadListeners;

/// The interval between attempts to load after a failure, and between checks of the files of a context that was not
/// loaded before the server was created.
const LAZY_INTERVAL: Duration = Duration::from_secs(1);

/// The configuration of a [`SecureServer`](crate::SecureServer): a [`TlsContext`] that is already loaded, or
/// will be loaded at the first handshake. Clones share everything, including on other threads.
///
/// It can be loaded again with [`reload`](TlsConfig::reload) or
/// [when its files change](TlsContext::reload_on_change). If loading succeeds, the result replaces the previous configuration for
/// all handshakes that begin later, on all threads. Open connections and handshakes in progress are not affected. Sessions
/// can still be resumed with their tickets, unless the verification of clients or the names of the server's certificate
/// have changed ([`TicketKeys`](crate::TicketKeys)).
///
/// Files are checked when a handshake begins: their existence, device and inode (links are followed), length and modification
/// time. There is no timer, so an idle server costs nothing. Each change that cannot be loaded is reported once.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `reload` | `()` | the files were loaded again |
/// | `error` | [`Error`] | loading again failed; the previous configuration stays in use |
///
/// Listeners belong to the thread that registered them and run there: at once on the thread that reloads, and in the next iteration
/// of the loop on other threads.
///
/// If a context has never been loaded, handshakes fail with the error, and there is no event. A listener that captures a
/// clone keeps the configuration alive until [`remove_all_listeners`](Emitter::remove_all_listeners).
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
    shared: Arc<SharedConfig>,
}

events! {
    impl TlsConfig {
        () => {
            /// The files were loaded again.
            RELOAD = "reload";
        }
        Error => {
            /// Loading again failed.
            ERROR = "error", warn;
        }
    }
}

/// The state that all clones of a configuration share.
struct SharedConfig {
    context: TlsContext,
    /// The interval in which the files are checked.
    interval: Option<Duration>,
    listeners: ThreadListeners,
    /// Locked while files are read, so that a slow reader does not replace the result of a later one.
    loading: Mutex<()>,
    state: Mutex<LoadState>,
}

#[derive(Default)]
struct LoadState {
    loaded: Option<Arc<LoadedContext>>,
    /// The error of the last attempt, if nothing is loaded.
    failed: Option<Error>,
    /// The time of the last read or check of the files.
    checked: Option<Instant>,
    /// The state of the files at that time.
    files: FileStates,
}

impl LoadState {
    /// Returns `true` if the files have to be checked.
    fn is_due(&self, interval: Duration, now: Instant) -> bool {
        self.checked
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
    fn new(context: TlsContext, interval: Option<Duration>, loaded: Option<LoadedContext>) -> Self {
        let config = TlsConfig {
            shared: Arc::new(SharedConfig {
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
        let loaded = LoadedContext::load(&context)?;
        Ok(TlsConfig::new(context, None, Some(loaded)))
    }

    /// Reads and checks all files, and uses their content for the handshakes that begin from now on, on all threads.
    ///
    /// # Errors
    /// The errors of [`TlsContext::load`]. The previous configuration then stays in use. The error is also emitted as an `error` event.
    pub fn reload(&self) -> Result<(), Error> {
        let seen = self.state().files.clone();
        self.load_again(seen.recheck())
    }

    /// Returns the configuration for a client that begins a handshake.
    pub(crate) fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        self.loaded()?.select(hello.server_name(), self)
    }

    /// Returns `true` if client certificates are requested.
    pub(crate) fn verifies_clients(&self) -> bool {
        !matches!(self.shared.context.verify_peer, None | Some(VerifyPeer::No))
    }

    /// Returns `true` if the context sets the ALPN protocols, also an empty list.
    pub(crate) fn sets_protocols(&self) -> bool {
        self.shared.context.alpn_protocols.is_some()
    }

    pub(crate) fn context(&self) -> &TlsContext {
        &self.shared.context
    }

    /// Returns the interval between checks of the files.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.shared.interval
    }

    /// Reports that loading again failed.
    pub(crate) fn report(&self, error: Error) {
        listeners::emit(self, TlsConfig::ERROR, error);
    }

    fn state(&self) -> MutexGuard<'_, LoadState> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn loading(&self) -> MutexGuard<'_, ()> {
        let loading = self.shared.loading.lock();
        loading.unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the loaded configuration, after loading it for the first time or again if necessary.
    fn loaded(&self) -> Result<Arc<LoadedContext>, Error> {
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
        // Other threads continue with the current configuration.
        state.checked = Some(now);
        let before = state.files.clone();
        drop(state);
        let seen = before.recheck();
        if seen == before {
            return Ok(loaded);
        }
        // The error is an event; the handshake continues with the current configuration.
        let _ = self.load_again(seen);
        let reloaded = self.state().loaded.clone();
        Ok(reloaded.unwrap_or(loaded))
    }

    /// Loads the context if it is not loaded yet. Other threads wait.
    fn load_first(&self, now: Instant) -> Result<Arc<LoadedContext>, Error> {
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
        state.checked = Some(now);
        drop(state);
        match LoadedContext::load(&self.shared.context) {
            Ok(loaded) => Ok(self.replace(loaded)),
            Err(error) => {
                self.state().failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Loads the context again. `files` is the state of the files before they are read.
    fn load_again(&self, files: FileStates) -> Result<(), Error> {
        let loading = self.loading();
        let loaded = LoadedContext::load(&self.shared.context);
        let result = match loaded {
            Ok(loaded) => {
                self.replace(loaded);
                Ok(())
            }
            Err(error) => {
                self.state().files = files;
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

    fn replace(&self, loaded: LoadedContext) -> Arc<LoadedContext> {
        let loaded = Arc::new(loaded);
        let old = {
            let mut state = self.state();
            state.failed = None;
            state.checked = Some(now());
            state.files = loaded.files.clone();
            state.loaded.replace(Arc::clone(&loaded))
        };
        drop(old);
        loaded
    }
}

impl From<TlsContext> for TlsConfig {
    /// Creates a configuration that is loaded when the first handshake begins. If that fails, later handshakes try again, at most once a second.
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
