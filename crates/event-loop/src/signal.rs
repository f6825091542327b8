//! Signal listeners on the loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use signal_hook::SigId;
use signal_hook::consts::{FORBIDDEN, SIGPIPE};
use signal_hook::low_level;

use crate::error::Error;
use crate::panic::catch_and_log;
use crate::watch::{add_background_read_stream, remove_read_stream};

/// The identifier of a signal listener, for [`remove_signal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SignalId {
    signal: i32,
    serial: u64,
}

type Callback = Rc<RefCell<dyn FnMut(i32)>>;

/// The listeners of this thread for one signal.
struct SignalListeners {
    /// The handler, removed before its pipe is closed, also when the thread ends.
    _handler: PipeHandler,
    pipe: Rc<UnixStream>,
    callbacks: Vec<(u64, Callback)>,
}

#[derive(Default)]
struct Signals {
    by_signal: HashMap<i32, SignalListeners>,
    serial: u64,
}

thread_local! {
    static SIGNALS: RefCell<Signals> = RefCell::default();
}

/// Calls `callback` on the loop, with the signal's number, whenever the process receives the signal.
///
/// A signal may have many listeners, in many threads. They run in the order in which they were added. Signals in
/// quick succession may be reported once. A listener does not keep the loop running: [`run`](crate::run) returns if no other work is
/// pending. A program that waits only for signals holds a [`keep_alive`](crate::keep_alive) guard. After the last
/// listener of the process is removed, or its thread has ended, the signal's default action is restored;
/// `SIGPIPE` is then ignored, as in all Rust programs.
///
/// To shut down a server on a signal, see `shutdown_on` of the servers, and [`add_shutdown_signals`].
///
/// # Errors
/// [`Error::Signal`] for signals that cannot be caught or must not be (`SIGKILL`, `SIGSTOP`, `SIGILL`, `SIGFPE`,
/// `SIGSEGV`), for numbers of no standard signal (`EINVAL`), and if no file descriptor is left (`EMFILE`);
/// [`Error::LoopGone`] while the thread is torn down.
///
/// # Examples
/// ```
/// use uptick_event_loop::{SIGUSR1, add_signal, remove_signal, run};
///
/// let id = add_signal(SIGUSR1, |signal| println!("received signal {signal}"))?;
/// run()?; // returns at once: no other work is pending
/// remove_signal(id);
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn add_signal<R>(
    signal: i32,
    mut callback: impl FnMut(i32) -> R + 'static,
) -> Result<SignalId, Error> {
    let callback: Callback = Rc::new(RefCell::new(move |signal| {
        callback(signal);
    }));
    let fail = |source| Error::Signal {
        signal,
        source: Arc::new(source),
    };
    let known = SIGNALS
        .try_with(|signals| signals.borrow().by_signal.contains_key(&signal))
        .map_err(|_| Error::LoopGone)?;
    if !known {
        let (pipe, handler) = PipeHandler::new(signal).map_err(fail)?;
        let pipe = Rc::new(pipe);
        add_background_read_stream(Rc::clone(&pipe), move || deliver(signal))?;
        let listeners = SignalListeners {
            _handler: handler,
            pipe,
            callbacks: Vec::new(),
        };
        SIGNALS.with_borrow_mut(|signals| signals.by_signal.insert(signal, listeners));
    }
    Ok(SIGNALS.with_borrow_mut(|signals| {
        signals.serial += 1;
        let serial = signals.serial;
        if let Some(listeners) = signals.by_signal.get_mut(&signal) {
            listeners.callbacks.push((serial, callback));
        }
        SignalId { signal, serial }
    }))
}

/// Removes a signal listener. Does nothing if there is no listener with this id.
pub fn remove_signal(id: SignalId) {
    let removed = SIGNALS.try_with(|signals| {
        let signals = &mut *signals.borrow_mut();
        let Some(listeners) = signals.by_signal.get_mut(&id.signal) else {
            return (None, None);
        };
        let at = listeners
            .callbacks
            .iter()
            .position(|(serial, _)| *serial == id.serial);
        let callback = at.map(|at| listeners.callbacks.remove(at));
        let last = if listeners.callbacks.is_empty() {
            signals.by_signal.remove(&id.signal)
        } else {
            None
        };
        (callback, last)
    });
    let Ok((callback, last)) = removed else {
        return;
    };
    if let Some(listeners) = last {
        remove_read_stream(&listeners.pipe);
    }
    drop(callback);
}

