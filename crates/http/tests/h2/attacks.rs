//! Attacks: each costs the client less than the server, and has a limit.

use std::time::Duration;

use uptick_http::h2::hpack::{Encoder, Indexing};
use uptick_http::h2::{ErrorCode, Limits};

use crate::support::*;

const CALM: Seen = Seen::Closed(ErrorCode::ENHANCE_YOUR_CALM);

/// Sends the bytes made by `make` until the connection is closed, and returns the number of rounds before.
fn rounds(
    server: &mut Server,
    most: u32,
    mut make: impl FnMut(&mut Server, u32) -> Vec<u8>,
) -> u32 {
    for round in 0..most {
        let bytes = make(server, round);
        let seen = server.receive(bytes);
        if let Some(closed) = seen.iter().find(|seen| matches!(seen, Seen::Closed(_))) {
            assert_eq!(*closed, CALM);
            return round;
        }
        if server.connection.wants_input() {
            continue;
        }
        server.sent();
    }
    most
}

#[test]
fn rapid_reset() {
    let mut server = Server::with(&Limits::default());
    let count = rounds(&mut server, 5000, |server, round| {
        // The program cancels its work as fast as it can.
        for key in server.connection.keys().collect::<Vec<_>>() {
            server.connection.remove(key);
        }
        let id = 2 * round + 1;
        [get(id), reset(id, ErrorCode::CANCEL)].concat()
    });
    assert_eq!(count, 1000);
}

#[test]
fn rapid_reset_with_slow_handlers_is_limited_by_the_slots() {
    let mut server = Server::new();
    let mut started = 0;
    rounds(&mut server, 2000, |_, round| {
        started = started.max(round);
        let id = 2 * round + 1;
        [get(id), reset(id, ErrorCode::CANCEL)].concat()
    });
    // A stream that was reset is open until its handler has ended, so the number of handlers that run at the same time is limited.
    assert_eq!(server.connection.len(), 128);
}

#[test]
fn cancelled_requests_of_an_ordinary_client_are_not_an_attack() {
    let mut server = Server::new();
    let count = rounds(&mut server, 5000, |server, round| {
        server.now += Duration::from_millis(40);
        for key in server.connection.keys().collect::<Vec<_>>() {
            server.connection.remove(key);
        }
        let id = 2 * round + 1;
        [get(id), reset(id, ErrorCode::CANCEL)].concat()
    });
    assert_eq!(count, 5000);
}

#[test]
fn made_you_reset() {
    // Every way to make the server reset a stream.
    let causes: [fn(u32) -> Vec<u8>; 5] = [
        |id| window_update(id, 0),
        |id| window_update(id, 0x7fff_ffff),
        |id| frame(DATA, 0, id, b"x"),
        |id| frame(PRIORITY, 0, id, &[&id.to_be_bytes()[..], &[0]].concat()),
        get,
    ];
    for cause in causes {
        let mut server = Server::new();
        let count = rounds(&mut server, 5000, |server, round| {
            for key in server.connection.keys().collect::<Vec<_>>() {
                server.connection.remove(key);
            }
            server.sent();
            let id = 2 * round + 1;
            [get(id), cause(id)].concat()
        });
        assert_eq!(count, 1000);
    }
}

#[test]
fn malformed_requests_and_refused_streams() {
    let mut server = Server::new();
    let count = rounds(&mut server, 5000, |_, round| {
        headers(2 * round + 1, END_STREAM, &GET[1..])
    });
    assert_eq!(count, 1000);
    let mut server = Server::new();
    let count = rounds(&mut server, 5000, |_, round| get(2 * round + 1));
    assert_eq!(count, 1128);
}

#[test]
fn resets_by_the_program_because_of_the_peer() {
    let mut server = Server::new();
    let count = rounds(&mut server, 5000, |server, round| {
        for key in server.connection.keys().collect::<Vec<_>>() {
            server.connection.reset(key, ErrorCode::ENHANCE_YOUR_CALM);
            server.connection.remove(key);
        }
        post(2 * round + 1)
    });
    assert_eq!(count, 1001);
}

#[test]
fn continuation_flood() {
    for payload in [&b""[..], b"\x82"] {
        let mut server = Server::new();
        assert_eq!(server.receive(frame(HEADERS, END_STREAM, 1, payload)), []);
        let count = rounds(&mut server, 100, |_, _| frame(CONTINUATION, 0, 1, payload));
        assert_eq!(count, 8);
    }
    // The size is limited before the number, if frames are large.
    let mut server = Server::with(&Limits::default().frame_size(1 << 20));
    assert_eq!(server.receive(frame(HEADERS, END_STREAM, 1, b"")), []);
    let count = rounds(&mut server, 100, |_, _| {
        frame(CONTINUATION, 0, 1, &[0; 100_000])
    });
    assert_eq!(count, 1);
}

/// Returns a header block that adds a field to the table and then repeats it with one byte each.
fn bomb(name: &str, value: &str, repetitions: usize) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let mut block = block(&GET);
    let (name, value) = (name.as_bytes(), value.as_bytes());
    encoder.field(name, value, Indexing::Add, &mut block);
    block.extend(std::iter::repeat_n(0xbe, repetitions));
    block
}

