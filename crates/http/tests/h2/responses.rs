//! Heads, bodies and trailers of responses.

use http::{HeaderMap, HeaderValue, StatusCode};
use uptick_http::h2::hpack::{Decoder, Field, ListLimits};
use uptick_http::h2::{ErrorCode, ResponseBody, ResponseHead, SendError};

use crate::support::*;

/// Decodes the header blocks of frames.
fn decode(decoder: &mut Decoder, sent: &[Sent]) -> Vec<(String, String)> {
    let block: Vec<_> = sent
        .iter()
        .flat_map(|frame| frame.payload.clone())
        .collect();
    let mut fields = Vec::new();
    let limits = ListLimits {
        fields: 1000,
        bytes: 1 << 20,
    };
    let mut collect = |field: Field<'_>| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields.push((text(field.name), text(field.value)));
    };
    decoder.decode(&block, limits, &mut collect).unwrap();
    fields
}

/// Sends a head for stream 1, and returns its fields, and whether a body follows.
fn fields_of(head: &ResponseHead<'_>, end: bool) -> (Vec<(String, String)>, bool) {
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    let mut out = Vec::new();
    let body = server
        .connection
        .send_head(key, head, end, &mut out)
        .unwrap();
    let sent = frames(&out);
    assert_eq!(sent[0].flags & END_STREAM == 0, body);
    assert_eq!(server.connection.is_sending(key), body);
    (decode(&mut Decoder::new(4096), &sent), body)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn a_head_has_the_headers_of_the_server_and_of_the_handler() {
    let mut fields = HeaderMap::new();
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("content-length", "7"),
        ("x-own", " 1\t"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ] {
        fields.append(name, HeaderValue::from_static(value));
    }
    let head = ResponseHead {
        date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
        fields: Some(&fields),
        ..response(ResponseBody::Bytes(5))
    };
    let (sent, body) = fields_of(&head, false);
    let expected = [
        (":status", "200"),
        ("content-type", "text/plain"),
        ("content-length", "5"),
        ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("x-own", "1"),
        ("set-cookie", "a=b"),
        ("set-cookie", "c=d"),
    ];
    assert_eq!((sent, body), (pairs(&expected), true));
}

#[test]
fn the_handler_may_set_the_content_type_and_the_date() {
    let mut fields = HeaderMap::new();
    fields.insert("content-type", HeaderValue::from_static("a/b"));
    fields.insert("date", HeaderValue::from_static("now"));
    let head = ResponseHead {
        date: Some(b"later"),
        fields: Some(&fields),
        ..response(ResponseBody::Stream)
    };
    let expected = [(":status", "200"), ("content-type", "a/b"), ("date", "now")];
    assert_eq!(fields_of(&head, false), (pairs(&expected), true));
}

#[test]
fn the_status_and_the_method_determine_whether_a_body_follows() {
    let mut length = HeaderMap::new();
    length.insert("content-length", HeaderValue::from_static("42"));
    let bytes = ResponseBody::Bytes(3);
    for (status, body, to_head, fields, sends, sent_length) in [
        (200, bytes, false, None, true, Some("3")),
        (200, bytes, true, None, false, Some("3")),
        (200, ResponseBody::Stream, true, None, false, None),
        (
            200,
            ResponseBody::Empty,
            true,
            Some(&length),
            false,
            Some("42"),
        ),
        (
            200,
            ResponseBody::Empty,
            false,
            Some(&length),
            false,
            Some("0"),
        ),
        (200, ResponseBody::Stream, false, Some(&length), true, None),
        (204, bytes, false, None, false, None),
        (205, bytes, false, None, false, Some("0")),
        (
            304,
            ResponseBody::Empty,
            false,
            Some(&length),
            false,
            Some("42"),
        ),
        (304, bytes, false, None, false, Some("3")),
        (404, bytes, false, None, true, Some("3")),
    ] {
        let head = ResponseHead {
            status: StatusCode::from_u16(status).unwrap(),
            content_type: None,
            fields,
            to_head,
            ..response(body)
        };
        let (sent, has_body) = fields_of(&head, false);
        let found = sent.iter().find(|(name, _)| name == "content-length");
        assert_eq!(
            found.map(|(_, value)| value.as_str()),
            sent_length,
            "{head:?}"
        );
        assert_eq!(has_body, sends, "{head:?}");
    }
}

#[test]
fn a_head_larger_than_a_frame_is_continued() {
    let mut fields = HeaderMap::new();
    fields.insert(
        "x-large",
        HeaderValue::from_str(&"~".repeat(40_000)).unwrap(),
    );
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    let mut out = b"before".to_vec();
    let head = ResponseHead {
        fields: Some(&fields),
        ..response(ResponseBody::Stream)
    };
    server
        .connection
        .send_head(key, &head, true, &mut out)
        .unwrap();
    let sent = frames(out.strip_prefix(b"before").unwrap());
    let kinds: Vec<_> = sent.iter().map(|frame| (frame.kind, frame.flags)).collect();
    let expected = [
        (HEADERS, END_STREAM),
        (CONTINUATION, 0),
        (CONTINUATION, END_HEADERS),
    ];
    assert_eq!(kinds, expected);
    assert!(sent.iter().all(|frame| frame.payload.len() <= 16_384));
    let fields = decode(&mut Decoder::new(4096), &sent);
    assert_eq!(fields[2].1.len(), 40_000);
}

#[test]
fn repeated_headers_take_one_byte_each_and_varying_ones_are_not_added() {
    let mut server = Server::new();
    let mut lengths = Vec::new();
    for id in [1, 3, 5] {
        server.receive(get(id));
        let mut fields = HeaderMap::new();
        fields.insert("server", HeaderValue::from_static("uptick"));
        fields.insert("etag", HeaderValue::from_str(&format!("\"{id}\"")).unwrap());
        let key = server.key(id);
        let head = ResponseHead {
            date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            fields: Some(&fields),
            ..response(ResponseBody::Stream)
        };
        let mut out = Vec::new();
        server
            .connection
            .send_head(key, &head, true, &mut out)
            .unwrap();
        server.connection.remove(key);
        lengths.push(out.len() - 9);
    }
    // Status, type, date, server: one byte each; the tag has an index of two bytes, a length and its text.
    assert!(lengths[0] > 40, "{lengths:?}");
    assert!(lengths[1] <= 4 + 6 && lengths[2] <= 4 + 6, "{lengths:?}");
}

#[test]
fn interim_responses_precede_the_head() {
    let mut server = Server::new();
    server.receive(post(1));
    let key = server.key(1);
    let mut fields = HeaderMap::new();
    fields.insert("link", HeaderValue::from_static("</a>; rel=preload"));
    let mut out = Vec::new();
    let status = StatusCode::EARLY_HINTS;
    server
        .connection
        .send_interim(key, status, &fields, &mut out)
        .unwrap();
    server
        .connection
        .send_interim(key, StatusCode::CONTINUE, &HeaderMap::new(), &mut out)
        .unwrap();
    server
        .connection
        .send_head(key, &response(ResponseBody::Empty), true, &mut out)
        .unwrap();
    let late = server
        .connection
        .send_interim(key, status, &fields, &mut out);
    assert_eq!(late, Err(SendError::NotOpen));
    let sent = frames(&out);
    let mut decoder = Decoder::new(4096);
    let first = decode(&mut decoder, &sent[..1]);
    assert_eq!(
        first,
        pairs(&[(":status", "103"), ("link", "</a>; rel=preload")])
    );
    assert_eq!(
        decode(&mut decoder, &sent[1..2]),
        pairs(&[(":status", "100")])
    );
    assert_eq!(sent[1].flags, END_HEADERS);
    assert_eq!(sent[2].flags, END_HEADERS | END_STREAM);
}

#[test]
fn trailers_end_a_response() {
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("5"));
    trailers.insert("connection", HeaderValue::from_static("close"));
    let mut out = Vec::new();
    let early = server.connection.send_trailers(key, &trailers, &mut out);
    assert_eq!(early, Err(SendError::NotOpen));
    server
        .connection
        .send_head(key, &response(ResponseBody::Stream), false, &mut out)
        .unwrap();
    server
        .connection
        .send_data(key, b"", false, &mut out)
        .unwrap();
    assert_eq!(frames(&out).len(), 1);
    out.clear();
    server
        .connection
        .send_trailers(key, &trailers, &mut out)
        .unwrap();
    let sent = frames(&out);
    assert_eq!(sent[0].flags, END_HEADERS | END_STREAM);
    assert_eq!(
        decode(&mut Decoder::new(4096), &sent),
        pairs(&[("x-sum", "5")])
    );
    let late = server.connection.send_data(key, b"x", true, &mut out);
    assert_eq!(late, Err(SendError::NotOpen));
    server.connection.remove(key);
    assert!(server.sent().is_empty());
}

