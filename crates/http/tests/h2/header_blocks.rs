//! Header blocks in several frames.

use uptick_http::h2::{ErrorCode, Limits};

use crate::support::*;

#[test]
fn a_header_block_may_be_split_into_frames() {
    let block = block(&GET);
    for first in 0..block.len() {
        let mut server = Server::new();
        let bytes = [
            frame(HEADERS, END_STREAM, 1, &block[..first]),
            frame(CONTINUATION, 0, 1, &[]),
            frame(CONTINUATION, END_HEADERS, 1, &block[first..]),
        ];
        assert_eq!(server.receive(bytes[..2].concat()), []);
        assert!(server.connection.is_mid_head() && server.connection.is_mid_frame());
        assert_eq!(server.receive(&bytes[2]).len(), 1);
        assert!(!server.connection.is_mid_frame());
    }
}

#[test]
fn padding_and_priority_are_not_part_of_the_block() {
    let mut server = Server::new();
    let payload = [&[3, 0, 0, 0, 0, 9][..], &block(&GET), &[0; 3]].concat();
    let flags = END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY;
    let seen = server.receive(frame(HEADERS, flags, 1, &payload));
    assert!(matches!(&seen[..], [Seen::Request(1, _, true)]));
    // Continued after padding.
    let payload = [&[3][..], &block(&GET)[..4], &[0; 3]].concat();
    let rest = frame(CONTINUATION, END_HEADERS, 3, &block(&GET)[4..]);
    let bytes = [frame(HEADERS, PADDED, 3, &payload), rest].concat();
    assert!(matches!(
        &server.receive(bytes)[..],
        [Seen::Request(3, _, false)]
    ));
}

#[test]
fn the_table_of_the_decoder_starts_with_its_initial_size() {
    // A size update to the larger size is allowed at once, to the smaller one it is required after the acknowledgement.
    let larger = Limits::default().header_table(8192);
    let mut server = Server::with(&larger);
    let block_with = |prefix: &[u8]| [prefix, &block(&GET)].concat();
    let update = block_with(&[0x3f, 0xe1, 0x3f]);
    let flags = END_STREAM | END_HEADERS;
    assert_eq!(server.receive(frame(HEADERS, flags, 1, &update)).len(), 1);
    let smaller = Limits::default().header_table(1024);
    let mut server = Server::fresh(&smaller);
    let start = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &get(1)];
    assert_eq!(server.receive(start.concat()).len(), 1);
    let bytes = [frame(SETTINGS, ACK, 0, &[]), get(3)].concat();
    let closed = Seen::Closed(ErrorCode::COMPRESSION_ERROR);
    assert_eq!(server.receive(bytes), [closed]);
}

#[test]
fn the_table_of_the_encoder_follows_the_settings_of_the_client() {
    let mut server = Server::new();
    let none = frame(SETTINGS, 0, 0, &setting(1, 0));
    server.receive([none, get(1)].concat());
    let sent = server.respond(1, b"x");
    // A size update to zero, and no indices of the dynamic table.
    assert_eq!(sent[0].payload[..2], [0x20, 0x88]);
    server.receive(get(3));
    let again = server.respond(3, b"x");
    assert_eq!(again[0].payload[0], 0x88);
    assert_eq!(again[0].payload[1..], sent[0].payload[2..]);
}

#[test]
fn the_smallest_table_of_a_settings_frame_is_announced_before_the_last_one() {
    let mut server = Server::new();
    let sizes = frame(
        SETTINGS,
        0,
        0,
        &[setting(1, 0), setting(1, 100), setting(1, 4096)].concat(),
    );
    server.receive([sizes, get(1)].concat());
    let sent = server.respond(1, b"x");
    assert_eq!(sent[0].payload[..5], [0x20, 0x3f, 0xe1, 0x1f, 0x88]);
}
