//! Memory and descriptors after many connections. All memory of the process is counted, so this test has its own
//! process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::Duration;

use socket2::SockRef;
use support::*;
use uptick_event_loop::EventLoop;
use uptick_socket::prelude::*;

/// The system's allocator with a count of the allocated bytes.
struct CountingAllocator;

static ALLOCATED: AtomicIsize = AtomicIsize::new(0);

#[allow(unsafe_code)]
// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Number of connections that are open at the same time.
const CONCURRENCY: u32 = 50;

/// Number of cycles until all buffers have their final size.
const WARM_UP: u32 = 4_000;

const CYCLES: u32 = 100_000;

/// Accepted difference in bytes, for tables that grow for the first time.
const SLACK: isize = 64 * 1024;

/// Cycles of connecting, exchanging a message and closing. Clones share the counters.
#[derive(Clone)]
struct Cycles {
    tcp: Server,
    unix: Server,
    path: PathBuf,
    left: Rc<Cell<u32>>,
    answered: Rc<Cell<u32>>,
}

impl Cycles {
    /// Connects, exchanges a message, closes the connection in one of several ways, and starts the next cycle.
    fn run_next(&self) {
        let n = self.left.get();
        if n == 0 {
            return;
        }
        self.left.set(n - 1);
        let orderly = n % 16 < 4;
        let client = if n.is_multiple_of(2) {
            let stream = TcpStream::connect(socket_address(self.tcp)).unwrap();
            if !orderly {
                // An orderly close leaves the port in TIME_WAIT, so most connections must be reset.
                let reset = Some(Duration::ZERO);
                SockRef::from(&stream).set_linger(reset).unwrap();
            }
            Connection::adopt(stream)
        } else {
            Connection::adopt(UnixStream::connect(&self.path).unwrap())
        }
        .unwrap();
        client.set_idle_timeout(Some(TIMEOUT));
        client.set_extension(vec![n; 10]);
        let answered = Rc::clone(&self.answered);
        client.on("data", move |_: Bytes| {
            answered.set(answered.get() + 1);
            match n % 16 {
                0 | 1 => client.end_with("bye"),
                2 | 3 => client.shutdown_write(),
                // The server ends the connection.
                5 => {}
                _ => {
                    client.write("never sent");
                    client.close();
                }
            }
        });
        client.on("error", |error: Error| panic!("{error}"));
        let next = self.clone();
        client.on("close", move |()| next.run_next());
        client.write(if n % 16 == 5 { "end!" } else { "hello" });
    }

    /// Runs a number of cycles to their end.
    fn run(&self, cycles: u32) {
        self.left.set(cycles);
        self.answered.set(0);
        for _ in 0..CONCURRENCY {
            self.run_next();
        }
        let (tcp, unix) = (self.tcp, self.unix);
        let open = move || tcp.open_connections() + unix.open_connections();
        let event_loop = EventLoop::current();
        let watchdog = Watchdog::new(Duration::from_secs(240));
        while self.left.get() > 0 || open() > 0 || self.answered.get() < cycles {
            event_loop
                .run_once(Some(Duration::from_millis(50)))
                .unwrap();
            watchdog.check();
        }
        watchdog.dismiss();
        settle();
    }
}

fn serve(server: Server) {
    server.on("error", |error: Error| panic!("{error}"));
    server.on("connection", |conn: Connection| {
        let captured = Box::new([0_u8; 100]);
        conn.on("data", move |chunk: Bytes| {
            assert_eq!(captured.len(), 100);
            let end = chunk == "end!";
            conn.write(chunk);
            if end {
                conn.end();
            }
        });
        // Clients reset connections at any time.
        conn.on("error", |_: Error| ());
    });
}

/// Returns the number of open descriptors of the process.
fn descriptors() -> usize {
    std::fs::read_dir("/dev/fd").unwrap().count()
}

#[test]
fn descriptors_and_memory_are_back_at_the_baseline_after_100_000_connections() {
    let directory = Directory::new();
    let cycles = Cycles {
        tcp: tcp_server(),
        unix: Server::bind(directory.uri("a.sock")).unwrap(),
        path: directory.path("a.sock"),
        left: Rc::default(),
        answered: Rc::default(),
    };
    serve(cycles.tcp);
    serve(cycles.unix);
    cycles.run(WARM_UP);
    let before = (descriptors(), ALLOCATED.load(Ordering::SeqCst));
    cycles.run(CYCLES);
    let after = (descriptors(), ALLOCATED.load(Ordering::SeqCst));
    let accepted = cycles.tcp.accepted() + cycles.unix.accepted();
    assert_eq!(accepted, u64::from(WARM_UP + CYCLES));
    assert_eq!(after.0, before.0, "descriptors");
    assert!(
        after.1 <= before.1 + SLACK,
        "{} bytes before, {} after",
        before.1,
        after.1
    );
    cycles.tcp.close();
    cycles.unix.close();
    run_loop();
}
