//! Requests to servers that misbehave.

use std::cell::Cell;
use std::future::IntoFuture;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use uptick_event_loop::sleep;
use uptick_http_client::{Browser, ErrorKind, PoolLimits, RequestBody};

use crate::run;
use crate::scripted::{OK, scripted};

#[test]
fn a_redirect_is_followed_although_its_body_does_not_arrive() {
    let url = scripted(|_, peer| {
        while let Some(request) = peer.request() {
            match request.starts_with("GET /start") {
                true => {
                    let head = "HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 10";
                    peer.send(&format!("{head}\r\n\r\n"));
                }
                false => peer.send(OK),
            }
        }
    });
    run(async move {
        let browser = Browser::new();
        let started = Instant::now();
        let response = browser.get(format!("{url}start")).await.unwrap();
        assert_eq!((response.text(), response.redirects()), ("ok".into(), 1));
        assert!(started.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_response_without_its_reader_closes_an_upgraded_connection() {
    let url = scripted(|number, peer| {
        peer.request();
        if number == 0 {
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade";
            peer.send(&format!("{head}\r\n\r\n"));
        } else {
            peer.send(OK);
        }
        peer.request();
    });
    run(async move {
        let browser = Browser::new();
        let response = browser.get(&url).upgrade("echo").streaming().await.unwrap();
        assert_eq!(browser.stats().open, 1);
        drop(response);
        assert_eq!(browser.stats().open, 0);
        // Another response has no channel.
        let response = browser.get(&url).upgrade("echo").streaming().await.unwrap();
        assert!(response.into_upgraded().is_none());
    });
}

#[test]
fn no_request_of_many_fails_because_a_server_closes_idle_connections() {
    // A connection closes after 1 to 9 responses, at once or a little later.
    let url = scripted(|number, peer| {
        for _ in 0..number % 9 + 1 {
            if peer.request().is_none() {
                return;
            }
            peer.send(OK);
        }
        if number % 2 == 0 {
            thread::sleep(Duration::from_micros(number as u64 % 300));
        }
    });
    run(async move {
        let limits = PoolLimits::new().max_per_host(10);
        let browser = Browser::new().with_limits(limits);
        let failed = Rc::new(Cell::new(0));
        let requests = (0..10_000).map(|_| {
            let (request, failed) = (browser.get(&url).into_future(), Rc::clone(&failed));
            async move {
                if let Err(error) = request.await {
                    eprintln!("{error}");
                    failed.set(failed.get() + 1);
                }
            }
        });
        join_all(requests.collect::<Vec<_>>()).await;
        assert_eq!(failed.get(), 0);
        assert!(browser.stats().open <= 10);
    });
}

#[test]
fn a_body_is_complete_although_the_server_has_closed_before_it_was_read() {
    let url = scripted(|_, peer| {
        peer.request();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n";
        peer.send(head);
        peer.send(&"x".repeat(1_000_000));
    });
    run(async move {
        let mut response = Browser::new().request_streaming("GET", &url).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        let mut length = 0;
        while let Some(piece) = response.chunk().await.unwrap() {
            length += piece.len();
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(length, 1_000_000);
    });
}

#[test]
fn failed_attempts_to_connect_do_not_delay_all_others() {
    // The server does not respond to the TLS handshake.
    let url = scripted(|_, _| thread::sleep(Duration::from_secs(10)));
    let url = url.replace("http://", "https://");
    run(async move {
        let browser = Browser::new().with_tls_timeout(Duration::from_millis(200));
        let started = Instant::now();
        let requests = (0..10).map(|_| browser.get(&url).into_future());
        for result in join_all(requests.collect::<Vec<_>>()).await {
            assert_eq!(result.unwrap_err().kind(), ErrorKind::TlsTimeout);
        }
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(browser.stats().open, 0);
    });
}

#[test]
fn a_listener_may_use_the_pool() {
    let url = scripted(|_, peer| peer.serve());
    run(async move {
        let browser = Browser::new().with_limits(PoolLimits::new().max_total(2));
        let finished = Rc::new(Cell::new(0));
        for _ in 0..20 {
            let (other, url, finished) = (browser.clone(), url.clone(), Rc::clone(&finished));
            browser.get(&url).then(move |response| {
                response.unwrap();
                other.close_idle();
                other.get(&url).send().cancel();
                let finished = Rc::clone(&finished);
                other.get(&url).then(move |response| {
                    response.unwrap();
                    finished.set(finished.get() + 1);
                });
            });
        }
        let stats = browser.clone();
        drop(browser);
        let started = Instant::now();
        while finished.get() < 20 && started.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(finished.get(), 20);
        stats.close_idle();
        assert_eq!((stats.stats().open, stats.stats().waiting), (0, 0));
    });
}

#[test]
fn a_response_before_the_end_of_the_body_is_delivered() {
    let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nok",
    ];
    for response in responses {
        // Closing with unread bytes resets the connection.
        let url = scripted(move |_, peer| {
            peer.request();
            peer.send(response);
        });
        run(async move {
            let browser = Browser::new().with_reject_error_response(false);
            let pieces = || {
                let piece = vec![b'0'; 64 * 1024];
                stream::repeat_with(move || Ok::<_, std::io::Error>(piece.clone())).take(2000)
            };
            let streamed = RequestBody::repeatable(pieces).with_length(2000 * 64 * 1024);
            let in_memory = RequestBody::from(vec![b'0'; 50 << 20]);
            for body in [streamed, in_memory] {
                let received = browser.post(&url).body(body).await.unwrap();
                assert_eq!((received.text(), received.attempts()), ("ok".into(), 1));
                assert!(!received.is_reused(), "{response}");
            }
            sleep(Duration::ZERO).await;
            assert_eq!(browser.stats().open, 0);
        });
    }
}

#[test]
fn a_request_that_is_refused_instead_of_continued_sends_no_body() {
    let (heads, received) = std::sync::mpsc::channel();
    let url = scripted(move |_, peer| {
        heads.send(peer.request()).unwrap();
        peer.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
        heads.send(peer.request()).unwrap();
    });
    run(async move {
        let browser = Browser::new().with_reject_error_response(false);
        let request = browser.put(&url).body("body\r\n\r\n");
        let response = request.expect_continue(Duration::from_secs(5)).await;
        assert_eq!(response.unwrap().status(), 417);
        assert_eq!(browser.stats().open, 0);
    });
    let head = received.recv().unwrap().unwrap();
    assert!(head.contains("expect: 100-continue\r\n"), "{head}");
    assert!(head.contains("content-length: 8\r\n"), "{head}");
    assert_eq!(received.recv().unwrap(), None);
}
