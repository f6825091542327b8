//! Gates for pages in browsers, which can neither set headers nor read a status.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{block_on, sleep};
use uptick_http::{HttpError, HttpServer, Request, StatusCode};
use uptick_websocket::protocol::{CloseFrame, Event};
use uptick_websocket::{
    Accept, BearerProtocol, CloseCode, RejectWithClose, WebSocket, WebSocketConnector,
    WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Client, Log, manual_clock, pass, run_until, server, show};

/// Returns the code and the reason with which the server closes an opened WebSocket.
#[track_caller]
fn rejected(client: &mut Client) -> (u16, String) {
    assert!(client.head.starts_with("HTTP/1.1 101 "), "{}", client.head);
    match client.event() {
        Some(Event::Close(Some(CloseFrame { code, reason }))) => {
            (code.as_u16(), reason.to_string())
        }
        other => panic!("expected a close frame, received {other:?}"),
    }
}

fn with(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[test]
fn a_gate_rejects_with_a_close_code_immediately_or_later() {
    let http = server();
    let options = WebSocketOptions::new;
    http.websocket_with("/now", options(), |_: Request| {
        RejectWithClose::new(4403, "not yours")
    });
    http.websocket_with("/later", options(), |_: Request| async {
        sleep(Duration::from_millis(1)).await;
        RejectWithClose::unauthorized("token expired")
    });
    http.websocket_with("/result", options(), |req: Request| {
        match req.query_value("user").as_deref() {
            Some("ada") => Ok(Accept::new(|ws: WebSocket| {
                ws.send("hello Ada");
            })),
            _ => Err(RejectWithClose::unauthorized("token missing")),
        }
    });
    let open = |path| rejected(&mut Client::open(http, path));
    assert_eq!(open("/now"), with(4403, "not yours"));
    assert_eq!(open("/later"), with(4401, "token expired"));
    assert_eq!(open("/result"), with(4401, "token missing"));
    assert_eq!(
        Client::open(http, "/result?user=ada").message(),
        "hello Ada"
    );
}

#[test]
fn an_error_of_a_gate_becomes_a_close_code() {
    fn user(req: &Request) -> Result<&str, HttpError> {
        let name = req
            .cookie("user")
            .ok_or(HttpError::from_status(StatusCode::UNAUTHORIZED))?;
        match name {
            "ada" => Ok(name),
            "broken" => Err(HttpError::internal("the database is gone")),
            _ => Err(HttpError::new(StatusCode::FORBIDDEN, "only Ada")),
        }
    }
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |req: Request| async move {
        user(&req)?;
        Ok::<_, RejectWithClose>(Accept::new(|_: WebSocket| ()))
    });
    for (cookie, code, reason) in [
        ("", 4401, "Unauthorized"),
        ("user=bob", 4403, "only Ada"),
        ("user=broken", 4500, "Internal Server Error"),
    ] {
        let mut client = Client::request(http, "/", &format!("Cookie: {cookie}\r\n"));
        assert_eq!(rejected(&mut client), with(code, reason), "{cookie}");
    }
}

#[test]
fn codes_that_cannot_be_sent_become_1008_and_long_reasons_are_truncated() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        assert_eq!(RejectWithClose::new(code, "").code(), CloseCode::POLICY);
    }
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| {
        RejectWithClose::new(4000, "x".repeat(200))
    });
    let (code, reason) = rejected(&mut Client::open(http, "/"));
    assert_eq!((code, reason.len()), (4000, 123));
}

#[test]
fn messages_of_a_rejected_client_are_discarded_and_its_connection_ends() {
    let clock = manual_clock();
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| {
        RejectWithClose::unauthorized("")
    });
    let mut polite = Client::open(http, "/");
    assert_eq!(rejected(&mut polite), with(4401, ""));
    polite.text("let me in");
    polite.close(Some(CloseFrame::new(CloseCode::from(4401), "")));
    run_until(|| polite.is_closed());
    assert_eq!((http.websockets().open, http.websockets().opened), (0, 1));

    // A client that does not respond is disconnected after the close timeout.
    let mut silent = Client::open(http, "/");
    assert_eq!(rejected(&mut silent), with(4401, ""));
    assert_eq!(http.websockets().open, 1);
    pass(&clock, Duration::from_secs(6));
    assert!(silent.is_closed());
    assert_eq!(http.websockets().open, 0);
}

#[test]
fn a_client_receives_the_code_in_its_close_event() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| {
        RejectWithClose::unauthorized("token expired")
    });
    let url = http.address().unwrap().replace("tcp://", "ws://");
    let closed = block_on(async move {
        let ws = WebSocketConnector::default().connect(&url).await.unwrap();
        ws.next(WebSocket::CLOSE).await
    });
    assert_eq!(show(&closed.unwrap().unwrap()), "4401:token expired:clean");
}

