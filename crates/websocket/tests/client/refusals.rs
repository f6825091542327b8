//! Refused and invalid handshakes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::spawn;
use uptick_http::{Request, Response, StatusCode};
use uptick_socket::{Connection, Server};
use uptick_websocket::protocol::handshake::accept_key;
use uptick_websocket::{
    Accept, Error, Message, Reject, WebSocketConnector, WebSocketOptions, WebSocketRoutes, connect,
};

use crate::support::{Log, manual_clock, pass, run_until, server, settle};
use crate::{outcome, url};

/// Returns the URL of a server that responds to each request with the result of `response`, and then ends the connection if `ends` is set.
fn responding<R: Into<Vec<u8>>>(response: impl Fn(&str) -> R + 'static, ends: bool) -> String {
    let listener = Server::bind("127.0.0.1:0").unwrap();
    let response = Rc::new(response);
    listener.on("connection", move |conn: Connection| {
        let response = Rc::clone(&response);
        let mut request = Vec::new();
        conn.on(Connection::DATA, move |chunk: Bytes| {
            request.extend_from_slice(&chunk);
            if request.ends_with(b"\r\n\r\n") {
                let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
                conn.write(response(&text).into());
                if ends {
                    conn.end();
                }
            }
        });
    });
    listener.address().unwrap().replace("tcp", "ws")
}

/// Returns the value of `Sec-WebSocket-Accept` for a request.
fn accept_of(request: &str) -> String {
    let key = request.split("sec-websocket-key: ").nth(1).unwrap();
    accept_key(key.split("\r\n").next().unwrap())
}

fn switching_protocols(request: &str, fields: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{fields}\r\n",
        accept_of(request)
    )
}

#[track_caller]
fn error(url: &str) -> String {
    outcome(connect(url)).unwrap_err().to_string()
}

