//! Properties of the connection for any input.

use proptest::prelude::*;
use uptick_http::h2::{ErrorCode, Limits, ResponseBody};

use crate::support::*;

/// Returns frames of all types, most of them valid.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0u32), (0u32..12).prop_map(|id| 2 * id + 1), 0u32..12];
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    let flags = prop_oneof![Just(0u8), Just(END_STREAM), Just(END_HEADERS), any::<u8>()];
    prop_oneof![
        4 => (0u32..12).prop_map(|id| get(2 * id + 1)),
        4 => (0u32..12).prop_map(|id| post(2 * id + 1)),
        2 => (0u32..12).prop_map(|id| headers(2 * id + 1, END_STREAM, &[("a", "b")])),
        4 => (0u32..12, flags.clone(), payload.clone())
            .prop_map(|(id, flags, payload)| frame(DATA, flags & END_STREAM, 2 * id + 1, &payload)),
        2 => (0u32..12, payload.clone()).prop_map(|(id, mut payload)| {
            payload.insert(0, (payload.len() / 2) as u8);
            frame(DATA, PADDED, 2 * id + 1, &payload)
        }),
        1 => (0u32..12).prop_map(|id| {
            let block = block(&GET);
            let (start, end) = block.split_at(5);
            [
                frame(HEADERS, END_STREAM, 2 * id + 1, start),
                frame(CONTINUATION, END_HEADERS, 2 * id + 1, end),
            ]
            .concat()
        }),
        1 => (0u32..12).prop_map(|id| reset(2 * id + 1, ErrorCode::CANCEL)),
        1 => (stream.clone(), 0u32..1000).prop_map(|(id, by)| window_update(id, by)),
        1 => (1u16..10, 0u32..3).prop_map(|(id, value)| frame(SETTINGS, 0, 0, &setting(id, value))),
        1 => any::<[u8; 8]>().prop_map(|payload| frame(PING, 0, 0, &payload)),
        1 => (0u8..12, flags, stream, payload)
            .prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload)),
    ]
}

/// Joins the pieces of a body, which depend on how the input was split.
fn joined(seen: Vec<Seen>) -> Vec<Seen> {
    let mut joined: Vec<Seen> = Vec::new();
    for next in seen {
        match (joined.last_mut(), &next) {
            (Some(Seen::Data(id, bytes, end)), Seen::Data(next_id, more, next_end))
                if id == next_id && !*end =>
            {
                bytes.extend_from_slice(more);
                *end = *next_end;
            }
            _ => joined.push(next),
        }
    }
    joined
}

/// Receives pieces that end at these offsets, and answers after each event as a program does.
fn run(bytes: &[u8], ends: &[usize]) -> (Vec<Seen>, Vec<Sent>) {
    let mut server = Server::fresh(&Limits::default());
    let mut seen = Vec::new();
    let mut start = 0;
    for &end in ends.iter().chain([&bytes.len()]) {
        seen.extend(server.receive(&bytes[start..end]));
        start = end;
    }
    (joined(seen), server.sent())
}

proptest! {
    #[test]
    fn events_do_not_depend_on_how_the_input_is_split(
        sent in prop::collection::vec(any_frame(), 0..20),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let start = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        let bytes = [start, sent.concat()].concat();
        let whole = run(&bytes, &[]);
        let bytewise: Vec<_> = (1..bytes.len()).collect();
        let mut ends: Vec<_> = splits.iter().map(|index| index.index(bytes.len())).collect();
        ends.sort_unstable();
        prop_assert_eq!(&whole, &run(&bytes, &bytewise));
        prop_assert_eq!(&whole, &run(&bytes, &ends));
    }

    #[test]
    fn any_bytes_are_received_with_bounded_output(
        bytes in prop::collection::vec(any::<u8>(), 0..2000),
        with_start in any::<bool>(),
    ) {
        let mut server = match with_start {
            true => Server::new(),
            false => Server::fresh(&Limits::default()),
        };
        server.sent();
        for piece in bytes.chunks(97) {
            server.receive(piece);
        }
        prop_assert!(server.connection.control_len() <= 2 * bytes.len() + 128);
    }

    #[test]
    fn any_frames_are_received_with_bounded_output_and_streams(
        sent in prop::collection::vec(any_frame(), 0..200),
    ) {
        let mut server = Server::with(&Limits::default().concurrent_streams(4));
        let bytes = sent.concat();
        server.receive(&bytes);
        prop_assert!(server.connection.len() <= 4);
        prop_assert!(server.connection.control_len() <= 2 * bytes.len() + 128);
        let keys: Vec<_> = server.connection.keys().collect();
        for key in keys {
            let mut out = Vec::new();
            if server.connection.send_head(key, &response(ResponseBody::Bytes(2)), false, &mut out) == Ok(true)
                && server.connection.capacity(key) >= 2
            {
                prop_assert_eq!(server.connection.send_data(key, b"ab", true, &mut out), Ok(()));
            }
            server.connection.remove(key);
        }
        prop_assert!(server.connection.is_empty() && server.connection.next_pending().is_none());
    }
}
