//! Responses that a client receives: valid, malformed and too large ones.

use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use uptick_http::h1;
use uptick_http::h1::RequestHead;
use uptick_http::h2::{
    Connection, ErrorCode, Event, Limits, Request, RequestFields, ResponseBody, StreamKey,
};

use crate::support::*;

/// A client connection with streams, whose server has sent SETTINGS.
struct Client {
    connection: Connection<()>,
    seen: Vec<String>,
}

impl Client {
    fn with(limits: &Limits, streams: usize) -> Client {
        let mut client = Client {
            connection: Connection::client(limits),
            seen: Vec::new(),
        };
        client.receive(frame(SETTINGS, 0, 0, &[]));
        client.sent();
        for _ in 0..streams {
            client.open(&Method::GET, ResponseBody::Empty);
        }
        client
    }

    fn new(streams: usize) -> Client {
        Client::with(&Limits::default(), streams)
    }

    fn open(&mut self, method: &Method, body: ResponseBody) -> StreamKey {
        let request = Request {
            method,
            scheme: "https",
            authority: "a.example",
            path: "/",
            protocol: None,
            fields: RequestFields::default(),
            body,
        };
        let expected = self.connection.next_stream();
        let key = self.connection.open(&request, (), &mut Vec::new()).unwrap();
        assert_eq!(key, expected);
        key
    }

    /// Receives bytes, and returns the events.
    fn receive(&mut self, bytes: impl AsRef<[u8]>) -> String {
        let mut input = BytesMut::from(bytes.as_ref());
        let mut head = RequestHead::default();
        while let Some(event) =
            self.connection
                .receive(&mut input, &mut head, Duration::from_secs(1))
        {
            self.record(event);
        }
        self.seen.drain(..).collect::<Vec<_>>().join(", ")
    }

    fn record(&mut self, event: Event) {
        let text = match event {
            Event::Interim { stream, head } => {
                format!("{} interim {}", stream.id(), head.status().as_u16())
            }
            Event::Response { stream, head, end } => {
                format!("{} head {} {end}", stream.id(), head.status().as_u16())
            }
            Event::Data { stream, bytes, end } => {
                self.connection.consumed(stream, bytes.len());
                format!("{} data {} {end}", stream.id(), bytes.len())
            }
            Event::Trailers { stream, .. } => format!("{} trailers", stream.id()),
            Event::Reset { stream, code } => format!("{} reset {code}", stream.id()),
            Event::Malformed { stream, reason } => {
                assert!(!reason.is_empty());
                format!("{} malformed", stream.id())
            }
            Event::ResponseTooLarge { stream, .. } => format!("{} too large", stream.id()),
            Event::GoAway { last, code } => format!("go away {last} {code}"),
            Event::WindowOpened => "opened".to_owned(),
            Event::Closed(error) => format!("closed {}", error.code()),
            other => format!("{other:?}"),
        };
        self.seen.push(text);
    }

    fn sent(&mut self) -> Vec<Sent> {
        let mut out = Vec::new();
        self.connection.write_control(&mut out);
        frames(out.strip_prefix(PREFACE).unwrap_or(&out))
    }

    /// Returns the resets that were queued.
    fn resets(&mut self) -> Vec<(u32, u32)> {
        let sent = self.sent().into_iter();
        sent.filter(|frame| frame.kind == RST_STREAM)
            .map(|frame| (frame.stream, frame.word(0)))
            .collect()
    }
}

/// Returns the head of a response.
fn ok(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    headers(stream, flags, &[&[(":status", "200")], fields].concat())
}

#[test]
fn the_first_frames_of_a_client_refuse_push_and_announce_its_limits() {
    let mut client: Connection<()> = Connection::client(&Limits::default());
    let mut out = Vec::new();
    client.write_control(&mut out);
    let sent = frames(out.strip_prefix(PREFACE).unwrap());
    assert_eq!(
        (sent[0].kind, sent[1].kind, sent.len()),
        (SETTINGS, WINDOW_UPDATE, 2)
    );
    let entries: Vec<_> = sent[0].payload.chunks(6).collect();
    assert!(entries.contains(&&setting(2, 0)[..]));
    assert!(entries.contains(&&setting(6, 65_536)[..]));
    assert!(!entries.iter().any(|entry| entry[..2] == [0, 3]));
}