#[test]
fn a_body_that_differs_from_its_length_is_an_error() {
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    let mut out = Vec::new();
    let early = server.connection.send_data(key, b"x", true, &mut out);
    assert_eq!(early, Err(SendError::NotOpen));
    server
        .connection
        .send_head(key, &response(ResponseBody::Bytes(3)), false, &mut out)
        .unwrap();
    out.clear();
    let mut send = |data: &[u8], end| server.connection.send_data(key, data, end, &mut out);
    assert_eq!(send(b"abcd", false), Err(SendError::BodyTooLong));
    assert_eq!(send(b"ab", true), Err(SendError::BodyTooShort));
    assert_eq!(send(b"ab", false), Ok(()));
    assert_eq!(send(b"c", true), Ok(()));
    assert_eq!(frames(&out).len(), 2);
    let second = server
        .connection
        .send_head(key, &response(ResponseBody::Empty), true, &mut out);
    assert_eq!(second, Err(SendError::NotOpen));
}

#[test]
fn a_reset_stream_sends_nothing() {
    let mut server = Server::new();
    server.receive([get(1), get(3)].concat());
    let [one, three] = [server.key(1), server.key(3)];
    let mut out = Vec::new();
    server.connection.reset(one, ErrorCode::INTERNAL_ERROR);
    server.connection.reset(one, ErrorCode::INTERNAL_ERROR);
    assert_eq!(server.sent().len(), 1);
    let head = response(ResponseBody::Stream);
    assert!(
        server
            .connection
            .send_head(one, &head, false, &mut out)
            .is_err()
    );
    server
        .connection
        .send_head(three, &head, false, &mut out)
        .unwrap();
    server.receive(reset(3, ErrorCode::CANCEL));
    assert!(
        server
            .connection
            .send_data(three, b"x", true, &mut out)
            .is_err()
    );
    server.connection.set_pending(three, true);
    assert_eq!(
        (
            server.connection.capacity(three),
            server.connection.next_pending()
        ),
        (0, None)
    );
    server.connection.remove(three);
    assert!(
        server
            .connection
            .send_data(three, b"x", true, &mut out)
            .is_err()
    );
    assert!(server.connection.get(three).is_none() && server.sent().is_empty());
}