#[test]
fn a_response_with_another_status_is_an_error_with_its_body() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_| {
        Reject(
            Response::plain("who are you?")
                .with_status(StatusCode::UNAUTHORIZED)
                .header("www-authenticate", "Bearer"),
        )
    });
    let url = url(http, "/?token=secret");
    let error = outcome(connect(&url)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.ends_with("failed: the server responded with 401 Unauthorized: \"who are you?\""),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    let Error::Refused { refusal, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(refusal.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refusal.headers()["www-authenticate"], "Bearer");
    assert_eq!(refusal.body(), b"who are you?");
}

#[test]
fn the_start_of_the_body_is_reported() {
    let chunked = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno!\r\n";
    let url = responding(move |_| chunked.to_owned(), false);
    assert!(error(&url).ends_with("403 Forbidden: \"no!\""));
    let url = responding(|_| "HTTP/1.1 403 Forbidden\r\n\r\nno", true);
    assert!(error(&url).ends_with("403 Forbidden: \"no\""));
}

#[test]
fn a_body_without_an_end_is_read_for_a_second() {
    let clock = manual_clock();
    let unknown = "HTTP/1.1 503 Service Unavailable\r\n\r\nlater";
    let url = responding(move |_| unknown.to_owned(), false);
    let log = Log::default();
    let seen = log.clone();
    drop(
        WebSocketConnector::default().connect_then(url, move |result| {
            seen.add(result.unwrap_err());
        }),
    );
    run_until(|| {
        pass(&clock, Duration::from_millis(100));
        log.len() == 1
    });
    assert!(
        log.text().ends_with("Unavailable: \"later\""),
        "{}",
        log.text()
    );
}

#[test]
fn redirects_are_not_followed() {
    let http = server();
    http.get("/", |_: Request| Response::redirect("/elsewhere"));
    let text = error(&url(http, "/"));
    assert!(
        text.ends_with("redirects to \"/elsewhere\"; redirects are not followed"),
        "{text}"
    );
}

#[test]
fn an_invalid_response_and_a_missing_one_are_different_errors() {
    let url = responding(|_| "220 mail.example.com ESMTP\r\n\r\n", false);
    assert!(error(&url).ends_with("the response is invalid: it is not HTTP/1.1"));
    let url = responding(|_| String::new(), true);
    assert!(error(&url).ends_with("the connection ended before the response (ECONNRESET)"));
    let url = responding(|_| format!("HTTP/1.1 101 {}", "x".repeat(20_000)), false);
    assert!(error(&url).ends_with("its head is too long"));
}

#[test]
fn a_response_to_another_key_is_refused() {
    let url = responding(
        |request| switching_protocols(request, "").replace("Accept: ", "Accept: x"),
        false,
    );
    assert!(
        error(&url).ends_with("its Sec-WebSocket-Accept does not match the key of the request")
    );
}

#[test]
fn a_subprotocol_or_extension_that_was_not_offered_is_refused() {
    let url = responding(
        |request| switching_protocols(request, "Sec-WebSocket-Protocol: b\r\n"),
        false,
    );
    assert!(error(&url).ends_with("its subprotocol is not in the request"));
    let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let url = responding(move |request| switching_protocols(request, fields), false);
    assert!(error(&url).ends_with("its extensions do not match the request"));
}

#[test]
fn frames_after_the_response_are_not_lost() {
    let url = responding(
        |request| {
            let interim = "HTTP/1.1 100 Continue\r\n\r\n";
            let mut bytes = format!("{interim}{}", switching_protocols(request, "")).into_bytes();
            bytes.extend_from_slice(b"\x01\x02he\x80\x03llo\x81\x01!\x88\x02\x03\xe8");
            bytes
        },
        false,
    );
    let log = Log::default();
    log.listen(outcome(connect(url)).unwrap());
    run_until(|| log.len() == 3);
    assert_eq!(log.text(), "hello ! 1000::clean");
}

#[test]
fn an_invalid_url_and_a_refused_connection_are_errors() {
    assert!(error("http://127.0.0.1/").starts_with("invalid URL \"http://127.0.0.1/\": "));
    let listener = Server::bind("127.0.0.1:0").unwrap();
    let address = listener.address().unwrap();
    listener.close();
    settle();
    let text = error(&address.replace("tcp", "ws"));
    assert_eq!(
        text,
        format!("connecting to {address} failed: Connection refused (ECONNREFUSED)")
    );
    let text = error("wss://127.0.0.1:1/");
    assert!(text.contains("TLS is a layer above the socket"), "{text}");
}

#[test]
fn invalid_headers_and_subprotocols_are_errors() {
    for connector in [
        WebSocketConnector::default().header("a b", "c"),
        WebSocketConnector::default().header("a", "b\r\nc: d"),
        WebSocketConnector::default().header("sec-websocket-key", "mine"),
        WebSocketConnector::default().protocol("a, b"),
    ] {
        let error = outcome(connector.connect("ws://127.0.0.1:1/")).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("the request is invalid"), "{text}");
    }
}

#[test]
fn a_missing_response_times_out_after_10_s() {
    let clock = manual_clock();
    let listener = Server::bind("127.0.0.1:0").unwrap();
    let closed = Log::default();
    let seen = closed.clone();
    listener.on("connection", move |conn: Connection| {
        let seen = seen.clone();
        conn.on(Connection::DATA, |_| ());
        conn.on(Connection::CLOSE, move |()| seen.add("closed"));
    });
    let url = listener.address().unwrap().replace("tcp", "ws");
    let log = Log::default();
    let seen = log.clone();
    let slot: Rc<RefCell<Option<Error>>> = Rc::default();
    drop(spawn(async move {
        let error = connect(url).await.unwrap_err();
        seen.add(&error);
        *slot.borrow_mut() = Some(error);
    }));
    settle();
    pass(&clock, Duration::from_millis(9_800));
    assert_eq!(log.text(), "");
    pass(&clock, Duration::from_millis(400));
    assert!(
        log.text()
            .ends_with("there was no response within 10s (ETIMEDOUT)"),
        "{}",
        log.text()
    );
    run_until(|| closed.len() == 1);
}

#[test]
fn a_callback_that_panics_terminates_its_websocket_only() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket_with("/", WebSocketOptions::new(), move |_| {
        let seen = seen.clone();
        Accept::new(move |ws| seen.listen(ws))
    });
    drop(
        WebSocketConnector::default().connect_then(url(http, "/"), |result| {
            assert!(result.is_err(), "test panic");
        }),
    );
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1006::unclean");
    let ws = outcome(connect(url(http, "/"))).unwrap();
    ws.send(Message::from("still here"));
    run_until(|| log.text().ends_with("still here"));
}
