//! Client WebSockets: connecting, messages and closing.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{block_on, spawn};
use uptick_http::{HttpServer, Request};
use uptick_socket::{Connection, Connector, FixedUriConnector, Server};
use uptick_websocket::{
    Accept, CloseCode, Closed, Compression, Hub, Message, Origins, Sent, WebSocket,
    WebSocketConnector, WebSocketOptions, WebSocketRoutes, connect,
};

use crate::support::{Log, manual_clock, pass, run_until, server, settle, show};
use crate::{outcome, url};

fn echo(options: WebSocketOptions) -> HttpServer {
    let http = server();
    http.websocket_with("/", options, |_| {
        Accept::new(|ws: WebSocket| {
            ws.on("message", move |message: Message| ws.send(message));
        })
    });
    http
}

#[test]
fn messages_are_echoed_and_the_close_is_clean() {
    let http = echo(WebSocketOptions::new());
    let (message, closed) = block_on(async move {
        let ws = connect(url(http, "/")).await.unwrap();
        assert!(ws.is_open() && ws.protocol().is_none());
        assert_eq!(ws.send("hello"), Sent::Sent);
        let message = ws.next(WebSocket::MESSAGE).await;
        ws.close(CloseCode::NORMAL, "bye");
        (message, ws.next(WebSocket::CLOSE).await)
    })
    .unwrap();
    assert_eq!(message, Some(Message::from("hello")));
    assert_eq!(show(&closed.unwrap()), "1000:bye:clean");
}

#[test]
fn open_comes_before_messages_and_close_last() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.send("greeting");
        ws.send("another");
        ws.close(CloseCode::from(4001), "");
    });
    let log = Log::default();
    let seen = log.clone();
    drop(
        WebSocketConnector::default().connect_then(url(http, "/"), move |result| {
            let ws = result.unwrap();
            let opened = seen.clone();
            ws.on("open", move |()| opened.add("open"));
            seen.listen(ws);
        }),
    );
    run_until(|| log.text().ends_with("clean"));
    assert_eq!(log.text(), "open greeting another 4001::clean");
}

#[test]
fn no_message_is_missed_when_a_task_that_connects_is_awaited() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.send("greeting");
    });
    let message = block_on(async move {
        let task = spawn(async move { connect(url(http, "/")).await.unwrap() });
        task.await.unwrap().next(WebSocket::MESSAGE).await
    });
    assert_eq!(message.unwrap(), Some(Message::from("greeting")));
}

#[test]
fn a_pause_before_open_delays_messages() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.send("greeting");
    });
    let ws = outcome(connect(url(http, "/"))).unwrap();
    ws.pause();
    let log = Log::default();
    log.listen(ws);
    settle();
    assert_eq!(log.text(), "");
    ws.resume();
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "greeting");
}

#[test]
fn the_request_has_subprotocols_and_headers_and_no_origin() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let options = WebSocketOptions::new().protocols(["new", "old"]);
    http.websocket_with("/a/{b}", options, move |req: Request| {
        let field = |name| req.header(name).unwrap_or("none").to_owned();
        seen.add(field("sec-websocket-protocol"));
        seen.add(field("authorization"));
        seen.add(field("origin"));
        seen.add(req.param("b").unwrap());
        seen.add(req.query_string().unwrap());
        Accept::new(|_| ())
    });
    let connector = WebSocketConnector::default()
        .options(WebSocketOptions::new().protocols(["newest"]))
        .protocol("new")
        .header("authorization", "Bearer x");
    let ws = outcome(connector.connect(url(http, "/a/b?c=d"))).unwrap();
    assert_eq!(ws.protocol().as_deref(), Some("new"));
    assert_eq!(log.text(), "newest, new Bearer x none b c=d");
}

#[test]
fn long_and_compressed_messages_are_received_completely() {
    for ours in [
        Compression::Off,
        Compression::Shared,
        Compression::Dedicated(10),
    ] {
        for theirs in [
            Compression::Off,
            Compression::Shared,
            Compression::Dedicated(12),
        ] {
            let http = echo(WebSocketOptions::new().compression(theirs));
            let connector =
                WebSocketConnector::default().options(WebSocketOptions::new().compression(ours));
            let ws = outcome(connector.connect(url(http, "/"))).unwrap();
            let log = Log::default();
            log.listen(ws);
            let text = "long, and again ".repeat(5_000);
            for count in 1..=3 {
                ws.send(&text);
                run_until(|| log.len() == count);
            }
            assert!(log.text() == [&*text; 3].join(" "), "{ours:?} {theirs:?}");
        }
    }
}

