//! Memory and descriptors after many connections, which end in different ways.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::channel::Channel;
use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request, Responder, Response};

use crate::allocator::allocated;
use crate::client::{Client, extended_connect, pass, request, server};
use crate::frames::*;
use crate::support::{manual_clock, settle};

/// The requests and responders that the program holds.
type Held = Rc<RefCell<Vec<(Request, Responder)>>>;

fn add_routes(http: HttpServer) -> Held {
    let held = Held::default();
    let hold = Rc::clone(&held);
    http.any("/held", move |req: Request| {
        req.on("data", |_: bytes::Bytes| {});
        req.on("close", |()| {});
        let responder = req.responder();
        hold.borrow_mut().push((req, responder));
    });
    http.get("/channel", |_: Request| {
        Response::upgrade_channel("echo", |channel: Channel| {
            channel.write("greeting");
        })
    });
    http.get("/started", |req: Request| {
        let responder = req.responder();
        responder.start(Response::plain("begin"));
        responder.write(vec![b'x'; 100_000]);
    });
    http.post("/early", |_: Request| "early");
    held
}

/// Opens streams in all states, and ends the connection in one of several ways.
fn cycle(http: HttpServer, held: &Held, clock: &uptick_event_loop::ManualClock, way: usize) {
    let mut client = Client::with_window(http, 20_000);
    for path in ["/", "/long", "/never", "/held", "/started", "/missing"] {
        client.get(path);
    }
    for path in ["/echo", "/held", "/early", "/never"] {
        let id = client.post(path);
        client.data(id, "begin", way.is_multiple_of(2));
    }
    let channel = client.request(&extended_connect("echo", "/channel"), 0);
    client.data(channel, "received", false);
    let cancelled = ["/long", "/never", "/held", "/started"].map(|path| client.get(path));
    client.read();
    for id in cancelled {
        client.send(reset(id, ErrorCode::CANCEL));
    }
    client.send(headers(
        client.streams.len() as u32 * 2 + 101,
        END_STREAM,
        &request("GET", "/long"),
    ));
    client.read();
    let drops_first = way.is_multiple_of(3);
    if drops_first {
        held.borrow_mut().clear();
    }
    match way % 6 {
        0 => drop(client),
        1 => client.conn.close(),
        2 => client.conn.reset(),
        // An error of the client.
        3 => {
            client.send(frame(DATA, 0, 0, b"x"));
            client.closed();
        }
        4 => {
            client.end();
            client.read();
            drop(client);
        }
        _ => {
            // Stalled streams are reset, then the client disappears.
            pass(clock, Duration::from_secs(31));
            drop(client);
        }
    }
    settle();
    held.borrow_mut().clear();
    settle();
    pass(clock, Duration::from_secs(2));
    assert_eq!(
        (http.open_connections(), http.open_upgrades()),
        (0, 0),
        "{way}"
    );
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn connections_leave_no_memory_behind() {
    let clock = manual_clock();
    let http = server();
    let held = add_routes(http);
    for way in 0..60 {
        cycle(http, &held, &clock, way);
    }
    let before = allocated();
    for way in 0..120 {
        cycle(http, &held, &clock, way);
    }
    let grown = allocated() - before;
    assert!(grown < 16 * 1024, "{grown} bytes");
}

#[test]
fn connections_leave_no_descriptors_behind() {
    let clock = manual_clock();
    let http = server();
    let held = add_routes(http);
    for way in 0..12 {
        cycle(http, &held, &clock, way);
    }
    // Other tests of this process open few descriptors at a time.
    let before = descriptors();
    for way in 0..120 {
        cycle(http, &held, &clock, way);
    }
    let grown = descriptors().saturating_sub(before);
    assert!(grown < 100, "{grown} descriptors");
}

#[test]
fn requests_leave_no_memory_behind() {
    let http = server();
    let mut client = Client::new(http);
    let mut run = |count: usize| {
        for n in 0..count {
            let id = match n % 3 {
                0 => client.get("/"),
                1 => client.get("/missing"),
                _ => {
                    let id = client.post("/echo");
                    client.data(id, vec![b'x'; 10_000], true);
                    id
                }
            };
            client.response(id);
            client.streams.clear();
            client.order.clear();
            client.control.clear();
        }
    };
    run(200);
    let before = allocated();
    run(2_000);
    let grown = allocated() - before;
    // A table of the loop may grow once.
    assert!(grown < 32 * 1024, "{grown} bytes");
}