/// Calls `shutdown` with `deadline` when the first of the signals is received, and with zero for each further signal.
///
/// It adds a listener for each of the signals, like [`add_signal`], and returns their ids. `shutdown_on` of the servers uses it, and
/// removes the listeners when the server has closed.
///
/// # Errors
/// [`Error::Signal`] if a signal cannot be listened to, such as `SIGKILL`. No listener is added in that case.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_event_loop::{SIGINT, SIGTERM, add_shutdown_signals, run};
///
/// add_shutdown_signals([SIGINT, SIGTERM], Duration::from_secs(10), |deadline| {
///     println!("everything ends within {deadline:?}");
/// })?;
/// run()?;
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
pub fn add_shutdown_signals(
    signals: impl IntoIterator<Item = i32>,
    deadline: Duration,
    shutdown: impl FnMut(Duration) + 'static,
) -> Result<Vec<SignalId>, Error> {
    let state = Rc::new(RefCell::new((deadline, shutdown)));
    let mut ids = Vec::new();
    for signal in signals {
        let state = Rc::clone(&state);
        let added = add_signal(signal, move |_| {
            // The state is borrowed only if `shutdown` runs the loop itself, which is an error.
            if let Ok(mut state) = state.try_borrow_mut() {
                let deadline = std::mem::take(&mut state.0);
                (state.1)(deadline);
            }
        });
        match added {
            Ok(id) => ids.push(id),
            Err(error) => {
                ids.into_iter().for_each(remove_signal);
                return Err(error);
            }
        }
    }
    Ok(ids)
}

fn deliver(signal: i32) {
    let callbacks: Vec<(u64, Callback)> = SIGNALS.with_borrow(|signals| {
        let Some(listeners) = signals.by_signal.get(&signal) else {
            return Vec::new();
        };
        let mut bytes = [0; 64];
        while matches!((&*listeners.pipe).read(&mut bytes), Ok(read) if read == bytes.len()) {}
        listeners.callbacks.clone()
    });
    for (serial, callback) in callbacks {
        let still_there = SIGNALS.with_borrow(|signals| {
            signals.by_signal.get(&signal).is_some_and(|listeners| {
                listeners
                    .callbacks
                    .iter()
                    .any(|(present, _)| *present == serial)
            })
        });
        if still_there {
            catch_and_log("signal", || {
                // The callback is borrowed only if it runs the loop itself, which is an error.
                if let Ok(mut callback) = callback.try_borrow_mut() {
                    callback(signal);
                }
            });
        }
    }
}

/// The number of loops of the process that listen for each signal. Entries are never removed: a signal handler reads the counts.
static LISTENER_COUNTS: Mutex<Vec<(i32, Arc<AtomicUsize>)>> = Mutex::new(Vec::new());

/// A signal handler that writes a byte to a pipe whenever the process receives the signal.
struct PipeHandler {
    id: SigId,
    count: Arc<AtomicUsize>,
}

impl PipeHandler {
    fn new(signal: i32) -> io::Result<(UnixStream, PipeHandler)> {
        if FORBIDDEN.contains(&signal) || low_level::signal_name(signal).is_none() {
            return Err(rustix::io::Errno::INVAL.into());
        }
        let count = listener_count(signal)?;
        let (ours, handlers) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        handlers.set_nonblocking(true)?;
        let id = low_level::pipe::register(signal, handlers)?;
        count.fetch_add(1, Ordering::SeqCst);
        Ok((ours, PipeHandler { id, count }))
    }
}

impl Drop for PipeHandler {
    fn drop(&mut self) {
        low_level::unregister(self.id);
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Returns the number of loops that listen for a signal. The first call installs a handler that emulates the signal's default action
/// while the count is zero, because a handler cannot be removed from the process safely.
fn listener_count(signal: i32) -> io::Result<Arc<AtomicUsize>> {
    let mut all = LISTENER_COUNTS
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some((_, count)) = all.iter().find(|(known, _)| *known == signal) {
        return Ok(Arc::clone(count));
    }
    let count = Arc::new(AtomicUsize::new(0));
    // Rust programs ignore SIGPIPE; its default action would end them when a peer has closed its end.
    if signal != SIGPIPE {
        restore_default_when_unused(signal, Arc::clone(&count))?;
    }
    all.push((signal, Arc::clone(&count)));
    Ok(count)
}

#[allow(unsafe_code)]
fn restore_default_when_unused(signal: i32, count: Arc<AtomicUsize>) -> io::Result<()> {
    let action = move || {
        if count.load(Ordering::SeqCst) == 0 {
            // A signal handler cannot report the error.
            let _ = low_level::emulate_default_handler(signal);
        }
    };
    // SAFETY: the action runs in a signal handler. It loads an atomic and calls a function that is documented to be
    // async-signal-safe; it does not allocate, lock or panic, and its `Arc` is never dropped, as it stays registered.
    unsafe { low_level::register(signal, action) }.map(|_| ())
}