#[test]
fn fragments_of_a_client_are_one_message() {
    let http = echo(WebSocketOptions::new());
    let ws = outcome(connect(url(http, "/"))).unwrap();
    let log = Log::default();
    log.listen(ws);
    ws.send_first("a");
    assert_eq!(ws.send("between"), Sent::Dropped);
    ws.send_fragment("b");
    ws.ping(b"");
    ws.send_last("c");
    ws.send("d");
    run_until(|| log.len() == 2);
    assert_eq!(log.text(), "abc d");
}

#[test]
fn cancelling_an_attempt_closes_the_connection() {
    let listener = Server::bind("127.0.0.1:0").unwrap();
    let log = Log::default();
    let seen = log.clone();
    listener.on("connection", move |conn: Connection| {
        let (data, close) = (seen.clone(), seen.clone());
        conn.on(Connection::DATA, move |_| data.add("request"));
        conn.on(Connection::CLOSE, move |()| close.add("close"));
    });
    let address = listener.address().unwrap().replace("tcp", "ws");
    let task = spawn(connect(address));
    run_until(|| log.text() == "request");
    task.cancel();
    run_until(|| log.text() == "request close");
    listener.close();
}

#[test]
fn any_connector_can_be_used() {
    let http = echo(WebSocketOptions::new().origins(Origins::Any));
    let inner = FixedUriConnector::new(http.address().unwrap(), Connector::new()).unwrap();
    let connector = WebSocketConnector::new(inner);
    let ws = outcome(connector.connect("ws://unresolvable.invalid/")).unwrap();
    assert!(ws.is_open());
}

#[test]
fn an_idle_server_is_sent_a_ping_and_times_out_after_120_s() {
    let clock = manual_clock();
    let http = server();
    let pings = Log::default();
    let seen = pings.clone();
    let paused = Rc::new(Cell::new(None));
    let slot = Rc::clone(&paused);
    let options = WebSocketOptions::new().idle_timeout(None);
    http.websocket_with("/", options, move |_| {
        let (seen, slot) = (seen.clone(), Rc::clone(&slot));
        Accept::new(move |ws: WebSocket| {
            ws.on(WebSocket::PING, move |_| seen.add("ping"));
            slot.set(Some(ws));
        })
    });
    let ws = outcome(connect(url(http, "/"))).unwrap();
    let log = Log::default();
    log.listen(ws);
    settle();
    pass(&clock, Duration::from_secs(103));
    assert_eq!(pings.text(), "");
    pass(&clock, Duration::from_secs(3));
    assert_eq!(pings.text(), "ping");
    // The pong restarts the idle timeout, but from now on the server does not read.
    paused.get().unwrap().pause();
    pass(&clock, Duration::from_secs(115));
    assert_eq!(log.text(), "");
    pass(&clock, Duration::from_secs(6));
    assert!(log.text().ends_with("1006::unclean"), "{}", log.text());
}

#[test]
fn clients_of_a_thread_share_topics() {
    let http = echo(WebSocketOptions::new());
    let ws = outcome(connect(url(http, "/"))).unwrap();
    let log = Log::default();
    log.listen(ws);
    assert!(ws.subscribe("all"));
    assert_eq!(Hub::of_thread().publish("all", "to the servers"), 1);
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "to the servers");
}

#[test]
fn both_sides_may_close_at_once() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    http.websocket("/", move |ws: WebSocket| {
        let seen = seen.clone();
        ws.on("close", move |closed: Closed| seen.add(show(&closed)));
        shared.set(Some(ws));
    });
    let ws = outcome(connect(url(http, "/"))).unwrap();
    run_until(|| slot.get().is_some());
    let client = Log::default();
    client.listen(ws);
    ws.close(CloseCode::from(4001), "client");
    slot.get().unwrap().close(CloseCode::from(4002), "server");
    run_until(|| log.len() + client.len() == 2);
    assert_eq!(client.text(), "4001:client:clean");
    assert_eq!(log.text(), "4002:server:clean");
}