#[test]
fn a_response_has_a_head_a_body_and_trailers() {
    let mut client = Client::new(2);
    let bytes = [
        headers(1, 0, &[(":status", "103")]),
        ok(1, 0, &[("content-length", "5")]),
        frame(DATA, 0, 1, b"hel"),
        ok(3, END_STREAM, &[]),
        frame(DATA, 0, 1, b"lo"),
        headers(1, END_STREAM, &[("x-sum", "5")]),
    ];
    let expected = "1 interim 103, 1 head 200 false, 1 data 3 false, 3 head 200 true, 1 data 2 false, 1 trailers";
    assert_eq!(client.receive(bytes.concat()), expected);
    assert!(client.sent().is_empty());
}

#[test]
fn events_do_not_depend_on_how_the_bytes_are_split() {
    let bytes = [
        headers(1, 0, &[(":status", "100")]),
        ok(1, 0, &[("content-length", "5"), ("x-a", "b")]),
        frame(DATA, PADDED, 1, &[&[3], &b"hello"[..], &[0; 3]].concat()),
        headers(1, END_STREAM, &[("x-sum", "5")]),
    ]
    .concat();
    for split in 0..=bytes.len() {
        let mut client = Client::new(1);
        let parts = [
            client.receive(&bytes[..split]),
            client.receive(&bytes[split..]),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let events = parts.join(", ");
        let received: usize = events
            .split(", ")
            .filter_map(|event| {
                event
                    .strip_prefix("1 data ")?
                    .split(' ')
                    .next()?
                    .parse::<usize>()
                    .ok()
            })
            .sum();
        assert_eq!(received, 5, "{split}: {events}");
        assert!(
            events.starts_with("1 interim 100, 1 head 200 false, "),
            "{events}"
        );
        assert!(events.ends_with("1 trailers"), "{split}: {events}");
    }
}

#[test]
fn a_malformed_response_is_reported_and_its_stream_is_reset() {
    let trailers =
        |fields: &[(&str, &str)]| [ok(1, 0, &[]), headers(1, END_STREAM, fields)].concat();
    for bytes in [
        headers(1, 0, &[]),
        headers(1, 0, &[("x-a", "b"), (":status", "200")]),
        headers(1, 0, &[(":status", "101")]),
        headers(1, END_STREAM, &[(":status", "103")]),
        ok(1, 0, &[("X-A", "b")]),
        ok(1, 0, &[("connection", "close")]),
        ok(1, 0, &[(":path", "/")]),
        ok(1, END_STREAM, &[("content-length", "1")]),
        [
            ok(1, 0, &[("content-length", "1")]),
            frame(DATA, 0, 1, b"ab"),
        ]
        .concat(),
        [
            ok(1, 0, &[("content-length", "2")]),
            frame(DATA, END_STREAM, 1, b"a"),
        ]
        .concat(),
        frame(DATA, 0, 1, b"a"),
        trailers(&[(":status", "200")]),
        trailers(&[("te", "trailers")]),
        [ok(1, 0, &[]), headers(1, 0, &[("x-a", "b")])].concat(),
    ] {
        let mut client = Client::new(2);
        let events = client.receive(&bytes);
        assert!(events.ends_with("1 malformed"), "{events}");
        assert_eq!(client.resets(), [(1, ErrorCode::PROTOCOL_ERROR.get())]);
        // Other streams continue.
        assert_eq!(client.receive(ok(3, END_STREAM, &[])), "3 head 200 true");
    }
}

#[test]
fn frames_that_were_in_flight_when_a_stream_was_reset_are_ignored() {
    let mut client = Client::new(2);
    assert_eq!(client.receive(ok(1, 0, &[("X-A", "b")])), "1 malformed");
    let bytes = [
        frame(DATA, 0, 1, b"late"),
        headers(1, END_STREAM, &[("x-sum", "5")]),
    ];
    assert_eq!(client.receive(&bytes[0]), "");
    let key = client.connection.keys().find(|key| key.id() == 1).unwrap();
    client.connection.remove(key);
    assert_eq!(client.receive(&bytes[1]), "");
    assert_eq!(client.receive(ok(3, END_STREAM, &[])), "3 head 200 true");
}

#[test]
fn the_size_and_the_number_of_headers_are_limited() {
    let limits = Limits::default().headers(&h1::Limits::default().header_section(2000).fields(10));
    let value = "~".repeat(1000);
    let large = [("x-a", &value[..]), ("x-b", &value)];
    let many = [("a", "b"); 11];
    for fields in [&large[..], &many] {
        let mut client = Client::with(&limits, 2);
        assert_eq!(client.receive(ok(1, 0, fields)), "1 too large");
        assert_eq!(client.resets(), [(1, ErrorCode::ENHANCE_YOUR_CALM.get())]);
        assert_eq!(
            client.receive(ok(3, END_STREAM, &many[..10])),
            "3 head 200 true"
        );
    }
    let limits = Limits::default().headers(&h1::Limits::default().trailer_section(500));
    let mut client = Client::with(&limits, 1);
    let bytes = [ok(1, 0, &[]), headers(1, END_STREAM, &large[..1])].concat();
    assert_eq!(client.receive(bytes), "1 head 200 false, 1 too large");
}

#[test]
fn a_raised_limit_of_headers_is_announced_and_applied() {
    let limits = Limits::default().headers(&h1::Limits::default().header_section(1000));
    let mut client = Client::with(&limits, 2);
    let value = "~".repeat(3000);
    assert_eq!(client.receive(ok(1, 0, &[("x-a", &value)])), "1 too large");
    client.sent();
    client.connection.raise_header_limit(1000);
    client.connection.raise_header_limit(500);
    assert!(client.sent().is_empty());
    client.connection.raise_header_limit(4000);
    let sent = client.sent();
    assert_eq!(
        (sent[0].kind, &sent[0].payload[..]),
        (SETTINGS, &setting(6, 4000)[..])
    );
    let bytes = [
        frame(SETTINGS, ACK, 0, &[]),
        frame(SETTINGS, ACK, 0, &[]),
        ok(3, END_STREAM, &[("x-a", &value)]),
    ];
    assert_eq!(client.receive(bytes.concat()), "3 head 200 true");
}

#[test]
fn an_endless_header_block_is_too_large_before_the_connection_fails() {
    let mut client = Client::new(2);
    client.receive(frame(HEADERS, 0, 1, &block(&[(":status", "200")])));
    assert_eq!(client.connection.partial_head().map(StreamKey::id), Some(1));
    let bytes = frame(CONTINUATION, 0, 1, &[]).repeat(9);
    assert_eq!(
        client.receive(bytes),
        "1 too large, closed ENHANCE_YOUR_CALM"
    );
    assert!(client.connection.is_closed() && !client.connection.opens_streams());
    // A block of a stream that is not known fails the connection only.
    let mut client = Client::new(1);
    let key = client.connection.keys().next().unwrap();
    client.connection.remove(key);
    let start = frame(HEADERS, 0, 1, &block(&[(":status", "200")]));
    let bytes = [start, frame(CONTINUATION, 0, 1, &[]).repeat(9)].concat();
    assert_eq!(client.receive(bytes), "closed ENHANCE_YOUR_CALM");
}

#[test]
fn the_room_follows_the_settings_and_the_streams() {
    let mut client: Connection<()> = Connection::client(&Limits::default());
    assert_eq!((client.room(), client.opens_streams()), (100, true));
    client.write_control(&mut Vec::new());
    let mut client = Client::new(3);
    assert_eq!(client.connection.room(), u32::MAX as usize - 3);
    client.receive(frame(SETTINGS, 0, 0, &setting(3, 5)));
    assert_eq!(client.connection.room(), 2);
    client.receive(frame(SETTINGS, 0, 0, &setting(3, 1)));
    assert_eq!(
        (client.connection.room(), client.connection.opens_streams()),
        (0, true)
    );
    let last = [&1u32.to_be_bytes()[..], &0u32.to_be_bytes()].concat();
    assert_eq!(
        client.receive(frame(GOAWAY, 0, 0, &last)),
        "go away 1 NO_ERROR"
    );
    assert_eq!(
        (client.connection.room(), client.connection.opens_streams()),
        (0, false)
    );
    let server: Connection<()> = Connection::server(&Limits::default());
    assert!(server.room() == 0 && !server.opens_streams());
}

#[test]
fn resets_and_violations_of_flow_control_end_a_stream() {
    let mut client = Client::with(&Limits::default().stream_window(65_535), 2);
    let bytes = [
        ok(1, 0, &[]),
        reset(1, ErrorCode::REFUSED_STREAM),
        reset(1, ErrorCode::CANCEL),
    ];
    assert_eq!(
        client.receive(bytes.concat()),
        "1 head 200 false, 1 reset REFUSED_STREAM"
    );
    assert!(client.resets().is_empty());
    assert_eq!(
        client.receive(window_update(3, 0)),
        "3 reset PROTOCOL_ERROR"
    );
    assert_eq!(client.resets(), [(3, ErrorCode::PROTOCOL_ERROR.get())]);
}

#[test]
fn bytes_credited_to_the_connection_leave_the_window_of_their_stream_closed() {
    let limits = Limits::default()
        .stream_window(65_535)
        .connection_window(65_535);
    let mut client: Connection<()> = Connection::client(&limits);
    let mut head = RequestHead::default();
    let mut received = 0;
    let mut receive = |client: &mut Connection<()>, bytes: Vec<u8>| {
        let mut input = BytesMut::from(&bytes[..]);
        while let Some(event) = client.receive(&mut input, &mut head, Duration::ZERO) {
            match event {
                Event::Data { bytes, .. } => {
                    received += bytes.len();
                    client.credit_connection(bytes.len() as u32);
                }
                Event::Response { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        let mut out = Vec::new();
        client.write_control(&mut out);
        let sent = frames(out.strip_prefix(PREFACE).unwrap_or(&out));
        let updates = sent.into_iter().filter(|frame| frame.kind == WINDOW_UPDATE);
        updates
            .map(|frame| (frame.stream, frame.word(0)))
            .collect::<Vec<_>>()
    };
    receive(&mut client, frame(SETTINGS, 0, 0, &[]));
    let request = Request {
        method: &Method::GET,
        scheme: "https",
        authority: "a.example",
        path: "/",
        protocol: None,
        fields: RequestFields::default(),
        body: ResponseBody::Empty,
    };
    let key = client.open(&request, (), &mut Vec::new()).unwrap();
    let data = frame(DATA, 0, 1, &[0; 16_384]);
    let updates = receive(&mut client, [ok(1, 0, &[]), data.repeat(3)].concat());
    assert_eq!(updates, [(0, 32_768)]);
    client.consumed(key, 3 * 16_384);
    assert_eq!(receive(&mut client, Vec::new()), [(1, 49_152)]);
    assert_eq!(received, 49_152);
}

#[test]
fn a_body_is_sent_as_far_as_the_windows_of_the_server_allow() {
    let mut client = Client::new(0);
    assert_eq!(client.connection.next_capacity(), 65_535);
    let key = client.open(&Method::POST, ResponseBody::Stream);
    let mut out = Vec::new();
    client
        .connection
        .send_data(key, &[0; 65_535], false, &mut out)
        .unwrap();
    assert_eq!(
        (
            client.connection.capacity(key),
            client.connection.next_capacity()
        ),
        (0, 0)
    );
    client.connection.set_pending(key, true);
    assert_eq!(client.connection.next_pending(), None);
    assert_eq!(client.receive(window_update(1, 100)), "");
    assert_eq!(client.connection.stream_capacity(key), 100);
    assert_eq!(client.receive(window_update(0, 10)), "opened");
    assert_eq!(
        (
            client.connection.capacity(key),
            client.connection.next_pending()
        ),
        (10, Some(key))
    );
}
