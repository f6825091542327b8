use proptest::collection::vec;
use proptest::prelude::*;
use uptick_http::ServerEvent;

use super::*;

type Parsed = (Vec<MessageEvent>, Option<EventParserError>);

fn parse_with<'a>(parser: &mut EventParser, pieces: impl IntoIterator<Item = &'a [u8]>) -> Parsed {
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece.to_vec());
        loop {
            match parser.next() {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// Returns the names, ids and data of the events of a stream.
fn parsed(stream: impl AsRef<[u8]>) -> Vec<[String; 3]> {
    let (events, error) = parse_with(&mut EventParser::new(), [stream.as_ref()]);
    assert_eq!(error, None);
    events
        .into_iter()
        .map(|event| {
            [
                event.event.to_string(),
                event.last_event_id.to_string(),
                event.data,
            ]
        })
        .collect()
}

#[test]
fn the_examples_of_the_standard_are_parsed() {
    assert_eq!(
        parsed("data: YHOO\ndata: +2\ndata: 10\n\n"),
        [["message", "", "YHOO\n+2\n10"]]
    );
    let stream = ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
    assert_eq!(
        parsed(stream),
        [
            ["message", "1", "first event"],
            ["message", "", "second event"],
            ["message", "", " third event"],
        ]
    );
    // The last block is not followed by an empty line.
    assert_eq!(
        parsed("data\n\ndata\ndata\n\ndata:"),
        [["message", "", ""], ["message", "", "\n"]]
    );
    assert_eq!(
        parsed("data:test\n\ndata: test\n\n"),
        [["message", "", "test"], ["message", "", "test"]]
    );
}

#[test]
fn lines_end_with_cr_lf_or_crlf() {
    for end in ["\r", "\n", "\r\n"] {
        let stream = format!("event: a{end}data: b{end}data: c{end}{end}data: d{end}{end}");
        assert_eq!(
            parsed(stream),
            [["a", "", "b\nc"], ["message", "", "d"]],
            "{end:?}"
        );
    }
    // LF after CR belongs to it, CR after LF is another line end.
    assert_eq!(parsed("data: a\n\rdata: b\r\n\n").len(), 2);
}

#[test]
fn one_byte_order_mark_at_the_start_is_ignored() {
    assert_eq!(parsed("\u{feff}data: a\n\n"), [["message", "", "a"]]);
    assert!(parsed("\u{feff}\u{feff}data: a\n\n").is_empty());
    assert!(parsed("\n\u{feff}data: a\n\n").is_empty());
}

#[test]
fn comments_and_unknown_fields_are_ignored() {
    let stream = ": ping\ndata: a\n:\nDATA: b\n data: c\ndata : d\nother: e\n\n:\n\n";
    assert_eq!(parsed(stream), [["message", "", "a"]]);
}

#[test]
fn an_id_counts_without_data_and_not_with_a_nul() {
    let mut parser = EventParser::new();
    let (events, _) = parse_with(&mut parser, [&b"id: 1\n\nid: 2\0\ndata: a\n\nid: 3\n"[..]]);
    assert_eq!(&*events[0].last_event_id, "1");
    // The event with id 3 is not complete.
    assert_eq!(parser.last_event_id(), "1");
    parser.push(&b"\n"[..]);
    assert_eq!(parser.next(), Ok(None));
    assert_eq!(parser.last_event_id(), "3");
}

#[test]
fn an_event_without_data_does_not_name_the_next_one() {
    assert_eq!(
        parsed("event: a\n\ndata: b\n\nevent\ndata: c\n\n"),
        [["message", "", "b"], ["message", "", "c"]]
    );
}

#[test]
fn the_reconnection_time_consists_of_digits() {
    let mut parser = EventParser::new();
    let mut retry = |stream: &str| {
        parse_with(&mut parser, [stream.as_bytes()]);
        parser.retry()
    };
    assert_eq!(retry("retry: +5\nretry: 1.5\nretry\nretry: 5 \n"), None);
    // It takes effect before the end of the event.
    assert_eq!(retry("retry: 1500\n"), Some(Duration::from_millis(1500)));
    assert_eq!(retry("retry: x\n\n"), Some(Duration::from_millis(1500)));
    let largest = Duration::from_millis(u64::MAX);
    assert_eq!(retry("retry: 99999999999999999999\n"), Some(largest));
}

#[test]
fn invalid_utf_8_is_replaced() {
    assert_eq!(
        parsed(b"data: a\xffb\xe2\x82\n\n"),
        [["message", "", "a\u{fffd}b\u{fffd}"]]
    );
}

#[test]
fn a_new_stream_keeps_the_id_and_the_reconnection_time() {
    let mut parser = EventParser::new();
    parser.restart("http://a");
    parse_with(
        &mut parser,
        [&b"id: 7\nretry: 10\ndata: a\n\nevent: b\nid: 8\ndata: lost\nda"[..]],
    );
    parser.restart("http://b");
    let (events, _) = parse_with(&mut parser, [&b"\xef\xbb\xbfdata: c\n\n"[..]]);
    assert_eq!((&*events[0].event, &*events[0].data), ("message", "c"));
    assert_eq!(
        (&*events[0].last_event_id, &*events[0].origin),
        ("7", "http://b")
    );
    assert_eq!(parser.retry(), Some(Duration::from_millis(10)));
    parser.set_last_event_id("9");
    assert_eq!(parser.last_event_id(), "9");
}

#[test]
fn lines_and_events_are_limited() {
    let limits = EventLimits::new().with_line(10).with_event(8);
    let parse = |stream: &str| {
        let mut parser = EventParser::with_limits(limits);
        let parsed = parse_with(&mut parser, [stream.as_bytes()]);
        if let Some(error) = parsed.1 {
            parser.push(&b"data: a\n\n"[..]);
            assert_eq!(parser.next(), Err(error));
        }
        (parsed.0.len(), parsed.1)
    };
    let line = Some(EventParserError::LineTooLong { limit: 10 });
    let event = Some(EventParserError::EventTooLarge { limit: 8 });
    assert_eq!(parse(":123456789\ndata: 1234\n\n"), (1, None));
    assert_eq!(parse(":1234567890\n"), (0, line));
    // A line is too long before its end has arrived.
    assert_eq!(parse("data: a\n\n:1234567890"), (1, line));
    assert_eq!(parse("data: 1234\ndata: 567\n\n"), (1, None));
    assert_eq!(parse("data: 1234\ndata: 5678\n"), (0, event));
}

/// The algorithm of the standard for a whole stream.
fn reference(stream: &[u8]) -> Vec<[String; 3]> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut data, mut event, mut id) = (String::new(), String::new(), String::new());
    let mut events = Vec::new();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() {
                data.pop();
                let name = match event.is_empty() {
                    true => "message".to_owned(),
                    false => event.clone(),
                };
                events.push([name, id.clone(), data.clone()]);
            }
            data.clear();
            event.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data += &format!("{value}\n"),
            "event" => event = value.to_owned(),
            "id" if !value.contains('\0') => id = value.to_owned(),
            _ => {}
        }
    }
    events
}

