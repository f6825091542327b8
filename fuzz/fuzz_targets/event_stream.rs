//! Event streams: parsing does not depend on how the bytes are split, respects the limits, and does not panic. A parsed event is parsed
//! again after the server's encoder has written it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_http::ServerEvent;
use uptick_http_client::{EventLimits, EventParser, EventParserError, MessageEvent};

const LINE: usize = 100;
const EVENT: usize = 300;

/// Parses bytes in pieces; returns the events, and the error if there was one.
fn parse<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<MessageEvent>, Option<EventParserError>, EventParser) {
    let limits = EventLimits::new().with_line(LINE).with_event(EVENT);
    let mut parser = EventParser::with_limits(limits);
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece.to_vec());
        loop {
            match parser.next() {
                Ok(Some(event)) => {
                    assert!(event.data.len() <= EVENT);
                    // A replacement character is longer than the byte that it replaces.
                    assert!(event.event.len() <= 3 * LINE && event.last_event_id.len() <= 3 * LINE);
                    events.push(event);
                }
                Ok(None) => break,
                Err(error) => return (events, Some(error), parser),
            }
        }
    }
    (events, None, parser)
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = input;
    let (events, error, parser) = parse([&bytes[..]]);
    let split = parse(bytes.chunks(usize::from(size) + 1));
    assert_eq!(split.0, events);
    assert_eq!(split.1, error);
    assert_eq!(split.2.last_event_id(), parser.last_event_id());
    assert_eq!(split.2.retry(), parser.retry());

    let mut encoded = Vec::new();
    for event in &events {
        if event.event.contains('\0') {
            return;
        }
        let sent = ServerEvent::new(&*event.data).name(&*event.event);
        let sent = sent.id(&*event.last_event_id);
        assert_eq!(sent.encode(&mut encoded), Ok(()));
    }
    let mut parser = EventParser::new();
    parser.push(encoded);
    for event in &events {
        assert_eq!(parser.next().as_ref(), Ok(&Some(event.clone())));
    }
    assert_eq!(parser.next(), Ok(None));
});
