//! Several servers: balancing, retries and health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use uptick_http::Request;
use uptick_http_client::{LoadBalancing, ProxyRoutes, Upstream};

use crate::support::{Proxy, TIMEOUT, ok, refusing, responding, server};

/// Adds a route that describes the servers: `u` for those that are available, `o` for the others.
fn describe(http: uptick_http::HttpServer, upstream: &Upstream) {
    let upstream = upstream.clone();
    http.get("/servers", move |_: Request| {
        let servers = upstream.servers();
        let states = servers.iter().map(|server| match server.is_available {
            true => 'u',
            false => 'o',
        });
        states.collect::<String>()
    });
}

#[test]
fn requests_are_distributed_over_the_servers() {
    let urls = ["a", "b", "c"].map(|name| responding(move |_, _| ok(name)));
    let proxy = Proxy::start(move |http| {
        let upstream = Upstream::new(&urls[0]).server(&urls[1]).server(&urls[2]);
        http.proxy("/", upstream);
    });
    let names: String = (0..6).map(|_| proxy.get("/").1).collect();
    assert_eq!(names, "abcabc");
}

#[test]
fn the_server_with_the_fewest_requests_is_used() {
    let slow = server(|mut peer| {
        peer.head();
        peer.read_to_end();
    });
    let fast = responding(|_, _| ok("fast"));
    let proxy = Proxy::start(move |http| {
        let upstream = Upstream::new(&slow).server(&fast);
        http.proxy("/", upstream.balancing(LoadBalancing::LeastConnections));
    });
    let waiting = proxy.connect();
    waiting.request("GET /", &[]);
    sleep(Duration::from_millis(100));
    for _ in 0..5 {
        assert_eq!(proxy.get("/").1, "fast");
    }
}

#[test]
fn another_server_is_tried_if_one_cannot_be_reached() {
    let (_reserved, refusing) = refusing();
    let good = responding(|_, body| ok(&format!("good {body}")));
    let proxy = Proxy::start(move |http| {
        let upstream = Upstream::new(&refusing)
            .server(&good)
            .max_failures(2)
            .recovery_time(Duration::from_millis(300));
        describe(http, &upstream);
        http.proxy("/", upstream);
    });
    let mut client = proxy.connect();
    let mut post = || {
        client.request("POST /", &["Content-Length: 4"]);
        client.send("body");
        client.response().1
    };
    assert_eq!(proxy.get("/servers").1, "uu");
    assert_eq!(post(), "good body");
    assert_eq!(proxy.get("/servers").1, "uu");
    assert_eq!(post(), "good body");
    assert_eq!(post(), "good body");
    assert_eq!(proxy.get("/servers").1, "ou");
    sleep(Duration::from_millis(350));
    assert_eq!(proxy.get("/servers").1, "uu");
    for _ in 0..4 {
        assert_eq!(post(), "good body");
    }
    assert_eq!(proxy.get("/servers").1, "ou");
}

#[test]
fn only_idempotent_requests_without_a_body_are_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let closed = Arc::clone(&count);
    let closing = server(move |mut peer| {
        let head = peer.head();
        peer.body(&head);
        closed.fetch_add(1, Ordering::Relaxed);
    });
    let good = responding(|_, _| ok("good"));
    let proxy = Proxy::start(move |http| {
        http.proxy("/retried/", Upstream::new(&closing).server(&good));
        http.proxy("/never/", Upstream::new(&closing).server(&good).retries(0));
    });
    assert_eq!(proxy.get("/retried/").1, "good");
    assert_eq!(proxy.get("/never/").0.status(), 502);
    let mut client = proxy.connect();
    // The closing server is next in turn.
    for request in ["POST /retried/", "PUT /retried/"] {
        client.request(request, &["Content-Length: 1"]);
        client.send("x");
        assert_eq!(client.response().0.status(), 502, "{request}");
        client.request("GET /retried/", &[]);
        assert_eq!(client.response().1, "good");
    }
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[test]
fn unhealthy_servers_get_no_requests() {
    let is_healthy = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&is_healthy);
    let sick = responding(move |head, _| {
        let is_check = head.line.starts_with("GET /health ");
        match is_check && !state.load(Ordering::Relaxed) {
            true => "HTTP/1.1 500 Error\r\ncontent-length: 0\r\n\r\n".to_owned(),
            false => ok("sick"),
        }
    });
    let good = responding(|_, _| ok("good"));
    let proxy = Proxy::start(move |http| {
        let upstream = Upstream::new(&sick)
            .server(&good)
            .health_check("/health", Duration::from_millis(100));
        describe(http, &upstream);
        http.proxy("/", upstream);
    });
    let wait_for = |states: &str| {
        let start = Instant::now();
        while proxy.get("/servers").1 != states {
            assert!(start.elapsed() < TIMEOUT);
            sleep(Duration::from_millis(20));
        }
    };
    wait_for("ou");
    for _ in 0..4 {
        assert_eq!(proxy.get("/").1, "good");
    }
    is_healthy.store(true, Ordering::Relaxed);
    wait_for("uu");
    let names: Vec<String> = (0..2).map(|_| proxy.get("/").1).collect();
    assert!(names.contains(&"sick".to_owned()), "{names:?}");
}

#[test]
fn health_checks_do_not_keep_the_loop_running() {
    let good = responding(|_, _| ok("good"));
    let (ended, ending) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let http = uptick_http::HttpServer::new();
        let upstream = Upstream::new(&good).health_check("health", Duration::from_millis(100));
        http.proxy("/", upstream);
        http.listen(uptick_socket::Server::bind("127.0.0.1:0").unwrap());
        uptick_event_loop::add_timer(Duration::from_millis(350), move || http.close());
        uptick_event_loop::run().unwrap();
        ended.send(()).unwrap();
    });
    // Idle connections of the pool must not keep it running either.
    ending.recv_timeout(TIMEOUT).unwrap();
}