/// Streams made of parts of the syntax, and of any bytes.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let part = proptest::sample::select(vec![
        &b"data"[..],
        b"data: ",
        b"event:",
        b"id: ",
        b"retry: 12",
        b":",
        b" ",
        b"\r",
        b"\n",
        b"\n\n",
        b"\r\n",
        b"\xef\xbb\xbf",
        b"\xe2\x82",
        b"\0",
        b"text",
    ]);
    let parts = vec(part.prop_map(<[u8]>::to_vec), 0..60).prop_map(|parts| parts.concat());
    prop_oneof![4 => parts, 1 => vec(any::<u8>(), 0..200)]
}

/// Text without the characters that a name or an id cannot have.
fn name() -> impl Strategy<Value = String> {
    "[^\r\n\0]{1,10}"
}

proptest! {
    #[test]
    fn the_events_do_not_depend_on_the_split(stream in stream(), size in 1..9_usize) {
        let limits = EventLimits::new().with_line(40).with_event(60);
        let parse = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut parser = EventParser::with_limits(limits);
            let parsed = parse_with(&mut parser, pieces);
            (parsed, parser.last_event_id().to_owned(), parser.retry())
        };
        let whole = parse(&mut std::iter::once(&stream[..]));
        prop_assert_eq!(parse(&mut stream.chunks(size)), whole);
    }

    #[test]
    fn events_are_those_of_the_standard(stream in stream()) {
        prop_assert_eq!(parsed(&stream), reference(&stream));
    }

    #[test]
    fn sent_events_are_received(
        events in vec(("\\PC{0,20}|(\r|\n|\r\n|a)*", proptest::option::of(name()), proptest::option::of(name())), 0..5),
        size in 1..30_usize,
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        let mut last_id = String::new();
        for (data, name, id) in events {
            let mut event = ServerEvent::new(&*data);
            event = match &name {
                Some(name) => event.name(&**name),
                None => event,
            };
            if let Some(id) = id {
                event = event.id(&*id);
                last_id = id;
            }
            event.encode(&mut stream).unwrap();
            let data = data.replace("\r\n", "\n").replace('\r', "\n");
            expected.push([name.unwrap_or_else(|| "message".into()), last_id.clone(), data]);
        }
        let mut parser = EventParser::new();
        let (events, _) = parse_with(&mut parser, stream.chunks(size));
        let received = events.into_iter().map(|event| {
            [event.event.to_string(), event.last_event_id.to_string(), event.data]
        });
        prop_assert_eq!(received.collect::<Vec<_>>(), expected);
    }
}
