//! Handles for other threads.
//!
//! Cost of an operation: a lock and a boxed closure. The first of several queued operations wakes the thread of the
//! loop, which then runs all of them in order.

mod handles;
mod shared;

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use uptick_event_loop::{future_tick, handle};
use uptick_stream::Chunk;

use crate::connection::Connection;
use crate::error::Error;
use shared::{HandleSlot, Operation, OperationQueue, RemoteState, WriteCapacity};

/// The default limit of queued bytes: 1 MiB.
const DEFAULT_MAX_PENDING: usize = 1024 * 1024;

/// A handle to a connection or a server for other threads.
///
/// A handle such as a [`Connection`] belongs to the thread of its loop. Its `Remote` is `Send`, `Sync` and `Clone`. Its
/// operations run on that thread, in the next iteration of the loop, in the order of the calls, also across clones. A
/// `Remote` does not keep the loop running.
///
/// If the connection's write queue is full, further bytes stay in the queue of the `Remote` until the connection has
/// drained.
///
/// # Limits
/// The queue holds 1 MiB of bytes ([`max_pending`](Remote::max_pending)) and 65,536 operations that the thread of the
/// loop or the client has not taken yet. Clones share the limit. Clone a `Remote` rather than calling `remote` for each
/// message.
///
/// # Examples
/// A thread that computes a value and sends it.
/// ```
/// use std::thread;
/// use uptick_socket::prelude::*;
///
/// let server = Server::bind("127.0.0.1:0")?;
/// server.on("connection", move |conn: Connection| {
///     let remote = conn.remote();
///     thread::spawn(move || {
///         let sum: u64 = (1..=1_000_000).sum();
///         // An error means that the client has disconnected or reads too slowly.
///         if remote.write(format!("{sum}\n")).is_ok() {
///             remote.post(|conn: Connection| conn.end()).ok();
///         }
///     });
///     conn.on("close", move |()| server.close());
/// });
/// # let mut client = std::net::TcpStream::connect(&server.address().unwrap()[6..])?;
/// # let client = thread::spawn(move || std::io::read_to_string(&mut client));
/// uptick_event_loop::run()?;
/// # assert_eq!(client.join().unwrap()?, "500000500000\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Remote<H> {
    shared: Arc<RemoteState<H>>,
}

/// A handle that other threads may use through a [`Remote`]: for implementors of handles.
pub trait RemoteHandle: Copy + 'static {
    /// Returns `true` until the connection or server has closed.
    fn is_open(self) -> bool;

    /// Closes the connection or server at once.
    fn close(self);

    /// Calls `callback` when the connection or server has closed. The callback may be dropped earlier, with other
    /// listeners.
    fn on_close(self, callback: impl FnMut() + 'static);

    /// Returns a description for errors, such as `the connection with tcp://192.0.2.1:4711`.
    fn describe(self) -> String;

    /// Drops `resume` once the handle accepts more bytes or is closed. Default: at once.
    fn on_writable(self, resume: Resume) {
        drop(resume);
    }

    /// Called when a posted callback has panicked. Default: logs the panic.
    fn callback_panicked(self, message: &str) {
        tracing::error!(
            "a callback posted to {} panicked: {message}",
            self.describe()
        );
    }
}

/// A token that, when dropped, makes the remaining operations of a remote handle run.
pub struct Resume {
    /// Dropped on the thread of the loop.
    run: Option<Box<dyn FnOnce()>>,
}

impl Drop for Resume {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            future_tick(run);
        }
    }
}

impl fmt::Debug for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resume").finish_non_exhaustive()
    }
}

impl<H: RemoteHandle> Remote<H> {
    /// Creates the remote of a handle of this thread: for implementors of handles with a method `remote`.
    pub fn new(target: H) -> Self {
        let event_loop = handle();
        let shared = Arc::new(RemoteState {
            slot: HandleSlot::new(&event_loop, target),
            event_loop,
            object: target.describe().into(),
            gone: AtomicBool::new(!target.is_open()),
            max_pending: AtomicUsize::new(DEFAULT_MAX_PENDING),
            queue: Mutex::new(OperationQueue {
                operations: VecDeque::new(),
                bytes: 0,
                scheduled: Weak::new(),
            }),
        });
        let closed = Arc::downgrade(&shared);
        target.on_close(move || {
            if let Some(shared) = closed.upgrade() {
                shared.end();
            }
        });
        Remote { shared }
    }

