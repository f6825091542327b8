//! Upgrades of streams to channels (RFC 8441).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_http::channel::{Channel, ChannelSession};
use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request, Response};
use uptick_socket::{Connection, Error};

use crate::client::{Client, extended_connect, pass, request};
use crate::frames::*;
use crate::support::{Log, manual_clock};

/// A session that echoes bytes, and ends after `.`.
struct Echo {
    channel: Channel,
    log: Log,
}

impl ChannelSession<Error> for Echo {
    fn data(&self, bytes: &mut BytesMut) {
        let last = bytes.ends_with(b".");
        self.channel.write(bytes.split());
        if last {
            self.channel.end();
        }
    }

    fn end(&self) {
        self.log.add("end");
    }

    fn drain(&self) {
        self.log.add("drain");
    }

    fn error(&self, _: &Error) {
        self.log.add("error");
    }

    fn close(&self) {
        self.log.add("close");
    }
}

type Channels = Rc<RefCell<Vec<Channel>>>;

/// Returns a server with an echo protocol, its log, and its channels.
fn server() -> (HttpServer, Log, Channels) {
    let http = crate::client::server();
    let (log, channels) = (Log::default(), Channels::default());
    let (sessions, all) = (log.clone(), Rc::clone(&channels));
    http.get("/echo", move |_: Request| {
        let (log, all) = (sessions.clone(), Rc::clone(&all));
        Response::upgrade_channel("echo", move |channel: Channel| {
            all.borrow_mut().push(channel);
            channel.set_session(Rc::new(Echo { channel, log }));
        })
    });
    http.get("/connection", |_: Request| {
        Response::upgrade("echo", |_: Connection| panic!("a stream is no connection"))
    });
    (http, log, channels)
}

fn connect(client: &mut Client, path: &str) -> u32 {
    client.request(&extended_connect("echo", path), 0)
}

#[test]
fn the_setting_is_announced() {
    let (http, ..) = server();
    let mut client = Client::new(http);
    client.read();
    let settings = client
        .control
        .iter()
        .find(|sent| sent.kind == SETTINGS)
        .unwrap();
    let mut entries = settings.payload.chunks(6);
    assert!(entries.any(|entry| entry == setting(8, 1)));
}

#[test]
fn bytes_are_echoed_until_both_sides_end() {
    let (http, log, _) = server();
    let mut client = Client::new(http);
    let id = connect(&mut client, "/echo");
    let response = client.seen(id);
    assert_eq!((response.status, response.ended), (200, false));
    assert_eq!(response.field("upgrade"), None);
    client.data(id, "one", false);
    assert_eq!(client.seen(id).text(), "one");
    assert_eq!((http.open_upgrades(), http.stats().upgrades), (1, 1));
    client.data(id, " two.", false);
    let response = client.seen(id);
    assert_eq!((response.text(), response.ended), ("one two.", true));
    assert_eq!(log.text(), "");
    client.data(id, "", true);
    client.read();
    assert_eq!(log.text(), "close");
    assert_eq!((http.open_upgrades(), http.open_connections()), (0, 1));
    assert_eq!(client.streams[&id].reset, None);
}

#[test]
fn bytes_that_follow_the_request_directly_are_delivered_first() {
    let (http, ..) = server();
    let mut client = Client::new(http);
    let id = client.next_id();
    let head = headers(id, 0, &extended_connect("echo", "/echo"));
    client.send(
        [
            head,
            frame(DATA, 0, id, b"early"),
            frame(DATA, END_STREAM, id, b" end"),
        ]
        .concat(),
    );
    let response = client.response(id);
    assert_eq!(response.text(), "early end");
    client.read();
    assert_eq!(http.open_upgrades(), 0);
}

