//! WebSockets of `uptick_websocket::test`: both ends on one loop, without a port.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, block_on};
use uptick_http::{HttpError, HttpServer, Request, StatusCode};
use uptick_websocket::{
    Accept, CloseCode, Error, Message, WebSocket, WebSocketOptions, WebSocketRoutes, test,
};

#[test]
fn messages_are_exchanged_and_the_close_has_its_code() {
    let http = HttpServer::new();
    http.websocket("/echo", |ws: WebSocket| {
        ws.on("message", move |message: Message| ws.send(message));
    });
    let (echoed, closed) = block_on(async move {
        let ws = test::connect(http, "/echo?room=1").await.unwrap();
        ws.send("Hello!");
        let echoed = ws.next(WebSocket::MESSAGE).await;
        ws.close(CloseCode::NORMAL, "bye");
        (echoed, ws.next(WebSocket::CLOSE).await)
    })
    .unwrap();
    assert_eq!(echoed, Some(Message::from("Hello!")));
    assert_eq!(closed.unwrap().code, CloseCode::NORMAL);
    assert!(http.addresses().is_empty());
}

#[test]
fn the_gate_the_subprotocol_and_the_options_of_the_route_apply() {
    let http = HttpServer::new();
    let options = WebSocketOptions::new().protocols(["chat"]).max_message(10);
    let opened = Rc::new(RefCell::new(None));
    let server_side = Rc::clone(&opened);
    http.websocket_with("/chat", options, move |req: Request| {
        if req.header("authorization").is_none() {
            return Err(HttpError::from_status(StatusCode::UNAUTHORIZED));
        }
        let opened = Rc::clone(&server_side);
        Ok(Accept::new(move |ws: WebSocket| {
            opened.replace(Some(ws));
        }))
    });
    let refused = block_on(test::connect(http, "/chat")).unwrap();
    let Err(Error::Refused { refusal, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(refusal.status(), 401);
    let missing = block_on(test::connect(http, "/missing")).unwrap();
    assert!(matches!(missing, Err(Error::Refused { refusal, .. }) if refusal.status() == 404));

    let member = test::connector(http)
        .header("authorization", "Bearer secret")
        .protocol("chat");
    let ws = block_on(member.connect("ws://localhost/chat"))
        .unwrap()
        .unwrap();
    assert_eq!(ws.protocol().as_deref(), Some("chat"));
    let server_ws = opened.borrow().unwrap();
    assert_eq!(server_ws.protocol().as_deref(), Some("chat"));
    let closed = block_on(async move {
        ws.send("more than ten bytes");
        ws.next(WebSocket::CLOSE).await
    });
    assert_eq!(closed.unwrap().unwrap().code, CloseCode::TOO_BIG);
}

#[test]
fn a_manual_clock_controls_the_timeouts_of_both_ends() {
    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = HttpServer::new();
    let closed = Rc::new(RefCell::new(None));
    let seen = Rc::clone(&closed);
    http.websocket_with("/", WebSocketOptions::new(), move |_: Request| {
        let seen = Rc::clone(&seen);
        Accept::new(move |ws: WebSocket| {
            ws.on(WebSocket::CLOSE, move |closed| {
                seen.replace(Some(closed));
            });
        })
    });
    let ws = block_on(test::connect(http, "/")).unwrap().unwrap();
    // Both ends respond to pings.
    for _ in 0..600 {
        clock.advance(Duration::from_secs(1));
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
    assert!(ws.is_open() && closed.borrow().is_none());
    ws.terminate();
    for _ in 0..10 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(closed.take().unwrap().code, CloseCode::ABNORMAL);
}