#[test]
fn hpack_bomb_of_indexed_fields() {
    // 4,000 bytes of memory for each byte received.
    for value in ["", &"x".repeat(4000)] {
        let mut server = Server::new();
        let block = bomb("x-bomb", value, 16_000);
        let seen = server.receive(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block[..16_000],
        ));
        assert_eq!(seen, [Seen::TooLarge(1, 431)]);
        assert!(server.head.as_bytes().len() < 64 * 1024);
    }
}

#[test]
fn hpack_bomb_of_cookie_parts() {
    for value in ["a", &"x".repeat(4000)] {
        let mut server = Server::new();
        let block = bomb("cookie", value, 16_000);
        let seen = server.receive(frame(
            HEADERS,
            END_HEADERS | END_STREAM,
            1,
            &block[..16_000],
        ));
        assert_eq!(seen, [Seen::TooLarge(1, 431)]);
        assert!(server.head.as_bytes().len() < 64 * 1024);
    }
    // The cookies of a browser are accepted.
    let mut server = Server::new();
    let block = bomb("cookie", "name=value", 99);
    let seen = server.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let Seen::Request(1, text, true) = &seen[0] else {
        panic!("{seen:?}")
    };
    assert_eq!(text.matches("name=value").count(), 100);
    assert_eq!(text.matches("cookie").count(), 1);
}

#[test]
fn hpack_bomb_of_trailers() {
    let mut server = Server::new();
    assert_eq!(server.receive(post(1)).len(), 1);
    let mut block = Vec::new();
    Encoder::new().field(b"x-bomb", &[b'x'; 4000], Indexing::Add, &mut block);
    block.extend(std::iter::repeat_n(0xbe, 10_000));
    let seen = server.receive(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    assert_eq!(seen, [Seen::Reset(1, ErrorCode::PROTOCOL_ERROR)]);
}

#[test]
fn empty_data() {
    for empty in [frame(DATA, 0, 1, b""), frame(DATA, PADDED, 1, &[0; 1])] {
        let mut server = Server::new();
        server.receive(post(1));
        assert_eq!(rounds(&mut server, 5000, |_, _| empty.clone()), 1000);
    }
}

#[test]
fn tiny_data() {
    let mut server = Server::new();
    server.receive(post(1));
    let count = rounds(&mut server, 50_000, |server, _| {
        let key = server.key(1);
        server.connection.consumed(key, 1);
        frame(DATA, 0, 1, b"x")
    });
    assert_eq!(count, 20_000 - 1);
    // A chat with ten messages per millisecond for a second is not an attack.
    let mut server = Server::new();
    server.receive(post(1));
    let count = rounds(&mut server, 10_000, |server, round| {
        server.now += Duration::from_millis(u64::from(round % 10 == 0));
        frame(DATA, 0, 1, b"hello")
    });
    assert_eq!(count, 10_000);
}

#[test]
fn tiny_data_of_tunnels_is_not_limited() {
    let mut server = Server::with(&Limits::default().connect_protocol(true));
    let connect = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "http"),
        (":path", "/chat"),
        (":authority", "a.example"),
    ];
    let seen = server.receive(headers(1, 0, &connect));
    assert!(matches!(&seen[..], [Seen::Request(1, text, false)] if text.starts_with("GET /chat")));
    let count = rounds(&mut server, 100_000, |server, _| {
        let key = server.key(1);
        server.connection.consumed(key, 1);
        frame(DATA, 0, 1, b"x")
    });
    assert_eq!(count, 100_000);
    let data = frame(DATA, END_STREAM, 1, b"end");
    assert_eq!(server.receive(data), [Seen::Data(1, b"end".to_vec(), true)]);
}

#[test]
fn floods_of_control_frames_stop_the_input_and_then_close_the_connection() {
    let floods: [fn() -> Vec<u8>; 2] =
        [|| frame(PING, 0, 0, &[0; 8]), || frame(SETTINGS, 0, 0, &[])];
    for flood in floods {
        // The answers are not read: the server stops reading.
        let mut server = Server::new();
        let mut count = 0;
        while server.connection.wants_input() {
            assert_eq!(server.receive(flood()), []);
            count += 1;
        }
        assert!(count <= 16 * 1024 / 9 + 1, "{count}");
        assert!(server.connection.control_len() <= 16 * 1024 + 17);
        // The answers are read.
        let mut server = Server::new();
        assert!(rounds(&mut server, 50_000, |_, _| flood()) <= 20_000);
    }
}

#[test]
fn reset_flood() {
    let mut server = Server::new();
    server.receive(get(1));
    server.respond(1, b"x");
    let count = rounds(&mut server, 50_000, |_, _| reset(1, ErrorCode::CANCEL));
    assert!(count <= 20_000, "{count}");
    // Resets of the server that are not read.
    let limits = Limits::default().glitches(1_000_000, 1);
    let mut server = Server::with(&limits);
    let mut id = 1;
    while server.connection.wants_input() {
        server.receive(headers(id, END_STREAM, &GET[1..]));
        id += 2;
    }
    assert!(id / 2 <= 16 * 1024 / 13 + 1, "{id}");
}