    /// Sets the maximum number of queued bytes. A single write is always accepted if no bytes are queued.
    /// Default: 1 MiB.
    pub fn max_pending(self, bytes: usize) -> Self {
        self.shared.max_pending.store(bytes, Ordering::Relaxed);
        self
    }

    /// Calls `callback` with the handle, on the thread of the loop, after the operations queued before. The callback is
    /// dropped if the connection or server has closed by then.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection or server is closed, or the thread of the loop has ended;
    /// [`Error::RemoteFull`] if the queue is full.
    pub fn post<R>(&self, callback: impl FnOnce(H) -> R + Send + 'static) -> Result<(), Error> {
        self.enqueue(0, move |handle| {
            callback(handle);
            WriteCapacity::Available
        })
    }

    /// Closes the connection or server at once; the queue of this remote is dropped.
    ///
    /// # Errors
    /// The errors of [`post`](Remote::post), but a full queue is not one of them.
    pub fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if shared.is_gone() {
            return Err(shared.closed());
        }
        shared.clear();
        let target = Arc::clone(shared);
        let posted = shared.event_loop.post(move || {
            if let Some(handle) = target.slot.get::<H>() {
                handle.close();
            }
        });
        posted.map_err(|error| shared.refused(error))
    }

    /// Returns `true` if the connection or server was open at the last report of the loop's thread. It may have closed
    /// since.
    pub fn is_open(&self) -> bool {
        !self.shared.is_gone()
    }

    /// Returns the number of bytes in the queue of this remote and its clones.
    pub fn pending(&self) -> usize {
        self.shared.queue().bytes
    }

    fn enqueue(
        &self,
        bytes: usize,
        run: impl FnOnce(H) -> WriteCapacity + Send + 'static,
    ) -> Result<(), Error> {
        let shared = &self.shared;
        if shared.is_gone() {
            return Err(shared.closed());
        }
        let run = Box::new(run);
        let mut queue = shared.queue();
        shared.check_room(&queue, bytes)?;
        if queue.scheduled.strong_count() == 0 {
            let alive = Arc::new(());
            queue.scheduled = Arc::downgrade(&alive);
            let target = Arc::clone(shared);
            // The thread of the loop waits for the lock, so the operation is queued before that thread looks for it.
            let posted = shared.event_loop.post(move || target.run(alive));
            posted.map_err(|error| shared.refused(error))?;
        }
        queue.bytes += bytes;
        queue.operations.push_back(Operation { bytes, run });
        Ok(())
    }
}

impl Remote<Connection> {
    /// Sends bytes, after the operations queued before. While the connection's write queue is full, the bytes stay in
    /// the queue of the remote.
    ///
    /// Bytes for a connection that is ending are dropped, as by [`Connection::write`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection is closed, or the thread of the loop has ended; [`Error::RemoteFull`] if the
    /// queue is full, for example because the client reads too slowly. No part of the chunk is sent in these cases.
    pub fn write(&self, chunk: impl Chunk) -> Result<(), Error> {
        let bytes = chunk.into_bytes();
        self.enqueue(bytes.len(), move |conn| {
            if conn.write(bytes) || !conn.is_writable() {
                WriteCapacity::Available
            } else {
                WriteCapacity::Full
            }
        })
    }

    /// Ends the connection after the operations queued before; see [`Connection::end`].
    ///
    /// # Errors
    /// The errors of [`write`](Remote::write).
    pub fn end(&self) -> Result<(), Error> {
        self.post(Connection::end)
    }
}

impl<H> Clone for Remote<H> {
    fn clone(&self) -> Self {
        Remote {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<H> fmt::Debug for Remote<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("object", &self.shared.object)
            .field("is_open", &!self.shared.is_gone())
            .finish_non_exhaustive()
    }
}
