//! HTTP/2: events do not depend on how the bytes are split, there are none after an error, and the output and the number of streams are
//! bounded, whatever the program answers.
#![no_main]

use std::time::Duration;

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use uptick_http::h1::RequestHead;
use uptick_http::h2::{Connection, Event, Limits, ResponseBody, ResponseHead, StreamKey};

const STREAMS: u32 = 4;

/// The start of a client connection: the preface and SETTINGS.
const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Returns all events as text, with the pieces of each body joined, and the control frames.
fn receive<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limits: &Limits) -> (String, Vec<u8>) {
    let mut connection: Connection<()> = Connection::server(limits);
    let (mut head, mut found, mut control) = (RequestHead::default(), String::new(), Vec::new());
    let mut body: Option<(StreamKey, Vec<u8>)> = None;
    let mut received = 0;
    for piece in pieces {
        received += piece.len();
        let mut input = BytesMut::from(piece);
        while let Some(event) = connection.receive(&mut input, &mut head, Duration::ZERO) {
            assert!(!found.ends_with('!'), "{event:?} after {found}");
            match event {
                Event::Data { stream, bytes, end } => {
                    match &mut body {
                        Some((of, joined)) if *of == stream => joined.extend_from_slice(&bytes),
                        _ => {
                            found += &format!("{body:?}");
                            body = Some((stream, bytes.to_vec()));
                        }
                    }
                    if end {
                        found += &format!("{:?}.", body.take());
                    }
                }
                Event::Request { stream, end } => {
                    connection.accept(stream, ());
                    let fields: Vec<_> = head.fields().collect();
                    assert_eq!(fields.len(), head.to_header_map().len());
                    found += &format!("{:?}{head:?} {end}", body.take());
                }
                Event::Closed(error) => found += &format!("{:?}{error:?}!", body.take()),
                event => found += &format!("{:?}{event:?}", body.take()),
            }
            assert!(connection.len() <= STREAMS as usize);
        }
        assert!(input.is_empty() && connection.control_len() <= 256 + 2 * received);
    }
    connection.write_control(&mut control);
    (found + &format!("{body:?}"), control)
}

/// Answers each event at once, in one of several ways.
fn answer(bytes: &[u8], size: usize, limits: &Limits) {
    let mut connection: Connection<()> = Connection::server(limits);
    let (mut head, mut out) = (RequestHead::default(), Vec::new());
    for piece in bytes.chunks(size) {
        let mut input = BytesMut::from(piece);
        while let Some(event) = connection.receive(&mut input, &mut head, Duration::ZERO) {
            match event {
                Event::Request { stream, .. } | Event::TooLarge { stream, .. } => {
                    connection.accept(stream, ());
                    let (status, body) = match stream.id() % 8 {
                        1 => (200, ResponseBody::Bytes(3)),
                        3 => (404, ResponseBody::Stream),
                        5 => (304, ResponseBody::Empty),
                        _ => continue,
                    };
                    let response = ResponseHead {
                        status: http_status(status),
                        content_type: Some("text/plain"),
                        date: None,
                        fields: None,
                        body,
                        to_head: false,
                    };
                    match connection.send_head(stream, &response, false, &mut out) {
                        Ok(true) => connection.set_pending(stream, true),
                        _ => drop(connection.remove(stream)),
                    }
                }
                Event::Data { stream, bytes, .. } => connection.consumed(stream, bytes.len()),
                Event::Reset { stream, .. } => drop(connection.remove(stream)),
                _ => {}
            }
        }
        while let Some(stream) = connection.next_pending() {
            let count = connection.capacity(stream).min(3);
            assert!(count > 0);
            let end = count == 3;
            if connection.send_data(stream, &b"abc"[..count], end, &mut out).is_err() || end {
                connection.remove(stream);
            }
        }
        connection.write_control(&mut out);
        out.clear();
    }
    let keys: Vec<_> = connection.keys().collect();
    for key in keys {
        connection.remove(key);
    }
    assert!(connection.is_empty() && !connection.has_pending());
    connection.shrink();
}

fn http_status(status: u16) -> uptick_http::StatusCode {
    uptick_http::StatusCode::from_u16(status).expect("a status")
}

fuzz_target!(|input: (u8, bool, bool, &[u8])| {
    let (size, with_start, tight, bytes) = input;
    let mut limits = Limits::default().concurrent_streams(STREAMS);
    if tight {
        limits = limits
            .stream_window(1024)
            .connection_window(65_535)
            .continuation_frames(2)
            .header_table(64)
            .glitches(3, 1)
            .overhead(20, 1)
            .connect_protocol(true);
    }
    let start: &[u8] = if with_start { START } else { b"" };
    let bytes = [start, bytes].concat();
    let size = usize::from(size).max(1);
    let whole = receive([&bytes[..]], &limits);
    assert_eq!(receive(bytes.chunks(size), &limits), whole);
    assert_eq!(receive(bytes.chunks(1), &limits), whole);
    answer(&bytes, size, &limits);
});
