//! Closing of sessions by the server, and of the server itself.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::{HttpServer, ShutdownOptions};
use uptick_socketio::engine::{Client, CloseReason};

use crate::support::{Fixture, fast_heartbeat, manual_clock, options, pass, run_until, settle};

#[test]
fn queued_messages_are_sent_before_a_session_closes() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let client = fixture.client();
    client.send("bye");
    client.close();
    assert!(!client.is_open());
    assert!(!client.send("late").is_taken());
    assert_eq!(http.poll(), "200 4bye");
    assert_eq!(http.poll(), "200 6|1");
    assert_eq!(fixture.ended(), "connection (close:forced close)");

    let (mut ws, _) = fixture.open_websocket();
    let client = fixture.client();
    client.send("bye");
    client.close();
    assert_eq!(ws.text(), "4bye");
    assert_eq!(ws.closed(), 1005);
    assert_eq!(fixture.ended(), "connection (close:forced close)");
}

#[test]
fn a_closing_session_ends_if_the_client_does_not_poll() {
    let clock = manual_clock();
    let fixture = Fixture::with(options().close_timeout(Duration::from_secs(2)));
    let _http = fixture.open();
    fixture.client().close();
    pass(&clock, Duration::from_millis(1999));
    assert_eq!(fixture.log.text(), "connection");
    pass(&clock, Duration::from_millis(1));
    assert_eq!(fixture.log.text(), "connection (close:forced close)");
}

#[test]
fn an_aborted_session_ends_immediately() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let client = fixture.client();
    http.begin_poll();
    settle();
    client.abort();
    assert_eq!(fixture.ended(), "connection (close:forced close)");
    assert_eq!(http.response().show(), "200 1");
}

#[test]
fn no_messages_are_delivered_after_a_listener_closes_the_session() {
    let fixture = Fixture::new();
    fixture.engine.on("connection", |client: Client| {
        client.on("message", move |_: uptick_websocket::Message| {
            client.close()
        });
    });
    let (mut ws, _) = fixture.open_websocket();
    ws.send("4a");
    ws.send("4b");
    assert_eq!(ws.closed(), 1005);
    assert_eq!(fixture.ended(), "connection a (close:forced close)");
    let mut http = fixture.open();
    assert_eq!(http.post("4a|4b"), "200 ok");
    assert_eq!(http.poll(), "200 6|1");
    assert_eq!(fixture.ended(), "connection a (close:forced close)");
}

#[test]
fn a_handle_of_a_session_that_is_over_does_nothing() {
    let fixture = Fixture::new();
    let (ws, _) = fixture.open_websocket();
    let client = fixture.client();
    let log = fixture.log.clone();
    client.on("close", move |_: CloseReason| {
        // The session still exists, but is closed.
        log.add(format_args!(
            "{} {} {:?}",
            client.is_open(),
            client.id().is_some(),
            client.send("x")
        ));
    });
    drop(ws);
    assert_eq!(
        fixture.ended(),
        "connection (close:transport close) false true Dropped"
    );
    assert_eq!((client.id(), client.transport()), (None, None));
    assert!(!client.is_open() && !client.is_writable() && client.handshake().is_none());
    client.close();
    client.abort();
}

#[test]
fn a_closed_engine_closes_all_sessions_and_refuses_new_ones() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let mut poll = http.another_connection(&fixture);
    poll.begin_poll();
    let (mut ws, _) = fixture.open_websocket();
    settle();
    let mut idle = fixture.open();
    for client in fixture.engine.clients() {
        client.send("bye");
    }
    fixture.engine.close();
    assert_eq!(poll.response().show(), "200 4bye");
    assert_eq!(poll.poll(), "200 6|1");
    assert_eq!(ws.text(), "4bye");
    assert_eq!(ws.closed(), 1005);
    let query = "EIO=4&transport=polling";
    assert_eq!(http.get(query).status, 503);
    assert_eq!(fixture.engine.clients_count(), 1);
    assert_eq!(idle.poll(), "200 4bye");
    assert_eq!(idle.poll(), "200 6|1");
    assert_eq!(fixture.engine.clients_count(), 0);
    assert_eq!(http.get(query).status, 503);
}

#[test]
fn a_shutdown_of_the_http_server_closes_the_sessions() {
    for (restarting, code) in [(false, 1001), (true, 1012)] {
        let fixture = Fixture::new();
        let mut http = fixture.open();
        http.begin_poll();
        let (mut ws, _) = fixture.open_websocket();
        let idle = fixture.open();
        settle();
        let log = fixture.log.clone();
        fixture
            .http
            .on(HttpServer::CLOSE, move |()| log.add("closed"));
        let options = ShutdownOptions::new().restarting(restarting);
        drop(fixture.http.shutdown_with(options));
        assert_eq!(http.response().show(), "200 1");
        assert_eq!(ws.closed(), code);
        ws.close();
        drop((ws, http, idle));
        run_until(|| fixture.engine.clients_count() == 0 && fixture.log.text().contains("closed"));
        let log = fixture.log.take();
        assert!(log.contains("(close:forced close)"), "{log}");
        assert!(log.contains("(close:transport close)"), "{log}");
    }
}

#[test]
fn clients_that_disconnect_at_any_step_leave_no_session() {
    let clock = manual_clock();
    let fixture = Fixture::with(fast_heartbeat());
    for _ in 0..20 {
        drop(fixture.open());
        let mut polling = fixture.open();
        polling.begin_poll();
        settle();
        drop(polling);
        let http = fixture.open();
        let mut post = http.another_connection(&fixture);
        post.begin_post(100, "4a");
        settle();
        drop(post);
        let http = fixture.open();
        let query = format!("EIO=4&transport=websocket&sid={}", http.sid);
        drop(fixture.websocket(&query));
        let http = fixture.open();
        let query = format!("EIO=4&transport=websocket&sid={}", http.sid);
        let mut ws = fixture.websocket(&query);
        ws.send("2probe");
        settle();
        drop(ws);
        let mut ws = fixture.websocket(&query);
        ws.send("2probe");
        ws.send("5");
        settle();
        drop(ws);
        drop(fixture.open_websocket());
    }
    assert_eq!(fixture.engine.stats().opened, 120);
    for _ in 0..50 {
        pass(&clock, Duration::from_millis(100));
    }
    run_until(|| fixture.engine.clients_count() == 0);
    let stats = fixture.engine.stats();
    assert_eq!((stats.opened, stats.closed), (120, 120));
    assert_eq!(fixture.log.take().matches("(close:").count(), 120);
}
