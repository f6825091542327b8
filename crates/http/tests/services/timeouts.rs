//! Route timeouts.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, add_timer, sleep};
use uptick_http::test::TestResponse;
use uptick_http::{HttpServer, Request, Responder, StatusCode, Timeout};

struct OnDrop(Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

fn get(path: &str) -> (TestResponse, Duration, bool) {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = HttpServer::new();
    let dropped = Rc::new(Cell::new(false));
    let on_drop = Rc::clone(&dropped);
    http.group("/slow", |slow| {
        slow.wrap(Timeout::new(Duration::from_secs(2)));
        slow.get("/future", move |_: Request| {
            let on_drop = OnDrop(Rc::clone(&on_drop));
            async move {
                sleep(Duration::from_secs(10)).await;
                drop(on_drop);
                "late"
            }
        });
        slow.get("/responder", |_: Request, res: Responder| {
            add_timer(Duration::from_secs(10), move || res.send("late"));
        });
        slow.get("/quick", async |_: Request| {
            sleep(Duration::from_secs(1)).await;
            "in time"
        });
    });
    http.group("/teapot", |teapot| {
        teapot.wrap(Timeout::new(Duration::from_secs(2)).status(StatusCode::GATEWAY_TIMEOUT));
        teapot.get("/", async |_: Request| std::future::pending::<&str>().await);
    });
    let response = http.test().get(path).send().unwrap();
    let elapsed = clock.elapsed();
    uptick_event_loop::run().unwrap();
    (response, elapsed, dropped.get())
}

#[test]
fn a_late_future_is_dropped_and_answered_with_503() {
    let (response, elapsed, dropped) = get("/slow/future");
    assert_eq!(response.status(), 503);
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
    assert!(dropped);
}

#[test]
fn a_late_responder_is_answered_with_503() {
    let (response, elapsed, _) = get("/slow/responder");
    assert_eq!(response.status(), 503);
    assert!(elapsed < Duration::from_secs(3), "{elapsed:?}");
}

#[test]
fn a_response_in_time_is_sent() {
    let (response, _, _) = get("/slow/quick");
    assert_eq!(response.text(), "in time");
}

#[test]
fn the_status_can_be_set() {
    let (response, _, _) = get("/teapot/");
    assert_eq!(response.status(), 504);
}
