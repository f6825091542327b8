//! Shutdowns with a drain window: event streams, upgrades, and requests in flight.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::channel::oneshot;
use uptick_emitter::Emitter;
use uptick_event_loop::{ManualClock, spawn};
use uptick_http::{
    BodyStream, EventStream, HttpServer, Request, Response, ServerEvent, ShutdownOptions,
};
use uptick_socket::{Connection, Server};

use crate::support::{Client, Log, get, manual_clock, run_until, run_until_idle, server, settle};

const SECOND: Duration = Duration::from_secs(1);

/// Starts a shutdown. The cell is set to the number of connections closed at the deadline.
fn shut_down(http: HttpServer, options: ShutdownOptions) -> Rc<Cell<Option<usize>>> {
    let closed_count: Rc<Cell<Option<usize>>> = Rc::default();
    let result = Rc::clone(&closed_count);
    let shutdown = http.shutdown_with(options);
    spawn(async move { result.set(Some(shutdown.await)) });
    closed_count
}

/// Advances the clock in steps of 10 ms.
fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 10 {
        clock.advance(Duration::from_millis(10));
        settle();
    }
}

/// Returns a server with event streams at `/events`, and the streams.
fn with_streams() -> (HttpServer, Rc<RefCell<Vec<EventStream>>>) {
    let (http, streams) = (server(), Rc::<RefCell<Vec<EventStream>>>::default());
    let all = Rc::clone(&streams);
    http.get("/events", move |_: Request| {
        let (response, events) = Response::events();
        events.send(ServerEvent::new("hello"));
        all.borrow_mut().push(events);
        response
    });
    (http, streams)
}

/// Returns clients that have received the first event.
fn listeners(http: HttpServer, count: usize) -> Vec<Client> {
    let mut clients: Vec<Client> = (0..count).map(|_| Client::new(http)).collect();
    for client in &mut clients {
        client.send(get("/events"));
        run_until(|| client.take_received().contains("data: hello\n\n"));
    }
    clients
}

fn open(streams: &RefCell<Vec<EventStream>>) -> usize {
    streams
        .borrow()
        .iter()
        .filter(|stream| stream.is_open())
        .count()
}

const UPGRADE: &str = "GET /raw HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n";

/// Returns a server with an upgrade at `/raw` to a protocol that does nothing.
fn with_upgrades() -> HttpServer {
    let http = server();
    http.get("/raw", |_: Request| {
        Response::upgrade("raw", |conn: Connection| {
            conn.on("data", move |chunk: bytes::Bytes| conn.write(chunk));
        })
    });
    http
}

#[test]
fn an_unread_request_from_before_the_shutdown_is_answered() {
    let http = server();
    http.get("/", |_: Request| "here");
    let mut client = Client::new(http);
    client.send(get("/"));
    assert!(!client.response().closes());
    client.send(get("/"));
    let closed_count = shut_down(http, ShutdownOptions::new());
    let response = client.response();
    assert_eq!((response.body.as_str(), response.closes()), ("here", true));
    drop(client);
    run_until(|| closed_count.get() == Some(0));
}

#[test]
fn a_request_after_a_full_write_queue_is_answered() {
    let http = server();
    http.get("/long", |_: Request| vec![b'x'; 40 << 20]);
    http.get("/", |_: Request| "hello");
    let mut client = Client::new(http);
    client.set_receive_buffer(64 << 10);
    client.send(get("/long") + &get("/"));
    settle();
    let closed_count = shut_down(http, ShutdownOptions::new());
    settle();
    let long = client.response();
    assert_eq!((long.body.len(), long.closes()), (40 << 20, false));
    let hello = client.response();
    assert_eq!((hello.body.as_str(), hello.closes()), ("hello", true));
    assert_eq!(client.rest(), "");
    drop(client);
    run_until(|| closed_count.get().is_some());
    assert_eq!(closed_count.get(), Some(0));
}

