//! Requests forwarded by proxies.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::{Cookie, HttpError, HttpServer, Request, RequestInfo, Response, TrustedProxies};

use crate::support::{Client, Log, run_until, server};

/// A request forwarded by nginx, which terminates TLS.
const FORWARDED: &str = "GET / HTTP/1.1\r\nHost: inner:8080\r\nX-Forwarded-For: 192.0.2.7\r\n\
                         X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n\r\n";

const DIRECT: &str = "127.0.0.1 http inner:8080 false";
const ORIGINAL: &str = "192.0.2.7 https a.example true";

fn trusting() -> HttpServer {
    server().trusted_proxies(TrustedProxies::parse("127.0.0.0/8").unwrap())
}

/// Returns the client information of a request as text.
fn described(req: &Request) -> String {
    let info = req.client_info();
    assert_eq!(info.ip, req.client());
    assert_eq!(info.secure, req.is_secure());
    assert_eq!(info.host.as_deref(), req.host());
    let client = req.client().map(|ip| ip.to_string());
    let (client, host) = (client.unwrap_or_default(), req.host().unwrap_or_default());
    format!("{client} {} {host} {}", req.scheme(), req.is_secure())
}

fn fetch(http: HttpServer) -> String {
    let mut client = Client::new(http);
    client.send(FORWARDED);
    client.response().body
}

#[test]
fn a_request_from_a_trusted_proxy_has_the_forwarded_client_information() {
    let http = trusting().get("/", |req: Request| {
        assert_eq!(req.head().host(), Some("inner:8080"));
        assert!(!req.connection().unwrap().is_secure());
        described(&req)
    });
    assert_eq!(fetch(http), ORIGINAL);
}

#[test]
fn a_request_from_another_peer_has_its_own_client_information() {
    let http = server().get("/", |req: Request| described(&req));
    assert_eq!(fetch(http), DIRECT);
    http.trusted_proxies(TrustedProxies::parse("10.0.0.0/8").unwrap());
    assert_eq!(fetch(http), DIRECT);
}

#[test]
fn errors_and_events_have_the_forwarded_client_information() {
    let (http, log) = (trusting(), Log::default());
    let notes = log.clone();
    http.on("request", move |info: RequestInfo| {
        let info = info.clone();
        let (client, host) = (info.client().unwrap(), info.host().unwrap_or_default());
        notes.add(format!("{client} {host} {}", info.is_secure()));
    });
    http.error(|_: HttpError, req: &Request| Response::plain(described(req)));
    assert_eq!(fetch(http), ORIGINAL);
    assert_eq!(log.text(), "192.0.2.7 a.example true");
}

#[test]
fn the_client_information_stays_after_the_response() {
    let http = trusting();
    let kept: Rc<RefCell<Option<Request>>> = Rc::default();
    let slot = Rc::clone(&kept);
    http.get("/", move |req: Request| {
        req.responder().send("answered");
        *slot.borrow_mut() = Some(req);
    });
    let mut client = Client::new(http);
    client.send(FORWARDED);
    client.response();
    let request = kept.take().unwrap();
    assert_eq!(described(&request), ORIGINAL);

    client.send(FORWARDED);
    client.response();
    let request = kept.take().unwrap();
    drop(client);
    run_until(|| http.open_connections() == 0);
    // The information is first accessed after the connection has closed.
    assert_eq!(described(&request), ORIGINAL);
}

#[test]
fn a_cookie_can_be_secure_if_the_request_is_secure() {
    let http = trusting().get("/", |req: Request| {
        Response::plain("x").cookie(Cookie::build(("id", "1")).secure(req.is_secure()))
    });
    let mut client = Client::new(http);
    client.send(FORWARDED);
    assert_eq!(client.response().field("set-cookie"), Some("id=1; Secure"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().field("set-cookie"), Some("id=1"));
}
