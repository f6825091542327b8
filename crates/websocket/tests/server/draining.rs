//! Server shutdowns that close the WebSockets at random times within a window.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::spawn;
use uptick_http::{HttpServer, Request, ShutdownOptions};
use uptick_websocket::protocol::{CloseCode, CloseFrame, Event};
use uptick_websocket::{Accept, Message, WebSocket, WebSocketOptions, WebSocketRoutes, upgrade};

use crate::support::{Client, manual_clock, pass, run_until, server, settle};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a shutdown; the cell receives the number of connections that were closed at the deadline.
fn shut_down(http: HttpServer, options: ShutdownOptions) -> Rc<Cell<Option<usize>>> {
    let closed_count: Rc<Cell<Option<usize>>> = Rc::default();
    let result = Rc::clone(&closed_count);
    let shutdown = http.shutdown_with(options);
    spawn(async move { result.set(Some(shutdown.await)) });
    closed_count
}

/// A server that publishes each received message to all.
fn echoing() -> HttpServer {
    let http = server();
    http.websocket("/", move |ws: WebSocket| {
        ws.subscribe("all");
        ws.on("message", move |message: Message| {
            http.publish("all", message)
        });
    });
    http
}

/// Returns the codes of the received close frames, answers them and removes their clients.
fn closed(clients: &mut Vec<Client>) -> Vec<u16> {
    let mut codes = Vec::new();
    clients.retain_mut(|client| {
        let close = client
            .settle_and_read()
            .into_iter()
            .find_map(|event| match event {
                Event::Close(Some(frame)) => Some(frame),
                _ => None,
            });
        if let Some(frame) = &close {
            codes.push(frame.code.as_u16());
            client.close(Some(CloseFrame::new(frame.code, "")));
        }
        close.is_none()
    });
    codes
}

#[test]
fn websockets_close_at_different_times_within_the_window() {
    for restarting in [false, true] {
        // Each case needs a loop of its own.
        let test = std::thread::spawn(move || {
            let clock = manual_clock();
            let http = echoing();
            let mut clients: Vec<Client> = (0..50).map(|_| Client::open(http, "/")).collect();
            let options = ShutdownOptions::new().window(3 * SECOND);
            let stats = http.websockets();
            assert_eq!((stats.open, stats.opened), (50, 50));
            let closed_count = shut_down(http, options.restarting(restarting));
            let mut codes = Vec::new();
            for third in 0..3 {
                settle();
                assert_eq!(http.websockets().open, clients.len());
                pass(&clock, SECOND);
                let now = closed(&mut clients);
                assert!((1..40).contains(&now.len()), "{} in {third}", now.len());
                codes.extend(now);
            }
            pass(&clock, SECOND / 10);
            codes.extend(closed(&mut clients));
            assert_eq!(codes, vec![if restarting { 1012 } else { 1001 }; 50]);
            run_until(|| closed_count.get() == Some(0));
        });
        test.join().unwrap();
    }
}

#[test]
fn a_websocket_works_until_it_is_closed() {
    let clock = manual_clock();
    let http = echoing();
    let mut clients: Vec<Client> = (0..2).map(|_| Client::open(http, "/")).collect();
    // With a window of a year, it is practically certain that none is closed within the first second.
    let year = Duration::from_secs(365 * 86_400);
    shut_down(http, ShutdownOptions::new().deadline(year).window(year));
    pass(&clock, SECOND);
    clients[0].text("still here");
    for client in &mut clients {
        assert_eq!(client.message(), "still here");
    }
    assert_eq!(
        (http.open_upgrades(), http.hub().subscribers("all")),
        (2, 2)
    );
}

#[test]
fn peers_that_do_not_respond_to_the_close_are_disconnected_before_the_deadline() {
    for deadline in [2 * SECOND, 10 * SECOND] {
        let test = std::thread::spawn(move || {
            let clock = manual_clock();
            let http = echoing();
            let clients: Vec<Client> = (0..5).map(|_| Client::open(http, "/")).collect();
            let options = ShutdownOptions::new()
                .deadline(deadline)
                .window(SECOND / 10);
            let closed_count = shut_down(http, options);
            pass(&clock, SECOND / 10);
            settle();
            assert_eq!(http.websockets().open, 5);
            pass(&clock, SECOND + SECOND / 10);
            run_until(|| closed_count.get() == Some(0));
            drop(clients);
        });
        test.join().unwrap();
    }
}

#[test]
fn the_last_websocket_is_closed_before_the_deadline_of_a_long_window() {
    let clock = manual_clock();
    let http = echoing();
    let mut clients: Vec<Client> = (0..50).map(|_| Client::open(http, "/")).collect();
    let options = ShutdownOptions::new()
        .deadline(2 * SECOND)
        .window(60 * SECOND);
    let closed_count = shut_down(http, options);
    pass(&clock, SECOND * 17 / 10);
    assert_eq!(closed(&mut clients), vec![1001; 50]);
    run_until(|| closed_count.get() == Some(0));
}

#[test]
fn a_second_call_closes_the_remaining_websockets_immediately() {
    let clock = manual_clock();
    let http = echoing();
    let mut clients: Vec<Client> = (0..10).map(|_| Client::open(http, "/")).collect();
    let window = 1000 * SECOND;
    shut_down(
        http,
        ShutdownOptions::new().deadline(2 * window).window(window),
    );
    pass(&clock, SECOND);
    let before = closed(&mut clients).len();
    assert!(before < 10);
    let closed_count = shut_down(http, ShutdownOptions::new());
    settle();
    assert_eq!(closed(&mut clients).len(), 10 - before);
    run_until(|| closed_count.get() == Some(0));
}

#[test]
fn during_a_shutdown_requests_are_refused_without_calling_the_gate() {
    let http = server();
    let called = Rc::new(Cell::new(false));
    let seen = Rc::clone(&called);
    http.websocket_with("/", WebSocketOptions::new(), move |_: Request| {
        seen.set(true);
        Accept::new(|_| {})
    });
    let address = http.address().unwrap();
    let mut stream = TcpStream::connect(&address["tcp://".len()..]).unwrap();
    stream.set_nonblocking(true).unwrap();
    let (begin, rest) =
        "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            .split_at(30);
    stream.write_all(begin.as_bytes()).unwrap();
    settle();
    shut_down(http, ShutdownOptions::new().window(3 * SECOND));
    stream.write_all(rest.as_bytes()).unwrap();
    let mut response = Vec::new();
    run_until(|| stream.read_to_end(&mut response).is_ok());
    let head = String::from_utf8(response).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    let (_, after) = head.split_once("retry-after: ").unwrap();
    let seconds: u64 = after.lines().next().unwrap().parse().unwrap();
    assert!((1..=3).contains(&seconds), "{head}");
    assert!(!called.get());
}

#[test]
fn a_shutdown_closes_websockets_of_upgrades_in_handlers() {
    let http = server();
    http.accept("/", |req: Request| {
        upgrade(&req, WebSocketOptions::new(), |_| {})
    });
    let mut client = Client::open(http, "/");
    let closed_count = shut_down(http, ShutdownOptions::new());
    assert_eq!(client.closed(), 1001);
    client.close(Some(CloseFrame::new(CloseCode::GOING_AWAY, "")));
    run_until(|| closed_count.get() == Some(0));
}
