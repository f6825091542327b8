//! The pool with servers that close connections, and with many requests.

use std::cell::{Cell, RefCell};
use std::future::IntoFuture;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{join, join_all};
use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_http::{HttpServer, Request};
use uptick_http_client::{Browser, ClientRequest, Error, Http2Mode, PoolLimits, Response};
use uptick_socket::{Resolver, Server};

use crate::scripted::{OK, scripted};
use crate::{run, serve};

fn with_limits(limits: PoolLimits) -> Browser {
    Browser::new().with_limits(limits)
}

#[test]
fn connections_are_reused_after_the_only_one_was_found_closed() {
    let url = scripted(|number, peer| match number {
        0 => {
            peer.request();
            peer.send(OK);
            thread::sleep(Duration::from_millis(20));
        }
        _ => peer.serve(),
    });
    run(async move {
        let browser = Browser::new();
        browser.get(&url).await.unwrap();
        // The connection closes while the loop does not run.
        thread::sleep(Duration::from_millis(100));
        let second = browser.get(&url).await.unwrap();
        assert_eq!((second.is_reused(), second.attempts()), (false, 1));
        assert!(browser.get(&url).await.unwrap().is_reused());
        let stats = browser.stats();
        assert_eq!((stats.created, stats.open, stats.idle), (2, 1, 1));
    });
}

#[test]
fn a_waiting_request_does_not_fail_with_the_connection_that_it_was_granted() {
    let url = scripted(|number, peer| match number {
        0 => {
            peer.request();
            peer.send(OK);
            thread::sleep(Duration::from_millis(20));
        }
        _ => peer.serve(),
    });
    run(async move {
        let browser = with_limits(PoolLimits::new().max_per_host(1));
        let mut first = browser.get(&url).into_future();
        let mut waiting = browser.post(&url).into_future();
        assert!((&mut first).now_or_never().is_none());
        assert!((&mut waiting).now_or_never().is_none());
        first.await.unwrap();
        // The server closes the connection before the waiting request continues.
        sleep(Duration::from_millis(100)).await;
        let response = waiting.await.unwrap();
        assert_eq!((response.is_reused(), response.attempts()), (false, 1));
    });
}

#[test]
fn a_retry_is_served_although_others_wait() {
    let url = scripted(|number, peer| match number {
        0 => {
            peer.request();
            peer.send(OK);
            peer.request();
        }
        _ => peer.serve(),
    });
    run(async move {
        let limits = PoolLimits::new().max_per_host(1);
        let browser = with_limits(limits).with_timeout(Duration::from_secs(5));
        let requests = (0..6).map(|_| browser.get(&url).into_future());
        let responses = join_all(requests.collect::<Vec<_>>()).await;
        let mut attempts = Vec::new();
        for response in responses {
            attempts.push(response.unwrap().attempts());
        }
        assert_eq!(attempts, [1, 2, 1, 1, 1, 1]);
        assert_eq!(browser.stats().open, 1);
    });
}

/// A server whose responses take some time.
fn delayed(time: Duration) -> HttpServer {
    let http = HttpServer::new();
    http.get("/{*path}", move |_: Request| async move {
        sleep(time).await;
        "done"
    });
    http
}

fn over_http2(limits: PoolLimits) -> Browser {
    with_limits(limits)
        .with_http2(Http2Mode::Only)
        .with_timeout(Duration::from_secs(5))
}

async fn all_of(browser: &Browser, url: &str, count: usize) {
    let requests = (0..count).map(|_| browser.get(url).into_future());
    for response in join_all(requests.collect::<Vec<_>>()).await {
        assert_eq!(response.unwrap().text(), "done");
    }
}

#[test]
fn a_full_http2_connection_is_used_again() {
    run(async {
        let (url, server): (String, Server) = serve(delayed(Duration::from_millis(20)));
        let browser = over_http2(PoolLimits::new().max_per_host(1));
        browser.get(&url).await.unwrap();
        let first = all_of(&browser, &url, 700);
        let second = async {
            sleep(Duration::from_millis(10)).await;
            all_of(&browser, &url, 700).await;
        };
        join(first, second).await;
        let stats = browser.stats();
        assert_eq!((stats.created, stats.open, stats.idle), (1, 1, 1));
        server.close();
    });
}

#[test]
fn an_http2_connection_in_use_does_not_become_too_old() {
    run(async {
        let (url, server) = serve(delayed(Duration::from_millis(300)));
        let browser = over_http2(PoolLimits::new().idle_timeout(Duration::from_millis(200)));
        browser.get(&url).await.unwrap();
        let long = browser.get(&url).send();
        sleep(Duration::from_millis(250)).await;
        assert!(long.is_running());
        assert!(browser.get(&url).await.unwrap().is_reused());
        assert_eq!(browser.stats().created, 1);
        server.close();
    });
}

#[test]
fn limits_keep_the_resolver() {
    run(async {
        let (url, server) = serve(delayed(Duration::ZERO));
        let url = url.replace("127.0.0.1", "name.test");
        let lookups = Rc::new(Cell::new(0));
        let counted = Rc::clone(&lookups);
        let resolver = Resolver::new(move |_| {
            counted.set(counted.get() + 1);
            async { Ok(vec![std::net::Ipv4Addr::LOCALHOST.into()]) }
        });
        let browser = Browser::new().with_resolver(resolver);
        let browser = browser.with_limits(PoolLimits::new().max_total(1));
        assert_eq!(browser.get(&url).await.unwrap().text(), "done");
        assert_eq!(lookups.get(), 1);
        server.close();
    });
}

#[test]
fn a_request_that_has_ended_cannot_be_cancelled() {
    let events = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&events);
    run(async move {
        let (url, server) = serve(delayed(Duration::ZERO));
        let request: ClientRequest = Browser::new().get(&url).send();
        let log = |name: &'static str| {
            let seen = Rc::clone(&seen);
            move || seen.borrow_mut().push(name)
        };
        let (response, error, close) = (log("response"), log("error"), log("close"));
        request.on("response", move |_: Response| {
            response();
            request.cancel();
        });
        request.on("error", move |_: Error| error());
        request.on("close", move |()| close());
        sleep(Duration::from_millis(100)).await;
        server.close();
    });
    assert_eq!(*events.borrow(), ["response", "close"]);
}

#[test]
fn the_longest_timeouts_do_not_expire() {
    run(async {
        let (url, server) = serve(delayed(Duration::from_millis(20)));
        let time = Duration::MAX;
        let browser = Browser::new()
            .with_timeout(time)
            .with_connect_timeout(time)
            .with_write_timeout(time)
            .with_first_byte_timeout(time)
            .with_read_timeout(time)
            .with_limits(PoolLimits::new().idle_timeout(time).max_age(time));
        browser.get(&url).await.unwrap();
        assert!(browser.get(&url).await.unwrap().is_reused());
        let browser = browser.with_http2(Http2Mode::Only);
        browser.get(&url).await.unwrap();
        assert!(browser.get(&url).await.unwrap().is_reused());
        browser.close_idle();
        server.close();
    });
}
