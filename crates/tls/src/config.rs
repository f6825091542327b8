//! A context as a server uses it: loaded, loaded later, loaded anew.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::server::ClientHello;
use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::now;

use crate::context::TlsContext;
use crate::error::Error;
use crate::files::Files;
use crate::loaded::Loaded;
use crate::peers::VerifyPeer;

/// How long it takes until files are read again that could not be loaded, and how often those of a context that was not
/// loaded before the server was made are looked at.
const LAZY_INTERVAL: Duration = Duration::from_secs(1);

/// What a [`SecureServer`](crate::SecureServer) answers handshakes with: a [`TlsContext`] that is loaded, or will be at the
/// first handshake. Clones share everything.
///
/// It can be loaded anew, with [`reload`](TlsConfig::reload) or
/// [when its files change](TlsContext::reload_on_change). Only when everything is well does it take the place of what was
/// loaded before. Connections and handshakes under way go on with what they began with; sessions cannot be resumed with the
/// new one, as it may judge clients differently.
///
/// Files are looked at when a handshake begins: whether one is there, which one (device and inode, behind links), how long,
/// and of when. There is no timer, so that an idle server costs nothing. A change that is found to be wrong is reported once.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `reload` | `()` | everything has been loaded anew |
/// | `error` | [`Error`] | something could not be loaded anew: what was loaded before stays |
///
/// The error of a context that has never been loaded is that of the handshakes, and of no event. A listener that captures a
/// clone keeps it alive until [`remove_all_listeners`](Emitter::remove_all_listeners).
///
/// # Examples
/// ```no_run
/// use uptick_socket::prelude::*;
/// use uptick_tls::{SecureServer, TlsConfig, TlsContext};
///
/// let tls = TlsContext::new().local_cert("server.pem").load()?;
/// tls.on("reload", |()| println!("there is a new certificate"));
/// tls.on("error", |e: uptick_tls::Error| eprintln!("the old certificate stays: {e}"));
/// SecureServer::new(Server::bind("0.0.0.0:8443")?, tls.clone());
/// uptick_event_loop::add_signal(uptick_event_loop::SIGHUP, move |_| tls.reload())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TlsConfig {
    shared: Rc<Shared>,
}

events! {
    impl TlsConfig {
        () => {
            /// Everything has been loaded anew.
            RELOAD = "reload";
        }
        Error => {
            /// Something could not be loaded anew.
            ERROR = "error", warn;
        }
    }
}

struct Shared {
    context: TlsContext,
    /// How often the files are looked at.
    interval: Option<Duration>,
    listeners: RefCell<Listeners>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    loaded: Option<Rc<Loaded>>,
    /// Why nothing is loaded.
    failed: Option<Error>,
    /// When the files were read or looked at.
    looked: Option<Instant>,
    /// The files as they were then.
    seen: Files,
}

impl State {
    /// Whether it is time to look at the files.
    fn is_due(&self, interval: Duration, now: Instant) -> bool {
        self.looked
            .is_none_or(|at| now.saturating_duration_since(at) >= interval)
    }
}

impl Emitter for TlsConfig {
    type Events = TlsConfig;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        Some(f(&mut self.shared.listeners.borrow_mut()))
    }
}

impl TlsConfig {
    fn new(context: TlsContext, interval: Option<Duration>, loaded: Option<Loaded>) -> Self {
        let config = TlsConfig {
            shared: Rc::new(Shared {
                interval: context.reload_on_change.unwrap_or(interval),
                context,
                listeners: RefCell::default(),
                state: RefCell::default(),
            }),
        };
        if let Some(loaded) = loaded {
            config.replace(loaded);
        }
        config
    }

    /// What [`TlsContext::load`] does.
    pub(crate) fn load(context: TlsContext) -> Result<Self, Error> {
        let loaded = Loaded::load(&context)?;
        Ok(TlsConfig::new(context, None, Some(loaded)))
    }

    /// Reads and checks all files, and has the handshakes that begin from now on use what is in them.
    ///
    /// # Errors
    /// Those of [`TlsContext::load`]. Then everything stays as it is. The error is an `error` event as well.
    pub fn reload(&self) -> Result<(), Error> {
        let seen = self.shared.state.borrow().seen.look_again();
        self.load_anew(seen)
    }

    /// What a client is answered with that begins a handshake.
    pub(crate) fn select(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Error> {
        self.loaded()?.select(hello.server_name(), self)
    }

    /// Whether clients are asked for certificates.
    pub(crate) fn verifies_clients(&self) -> bool {
        !matches!(self.shared.context.verify_peer, None | Some(VerifyPeer::No))
    }

    pub(crate) fn context(&self) -> &TlsContext {
        &self.shared.context
    }

    /// How often files are looked at.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.shared.interval
    }

    /// Says that something could not be loaded anew.
    pub(crate) fn report(&self, error: Error) {
        emit(self, TlsConfig::ERROR, error);
    }

    /// What is loaded, after it was loaded or looked at if it is time for that.
    fn loaded(&self) -> Result<Rc<Loaded>, Error> {
        let shared = &*self.shared;
        let now = now();
        let mut state = shared.state.borrow_mut();
        let Some(loaded) = state.loaded.clone() else {
            if let Some(error) = &state.failed
                && !state.is_due(LAZY_INTERVAL, now)
            {
                return Err(error.clone());
            }
            state.looked = Some(now);
            drop(state);
            return self.load_first();
        };
        let due = |interval| state.is_due(interval, now);
        if !shared.interval.is_some_and(due) {
            return Ok(loaded);
        }
        state.looked = Some(now);
        let seen = state.seen.look_again();
        if seen == state.seen {
            return Ok(loaded);
        }
        drop(state);
        // Why it could not be loaded is an event; the handshake goes on with what there is.
        let _ = self.load_anew(seen);
        let reloaded = shared.state.borrow().loaded.clone();
        Ok(reloaded.unwrap_or(loaded))
    }

    fn load_first(&self) -> Result<Rc<Loaded>, Error> {
        match Loaded::load(&self.shared.context) {
            Ok(loaded) => Ok(self.replace(loaded)),
            Err(error) => {
                self.shared.state.borrow_mut().failed = Some(error.clone());
                Err(error)
            }
        }
    }

    /// `seen` is how the files were before they are read.
    fn load_anew(&self, seen: Files) -> Result<(), Error> {
        match Loaded::load(&self.shared.context) {
            Ok(loaded) => {
                self.replace(loaded);
                emit(self, TlsConfig::RELOAD, ());
                Ok(())
            }
            Err(error) => {
                self.shared.state.borrow_mut().seen = seen;
                self.report(error.clone());
                Err(error)
            }
        }
    }

    fn replace(&self, loaded: Loaded) -> Rc<Loaded> {
        let loaded = Rc::new(loaded);
        let old = {
            let mut state = self.shared.state.borrow_mut();
            state.failed = None;
            state.looked = Some(now());
            state.seen = loaded.files.clone();
            state.loaded.replace(Rc::clone(&loaded))
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
            .field("loaded", &self.shared.state.borrow().loaded.is_some())
            .finish_non_exhaustive()
    }
}
