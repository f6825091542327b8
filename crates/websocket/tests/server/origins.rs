//! Origin checks, also behind proxies, and the log messages of refusals.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use uptick_http::{HttpServer, TrustedProxies};
use uptick_websocket::{Accept, Origins, WebSocket, WebSocketOptions, WebSocketRoutes};

use crate::support::{Client, server};

/// Returns the status of a handshake from a page of `https://a.example`, with additional headers.
#[track_caller]
fn status(http: HttpServer, headers: &str) -> u16 {
    let headers = format!("Origin: https://a.example\r\n{headers}");
    let client = Client::request(http, "/", &headers);
    client.head[9..12].parse().unwrap()
}

fn own_host() -> HttpServer {
    let http = server();
    http.websocket("/", |_: WebSocket| ());
    http
}

fn trust(http: HttpServer) {
    http.trusted_proxies(TrustedProxies::parse("127.0.0.0/8").unwrap());
}

#[test]
fn a_page_of_the_host_forwarded_by_a_trusted_proxy_may_connect() {
    let http = own_host();
    let named = "X-Forwarded-Host: a.example\r\n";
    assert_eq!(status(http, named), 403);
    trust(http);
    assert_eq!(status(http, named), 101);
    assert_eq!(
        status(http, "Forwarded: for=192.0.2.7;host=a.example\r\n"),
        101
    );
    assert_eq!(status(http, "X-Forwarded-Host: b.example\r\n"), 403);
    assert_eq!(status(http, ""), 403);
    let port = "X-Forwarded-Host: a.example\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: ";
    assert_eq!(status(http, &format!("{port}443\r\n")), 101);
    assert_eq!(status(http, &format!("{port}8443\r\n")), 403);
}

/// The warnings of a thread, with their fields.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Text<'a>(&'a mut String);
        impl Visit for Text<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                writeln!(self.0, "{}={value:?}", field.name()).unwrap();
            }
        }
        event.record(&mut Text(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Returns the log message of a refused handshake.
fn refusal(http: HttpServer, headers: &str) -> String {
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        assert_eq!(status(http, headers), 403);
    });
    let text = warnings.0.lock().unwrap();
    text.clone()
}

#[test]
fn a_refusal_is_logged_with_both_hosts_and_advice() {
    let http = own_host();
    let log = refusal(http, "");
    for part in [
        "origin=\"https://a.example\"",
        "host=\"example.com\"",
        "peer=tcp://127.0.0.1:",
        "WebSocketOptions::origins",
        "X-Forwarded-Host",
        "HttpServer::trusted_proxies",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }

    let log = refusal(http, "X-Forwarded-Host: a.example\r\n");
    assert!(log.contains("is not trusted"), "{log}");
    trust(http);
    let log = refusal(http, "X-Forwarded-Host: b.example\r\n");
    assert!(log.contains("host=\"b.example\""), "{log}");
    assert!(!log.contains("is not trusted"), "{log}");

    let http = server();
    let list = WebSocketOptions::new().origins(Origins::list(["https://b.example"]));
    http.websocket_with("/", list, |_| Accept::new(|_| ()));
    let log = refusal(http, "");
    assert!(log.contains("WebSocketOptions::origins"), "{log}");
    assert!(!log.contains("trusted_proxies"), "{log}");
}

#[test]
fn the_log_message_of_a_refusal_has_a_limited_length() {
    let http = server();
    http.websocket("/", |_: WebSocket| ());
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        let origin = "x".repeat(10_000);
        let client = Client::request(http, "/", &format!("Origin: https://{origin}\r\n"));
        assert!(client.head.starts_with("HTTP/1.1 403 "));
    });
    assert!(warnings.0.lock().unwrap().len() < 1_000);
}
