//! Memory of idle clients, and that it is freed. All memory of the process is counted, so this test needs its own process.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::time::{Duration, Instant};

use uptick_event_loop::EventLoop;
use uptick_http::HttpServer;
use uptick_socketio::engine::EngineIo;

/// The system allocator, with a counter of live bytes rounded as in `malloc`.
struct CountingAllocator;

static LIVE: AtomicIsize = AtomicIsize::new(0);

/// Returns the number of bytes that an allocation takes in glibc: 8 bytes of overhead, rounded up to 16, at least 32.
fn allocated_size(layout: Layout) -> isize {
    (layout.size() + 8).next_multiple_of(16).max(32) as isize
}

// SAFETY: every call is forwarded to the system allocator unchanged.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(allocated_size(layout), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of the allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(allocated_size(layout), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of the allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const COUNT: usize = 400;

/// A function that opens a session over a connection.
type Open = fn(&mut TcpStream);

fn live() -> isize {
    LIVE.load(Ordering::Relaxed)
}

#[track_caller]
fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "timed out");
        EventLoop::current()
            .run_once(Some(Duration::from_millis(5)))
            .unwrap();
    }
}

/// Sends a request, and reads until the response contains `end`.
fn exchange(stream: &mut TcpStream, request: &str, end: &str) -> String {
    stream.write_all(request.as_bytes()).unwrap();
    let mut received = String::new();
    run_until(|| {
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(count) => received.push_str(&String::from_utf8_lossy(&buffer[..count])),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        received.contains(end)
    });
    received
}

/// Opens idle clients. Returns their connections, and the number of bytes that each client takes.
fn clients(http: HttpServer, count: usize, open: Open) -> (Vec<TcpStream>, isize) {
    let address = http.address().unwrap();
    let mut streams = Vec::with_capacity(count);
    let before = live();
    for _ in 0..count {
        let mut stream = TcpStream::connect(&address["tcp://".len()..]).unwrap();
        stream.set_nonblocking(true).unwrap();
        open(&mut stream);
        streams.push(stream);
    }
    for _ in 0..20 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
    (streams, (live() - before) / count as isize)
}

/// Typical headers of a browser.
const HEADERS: &str = "Host: localhost:3000\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nOrigin: http://localhost:3000\r\n";

fn websocket(stream: &mut TcpStream) {
    let request = format!(
        "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\n{HEADERS}Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    exchange(stream, &request, "maxPayload");
}

fn polling(stream: &mut TcpStream) {
    let request = format!("GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\n{HEADERS}\r\n");
    let received = exchange(stream, &request, "maxPayload");
    let start = received.find("\"sid\":\"").unwrap() + 7;
    let sid = &received[start..start + 20];
    let poll =
        format!("GET /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\n{HEADERS}\r\n");
    stream.write_all(poll.as_bytes()).unwrap();
}

#[test]
fn idle_clients_use_little_memory_and_free_it() {
    let engine = EngineIo::new();
    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    http.mount("/engine.io/", &engine);
    let opens: [(&str, Open, isize); 2] =
        [("websocket", websocket, 1400), ("polling", polling, 2900)];
    for (name, open, limit) in opens {
        // Tables and pools keep some memory for later clients.
        let round = || {
            let before = live();
            let (streams, each) = clients(http, COUNT, open);
            assert_eq!(engine.clients_count(), COUNT, "{name}");
            drop(streams);
            run_until(|| engine.clients_count() == 0 && http.open_connections() == 0);
            (each, live() - before)
        };
        round();
        // A table may grow once more, depending on the hashes of the ids. A leak would show in both rounds.
        let (each, left) = round();
        let left = left.min(round().1);
        assert!(each < limit, "{name}: {each} bytes per client");
        assert!(left < 4096, "{name}: {left} bytes are not freed");
    }
}