#[test]
fn a_reset_by_the_client_is_an_error_of_the_channel() {
    let (http, log, _) = server();
    let mut client = Client::new(http);
    let id = connect(&mut client, "/echo");
    client.read();
    client.send(reset(id, ErrorCode::CANCEL));
    client.read();
    assert_eq!(log.text(), "error close");
    assert_eq!(http.open_upgrades(), 0);
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_reset_channel_resets_its_stream_only() {
    let (http, log, channels) = server();
    let mut client = Client::new(http);
    let [one, two] = [(); 2].map(|()| connect(&mut client, "/echo"));
    client.read();
    channels.borrow()[0].reset();
    assert_eq!(client.response(one).reset, Some(ErrorCode::CANCEL));
    client.data(two, "still.", true);
    assert_eq!(client.response(two).text(), "still.");
    client.read();
    assert_eq!(log.text(), "close close");
}

#[test]
fn channels_close_with_their_connection() {
    let (http, log, channels) = server();
    let mut client = Client::new(http);
    for _ in 0..3 {
        connect(&mut client, "/echo");
    }
    client.read();
    client.conn.close();
    client.read();
    assert_eq!(log.text(), "error close error close error close");
    assert_eq!((http.open_upgrades(), http.open_connections()), (0, 0));
    assert!(channels.borrow().iter().all(|channel| !channel.is_open()));
}

#[test]
fn output_waits_for_the_window_and_drains() {
    let (http, log, channels) = server();
    let mut client = Client::with_window(http, 100);
    let id = connect(&mut client, "/echo");
    client.read();
    let channel = channels.borrow()[0];
    assert!(!channel.write(vec![b'x'; 100_000]));
    // A part fits into the window.
    assert_eq!(client.seen(id).body.len(), 100);
    assert_eq!(channel.buffered(), 99_900);
    client.send([window_update(id, 50_000), window_update(0, 1 << 20)].concat());
    assert_eq!(client.seen(id).body.len(), 50_100);
    assert_eq!(log.text(), "drain");
    channel.end();
    assert!(!client.seen(id).ended);
    client.send(window_update(id, 49_900));
    let response = client.seen(id);
    assert_eq!((response.body.len(), response.ended), (100_000, true));
}

#[test]
fn a_part_of_a_write_is_sent_at_once() {
    let (http, _, channels) = server();
    let mut client = Client::with_window(http, 10);
    let id = connect(&mut client, "/echo");
    client.read();
    // Outside of an event of the connection.
    channels.borrow()[0].write(vec![b'x'; 11]);
    assert_eq!(client.seen(id).body.len(), 10);
}

#[test]
fn a_paused_channel_slows_down_its_client() {
    let (http, _, channels) = server();
    let mut client = Client::new(http);
    let id = connect(&mut client, "/echo");
    client.read();
    channels.borrow()[0].pause();
    for _ in 0..16 {
        client.data(id, [b'x'; 16_000], false);
    }
    assert_eq!(client.credit(id), 0);
    let other = client.get("/");
    assert_eq!(client.response(other).text(), "hello");
    channels.borrow()[0].resume();
    assert_eq!(client.credit(id), 256_000);
    assert_eq!(client.seen(id).body.len(), 256_000);
}

#[test]
fn a_channel_whose_window_stays_closed_fails() {
    let clock = manual_clock();
    let (http, log, channels) = server();
    let mut client = Client::with_window(http, 0);
    let id = connect(&mut client, "/echo");
    client.read();
    channels.borrow()[0].write("x");
    pass(&clock, Duration::from_secs(29));
    assert_eq!(log.text(), "");
    pass(&clock, Duration::from_secs(2));
    assert_eq!(log.text(), "error close");
    assert_eq!(client.seen(id).reset, Some(ErrorCode::CANCEL));
    assert!(!client.is_closed());
}

#[test]
fn an_upgrade_that_needs_a_connection_is_answered_with_501() {
    let (http, ..) = server();
    let mut client = Client::new(http);
    let id = connect(&mut client, "/connection");
    let response = client.response(id);
    assert_eq!(response.status, 501);
    assert_eq!(
        response.text(),
        "this protocol is not supported over HTTP/2\n"
    );
    assert_eq!(http.stats().upgrades, 0);
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn requests_for_another_protocol_or_without_one_are_refused() {
    let (http, log, _) = server();
    let mut client = Client::new(http);
    let other = client.request(&extended_connect("chat", "/echo"), 0);
    assert_eq!(client.response(other).status, 501);
    let plain = client.get("/echo");
    assert_eq!(client.response(plain).status, 426);
    let missing = connect(&mut client, "/missing");
    assert_eq!(client.response(missing).status, 404);
    let tunnel = client.request(
        &[(":method", "CONNECT"), (":authority", "a.example:443")],
        0,
    );
    let response = client.response(tunnel);
    assert!(
        response.status >= 400 || response.reset.is_some(),
        "{response:?}"
    );
    let method = client.request(
        &[&request("GET", "/echo")[..], &[(":protocol", "echo")]].concat(),
        0,
    );
    assert_eq!(
        client.response(method).reset,
        Some(ErrorCode::PROTOCOL_ERROR)
    );
    assert_eq!(log.text(), "");
    assert_eq!(http.stats().upgrades, 0);
}

#[test]
fn a_channel_keeps_a_draining_connection_open() {
    manual_clock();
    let (http, log, channels) = server();
    let mut client = Client::new(http);
    let id = connect(&mut client, "/echo");
    client.read();
    drop(http.shutdown(Duration::from_secs(10)));
    client.read();
    client.data(id, "still here", false);
    assert_eq!(client.seen(id).text(), "still here");
    channels.borrow()[0].end();
    assert!(client.response(id).ended);
    client.data(id, "", true);
    assert!(client.is_closed());
    assert_eq!(log.text(), "close");
}

/// A resource that does not know the protocol must not accept it: success would open a tunnel.
#[test]
fn a_success_of_another_handler_is_not_sent_for_a_protocol() {
    let (http, ..) = server();
    http.get("/brief", |_| "short");
    http.get("/nothing", |_| uptick_http::StatusCode::NO_CONTENT);
    http.get("/longer", |_| "long".repeat(100_000));
    http.get("/pieces", |_| {
        let pieces = futures::stream::iter([Ok::<_, std::convert::Infallible>("piece")]);
        Response::plain(uptick_http::BodyStream::new(pieces))
    });
    http.get("/events", |_| Response::events().0);
    http.get("/written", |req: Request| {
        let responder = req.responder();
        assert!(!responder.start(Response::plain("written")));
    });
    http.get("/moved", |_| Response::redirect("/echo"));
    let mut client = Client::new(http);
    for path in [
        "/brief", "/nothing", "/longer", "/pieces", "/events", "/written",
    ] {
        let id = connect(&mut client, path);
        let response = client.seen(id);
        assert_eq!((response.status, response.ended), (501, true), "{path}");
    }
    let id = connect(&mut client, "/moved");
    assert_eq!(client.seen(id).status, 302);
    assert_eq!(http.open_upgrades(), 0);
    // A callback that changes the status of the refusal.
    http.on_response(|_: Response| Response::plain("success"));
    let id = connect(&mut client, "/brief");
    let response = client.seen(id);
    assert_eq!(
        (response.status, response.reset),
        (0, Some(ErrorCode::INTERNAL_ERROR))
    );
    let id = client.request(&request("GET", "/brief"), END_STREAM);
    assert_eq!(client.seen(id).text(), "success");
}
