//! Streams of lines, frames and values.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use support::{Log, pair, run_until, send, text, turn};
use uptick_emitter::Emitter;
use uptick_stream::decode::{
    Decoder, DelimiterDecoder, JsonDecoder, LengthPrefix, LengthPrefixDecoder, LineDecoder,
};
use uptick_stream::{
    DecodedStream, DelimiterStream, Error, JsonStream, LengthPrefixStream, LineStream,
    ThroughStream,
};

fn listen<D: Decoder<Item = Bytes>>(stream: DecodedStream<D>) -> Log {
    let log = Log::default();
    let data = log.clone();
    stream.on("data", move |item: Bytes| {
        data.note(String::from_utf8_lossy(&item))
    });
    listen_without_data(&log, stream);
    log
}

fn listen_without_data<D: Decoder>(log: &Log, stream: DecodedStream<D>) {
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    let log = log.clone();
    stream.on("error", move |error: Error| log.note(error.to_string()));
}

#[test]
fn a_line_in_two_packets_is_one_line() {
    let (conn, mut peer) = pair();
    let log = listen(LineStream::new(conn));
    send(&mut peer, "ex");
    turn();
    assert_eq!(log.take(), "");
    send(&mut peer, "it\nan");
    turn();
    assert_eq!(log.take(), "exit");
    send(&mut peer, "d\r\n\nlast");
    drop(peer);
    turn();
    assert_eq!(log.take(), "and,,last,end,close");
}

#[test]
fn a_carriage_return_is_kept_if_the_option_is_on() {
    let input = ThroughStream::new();
    let decoder = LineDecoder::new().keep_carriage_return(true);
    let log = listen(DecodedStream::with_decoder(input, decoder));
    input.end_with("a\r\nb\n");
    assert_eq!(log.take(), "a\r,b,end,close");
}

#[test]
fn a_line_within_a_chunk_is_not_copied() {
    let input = ThroughStream::new();
    let lines = LineStream::new(input);
    let chunk = Bytes::from(b"one\ntwo\nthr".to_vec());
    let range = chunk.as_ptr_range();
    let seen = Rc::new(RefCell::new(0));
    let count = Rc::clone(&seen);
    lines.on("data", move |line: Bytes| {
        assert!(range.contains(&line.as_ptr()));
        *count.borrow_mut() += 1;
    });
    input.write(chunk);
    assert_eq!(*seen.borrow(), 2);
}

#[test]
fn a_line_over_the_limit_is_an_error_that_names_the_limit() {
    let (conn, mut peer) = pair();
    let decoder = LineDecoder::new().max_length(5);
    let log = listen(DecodedStream::with_decoder(conn, decoder));
    send(&mut peer, "12345\r\n123456");
    turn();
    // The last byte may have been a `\r`.
    assert_eq!(log.take(), "12345");
    send(&mut peer, "7");
    turn();
    assert_eq!(
        log.take(),
        "decoding failed: a frame has at least 6 bytes, the limit is 5 (EMSGSIZE),close"
    );
    assert!(!conn.is_open());
}

#[test]
fn a_line_is_limited_to_64_kib_by_default() {
    for (length, accepted) in [(65_536, true), (65_537, false)] {
        let input = ThroughStream::new();
        let lines = LineStream::new(input);
        let log = listen(lines);
        input.write("x".repeat(length));
        input.write("\n");
        assert_eq!(lines.is_open(), accepted);
        assert_eq!(log.take().contains("EMSGSIZE"), !accepted);
    }
}

#[test]
fn data_written_in_the_error_listener_reaches_the_peer() {
    let (conn, mut peer) = pair();
    let lines = DecodedStream::with_decoder(conn, LineDecoder::new().max_length(3));
    lines.on("data", |_: Bytes| ());
    lines.on("error", move |_: Error| conn.end_with("line too long\n"));
    send(&mut peer, "too long");
    turn();
    assert_eq!(text(&mut peer), "line too long\n");
    assert!(!lines.is_open());
    drop(peer);
    turn();
    assert!(!conn.is_open());
}

