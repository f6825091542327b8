//! Helpers for the tests of servers and connections: a loop with a watchdog, event logs, blocking clients.
#![allow(dead_code, reason = "each test program uses a part of the module")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::abort;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::SockRef;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller};
use uptick_socket::prelude::*;

/// A timeout longer than any successful operation takes.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the loop until no work is pending; fails the test on timeout.
#[track_caller]
pub(crate) fn run_loop() {
    run_within(TIMEOUT);
}

/// Runs the loop like [`run_loop`], with another timeout.
#[track_caller]
pub(crate) fn run_within(limit: Duration) {
    let watchdog = Watchdog::new(limit);
    run().unwrap();
    watchdog.dismiss();
}

/// Runs a future on the loop; fails the test on timeout.
#[track_caller]
pub(crate) fn block_on<F: Future + 'static>(future: F) -> F::Output
where
    F::Output: 'static,
{
    let watchdog = Watchdog::new(TIMEOUT);
    let output = uptick_event_loop::block_on(future);
    watchdog.dismiss();
    output.unwrap()
}

/// Runs single iterations until the condition holds.
#[track_caller]
pub(crate) fn run_until(mut condition: impl FnMut() -> bool) {
    let event_loop = EventLoop::current();
    let watchdog = Watchdog::new(TIMEOUT);
    while !condition() {
        event_loop.run_once(Some(Duration::from_millis(5))).unwrap();
        watchdog.check();
    }
    watchdog.dismiss();
}

/// Runs enough iterations to handle everything that is ready.
#[track_caller]
pub(crate) fn settle() {
    let event_loop = EventLoop::current();
    for _ in 0..20 {
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Installs a loop with a manual clock on this thread.
pub(crate) fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

/// A watchdog that stops a loop after a timeout, and aborts the process if that does not help.
pub(crate) struct Watchdog {
    limit: Duration,
    late: Arc<AtomicBool>,
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    pub(crate) fn new(limit: Duration) -> Self {
        let late = Arc::new(AtomicBool::new(false));
        let (done, waiting) = channel::<()>();
        let event_loop = uptick_event_loop::handle();
        let flag = Arc::clone(&late);
        let test = thread::current().name().unwrap_or_default().to_owned();
        let thread = thread::spawn(move || {
            if waiting.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            flag.store(true, Ordering::SeqCst);
            event_loop.stop();
            if waiting.recv_timeout(Duration::from_secs(10)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test}: a callback of the loop has not returned");
                abort();
            }
        });
        Watchdog {
            limit,
            late,
            done: Some(done),
            thread: Some(thread),
        }
    }

    #[track_caller]
    pub(crate) fn check(&self) {
        let late = self.late.load(Ordering::SeqCst);
        assert!(
            !late,
            "not done after {:?}: {:?}",
            self.limit,
            EventLoop::current()
        );
    }

    #[track_caller]
    pub(crate) fn dismiss(mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.check();
    }
}

/// A log of events, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn new() -> Self {
        Log::default()
    }

    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    /// Returns the entries, separated by spaces.
    pub(crate) fn text(&self) -> String {
        self.0.borrow().join(" ")
    }

    pub(crate) fn count(&self, entry: &str) -> usize {
        self.0.borrow().iter().filter(|e| *e == entry).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Logs `data` with the text of the chunks.
    pub(crate) fn data(&self, conn: Connection) {
        let log = self.clone();
        conn.on("data", move |chunk: Bytes| {
            log.add(format!("data:{}", String::from_utf8_lossy(&chunk)));
        });
    }

    /// Logs all events except `data`.
    pub(crate) fn states(&self, conn: Connection) {
        for name in ["end", "drain", "close"] {
            let log = self.clone();
            conn.on(name, move |()| log.add(name));
        }
        let log = self.clone();
        conn.on("error", move |error: Error| log.add(kind(&error)));
    }

    /// Logs all events.
    pub(crate) fn all(&self, conn: Connection) {
        self.data(conn);
        self.states(conn);
    }
}

/// Returns a short description of an error: its errno, if it has one.
pub(crate) fn kind(error: &Error) -> String {
    match (error, error.errno_name()) {
        (Error::Panic { message, .. }, _) => format!("error:panic:{message}"),
        (_, Some(name)) => format!("error:{name}"),
        (other, None) => format!("error:{other}"),
    }
}

/// Returns a TCP server on a free port.
pub(crate) fn tcp_server() -> Server {
    Server::bind("127.0.0.1:0").unwrap()
}

/// Returns the address that a TCP server listens on.
pub(crate) fn socket_address(server: Server) -> SocketAddr {
    server.address().unwrap()["tcp://".len()..].parse().unwrap()
}

/// Returns a blocking client with timeouts.
pub(crate) fn connect(server: Server) -> TcpStream {
    connect_to(socket_address(server))
}

pub(crate) fn connect_to(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client.set_write_timeout(Some(TIMEOUT)).unwrap();
    client
}

/// Returns a connection and its peer, a blocking client.
pub(crate) fn tcp_pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = connect_to(listener.local_addr().unwrap());
    let (ours, _) = listener.accept().unwrap();
    (Connection::adopt(ours).unwrap(), client)
}

/// Returns a connection over a Unix socket and its peer. Bytes are acknowledged exactly when the peer reads them. The
/// kernel of a TCP peer acknowledges bytes before they are read, or with a delay.
pub(crate) fn unix_pair() -> (Connection, UnixStream) {
    let (ours, peer) = UnixStream::pair().unwrap();
    (Connection::adopt(ours).unwrap(), peer)
}

/// Calls `f` with the first connection of a server, which is then closed.
pub(crate) fn with_connection(server: Server, mut f: impl FnMut(Connection) + 'static) {
    server.once("connection", move |conn: Connection| {
        server.close();
        f(conn);
    });
}

/// Closes a client with a reset.
pub(crate) fn reset(client: TcpStream) {
    SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
}

/// Runs a client in its own thread. A failure of the client fails the test when it is joined.
pub(crate) fn client<R: Send + 'static>(
    server: Server,
    f: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> JoinHandle<R> {
    let address = socket_address(server);
    thread::spawn(move || f(connect_to(address)))
}

/// Reads until end of stream.
pub(crate) fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Writes as much as the socket accepts while its peer does not read, and returns the number of bytes.
pub(crate) fn fill(stream: &mut (impl Write + AsFd)) -> usize {
    rustix::io::ioctl_fionbio(&*stream, true).unwrap();
    let mut written = 0;
    while let Ok(count) = stream.write(&[0; 4096]) {
        written += count;
    }
    rustix::io::ioctl_fionbio(&*stream, false).unwrap();
    written
}

/// A temporary directory, removed with its contents when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("uptick-socket-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the URI of a Unix socket in the directory.
    pub(crate) fn uri(&self, name: &str) -> String {
        uri(&self.path(name))
    }
}

pub(crate) fn uri(path: &Path) -> String {
    format!("unix://{}", path.display())
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A temporary directory that cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns `true` if the loop has an event to handle.
pub(crate) fn loop_is_ready() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let event_loop = EventLoop::current();
    let descriptor = event_loop.descriptor().unwrap();
    let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut descriptors, Some(&Timespec::default())).unwrap() > 0
}
