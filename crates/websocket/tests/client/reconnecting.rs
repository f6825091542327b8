//! WebSockets that reconnect.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::ManualClock;
use uptick_http::{HttpServer, Request, Response, StatusCode};
use uptick_socket::Server;
use uptick_websocket::{
    Accept, CloseCode, Error, Reconnect, Reconnecting, Retry, WebSocket, WebSocketConnector,
    WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Log, manual_clock, pass, run_until, server, settle};
use crate::url;

/// Records the events of a reconnecting WebSocket.
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

/// Starts reconnecting, and records the events of each WebSocket.
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

/// Advances the clock until the log has `count` entries.
#[track_caller]
fn pass_until(clock: &ManualClock, log: &Log, count: usize) {
    run_until(|| {
        pass(clock, Duration::from_millis(100));
        log.len() >= count
    });
}

/// A server that greets each client.
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
fn a_lost_websocket_is_reopened_until_it_is_stopped() {
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
fn the_delay_is_reset_after_a_stable_websocket() {
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
fn reconnecting_fails_after_the_maximum_number_of_retries() {
    let clock = manual_clock();
    let listener = Server::bind("127.0.0.1:0").unwrap();
    let unused = listener.address().unwrap();
    listener.close();
    settle();
    let log = Log::default();
    keep(to(unused.replace("tcp", "ws")).max_retries(Some(3)), &log);
    pass_until(&clock, &log, 5);
    assert_eq!(
        log.text(),
        format!(
            "retry1 retry2 retry3 error(reconnecting failed after 4 attempts: \
             connecting to {unused} failed: Connection refused (ECONNREFUSED)) close"
        )
    );
}

#[test]
fn permanent_errors_are_not_retried() {
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
fn reconnecting_can_be_stopped_in_any_state() {
    let clock = manual_clock();
    let http = greeting();
    let log = Log::default();
    // While connecting.
    keep(to(url(http, "/")), &log).stop();
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "close");
    // During the delay, from a listener of its own event.
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
fn stopping_in_a_close_listener_prevents_a_retry() {
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
fn a_callback_that_panics_terminates_its_websocket_only() {
    let clock = manual_clock();
    let http = greeting();
    let log = Log::default();
    let mut first = true;
    let seen = log.clone();
    let reconnecting = to(url(http, "/")).start(move |ws| {
        assert!(!std::mem::take(&mut first), "test panic");
        seen.listen(ws);
    });
    record(reconnecting, &log);
    pass_until(&clock, &log, 2);
    assert_eq!(log.text(), "retry1 hello");
    reconnecting.stop();
    run_until(|| log.text().ends_with("close"));
}

/// A server that refuses all requests with a status and `Retry-After`.
fn refusing(status: u16, retry_after: &'static str) -> HttpServer {
    let http = server();
    http.get("/", move |_: Request| {
        let status = StatusCode::from_u16(status).unwrap();
        Response::new(status).header("retry-after", retry_after)
    });
    http
}

/// Returns the delay of the first retry.
#[track_caller]
fn first_delay(reconnect: Reconnect) -> Duration {
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    let reconnecting = reconnect.start(|_| ());
    reconnecting.on("retry", move |retry: Retry| shared.set(Some(retry.delay)));
    run_until(|| slot.get().is_some());
    reconnecting.stop();
    settle();
    slot.get().unwrap()
}

#[test]
fn the_delay_is_at_least_the_retry_after_of_429_and_503() {
    let seconds = |status, after, reconnect: fn(Reconnect) -> Reconnect| {
        let http = refusing(status, after);
        let delay = first_delay(reconnect(to(url(http, "/"))));
        http.close();
        delay.as_secs_f64()
    };
    for status in [429, 503] {
        let delay = seconds(status, "20", |config| config);
        assert!((20.0..=24.0).contains(&delay), "{status} {delay}");
    }
    let short = [
        seconds(500, "20", |config| config),
        seconds(503, "0", |config| config),
        seconds(503, "soon", |config| config),
        seconds(503, "20", |config| config.max_retry_after(Duration::ZERO)),
    ];
    assert!(short.iter().all(|delay| *delay <= 0.6), "{short:?}");
    // A longer backoff is not shortened.
    let long = seconds(503, "2", |config| {
        config.first_delay(Duration::from_secs(10))
    });
    assert!((8.0..=12.0).contains(&long), "{long}");
    let max = seconds(503, "31536000", |config| config);
    assert!((3600.0..=4320.0).contains(&max), "{max}");
}

#[test]
fn a_retry_listener_can_set_the_delay() {
    let clock = manual_clock();
    let http = refusing(503, "20");
    let log = Log::default();
    let reconnecting = to(url(http, "/")).start(|_| ());
    let seen = log.clone();
    reconnecting.on("retry", move |retry: Retry| {
        seen.add(retry.failed);
        reconnecting.retry_in(Duration::from_secs(60));
        if retry.failed == 1 {
            reconnecting.retry_in(Duration::from_secs(3));
        }
    });
    run_until(|| log.len() == 1);
    pass(&clock, Duration::from_millis(2900));
    assert_eq!(log.len(), 1);
    pass_until(&clock, &log, 2);
    pass(&clock, Duration::from_secs(50));
    assert_eq!(log.len(), 2);
    // Also outside of the listener, for example when the network is available again.
    reconnecting.retry_in(Duration::ZERO);
    run_until(|| log.len() == 3);
    reconnecting.stop();
    reconnecting.retry_in(Duration::ZERO);
    settle();
    assert_eq!(log.text(), "1 2 3");
}
