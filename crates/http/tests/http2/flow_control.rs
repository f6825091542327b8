//! Windows, backpressure and priorities.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::h2::{ErrorCode, Limits};
use uptick_http::{Request, Responder, Response};

use crate::client::{Client, pass, request, server};
use crate::frames::*;
use crate::support::{Log, manual_clock};

#[test]
fn a_response_continues_when_its_window_opens() {
    let mut client = Client::with_window(server(), 10);
    let id = client.get("/long");
    assert_eq!(client.seen(id).body.len(), 10);
    client.send(window_update(id, 5));
    assert_eq!(client.seen(id).body.len(), 15);
    client.send(frame(SETTINGS, 0, 0, &setting(4, 100)));
    assert_eq!(client.seen(id).body.len(), 105);
    // A negative window.
    client.send(frame(SETTINGS, 0, 0, &setting(4, 50)));
    client.send(window_update(id, 49));
    assert_eq!(client.seen(id).body.len(), 105);
    client.send(window_update(id, 2));
    assert_eq!(client.seen(id).body.len(), 106);
    client.send([window_update(id, 300_000), window_update(0, 300_000)].concat());
    assert_eq!(client.response(id).body.len(), 300_000);
}

#[test]
fn an_end_needs_no_window() {
    let http = server();
    http.get("/empty", |req: Request| {
        let responder = req.responder();
        responder.start(Response::plain(""));
        responder.end();
    });
    let mut client = Client::with_window(http, 0);
    let id = client.get("/empty");
    assert!(client.response(id).ended);
    let head = client.request(&request("HEAD", "/long"), END_STREAM);
    assert!(client.response(head).ended);
}

#[test]
fn streams_share_the_window_of_the_connection_by_priority() {
    let mut client = Client::with_window(server(), 1 << 20);
    let [low, high, other] = ["u=5", "u=1", "u=5, i"].map(|priority| {
        let mut fields = request("GET", "/long");
        fields.push(("priority", priority));
        client.request(&fields, END_STREAM)
    });
    client.read();
    let before = client.streams.clone();
    let sent: usize = before.values().map(|stream| stream.body.len()).sum();
    assert_eq!(sent, 65_535);
    client.send(window_update(0, 300_000));
    client.read();
    assert!(client.streams[&high].ended);
    client.send(frame(
        PRIORITY_UPDATE,
        0,
        0,
        &[&other.to_be_bytes()[..], b"u=0"].concat(),
    ));
    client.send(window_update(0, 250_000));
    client.read();
    assert!(client.streams[&other].body.len() > client.streams[&low].body.len());
    client.send(window_update(0, 1 << 20));
    for id in [low, high, other] {
        assert_eq!(client.response(id).body.len(), 300_000);
    }
}

#[test]
fn a_responder_waits_for_its_window_and_drains() {
    let http = server();
    let log = Log::default();
    let written = Rc::<Cell<usize>>::default();
    http.get("/pieces", {
        let (log, written) = (log.clone(), Rc::clone(&written));
        move |req: Request| {
            let responder = req.responder();
            responder.start(Response::plain(""));
            let fill = {
                let written = Rc::clone(&written);
                move |responder: Responder| {
                    loop {
                        written.set(written.get() + 10_000);
                        if !responder.write(vec![b'x'; 10_000]) {
                            break;
                        }
                    }
                }
            };
            fill(responder);
            let log = log.clone();
            responder.on("drain", move |()| {
                log.add("drain");
                if written_enough(&log) {
                    responder.end();
                } else {
                    fill(responder);
                }
            });
        }
    });
    let mut client = Client::with_window(http, 20_000);
    let id = client.get("/pieces");
    assert_eq!(client.seen(id).body.len(), 20_000);
    assert_eq!((written.get(), log.text().as_str()), (90_000, ""));
    client.send(window_update(id, 1000));
    assert_eq!(
        (client.seen(id).body.len(), log.text().as_str()),
        (21_000, "")
    );
    client.send([window_update(id, 40_000), window_update(0, 1 << 20)].concat());
    client.read();
    assert_eq!(log.text(), "drain");
    client.opens_windows = true;
    client.send(window_update(id, 100_000));
    let response = client.response(id);
    assert_eq!(response.body.len(), written.get());
    assert_eq!(log.text(), "drain drain drain");
}

fn written_enough(log: &Log) -> bool {
    log.entries().len() >= 3
}

