//! The pool of connections.

use std::cell::Cell;
use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use uptick_event_loop::sleep;
use uptick_http::{HttpServer, Request, h2};
use uptick_http_client::{Browser, ErrorKind, Http2Mode, PoolLimits};

use crate::{run, serve};

/// A server whose responses take 20 ms, and that counts the requests that it handles at the same time.
fn slow(most: &Rc<Cell<usize>>) -> HttpServer {
    let (most, running) = (Rc::clone(most), Rc::new(Cell::new(0)));
    let http = HttpServer::new();
    http.get("/{*path}", move |_: Request| {
        let (most, running) = (Rc::clone(&most), Rc::clone(&running));
        async move {
            running.set(running.get() + 1);
            most.set(most.get().max(running.get()));
            sleep(Duration::from_millis(20)).await;
            running.set(running.get() - 1);
            "done"
        }
    });
    http
}

fn with_limits(limits: PoolLimits) -> Browser {
    Browser::new().with_limits(limits)
}

#[test]
fn requests_wait_for_the_connections_of_their_destination() {
    run(async {
        let most = Rc::new(Cell::new(0));
        let (url, server) = serve(slow(&most));
        let browser = with_limits(PoolLimits::new().max_per_host(3));
        let requests = (0..12).map(|i| browser.get(format!("{url}/{i}")).into_future());
        let responses = join_all(requests.collect::<Vec<_>>()).await;
        assert!(responses.iter().all(|response| response.is_ok()));
        let stats = browser.stats();
        assert_eq!((most.get(), stats.created, stats.reused), (3, 3, 9));
        assert_eq!((stats.open, stats.idle, stats.waiting), (3, 3, 0));
        assert_eq!((browser.close_idle(), browser.stats().open), (3, 0));
        server.close();
    });
}

#[test]
fn a_full_pool_closes_the_connection_that_was_idle_longest() {
    run(async {
        let most = Rc::new(Cell::new(0));
        let (first, first_server) = serve(slow(&most));
        let (second, second_server) = serve(slow(&most));
        let (third, third_server) = serve(slow(&most));
        let browser = with_limits(PoolLimits::new().max_total(2));
        for url in [&first, &second, &third] {
            browser.get(url.as_str()).await.unwrap();
        }
        assert_eq!(browser.stats().open, 2);
        assert!(browser.get(&second).await.unwrap().is_reused());
        assert!(!browser.get(&first).await.unwrap().is_reused());
        for server in [first_server, second_server, third_server] {
            server.close();
        }
    });
}

#[test]
fn a_request_that_is_dropped_leaves_the_queue_and_frees_its_place() {
    run(async {
        let most = Rc::new(Cell::new(0));
        let (url, server) = serve(slow(&most));
        let browser = with_limits(PoolLimits::new().max_per_host(1));
        let running = browser.get(&url).send();
        let waiting = browser.get(&url).send();
        let last = browser.get(&url).into_future();
        sleep(Duration::from_millis(5)).await;
        waiting.cancel();
        running.cancel();
        // A task is dropped in the next iteration.
        sleep(Duration::ZERO).await;
        assert_eq!(browser.stats().open, 0);
        assert_eq!(last.await.unwrap().text(), "done");
        assert_eq!((browser.stats().open, browser.stats().waiting), (1, 0));
        server.close();
    });
}

#[test]
fn a_full_queue_refuses_requests() {
    run(async {
        let most = Rc::new(Cell::new(0));
        let (url, server) = serve(slow(&most));
        let browser = with_limits(PoolLimits::new().max_per_host(1).max_waiting(1));
        let requests = (0..3).map(|_| browser.get(&url).into_future());
        let results = join_all(requests.collect::<Vec<_>>()).await;
        let kinds: Vec<_> = results
            .into_iter()
            .map(|result| result.err().map(|error| error.kind()))
            .collect();
        assert_eq!(kinds, [None, None, Some(ErrorKind::Other)]);
        server.close();
    });
}

#[test]
fn idle_connections_do_not_keep_the_loop_running() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    // A server of this thread would keep the loop running.
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        let response = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone";
        stream.write_all(response.as_bytes()).unwrap();
        stream.read(&mut request).unwrap()
    });
    let browser = Browser::new();
    browser.get(&url).then(|response| {
        assert_eq!(response.unwrap().text(), "done");
    });
    uptick_event_loop::run().unwrap();
    assert_eq!((browser.stats().open, browser.stats().idle), (1, 1));
    browser.close_idle();
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn a_dropped_browser_closes_its_idle_connections() {
    run(async {
        let most = Rc::new(Cell::new(0));
        let (url, server) = serve(slow(&most));
        let browser = Browser::new();
        browser.get(&url).await.unwrap();
        drop(browser);
        sleep(Duration::from_millis(50)).await;
        assert_eq!(server.connections().len(), 0);
        server.close();
    });
}

#[test]
fn requests_share_an_http2_connection_and_wait_for_its_streams() {
    run(async {
        let most = Rc::new(Cell::new(0));
        let http = slow(&most);
        http.http2_limits(h2::Limits::default().concurrent_streams(2));
        let (url, server) = serve(http);
        let browser = with_limits(PoolLimits::new().max_per_host(1)).with_http2(Http2Mode::Only);
        for _ in 0..2 {
            let requests = (0..7).map(|i| browser.get(format!("{url}/{i}")).into_future());
            let responses = join_all(requests.collect::<Vec<_>>()).await;
            let texts = responses
                .iter()
                .map(|response| response.as_ref().map(|r| r.text()));
            assert!(
                texts.clone().all(|text| text.is_ok()),
                "{:?}",
                texts.collect::<Vec<_>>()
            );
        }
        let stats = browser.stats();
        assert_eq!(
            (most.get(), stats.created, stats.open, stats.idle),
            (2, 1, 1, 1)
        );
        server.close();
    });
}

#[test]
fn an_http2_connection_that_was_idle_is_shared_while_it_is_busy() {
    run(async {
        let http = HttpServer::new();
        http.get("/{time}", |req: Request| async move {
            let time = req.param("time").and_then(|time| time.parse().ok());
            sleep(Duration::from_millis(time.unwrap_or(0))).await;
            "done"
        });
        let (url, server) = serve(http);
        let limits = PoolLimits::new().idle_timeout(Duration::from_millis(100));
        let browser = with_limits(limits).with_http2(Http2Mode::Only);
        browser.get(format!("{url}/0")).await.unwrap();
        // It is longer than the idle timeout, which does not count in the meantime.
        let long = browser.get(format!("{url}/600")).send();
        sleep(Duration::from_millis(300)).await;
        assert!(browser.get(format!("{url}/0")).await.unwrap().is_reused());
        assert_eq!(browser.stats().created, 1);
        long.cancel();
        server.close();
    });
}
