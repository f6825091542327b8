//! Handles for other threads.
//!
//! Cost of an operation: a lock, and a boxed call. Of any number of operations, the first wakes the thread of the loop, which runs them one after the
//! other.

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
use shared::{Operation, Place, Queue, Room, Shared};

/// The default limit of bytes that wait for the thread of the loop: 1 MiB.
const PENDING: usize = 1024 * 1024;

/// A reference to a connection or a server that other threads may use.
///
/// A handle such as a [`Connection`] belongs to the thread of its loop. Its `remote` is `Send`, `Sync` and `Clone`. What it is asked to do, it does on that
/// thread, in the next iteration of the loop; clones keep their order. It does not keep the loop running.
///
/// Bytes that the client does not read wait here, rather than in the write queue of the connection: when the connection is full, they wait until it has drained.
///
/// # Limits
/// 1 MiB of bytes wait for the thread of the loop and for the client ([`max_pending`](Remote::max_pending)), and 65,536 operations. Clones share the
/// limit. Clone one rather than calling `remote` for each message.
///
/// # Examples
/// A thread that computes something, and sends it.
/// ```
/// use std::thread;
/// use uptick_socket::prelude::*;
///
/// let server = Server::bind("127.0.0.1:0")?;
/// server.on("connection", move |conn: Connection| {
///     let remote = conn.remote();
///     thread::spawn(move || {
///         let sum: u64 = (1..=1_000_000).sum();
///         // An error: the client has gone, or reads too slowly.
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
    shared: Arc<Shared<H>>,
}

/// A handle that other threads may use through a [`Remote`]: for implementors of handles.
pub trait RemoteHandle: Copy + 'static {
    /// Returns whether the thing behind the handle is there.
    fn is_open(self) -> bool;

    /// Closes it at once.
    fn close(self);

    /// Calls `callback` when it has closed. It may be dropped before, with other listeners.
    fn on_close(self, callback: impl FnMut() + 'static);

    /// Returns what it is, for errors: `the connection with tcp://192.0.2.1:4711`.
    fn describe(self) -> String;

    /// Lets `resume` be dropped when it can take more bytes, or is closed. Default: at once.
    fn on_room(self, resume: Resume) {
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

/// The rest of the operations of a remote handle, which are run after this was dropped.
pub struct Resume {
    /// Dropped here, on the thread of the loop.
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
    /// Creates the remote of a handle of this thread: for implementors of handles, which have a method `remote`.
    pub fn new(target: H) -> Self {
        let event_loop = handle();
        let shared = Arc::new(Shared {
            place: Place::new(&event_loop, target),
            event_loop,
            what: target.describe().into(),
            gone: AtomicBool::new(!target.is_open()),
            max_pending: AtomicUsize::new(PENDING),
            queue: Mutex::new(Queue {
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

    /// Sets how many bytes may wait for the thread of the loop and for the client. A single write is always accepted if none wait. Default: 1 MiB.
    pub fn max_pending(self, bytes: usize) -> Self {
        self.shared.max_pending.store(bytes, Ordering::Relaxed);
        self
    }

    /// Calls `callback` with the handle, on the thread of the loop, behind what was asked for before. It is dropped if the thing behind the handle is closed by
    /// then.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection or server is closed, or the thread of the loop has ended; [`Error::RemoteFull`] if too much waits.
    pub fn post<R>(&self, callback: impl FnOnce(H) -> R + Send + 'static) -> Result<(), Error> {
        self.enqueue(0, move |handle| {
            callback(handle);
            Room::Left
        })
    }

    /// Closes the connection or server at once; what waits in this remote is dropped.
    ///
    /// # Errors
    /// As [`post`](Remote::post), but it needs no room.
    pub fn close(&self) -> Result<(), Error> {
        let shared = &self.shared;
        if shared.is_gone() {
            return Err(shared.closed());
        }
        shared.clear();
        let target = Arc::clone(shared);
        let posted = shared.event_loop.post(move || {
            if let Some(handle) = target.place.get::<H>() {
                handle.close();
            }
        });
        posted.map_err(|error| shared.refused(error))
    }

    /// Returns whether the connection or server was open when the thread of the loop last said so. It may have closed since.
    pub fn is_open(&self) -> bool {
        !self.shared.is_gone()
    }

    /// Returns the number of bytes that wait in this remote and its clones.
    pub fn pending(&self) -> usize {
        self.shared.queue().bytes
    }

    fn enqueue(
        &self,
        bytes: usize,
        run: impl FnOnce(H) -> Room + Send + 'static,
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
            // The thread of the loop waits for the lock, so the operation is there before it looks.
            let posted = shared.event_loop.post(move || target.run(alive));
            posted.map_err(|error| shared.refused(error))?;
        }
        queue.bytes += bytes;
        queue.operations.push_back(Operation { bytes, run });
        Ok(())
    }
}

impl Remote<Connection> {
    /// Sends bytes, behind what was asked for before. While the connection is full, they wait.
    ///
    /// Bytes for a connection that is ending are dropped, as those of [`Connection::write`].
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection is closed, or the thread of the loop has ended; [`Error::RemoteFull`] if too much waits, as for a client that reads
    /// too slowly. Nothing of the chunk is sent then.
    pub fn write(&self, chunk: impl Chunk) -> Result<(), Error> {
        let bytes = chunk.into_bytes();
        self.enqueue(bytes.len(), move |conn| {
            if conn.write(bytes) || !conn.is_writable() {
                Room::Left
            } else {
                Room::Full
            }
        })
    }

    /// Ends the connection behind what was asked for before; see [`Connection::end`].
    ///
    /// # Errors
    /// As [`write`](Remote::write).
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
            .field("what", &self.shared.what)
            .field("is_open", &!self.shared.is_gone())
            .finish_non_exhaustive()
    }
}