#[test]
fn lines_after_the_end_of_the_connection_are_discarded() {
    let (conn, mut peer) = pair();
    let lines = LineStream::new(conn);
    let log = listen(lines);
    lines.on("data", move |line: Bytes| {
        if line == "exit" {
            conn.end();
        }
    });
    send(&mut peer, "one\nexit\ndiscarded\n");
    turn();
    assert_eq!(log.take(), "one,exit");
    drop(peer);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn pause_stops_between_two_lines_of_a_chunk_and_pauses_the_source() {
    let (conn, mut peer) = pair();
    let lines = LineStream::new(conn);
    let log = listen(lines);
    lines.on("data", move |_: Bytes| lines.pause());
    send(&mut peer, "1\n2\n3");
    turn();
    send(&mut peer, "\n4");
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turn();
    for expected in ["1", "2", "3", "4", "end,close"] {
        assert_eq!(log.take(), expected);
        turn();
        assert_eq!(log.take(), "", "an item was emitted while paused");
        lines.resume();
        assert_eq!(log.take(), "", "resume emits nothing before it returns");
        turn();
    }
}

#[test]
fn a_slow_destination_pauses_the_source() {
    let input = ThroughStream::new();
    let slow = ThroughStream::new();
    slow.pause();
    LineStream::new(input).pipe(slow);
    let mut lines = String::new();
    for number in 0..1000 {
        writeln!(lines, "{number}").unwrap();
    }
    assert!(input.write(lines), "the first chunk is decoded");
    assert!(!input.write("more\n"), "the source is paused");
    assert_eq!(slow.buffered(), 1, "only one line is written");
    let received = Rc::<RefCell<Vec<u8>>>::default();
    let all = Rc::clone(&received);
    slow.on("data", move |line: Bytes| {
        all.borrow_mut().extend_from_slice(&line);
    });
    slow.resume();
    input.end();
    run_until(|| !slow.is_open());
    let expected: String = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(*received.borrow(), format!("{expected}more").as_bytes());
}

#[test]
fn no_data_is_read_without_a_listener() {
    let (conn, mut peer) = pair();
    let lines = LineStream::new(conn);
    send(&mut peer, "hello\n");
    turn();
    assert_eq!(conn.bytes_read(), 0);
    let log = listen(lines);
    turn();
    assert_eq!(log.take(), "hello");
}

#[test]
fn an_error_of_the_source_follows_its_data() {
    let input = ThroughStream::with(|chunk| {
        if chunk == "fail" {
            return Err("on purpose".into());
        }
        Ok(chunk)
    });
    let lines = LineStream::new(input);
    let log = listen(lines);
    let pause = lines.on("data", move |_: Bytes| lines.pause());
    input.write("a\nb\nc");
    input.write("fail");
    assert_eq!(log.take(), "a");
    lines.off(pause);
    lines.resume();
    turn();
    assert_eq!(log.take(), "b,transforming failed: on purpose,close");
}

#[test]
fn closing_the_decoded_stream_closes_the_source() {
    let (conn, mut peer) = pair();
    let lines = LineStream::new(conn);
    let log = listen(lines);
    lines.on("data", move |_: Bytes| lines.close());
    send(&mut peer, "1\n2\n");
    turn();
    assert_eq!(log.take(), "1,close");
    assert!(!conn.is_open() && !lines.is_open() && !lines.is_readable());
}

#[test]
fn a_panic_in_a_listener_is_an_error_of_the_decoded_stream() {
    let (conn, mut peer) = pair();
    let lines = LineStream::new(conn);
    lines.on("data", |_: Bytes| panic!("oops"));
    let log = Log::default();
    listen_without_data(&log, lines);
    send(&mut peer, "x\n");
    turn();
    assert_eq!(log.take(), "a callback panicked: oops,close");
    assert!(!conn.is_open());
}

#[test]
fn frames_are_split_at_a_delimiter_of_several_bytes() {
    let input = ThroughStream::new();
    let log = listen(DelimiterStream::new(input, "--"));
    input.write("a-b-");
    input.write("-c---");
    input.write("-d");
    input.end();
    assert_eq!(log.take(), "a-b,c,,d,end,close");
}

#[test]
fn an_empty_delimiter_never_matches() {
    let input = ThroughStream::new();
    let log = listen(DelimiterStream::new(input, ""));
    input.write("a");
    input.end_with("b");
    assert_eq!(log.take(), "ab,end,close");
}

#[test]
fn length_prefixes_have_five_encodings() {
    for (prefix, encoded) in [
        (LengthPrefix::U8, &b"\x02hi"[..]),
        (LengthPrefix::U16, b"\0\x02hi"),
        (LengthPrefix::U16Le, b"\x02\0hi"),
        (LengthPrefix::U32, b"\0\0\0\x02hi"),
        (LengthPrefix::U32Le, b"\x02\0\0\0hi"),
    ] {
        assert_eq!(prefix.encode(b"hi").unwrap(), encoded);
        let input = ThroughStream::new();
        let log = listen(LengthPrefixStream::new(input, prefix));
        input.write(encoded);
        let empty = prefix.encode(b"").unwrap();
        input.end_with(empty);
        assert_eq!(log.take(), "hi,,end,close");
    }
    assert_eq!(LengthPrefix::U8.encode(&[0; 256]), None);
    assert_eq!(LengthPrefix::U16Le.encode(&[0; 65_536]), None);
}

#[test]
fn an_oversized_or_truncated_frame_is_an_error() {
    let input = ThroughStream::new();
    let log = listen(LengthPrefixStream::new(input, LengthPrefix::U32));
    input.write(b"\xff\xff\xff\xff");
    assert_eq!(
        log.take(),
        "decoding failed: a frame has at least 4294967295 bytes, the limit is 65536 (EMSGSIZE),close"
    );
    for (sent, missing) in [(&b"\0"[..], 1), (b"\0\x05abc", 2)] {
        let input = ThroughStream::new();
        let log = listen(LengthPrefixStream::new(input, LengthPrefix::U16));
        input.end_with(sent);
        assert_eq!(
            log.take(),
            format!(
                "decoding failed: the input ended within a frame, {missing} bytes are missing,close"
            )
        );
    }
}

#[test]
fn values_are_decoded_from_lines_of_json() {
    let input = ThroughStream::new();
    let points = JsonStream::<(i32, i32)>::new(input);
    let log = Log::default();
    let data = log.clone();
    points.on(JsonStream::DATA, move |(x, y)| {
        data.note(format!("{x}/{y}"))
    });
    listen_without_data(&log, points);
    input.write("[1,2]\r\n \n[3");
    input.write(",4]\nnull\n[5,6]\n");
    let events = log.take();
    assert!(
        events.starts_with("1/2,3/4,decoding failed: invalid type: null"),
        "{events}"
    );
    assert!(events.ends_with(",close"), "{events}");

    let input = ThroughStream::new();
    let values = JsonStream::<serde_json::Value>::new(input);
    let log = Log::default();
    let data = log.clone();
    values.on("data", move |value: serde_json::Value| {
        data.note(value["name"].as_str().unwrap())
    });
    listen_without_data(&log, values);
    input.end_with(r#"{"name": "Ann"}"#);
    assert_eq!(log.take(), "Ann,end,close");
}

#[test]
fn decoded_streams_can_be_nested() {
    let input = ThroughStream::new();
    let log = listen(LineStream::new(LengthPrefixStream::new(
        input,
        LengthPrefix::U8,
    )));
    input.write(b"\x02on\x04e\ntw");
    input.end_with(b"\x02o\n");
    assert_eq!(log.take(), "one,two,end,close");
}

/// Decodes `input` in the given pieces; returns the items, and whether the decoder failed.
fn decode<D: Decoder>(decoder: &mut D, pieces: &[Bytes]) -> (Vec<D::Item>, bool) {
    let mut items = Vec::new();
    for piece in pieces {
        let mut input = piece.clone();
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(item)) => items.push(item),
                Ok(None) => break assert!(input.is_empty()),
                Err(_) => return (items, true),
            }
        }
    }
    loop {
        match decoder.finish() {
            Ok(Some(item)) => items.push(item),
            Ok(None) => return (items, false),
            Err(_) => return (items, true),
        }
    }
}