#[test]
fn a_rejection_includes_a_subprotocol_because_browsers_require_it() {
    let http = server();
    let options = WebSocketOptions::new().protocols(["chat"]);
    http.websocket_with("/listed", options, |_: Request| {
        RejectWithClose::unauthorized("no")
    });
    http.websocket_with("/chosen", WebSocketOptions::new(), |_: Request| {
        RejectWithClose::unauthorized("no").protocol("chat")
    });
    for path in ["/listed", "/chosen"] {
        let offer = "Sec-WebSocket-Protocol: bearer.x, chat\r\n";
        let mut client = Client::request(http, path, offer);
        assert!(client.head.contains("sec-websocket-protocol: chat\r\n"));
        assert_eq!(rejected(&mut client), with(4401, "no"));
    }
}

/// A server that accepts the token `sesame`, and logs the tokens.
fn guarded(log: &Log) -> HttpServer {
    let http = server();
    let log = log.clone();
    let options = WebSocketOptions::new().protocols(["chat", "superchat"]);
    http.websocket_with("/", options, move |req: Request| {
        let Some(bearer) = BearerProtocol::of(&req) else {
            return Err(RejectWithClose::unauthorized("token missing"));
        };
        log.add(format_args!("{}/{:?}", bearer.token(), bearer.protocol()));
        match bearer.token() {
            "sesame" => Ok(Accept::new(|ws: WebSocket| {
                ws.send(ws.protocol().unwrap_or_default());
            })),
            _ => Err(RejectWithClose::unauthorized("token invalid")),
        }
    });
    http
}

#[test]
fn a_token_among_the_subprotocols_is_read_and_not_sent_back() {
    for (offer, found) in [
        ("superchat, bearer.sesame", "sesame/Some(\"superchat\")"),
        ("bearer.sesame, superchat", "sesame/Some(\"superchat\")"),
        ("bearer.sesame, v9, superchat", "sesame/Some(\"v9\")"),
    ] {
        let log = Log::default();
        let http = guarded(&log);
        let fields = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let mut client = Client::request(http, "/", &fields);
        assert!(
            client
                .head
                .contains("sec-websocket-protocol: superchat\r\n"),
            "{offer}"
        );
        assert!(!client.head.contains("sesame"), "{offer}");
        assert_eq!(client.message(), "superchat");
        assert_eq!(log.text(), found);
    }
}

#[test]
fn a_token_may_be_in_a_separate_header_line() {
    let log = Log::default();
    let fields = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: bearer.sesame\r\n";
    let mut client = Client::request(guarded(&log), "/", fields);
    assert_eq!(client.message(), "chat");
}

#[test]
fn a_token_alone_is_accepted_without_a_subprotocol() {
    let log = Log::default();
    let fields = "Sec-WebSocket-Protocol: bearer.sesame\r\n";
    let mut client = Client::request(guarded(&log), "/", fields);
    assert!(!client.head.contains("sec-websocket-protocol"));
    assert_eq!(client.message(), "");
    assert_eq!(log.text(), "sesame/None");
}

#[test]
fn missing_repeated_and_empty_tokens_are_refused() {
    for offer in [
        "chat",
        "chat, bearer.",
        "chat, Bearer.sesame",
        "chat, xbearer.sesame",
        "chat, bearer.sesame, bearer.sesame",
        "chat, bearer., bearer.sesame",
    ] {
        let log = Log::default();
        let fields = format!("Sec-WebSocket-Protocol: {offer}\r\n");
        let mut client = Client::request(guarded(&log), "/", &fields);
        assert_eq!(
            rejected(&mut client),
            with(4401, "token missing"),
            "{offer}"
        );
        assert_eq!(log.text(), "", "{offer}");
    }
    let mut client = Client::open(guarded(&Log::default()), "/");
    assert_eq!(rejected(&mut client), with(4401, "token missing"));
}

#[test]
fn a_binary_token_is_decoded_from_base64url() {
    const PREFIX: &str = "base64url.bearer.authorization.k8s.io.";
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |req: Request| {
        let bearer = BearerProtocol::with_prefix(&req, PREFIX);
        let decoded = bearer.and_then(|bearer| bearer.decoded());
        let protocol = bearer
            .and_then(|bearer| bearer.protocol())
            .map(str::to_owned);
        let debug = format!("{bearer:?}");
        Accept::new(move |ws: WebSocket| {
            ws.send(format!("{decoded:?} {protocol:?}"));
            ws.send(debug);
        })
    });
    for (token, decoded) in [
        ("w7wgPz4_", "Some([195, 188, 32, 63, 62, 63])"),
        ("YQ", "Some([97])"),
        ("Y", "None"),
        ("a+b", "None"),
    ] {
        let fields = format!("Sec-WebSocket-Protocol: {PREFIX}{token}, v4.channel.k8s.io\r\n");
        let mut client = Client::request(http, "/", &fields);
        assert_eq!(
            client.message(),
            format!("{decoded} Some(\"v4.channel.k8s.io\")")
        );
        assert!(!client.message().contains(token));
    }
}
