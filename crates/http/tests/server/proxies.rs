//! Requests that proxies have passed on.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::{Cookie, HttpError, HttpServer, Request, RequestInfo, Response, TrustedProxies};

use crate::support::{Client, Log, run_until, server};

/// A request as nginx passes it on that speaks TLS with the client.
const FORWARDED: &str = "GET / HTTP/1.1\r\nHost: inner:8080\r\nX-Forwarded-For: 192.0.2.7\r\n\
                         X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n\r\n";

const DIRECT: &str = "127.0.0.1 http inner:8080 false";
const ORIGINAL: &str = "192.0.2.7 https a.example true";

fn trusting() -> HttpServer {
    server().trusted_proxies(TrustedProxies::parse("127.0.0.0/8").unwrap())
}

/// The request as its client made it.
fn described(req: &Request) -> String {
    let info = req.client_info();
    assert_eq!(info.ip, req.client());
    assert_eq!(info.secure, req.is_secure());
    assert_eq!(info.host.as_deref(), req.host());
    let client = req.client().map(|ip| ip.to_string());
    let (client, host) = (client.unwrap_or_default(), req.host().unwrap_or_default());
    format!("{client} {} {host} {}", req.scheme(), req.is_secure())
}

fn ask(http: HttpServer) -> String {
    let mut client = Client::new(http);
    client.send(FORWARDED);
    client.answer().body
}

#[test]
fn a_request_from_a_trusted_proxy_is_as_its_client_made_it() {
    let http = trusting().get("/", |req: Request| {
        assert_eq!(req.head().host(), Some("inner:8080"));
        assert!(!req.connection().unwrap().is_secure());
        described(&req)
    });
    assert_eq!(ask(http), ORIGINAL);
}

#[test]
fn a_request_from_any_other_peer_is_as_it_was_received() {
    let http = server().get("/", |req: Request| described(&req));
    assert_eq!(ask(http), DIRECT);
    http.trusted_proxies(TrustedProxies::parse("10.0.0.0/8").unwrap());
    assert_eq!(ask(http), DIRECT);
}

#[test]
fn errors_and_events_see_the_request_as_its_client_made_it() {
    let (http, log) = (trusting(), Log::default());
    let notes = log.clone();
    http.on("request", move |info: RequestInfo| {
        let info = info.clone();
        let (client, host) = (info.client().unwrap(), info.host().unwrap_or_default());
        notes.add(format!("{client} {host} {}", info.is_secure()));
    });
    http.error(|_: HttpError, req: &Request| Response::plain(described(req)));
    assert_eq!(ask(http), ORIGINAL);
    assert_eq!(log.text(), "192.0.2.7 a.example true");
}

#[test]
fn the_proxy_is_not_taken_for_the_client_once_the_request_is_answered() {
    let http = trusting();
    let kept: Rc<RefCell<Option<Request>>> = Rc::default();
    let place = Rc::clone(&kept);
    http.get("/", move |req: Request| {
        req.responder().send("answered");
        *place.borrow_mut() = Some(req);
    });
    let mut client = Client::new(http);
    client.send(FORWARDED);
    client.answer();
    let request = kept.take().unwrap();
    assert_eq!(described(&request), ORIGINAL);

    client.send(FORWARDED);
    client.answer();
    let request = kept.take().unwrap();
    drop(client);
    run_until(|| http.open_connections() == 0);
    // It is first looked at when the connection is gone.
    assert_eq!(described(&request), ORIGINAL);
}

#[test]
fn a_cookie_can_be_as_secure_as_the_request() {
    let http = trusting().get("/", |req: Request| {
        Response::plain("x").cookie(Cookie::build(("id", "1")).secure(req.is_secure()))
    });
    let mut client = Client::new(http);
    client.send(FORWARDED);
    assert_eq!(client.answer().field("set-cookie"), Some("id=1; Secure"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().field("set-cookie"), Some("id=1"));
}