#[test]
fn large_settings() {
    let mut server = Server::new();
    let many = setting(0x77, 1).repeat(33);
    assert_eq!(server.receive(frame(SETTINGS, 0, 0, &many)), [CALM]);
}

#[test]
fn priority_churn() {
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    server.connection.set_pending(key, true);
    let count = rounds(&mut server, 50_000, |_, round| {
        let urgency = b'0' + (round % 8) as u8;
        let payload = [&1u32.to_be_bytes()[..], &[b'u', b'=', urgency]].concat();
        frame(PRIORITY_UPDATE, 0, 0, &payload)
    });
    assert!(count <= 20_000, "{count}");
    let mut server = Server::new();
    let count = rounds(&mut server, 50_000, |_, round| {
        frame(PRIORITY, 0, 2 * round + 1, &[0, 0, 0, 0, 9])
    });
    assert!(count <= 20_000, "{count}");
}

#[test]
fn zero_length_names() {
    let mut server = Server::new();
    let mut fields = GET.to_vec();
    fields.extend(std::iter::repeat_n(("", ""), 50));
    let seen = server.receive(headers(1, END_STREAM, &fields));
    assert_eq!(seen, [Seen::Malformed(1)]);
    assert_eq!(server.sent()[0].word(0), ErrorCode::PROTOCOL_ERROR.get());
    fields.extend(std::iter::repeat_n(("", ""), 5000));
    let block = block(&fields);
    assert!(block.len() < 16_384);
    let seen = server.receive(frame(HEADERS, END_HEADERS | END_STREAM, 3, &block));
    assert_eq!(seen, [Seen::TooLarge(3, 431)]);
}

#[test]
fn window_overflow() {
    let mut server = Server::new();
    let seen = server.receive([get(1), window_update(1, 0x7fff_ffff)].concat());
    assert_eq!(seen[1], Seen::Reset(1, ErrorCode::FLOW_CONTROL_ERROR));
}

#[test]
fn window_updates_without_data() {
    let mut server = Server::new();
    server.receive(get(1));
    let count = rounds(&mut server, 50_000, |_, round| window_update(round % 2, 1));
    assert!(count <= 20_000, "{count}");
}

#[test]
fn window_updates_of_a_download_are_not_limited() {
    use uptick_http::h2::ResponseBody;
    let mut server = Server::new();
    server.receive(get(1));
    let key = server.key(1);
    let mut out = Vec::new();
    let head = response(ResponseBody::Stream);
    server
        .connection
        .send_head(key, &head, false, &mut out)
        .unwrap();
    let count = rounds(&mut server, 100_000, |server, _| {
        let mut out = Vec::new();
        server
            .connection
            .send_data(key, &[0; 4096], false, &mut out)
            .unwrap();
        [window_update(0, 2048), window_update(1, 2048)]
            .concat()
            .repeat(2)
    });
    assert_eq!(count, 100_000);
}

#[test]
fn unknown_frames() {
    let mut server = Server::new();
    let count = rounds(&mut server, 50_000, |_, _| frame(0x99, 0, 0, b""));
    assert_eq!(count, 20_000 - 1);
}

#[test]
fn stream_identifiers_that_collide_in_the_table_cost_no_more_than_the_open_streams() {
    let mut server = Server::new();
    let bytes: Vec<_> = (0..128).map(|round| post(1 + round * 4096)).collect();
    assert_eq!(server.receive(bytes.concat()).len(), 128);
    for round in 0..128 {
        let id = 1 + round * 4096;
        let data = frame(DATA, END_STREAM, id, b"x");
        assert_eq!(server.receive(data), [Seen::Data(id, b"x".to_vec(), true)]);
    }
}

#[test]
fn the_limits_of_frames_can_be_set() {
    let calm = [Seen::Closed(ErrorCode::ENHANCE_YOUR_CALM)];
    let block = block(&GET);
    for (count, is_allowed) in [(2, true), (3, false)] {
        let mut server = Server::with(&Limits::default().continuation_frames(2));
        let mut bytes = frame(HEADERS, END_STREAM, 1, &block);
        for number in 1..=count {
            let flags = if number == count { END_HEADERS } else { 0 };
            bytes.extend(frame(CONTINUATION, flags, 1, b""));
        }
        assert_eq!(server.receive(bytes) != calm, is_allowed, "{count}");
    }
    for (count, is_allowed) in [(8, true), (9, false)] {
        let mut server = Server::with(&Limits::default().settings_entries(8));
        let entries = setting(0xff, 1).repeat(count);
        let seen = server.receive(frame(SETTINGS, 0, 0, &entries));
        assert_eq!(seen != calm, is_allowed, "{count}");
    }
    let mut server = Server::with(&Limits::default().queued_control(1024));
    let ping = frame(PING, 0, 0, &[7; 8]);
    server.receive(ping.repeat(1023 / ping.len()));
    assert!(server.connection.wants_input());
    server.receive(ping);
    assert!(!server.connection.wants_input());
    server.sent();
    assert!(server.connection.wants_input());
}