#[test]
fn responses_without_a_priority_share_the_connection() {
    let mut server = Server::new();
    let mut explicit = GET.to_vec();
    explicit.push(("priority", "u=3"));
    let bytes = [get(1), get(3), get(5), headers(7, END_STREAM, &explicit)];
    server.receive(bytes.concat());
    for id in [1, 3, 5, 7] {
        let key = server.key(id);
        server.connection.set_pending(key, true);
    }
    let mut next = || server.connection.next_pending().map(|key| key.id());
    let order: Vec<_> = std::iter::repeat_with(|| next().unwrap()).take(6).collect();
    // The last one is sent completely once it is first.
    assert_eq!(order, [1, 3, 5, 7, 7, 7]);
}

#[test]
fn priorities_of_requests_determine_the_order() {
    let mut server = Server::new();
    let with = |id, priority| {
        let mut fields = GET.to_vec();
        fields.push(("priority", priority));
        headers(id, END_STREAM, &fields)
    };
    let early = [&7u32.to_be_bytes()[..], b"u=0"].concat();
    let bytes = [
        with(1, "u=5"),
        with(3, "u=1"),
        get(5),
        frame(PRIORITY_UPDATE, 0, 0, &early),
        with(7, "u=6"),
    ];
    assert_eq!(server.receive(bytes.concat()).len(), 4);
    for id in [1, 3, 5, 7] {
        let key = server.key(id);
        server.connection.set_pending(key, true);
    }
    let update = [&1u32.to_be_bytes()[..], b"u=2"].concat();
    assert_eq!(server.receive(frame(PRIORITY_UPDATE, 0, 0, &update)), []);
    for id in [7, 3, 1, 5] {
        let key = server.connection.next_pending().unwrap();
        assert_eq!(key.id(), id);
        server.connection.set_pending(key, false);
    }
}
