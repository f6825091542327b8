//! Gates, which accept or reject handshakes.

use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_http::{HttpError, HttpServer, Request, Response, StatusCode};
use uptick_websocket::{
    Accept, Message, Origins, Reject, WebSocket, WebSocketOptions, WebSocketRoutes, upgrade,
};

use crate::support::{Client, server};

/// Returns the status of the response to a handshake with additional headers.
#[track_caller]
fn status(http: HttpServer, path: &str, fields: &str) -> u16 {
    let client = Client::request(http, path, fields);
    client.head[9..12].parse().unwrap()
}

#[test]
fn a_gate_accepts_or_rejects_immediately_or_later() {
    let http = server();
    let options = WebSocketOptions::new;
    http.websocket_with("/in", options(), |_: Request| Accept::new(|_| ()));
    http.websocket_with("/out", options(), |_: Request| {
        Reject(Response::new(StatusCode::PAYMENT_REQUIRED))
    });
    http.websocket_with("/busy", options(), |req: Request| {
        match req.query_string() {
            Some(_) => Ok(Accept::new(|_| ())),
            None => Err(Reject::status(429)),
        }
    });
    http.websocket_with("/wrong", options(), |_: Request| Reject::status(12_345));
    http.websocket_with("/user", options(), |req: Request| {
        match req.query_value("user").as_deref() {
            Some("ada") => Ok(Accept::new(|ws: WebSocket| {
                let _ = ws.send("hello Ada");
            })),
            _ => Err(HttpError::from_status(StatusCode::UNAUTHORIZED)),
        }
    });
    http.websocket_with("/later", options(), |req: Request| async move {
        sleep(std::time::Duration::from_millis(1)).await;
        match req.query_value("user").as_deref() {
            Some("ada") => Ok(Accept::new(|_| ())),
            _ => Err(StatusCode::FORBIDDEN),
        }
    });
    assert_eq!(status(http, "/in", ""), 101);
    assert_eq!(status(http, "/out", ""), 402);
    assert_eq!(status(http, "/busy", ""), 429);
    assert_eq!(status(http, "/busy?free", ""), 101);
    assert_eq!(status(http, "/wrong", ""), 500);
    assert_eq!(status(http, "/user", ""), 401);
    assert_eq!(Client::open(http, "/user?user=ada").message(), "hello Ada");
    assert_eq!(status(http, "/later?user=ada", ""), 101);
    assert_eq!(status(http, "/later", ""), 403);
}

#[test]
fn the_upgrade_response_has_the_headers_of_the_acceptance() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| {
        Accept::new(|_| ()).header("set-cookie", "a=b")
    });
    let client = Client::open(http, "/");
    assert!(client.head.contains("set-cookie: a=b\r\n"));
    assert!(
        client
            .head
            .contains("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
    );
}

#[test]
fn an_invalid_header_is_an_error() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| {
        Accept::new(|_| ()).header("x-a", "b\r\nc: d")
    });
    assert_eq!(status(http, "/", ""), 500);
}

#[test]
fn the_first_offered_subprotocol_that_the_server_supports_is_chosen() {
    let http = server();
    let options = WebSocketOptions::new().protocols(["chat", "superchat"]);
    http.websocket_with("/", options, |_: Request| {
        Accept::new(|ws: WebSocket| {
            let _ = ws.send(ws.protocol().unwrap_or_default());
        })
    });
    let mut client = Client::request(http, "/", "Sec-WebSocket-Protocol: v2, superchat, chat\r\n");
    assert!(
        client
            .head
            .contains("sec-websocket-protocol: superchat\r\n")
    );
    assert_eq!(client.message(), "superchat");
    let mut client = Client::request(http, "/", "Sec-WebSocket-Protocol: v2\r\n");
    assert!(!client.head.contains("sec-websocket-protocol"));
    assert_eq!(client.message(), "");
}

#[test]
fn a_subprotocol_that_the_client_has_not_offered_is_an_error() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| {
        Accept::new(|_| ()).protocol("chat")
    });
    assert_eq!(status(http, "/", "Sec-WebSocket-Protocol: chat\r\n"), 101);
    assert_eq!(status(http, "/", ""), 500);
}

#[test]
fn pages_of_other_hosts_may_not_open_websockets_unless_allowed() {
    let http = server();
    http.websocket("/own", |_: WebSocket| ());
    let any = WebSocketOptions::new().origins(Origins::Any);
    http.websocket_with("/any", any, |_: Request| Accept::new(|_| ()));
    let list = WebSocketOptions::new().origins(Origins::list(["https://a.example"]));
    http.websocket_with("/list", list, |_: Request| Accept::new(|_| ()));
    for (path, origin, expected) in [
        ("/own", "http://example.com", 101),
        ("/own", "http://evil.example", 403),
        ("/own", "null", 403),
        ("/any", "http://evil.example", 101),
        ("/list", "https://a.example", 101),
        ("/list", "http://example.com", 403),
    ] {
        let got = status(http, path, &format!("Origin: {origin}\r\n"));
        assert_eq!(got, expected, "{path} {origin}");
    }
}

#[test]
fn a_request_without_a_websocket_handshake_gets_426() {
    let http = server();
    http.websocket("/", |_: WebSocket| ());
    let client = Client::send_request(http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head.starts_with("HTTP/1.1 426 "));
    assert!(
        client
            .head
            .to_lowercase()
            .contains("upgrade: websocket\r\n")
    );
    let client = Client::send_request(
        http,
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n",
    );
    assert!(client.head.starts_with("HTTP/1.1 426 "));
    assert!(
        client
            .head
            .to_lowercase()
            .contains("sec-websocket-version: 13\r\n")
    );
}

#[test]
fn responses_list_the_supported_methods() {
    let http = server();
    http.websocket("/", |_: WebSocket| ());
    http.accept("/any", |req: Request| {
        upgrade(&req, WebSocketOptions::new(), |_: WebSocket| ())
    });
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (line, fields, status, allow) in [
        ("GET /", "", 426, None),
        ("HEAD /", "", 426, None),
        ("HEAD /", upgrade, 426, None),
        ("OPTIONS /", "", 204, Some("allow: GET, HEAD, OPTIONS\r\n")),
        ("POST /", "", 405, Some("allow: GET, HEAD, OPTIONS\r\n")),
        ("HEAD /any", "", 426, None),
        ("POST /any", "", 405, Some("allow: GET, HEAD\r\n")),
        ("OPTIONS /any", "", 405, Some("allow: GET, HEAD\r\n")),
    ] {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let head = Client::send_request(http, &request).head;
        assert_eq!(head[9..12].parse(), Ok(status), "{request}");
        let head = head.to_lowercase();
        match allow {
            Some(allow) => assert!(head.contains(&allow.to_lowercase()), "{request}{head}"),
            None => assert!(!head.contains("allow:"), "{request}{head}"),
        }
    }
}

#[test]
fn any_handler_may_upgrade() {
    let http = server();
    http.accept(r"/ws(?:/.*)?", |req: Request| {
        upgrade(&req, WebSocketOptions::new(), |ws: WebSocket| {
            ws.on("message", move |message: Message| ws.send(message));
        })
    });
    for path in ["/ws", "/ws/room/7"] {
        let mut client = Client::open(http, path);
        client.text("hello");
        assert_eq!(client.message(), "hello");
    }
}
