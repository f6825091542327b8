use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::ManualClock;
use uptick_http::HttpServer;
use uptick_socket::Server;
use uptick_websocket::{
    Accept, CloseCode, Error, Reconnect, Reconnecting, Retry, WebSocket, WebSocketConnector,
    WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Log, manual_clock, pass, run_until, server, settle};
use crate::url;

/// Records what becomes of it.
fn record(reconnecting: Reconnecting, log: &Log) {
    let seen = log.clone();
    reconnecting.on("retry", move |retry: Retry| {
        let exact = 500 << (retry.failed - 1).min(6);
        let delay = u64::try_from(retry.delay.as_millis()).unwrap();
        assert!(
            delay >= exact * 4 / 5 && delay <= exact * 6 / 5,
            "{retry:?}"
        );
        seen.add(format_args!("retry{}", retry.failed));
    });
    let seen = log.clone();
    reconnecting.on("error", move |error: Error| {
        seen.add(format_args!("error({error})"))
    });
    let seen = log.clone();
    reconnecting.on("close", move |()| seen.add("close"));
}

/// Keeps WebSockets open at a server, and records it.
fn keep(reconnect: Reconnect, log: &Log) -> Reconnecting {
    let seen = log.clone();
    let reconnecting = reconnect.start(move |ws: WebSocket| {
        let opened = seen.clone();
        ws.on("open", move |()| opened.add("open"));
        seen.listen(ws);
    });
    record(reconnecting, log);
    reconnecting
}

fn to(url: impl Into<String>) -> Reconnect {
    Reconnect::new(WebSocketConnector::default(), url)
}

/// Moves the clock until something is recorded so often.
#[track_caller]
fn pass_until(clock: &ManualClock, log: &Log, count: usize) {
    run_until(|| {
        pass(clock, Duration::from_millis(100));
        log.len() >= count
    });
}

/// A server that tells of those that come.
fn greeting() -> HttpServer {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_| {
        Accept::new(|ws: WebSocket| {
            ws.send("hello");
        })
    });
    http
}

#[test]
fn a_lost_websocket_comes_again_and_again_until_it_is_stopped() {
    let clock = manual_clock();
    let http = greeting();
    let log = Log::default();
    let reconnecting = keep(to(url(http, "/")), &log);
    assert!(reconnecting.socket().is_none());
    run_until(|| log.len() == 2);
    reconnecting.socket().unwrap().terminate();
    pass_until(&clock, &log, 6);
    reconnecting.socket().unwrap().close(CloseCode::NORMAL, "");
    pass_until(&clock, &log, 10);
    reconnecting.stop();
    reconnecting.stop();
    run_until(|| log.len() == 12);
    assert_eq!(
        log.text(),
        "open hello 1006::unclean retry1 open hello 1000::clean retry2 open hello 1000::clean close"
    );
    pass(&clock, Duration::from_secs(60));
    assert_eq!(log.len(), 12);
    assert!(reconnecting.socket().is_none());
}

#[test]
fn the_wait_is_short_again_after_a_websocket_that_stayed() {
    let clock = manual_clock();
    let http = greeting();
    let log = Log::default();
    let reconnecting = keep(to(url(http, "/")), &log);
    run_until(|| log.len() == 2);
    reconnecting.socket().unwrap().terminate();
    pass_until(&clock, &log, 6);
    pass(&clock, Duration::from_millis(10_100));
    reconnecting.socket().unwrap().terminate();
    run_until(|| log.len() == 8);
    assert!(
        log.text().ends_with("1006::unclean retry1"),
        "{}",
        log.text()
    );
    reconnecting.stop();
    run_until(|| log.text().ends_with("close"));
}

#[test]
fn after_so_many_retries_it_is_given_up() {
    let clock = manual_clock();
    let listener = Server::bind("127.0.0.1:0").unwrap();
    let nobody = listener.address().unwrap();
    listener.close();
    settle();
    let log = Log::default();
    keep(to(nobody.replace("tcp", "ws")).max_retries(Some(3)), &log);
    pass_until(&clock, &log, 5);
    assert_eq!(
        log.text(),
        format!(
            "retry1 retry2 retry3 error(reconnecting was given up after 4 attempts: \
             connecting to {nobody} failed: Connection refused (ECONNREFUSED)) close"
        )
    );
}

#[test]
fn what_cannot_work_is_given_up_at_once() {
    let log = Log::default();
    keep(to("http://127.0.0.1/"), &log);
    let connector = WebSocketConnector::default().protocol("not a token");
    keep(Reconnect::new(connector, "ws://127.0.0.1:1/"), &log);
    run_until(|| log.len() == 4);
    assert!(
        log.text().starts_with("error(invalid URL"),
        "{}",
        log.text()
    );
    assert!(
        log.text().contains("subprotocol is not a token"),
        "{}",
        log.text()
    );
}

#[test]
fn stopping_in_any_state_ends_it() {
    let clock = manual_clock();
    let http = greeting();
    let log = Log::default();
    // While it connects.
    keep(to(url(http, "/")), &log).stop();
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "close");
    // While it waits, and from inside of its own events.
    let reconnecting = keep(to(url(http, "/")), &log);
    run_until(|| log.len() == 3);
    reconnecting.on("retry", move |_: Retry| reconnecting.stop());
    reconnecting.socket().unwrap().terminate();
    run_until(|| log.len() == 6);
    assert!(log.text().ends_with("1006::unclean retry1 close"));
    pass(&clock, Duration::from_secs(5));
    assert_eq!(log.len(), 6);
}

#[test]
fn stopping_in_the_close_of_a_websocket_leaves_no_retry() {
    let http = greeting();
    let log = Log::default();
    let reconnecting = keep(to(url(http, "/")), &log);
    run_until(|| log.len() == 2);
    let ws = reconnecting.socket().unwrap();
    ws.on(WebSocket::CLOSE, move |_| reconnecting.stop());
    ws.terminate();
    run_until(|| log.text().ends_with("close"));
    settle();
    assert_eq!(log.text(), "open hello 1006::unclean close");
}

#[test]
fn a_callback_that_panics_loses_its_websocket_only() {
    let clock = manual_clock();
    let http = greeting();
    let log = Log::default();
    let mut first = true;
    let seen = log.clone();
    let reconnecting = to(url(http, "/")).start(move |ws| {
        assert!(!std::mem::take(&mut first), "asked to");
        seen.listen(ws);
    });
    record(reconnecting, &log);
    pass_until(&clock, &log, 2);
    assert_eq!(log.text(), "retry1 hello");
    reconnecting.stop();
    run_until(|| log.text().ends_with("close"));
}