#[test]
fn the_shutdown_waits_for_a_partial_head() {
    let clock = manual_clock();
    let http = server();
    http.get("/", |_: Request| "here");
    let mut clients: Vec<Client> = (0..2).map(|_| Client::new(http)).collect();
    // One head is on a new connection, the other one after another request.
    clients[1].send(get("/"));
    assert_eq!(clients[1].response().body, "here");
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHo");
    }
    settle();
    shut_down(http, ShutdownOptions::new());
    pass(&clock, SECOND);
    for mut client in clients {
        client.send("st: test\r\n\r\n");
        let response = client.response();
        assert_eq!((response.body.as_str(), response.closes()), ("here", true));
    }
}

/// Ends 24 event streams in a shutdown with a window of 2 s. Returns their reconnection times.
fn end_streams(restarting: bool) -> Vec<Option<u64>> {
    let clock = manual_clock();
    let (http, streams) = with_streams();
    let mut clients = listeners(http, 24);
    let options = ShutdownOptions::new().window(2 * SECOND);
    let closed_count = shut_down(http, options.restarting(restarting));
    settle();
    pass(&clock, SECOND);
    let half = open(&streams);
    assert!((1..24).contains(&half), "{half} are open");
    pass(&clock, SECOND + Duration::from_millis(20));
    assert_eq!(open(&streams), 0);
    let rests: Vec<String> = clients.iter_mut().map(Client::rest).collect();
    drop(clients);
    run_until(|| closed_count.get() == Some(0));
    let time = |rest: &String| {
        assert!(
            rest.ends_with("0\r\n\r\n"),
            "the response is truncated: {rest:?}"
        );
        let (_, after) = rest.split_once("retry: ")?;
        after.split_once("\n\n")?.0.parse().ok()
    };
    rests.iter().map(time).collect()
}

#[test]
fn event_streams_end_within_the_window() {
    assert_eq!(end_streams(false), vec![None; 24]);
}

#[test]
fn event_streams_send_a_reconnection_time_before_a_restart() {
    let times = end_streams(true);
    let least = times.iter().min().copied().flatten();
    let most = times.iter().max().copied().flatten();
    assert!(least >= Some(1000) && most <= Some(5000), "{times:?}");
    assert!(least < most, "all clients reconnect at the same time");
}

#[test]
fn an_event_stream_that_starts_during_the_shutdown_ends_within_the_window() {
    let clock = manual_clock();
    let (http, streams) = with_streams();
    let (sender, go) = oneshot::channel::<()>();
    let go = RefCell::new(Some(go));
    let all = Rc::clone(&streams);
    http.get("/late", move |_: Request| {
        let (go, all) = (go.take().unwrap(), Rc::clone(&all));
        async move {
            go.await.unwrap();
            let (response, events) = Response::events();
            all.borrow_mut().push(events);
            response
        }
    });
    let mut client = Client::new(http);
    client.send(get("/late"));
    settle();
    shut_down(http, ShutdownOptions::new().window(SECOND).restarting(true));
    pass(&clock, SECOND / 2);
    sender.send(()).unwrap();
    run_until(|| client.take_received().starts_with("HTTP/1.1 200 "));
    pass(&clock, SECOND / 2 + Duration::from_millis(20));
    assert_eq!(open(&streams), 0);
    assert!(client.rest().contains("retry: "));
}

