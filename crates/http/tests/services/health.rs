//! Health checks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, block_on, sleep};
use uptick_http::test::TestResponse;
use uptick_http::{HealthChecks, HttpServer, Request, ShutdownOptions};

fn get(http: HttpServer, path: &str) -> TestResponse {
    http.test().get(path).send().unwrap()
}

#[test]
fn a_server_is_healthy_until_its_shutdown_starts() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = HttpServer::new();
    http.health("/healthz");
    http.ready("/readyz", HealthChecks::new());
    for path in ["/healthz", "/readyz"] {
        let response = get(http, path);
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.text(), r#"{"status":"ok"}"#);
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    http.get("/", |_: Request| "hello");
    let options = ShutdownOptions::new().notice(Duration::from_secs(5));
    let shutdown = http.shutdown_with(options);
    for path in ["/healthz", "/readyz"] {
        let response = get(http, path);
        assert_eq!(response.status(), 503, "{path}");
        assert_eq!(response.text(), r#"{"status":"shutting down"}"#);
    }
    assert_eq!(get(http, "/").status(), 200);
    block_on(shutdown).unwrap();
    assert!(clock.elapsed() >= Duration::from_secs(5));
    assert!(http.test().get("/").send().is_err());
}

#[test]
fn the_response_lists_failed_checks_and_timeouts_by_name() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = HttpServer::new();
    let checks = HealthChecks::new()
        .timeout(Duration::from_secs(2))
        .check("cache", || async { Ok::<(), String>(()) })
        .check("database", || async {
            Err("the password is 1234".to_owned())
        })
        .check("queue", std::future::pending::<Result<(), String>>)
        .check("search", || async { panicking_check() });
    http.ready("/readyz", checks);
    let response = get(http, "/readyz");
    assert_eq!(response.status(), 503);
    assert_eq!(
        response.text(),
        r#"{"checks":{"cache":"ok","database":"failed","queue":"timeout","search":"failed"},"status":"unavailable"}"#
    );
}

fn panicking_check() -> Result<(), String> {
    panic!("on purpose")
}

#[test]
fn the_results_of_checks_are_cached_for_a_second() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let runs = Rc::new(Cell::new(0));
    let counted = Rc::clone(&runs);
    let http = HttpServer::new();
    let checks = HealthChecks::new().check("database", move || {
        counted.set(counted.get() + 1);
        async {
            sleep(Duration::from_millis(10)).await;
            Ok::<(), String>(())
        }
    });
    http.ready("/readyz", checks);
    for _ in 0..3 {
        assert_eq!(get(http, "/readyz").status(), 200);
    }
    assert_eq!(runs.get(), 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(get(http, "/readyz").status(), 200);
    assert_eq!(runs.get(), 2);
}

#[test]
fn a_second_shutdown_ends_the_notice_period() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = HttpServer::new();
    let options = ShutdownOptions::new().notice(Duration::from_secs(60));
    let first = http.shutdown_with(options);
    let second = http.shutdown(Duration::from_secs(1));
    block_on(async { (first.await, second.await) }).unwrap();
    assert!(
        clock.elapsed() < Duration::from_secs(1),
        "{:?}",
        clock.elapsed()
    );
}
