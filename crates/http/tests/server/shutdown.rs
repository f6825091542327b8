//! Graceful shutdowns: connections, deadlines and listeners.

use std::cell::Cell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{add_timer, future_tick, sleep, spawn};
use uptick_http::{HttpServer, Request, ShutdownOptions};
use uptick_socket::{Connection, Server};

use crate::support::{
    Client, Log, get, manual_clock, run_until, run_until_idle, server, settle, socket_address,
};

/// Starts a shutdown. The cell is set to the number of connections closed at the deadline.
fn shut_down(http: HttpServer, deadline: Duration) -> Rc<Cell<Option<usize>>> {
    let closed_count: Rc<Cell<Option<usize>>> = Rc::default();
    let result = Rc::clone(&closed_count);
    let shutdown = http.shutdown(deadline);
    spawn(async move { result.set(Some(shutdown.await)) });
    closed_count
}

#[test]
fn idle_connections_end_immediately_and_busy_ones_after_their_response() {
    let (http, log) = (server(), Log::default());
    http.get("/", |_: Request| "idle");
    http.get("/slow", |_: Request| async {
        sleep(Duration::from_millis(30)).await;
        "slow"
    });
    let notes = log.clone();
    http.on("close", move |()| notes.add("close"));
    let address = socket_address(http);
    let (mut idle, mut busy) = (Client::new(http), Client::new(http));
    idle.send(get("/"));
    assert_eq!(idle.response().body, "idle");
    busy.send(get("/slow"));
    settle();
    let closed_count = shut_down(http, Duration::from_secs(10));
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(idle.rest(), "");
    drop(idle);
    let response = busy.response();
    assert_eq!((response.body.as_str(), response.closes()), ("slow", true));
    assert_eq!(busy.rest(), "");
    drop(busy);
    run_until(|| closed_count.get().is_some());
    assert_eq!(closed_count.get(), Some(0));
    run_until_idle();
    assert_eq!(log.text(), "close");
}

#[test]
fn connections_open_at_the_deadline_are_closed_and_counted() {
    let http = server();
    http.get("/", |_: Request| std::future::pending::<&str>());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::new(http)).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    settle();
    let closed_count = shut_down(http, Duration::from_millis(20));
    run_until(|| closed_count.get().is_some());
    assert_eq!(closed_count.get(), Some(3));
    assert!(clients.iter_mut().all(Client::is_closed));
    run_until_idle();
}

#[test]
fn a_new_connection_has_a_short_time_for_its_request() {
    let clock = manual_clock();
    let http = server();
    http.get("/", |_: Request| "fresh");
    let (mut quick, mut silent) = (Client::new(http), Client::new(http));
    settle();
    let closed_count = shut_down(http, Duration::from_secs(10));
    settle();
    assert!(!quick.is_closed() && !silent.is_closed());
    quick.send(get("/"));
    let response = quick.response();
    assert_eq!((response.body.as_str(), response.closes()), ("fresh", true));
    for _ in 0..5 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
    assert!(silent.is_closed());
    drop((quick, silent));
    settle();
    assert_eq!(closed_count.get(), Some(0));
}

#[test]
fn a_new_connection_has_two_seconds_for_its_request_in_a_restart() {
    let clock = manual_clock();
    let http = server();
    http.get("/", |_: Request| "fresh");
    let (mut late, mut silent) = (Client::new(http), Client::new(http));
    settle();
    let options = ShutdownOptions::new().restarting(true);
    let _shutdown = http.shutdown_with(options);
    let pass = |times: u32| {
        for _ in 0..times {
            clock.advance(Duration::from_millis(100));
            settle();
        }
    };
    pass(17);
    assert!(!silent.is_closed());
    late.send(get("/"));
    assert_eq!(late.response().body, "fresh");
    pass(5);
    assert!(silent.is_closed());
}

#[test]
fn close_keeps_open_connections_and_is_emitted_after_the_last_one() {
    let (http, log) = (server(), Log::default());
    http.get("/", |req: Request| {
        let responder = req.responder();
        add_timer(Duration::from_millis(10), move || responder.send("late"));
    });
    let notes = log.clone();
    http.on("close", move |()| notes.add("close"));
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    http.close();
    assert_eq!(http.address(), None);
    assert_eq!(client.response().body, "late");
    assert_eq!(log.text(), "");
    drop(client);
    run_until_idle();
    assert_eq!(log.text(), "close");
}

#[test]
fn the_listeners_are_closed_when_the_server_ends() {
    for shuts_down in [false, true] {
        let (http, log) = (server(), Log::default());
        http.get("/", |_: Request| std::future::pending::<&str>());
        let notes = log.clone();
        http.on("close", move |()| notes.add("close"));
        let mut client = Client::new(http);
        client.send(get("/"));
        settle();
        if shuts_down {
            shut_down(http, Duration::from_secs(10));
        } else {
            http.close();
        }
        let late = Server::bind("127.0.0.1:0").unwrap();
        http.listen(late);
        assert_eq!((http.address(), late.address()), (None, None));
        client.reset();
        run_until_idle();
        assert_eq!(log.text(), "close");
    }
}

#[test]
fn a_connection_that_starts_during_the_shutdown_is_closed_after_one_response() {
    let http = server();
    http.get("/", |_: Request| "late");
    http.get("/never", |_: Request| std::future::pending::<&str>());
    let mut busy = Client::new(http);
    busy.send(get("/never"));
    settle();
    shut_down(http, Duration::from_secs(10));
    // Simulates a connection that was accepted before the shutdown and whose handshake has just completed.
    let other = Server::bind("127.0.0.1:0").unwrap();
    other.on("connection", move |conn: Connection| http.serve(conn));
    let mut late = Client::of(&other.address().unwrap());
    late.send(get("/"));
    let response = late.response();
    assert_eq!((response.body.as_str(), response.closes()), ("late", true));
    other.close();
}

#[test]
fn the_deadline_counts_from_the_call_after_a_long_callback() {
    let clock = manual_clock();
    let http = server();
    http.get("/", |_: Request| std::future::pending::<&str>());
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    let closed_count: Rc<Cell<Option<usize>>> = Rc::default();
    let (result, work) = (Rc::clone(&closed_count), clock.clone());
    future_tick(move || {
        work.advance(Duration::from_secs(5));
        let shutdown = http.shutdown(Duration::from_secs(1));
        drop(spawn(async move { result.set(Some(shutdown.await)) }));
    });
    settle();
    clock.advance(Duration::from_millis(999));
    settle();
    assert_eq!(closed_count.get(), None);
    clock.advance(Duration::from_millis(1));
    settle();
    assert_eq!(closed_count.get(), Some(1));
    assert!(client.is_closed());
    run_until_idle();
}