fn pieces(input: &[u8], cuts: &[usize]) -> Vec<Bytes> {
    let mut rest = Bytes::copy_from_slice(input);
    let mut pieces = Vec::new();
    for cut in cuts {
        pieces.push(rest.split_to(cut % (rest.len() + 1)));
    }
    pieces.push(rest);
    pieces
}

/// Returns the expected values, computed in the simplest way.
fn split(input: &[u8], delimiter: &[u8], limit: usize, strip: bool) -> (Vec<Bytes>, bool) {
    let (mut items, mut frame) = (Vec::new(), BytesMut::new());
    for byte in input {
        frame.extend_from_slice(&[*byte]);
        if frame.ends_with(delimiter) {
            frame.truncate(frame.len() - delimiter.len());
            if strip && frame.ends_with(b"\r") {
                frame.truncate(frame.len() - 1);
            }
            if frame.len() > limit {
                return (items, true);
            }
            items.push(frame.split().freeze());
        }
    }
    let too_long = frame.len() > limit;
    if !frame.is_empty() && !too_long {
        items.push(frame.freeze());
    }
    (items, too_long)
}

proptest! {
    #[test]
    fn every_split_yields_the_same_lines(
        input in "[ab\r\n]{0,60}", cuts in prop::collection::vec(0_usize..9, 0..20), limit in 0_usize..12, keep: bool,
    ) {
        let decoder = LineDecoder::new().max_length(limit).keep_carriage_return(keep);
        let expected = split(input.as_bytes(), b"\n", limit, !keep);
        prop_assert_eq!(decode(&mut decoder.clone(), &pieces(input.as_bytes(), &cuts)), expected);
    }

    #[test]
    fn every_split_yields_the_same_frames(
        input in "[-ab]{0,60}", delimiter in "-{1,3}|-a-|ab", cuts in prop::collection::vec(0_usize..9, 0..20), limit in 0_usize..12,
    ) {
        let decoder = DelimiterDecoder::new(&delimiter).max_length(limit);
        let expected = split(input.as_bytes(), delimiter.as_bytes(), limit, false);
        prop_assert_eq!(decode(&mut decoder.clone(), &pieces(input.as_bytes(), &cuts)), expected);
    }

    #[test]
    fn every_split_yields_the_encoded_frames(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        cuts in prop::collection::vec(0_usize..30, 0..20),
        prefix in prop::sample::select(vec![LengthPrefix::U8, LengthPrefix::U16, LengthPrefix::U16Le, LengthPrefix::U32, LengthPrefix::U32Le]),
    ) {
        let encoded: Vec<u8> = frames.iter().flat_map(|frame| prefix.encode(frame).unwrap()).collect();
        let mut decoder = LengthPrefixDecoder::new(prefix).max_length(40);
        let (decoded, failed) = decode(&mut decoder, &pieces(&encoded, &cuts));
        prop_assert!(!failed);
        prop_assert_eq!(decoded, frames);
    }

    #[test]
    fn every_split_yields_the_same_values(
        numbers in prop::collection::vec(any::<i64>(), 0..10), cuts in prop::collection::vec(0_usize..30, 0..20),
    ) {
        let mut text = String::new();
        for number in &numbers {
            writeln!(text, " {number}\n").unwrap();
        }
        let mut decoder = JsonDecoder::<i64>::new();
        prop_assert_eq!(decode(&mut decoder, &pieces(text.as_bytes(), &cuts)), (numbers, false));
    }

    #[test]
    fn every_split_and_pause_yields_the_same_items(
        input in "[ab\n]{0,80}", steps in prop::collection::vec((0_usize..9, 0_u8..4), 0..30),
    ) {
        let source = ThroughStream::new();
        let lines = LineStream::new(source);
        let received = Rc::<RefCell<Vec<Bytes>>>::default();
        let all = Rc::clone(&received);
        lines.on("data", move |line: Bytes| all.borrow_mut().push(line));
        let mut rest = Bytes::copy_from_slice(input.as_bytes());
        for (cut, step) in steps {
            match step {
                0 => lines.pause(),
                1 => lines.resume(),
                2 => turn(),
                _ => {
                    source.write(rest.split_to(cut % (rest.len() + 1)));
                }
            }
        }
        source.end_with(rest);
        lines.resume();
        run_until(|| !lines.is_open());
        prop_assert_eq!(&*received.borrow(), &split(input.as_bytes(), b"\n", 100, true).0);
    }
}