#[test]
fn received_bytes_are_credited_when_they_are_read_or_discarded() {
    let http = server().http2_limits(
        Limits::default()
            .stream_window(100_000)
            .connection_window(100_000),
    );
    http.post("/unread", |_: Request| "early");
    let held = Rc::<RefCell<Vec<Request>>>::default();
    let hold = Rc::clone(&held);
    http.post("/held", move |req: Request| {
        let _ = req.responder();
        hold.borrow_mut().push(req);
    });
    let mut client = Client::new(http);
    client.control.clear();
    // Read.
    let id = client.post("/echo");
    for _ in 0..5 {
        client.data(id, [b'x'; 16_000], false);
    }
    client.data(id, "", true);
    assert_eq!(client.response(id).body.len(), 80_000);
    let first = client.credit(0);
    assert!(first >= 50_000, "{first}");
    // Discarded after the response.
    let id = client.post("/unread");
    client.response(id);
    for _ in 0..5 {
        client.data(id, [b'x'; 16_000], false);
    }
    let second = client.credit(0);
    assert!(second >= first + 50_000, "{second}");
    // Reset with unread bytes.
    let id = client.post("/held");
    client.data(id, [b'x'; 16_000], false);
    assert_eq!(client.credit(0), second);
    for _ in 0..3 {
        client.data(id, [b'x'; 16_000], false);
    }
    assert_eq!(client.credit(0), second);
    client.send(reset(id, ErrorCode::CANCEL));
    client.read();
    assert_eq!(held.borrow().len(), 1);
    held.borrow_mut().clear();
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
    let third = client.credit(0);
    assert!(third >= second + 50_000, "{third} {second}");
    assert!(!client.ended);
}

#[test]
fn more_than_a_window_is_an_error() {
    let http = server().http2_limits(
        Limits::default()
            .stream_window(100_000)
            .connection_window(150_000),
    );
    let held = Rc::<RefCell<Vec<Request>>>::default();
    let hold = Rc::clone(&held);
    http.post("/held", move |req: Request| {
        let _ = req.responder();
        hold.borrow_mut().push(req);
    });
    let mut client = Client::new(http);
    let first = client.post("/held");
    for _ in 0..7 {
        client.data(first, [b'x'; 16_000], false);
    }
    assert_eq!(
        client.response(first).reset,
        Some(ErrorCode::FLOW_CONTROL_ERROR)
    );
    let second = client.post("/held");
    for _ in 0..6 {
        client.data(second, [b'x'; 16_000], false);
    }
    client.read();
    let third = client.post("/held");
    for _ in 0..6 {
        client.data(third, [b'x'; 16_000], false);
    }
    assert_eq!(client.closed(), ErrorCode::FLOW_CONTROL_ERROR);
}

#[test]
fn a_stream_that_waits_for_others_is_not_stalled() {
    let clock = manual_clock();
    let http = server().write_timeout(Some(Duration::from_secs(5)));
    let mut client = Client::with_window(http, 1 << 20);
    let ids = [(); 3].map(|()| {
        let mut fields = request("GET", "/long");
        fields.push(("priority", "u=3"));
        client.request(&fields, END_STREAM)
    });
    client.read();
    // The streams are sent one after the other, each for longer than the write timeout.
    for _ in 0..44 {
        pass(&clock, Duration::from_secs(1));
        client.send(window_update(0, 20_000));
        client.read();
    }
    for id in ids {
        let response = client.seen(id);
        assert_eq!((response.body.len(), response.reset), (300_000, None));
    }
}

#[test]
fn output_waits_for_the_socket_and_continues() {
    let http = server();
    http.get("/huge", |_: Request| vec![b'x'; 3 << 20]);
    let mut client = Client::with_settings(http, &[(4, i32::MAX as u32)]);
    client.send(window_update(0, 1 << 30));
    // Nothing is read until the sockets' buffers are full.
    let ids: Vec<u32> = (0..5).map(|_| client.next_id()).collect();
    let heads = ids
        .iter()
        .map(|id| headers(*id, END_STREAM, &request("GET", "/huge")));
    client.send(heads.collect::<Vec<_>>().concat());
    crate::support::settle();
    assert!(
        client.conn.buffered() < 512 * 1024,
        "{}",
        client.conn.buffered()
    );
    for id in ids {
        assert_eq!(client.response(id).body.len(), 3 << 20);
    }
    assert_eq!(client.conn.buffered(), 0);
}

#[test]
fn pings_are_answered_while_the_windows_are_closed() {
    let mut client = Client::with_window(server(), 0);
    let id = client.get("/long");
    client.read();
    for n in 1..4 {
        client.send(frame(PING, 0, 0, &[n; 8]));
        assert_eq!(client.pongs(), usize::from(n));
    }
    assert!(client.seen(id).body.is_empty());
}