#[test]
fn a_long_response_other_than_an_event_stream_continues_after_the_window() {
    let clock = manual_clock();
    let http = server();
    let (pieces, coming) = futures::channel::mpsc::unbounded::<Result<&str, std::io::Error>>();
    let coming = RefCell::new(Some(coming));
    http.get("/", move |_: Request| {
        Response::plain(BodyStream::new(coming.take().unwrap()))
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    let closed_count = shut_down(http, ShutdownOptions::new().window(SECOND));
    pass(&clock, 5 * SECOND);
    pieces.unbounded_send(Ok("still here")).unwrap();
    drop(pieces);
    let response = client.response();
    assert_eq!(response.body, "still here");
    drop(client);
    run_until(|| closed_count.get() == Some(0));
}

#[test]
fn a_second_call_shortens_the_window_and_moves_the_deadline() {
    let clock = manual_clock();
    let (http, streams) = with_streams();
    let clients = listeners(http, 12);
    let log = Log::default();
    let notes = log.clone();
    http.on("shutdown", move |options: ShutdownOptions| {
        notes.add(format!("{:?}/{:?}", options.window, options.deadline));
    });
    let options = ShutdownOptions::new()
        .deadline(100 * SECOND)
        .window(90 * SECOND);
    let first = shut_down(http, options);
    pass(&clock, SECOND);
    assert!(open(&streams) > 0);
    let second = shut_down(http, ShutdownOptions::new().window(SECOND));
    assert_eq!(http.shutdown_options().unwrap().deadline, 10 * SECOND);
    pass(&clock, SECOND + Duration::from_millis(20));
    assert_eq!(open(&streams), 0);
    assert_eq!(log.text(), "90s/100s 1s/10s");
    drop(clients);
    run_until(|| first.get() == Some(0) && second.get() == Some(0));
    assert_eq!(http.shutdown_options(), None);
}

#[test]
fn an_upgrade_during_the_shutdown_is_refused_with_retry_after() {
    let http = with_upgrades();
    let mut client = Client::new(http);
    client.send(&UPGRADE[..10]);
    settle();
    shut_down(http, ShutdownOptions::new().window(3 * SECOND));
    client.send(&UPGRADE[10..]);
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (503, true));
    let after: u64 = response.field("retry-after").unwrap().parse().unwrap();
    assert!((1..=3).contains(&after), "{after}");
}

#[test]
fn the_shutdown_ends_when_the_last_upgraded_connection_closes() {
    for shuts_down in [false, true] {
        let (http, log) = (with_upgrades(), Log::default());
        let notes = log.clone();
        http.on("close", move |()| notes.add("close"));
        let mut clients: Vec<Client> = (0..3).map(|_| Client::new(http)).collect();
        for client in &mut clients {
            client.send(UPGRADE);
            assert_eq!(client.response().status(), 101);
        }
        let closed_count = match shuts_down {
            true => shut_down(http, ShutdownOptions::new()),
            false => {
                http.close();
                Rc::new(Cell::new(Some(0)))
            }
        };
        settle();
        clients[0].send("ping");
        run_until(|| clients[0].take_received() == "ping");
        clients.truncate(1);
        settle();
        assert_eq!((log.text(), http.open_upgrades()), (String::new(), 1));
        drop(clients);
        run_until(|| log.text() == "close" && closed_count.get() == Some(0));
        run_until_idle();
    }
}

#[test]
fn upgraded_connections_without_a_listener_are_closed_at_the_deadline() {
    let clock = manual_clock();
    let http = with_upgrades();
    let other = Server::bind("127.0.0.1:0").unwrap();
    other.on("connection", move |conn: Connection| http.serve(conn));
    let mut clients = [Client::new(http), Client::of(&other.address().unwrap())];
    for client in &mut clients {
        client.send(UPGRADE);
        assert_eq!(client.response().status(), 101);
    }
    let closed_count = shut_down(http, ShutdownOptions::new().deadline(SECOND));
    pass(&clock, SECOND * 9 / 10);
    assert_eq!(closed_count.get(), None);
    pass(&clock, SECOND / 5);
    assert_eq!(closed_count.get(), Some(2));
    assert!(clients.iter_mut().all(Client::is_closed));
    other.close();
    run_until_idle();
}

#[test]
fn the_servers_of_a_thread_are_the_open_ones() {
    let servers: Vec<HttpServer> = (0..3).map(|_| server()).collect();
    assert_eq!(HttpServer::of_thread(), servers);
    servers[1].close();
    assert_eq!(HttpServer::of_thread(), [servers[0], servers[2]]);
    for http in HttpServer::of_thread() {
        drop(http.shutdown(SECOND));
    }
    assert!(HttpServer::of_thread().is_empty());
}

#[test]
fn a_request_knows_its_server() {
    let (http, other) = (server(), server());
    let seen = Rc::new(Cell::new(None));
    let place = Rc::clone(&seen);
    http.get("/", move |req: Request| {
        place.set(req.server());
        "ok"
    });
    http.test().get("/").send().unwrap();
    assert_eq!(seen.get(), Some(http));
    assert_ne!(seen.get(), Some(other));
}
