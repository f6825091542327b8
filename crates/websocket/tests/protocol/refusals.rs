//! Protocol violations.

use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::protocol::{Event, Limits, Role};

use crate::{invariants, masked, refused};

const PROTOCOL: u16 = 1002;
const INVALID_DATA: u16 = 1007;

#[test]
fn reserved_bits_and_opcodes_are_refused() {
    for first in 0..=0xff_u8 {
        let frame = [first, 0x80, 1, 2, 3, 4];
        let (opcode, bits) = (first & 0x0f, first & 0x70);
        if bits != 0 || matches!(opcode, 3..=7 | 11..) {
            let (code, reason) = refused(&frame);
            assert_eq!(code, PROTOCOL);
            assert!(reason.contains("reserved"), "{first:x}: {reason}");
        }
    }
}

#[test]
fn frames_with_a_wrong_mask_bit_are_refused() {
    let limits = Limits::default();
    for first in [0x81, 0x82, 0x89, 0x88] {
        assert_eq!(refused(&[first, 0]).0, PROTOCOL);
        let events = invariants::decode([&[first, 0x80][..]], Role::Client, false, &limits);
        assert!(matches!(events[..], [Event::Error(_)]), "{events:?}");
    }
}

#[test]
fn fragments_in_a_wrong_order_are_refused() {
    let first = masked(Opcode::Text, Flags::empty(), b"a");
    let single = masked(Opcode::Binary, Flags::FIN, b"b");
    let last = masked(Opcode::Continuation, Flags::FIN, b"c");
    for wrong in [
        last.clone(),
        [single.clone(), last.clone()].concat(),
        [first.clone(), single].concat(),
        [first.clone(), first.clone()].concat(),
        [first, last.clone(), last].concat(),
    ] {
        assert_eq!(refused(&wrong).0, PROTOCOL);
    }
}

#[test]
fn control_frames_that_are_long_or_fragmented_are_refused() {
    for opcode in [Opcode::Close, Opcode::Ping, Opcode::Pong] {
        assert_eq!(refused(&masked(opcode, Flags::empty(), b"")).0, PROTOCOL);
        assert_eq!(
            refused(&masked(opcode, Flags::FIN, &[b'a'; 126])).0,
            PROTOCOL
        );
    }
}

#[test]
fn compressed_frames_are_refused_unless_compression_was_negotiated() {
    let frame = masked(Opcode::Text, Flags::FIN | Flags::RSV1, b"\0");
    assert_eq!(refused(&frame).0, PROTOCOL);
    let limits = Limits::default();
    let events = invariants::decode([&frame[..]], Role::Server, true, &limits);
    assert!(matches!(events[..], [Event::Message(_)]), "{events:?}");
    for opcode in [Opcode::Continuation, Opcode::Ping, Opcode::Close] {
        let bytes = [
            masked(Opcode::Text, Flags::empty(), b"a"),
            masked(opcode, Flags::FIN | Flags::RSV1, b""),
        ]
        .concat();
        let events = invariants::decode([&bytes[..]], Role::Server, true, &limits);
        assert!(matches!(events[..], [Event::Error(_)]), "{opcode:?}");
    }
}

#[test]
fn a_close_frame_with_an_invalid_code_is_refused() {
    for code in (0..1000)
        .chain(1004..1007)
        .chain(1015..3000)
        .chain([5000, 65_535])
    {
        let payload = u16::to_be_bytes(code);
        assert_eq!(
            refused(&masked(Opcode::Close, Flags::FIN, &payload)).0,
            PROTOCOL
        );
    }
    assert_eq!(
        refused(&masked(Opcode::Close, Flags::FIN, b"\x03")).0,
        PROTOCOL
    );
    let wrong = masked(Opcode::Close, Flags::FIN, b"\x03\xe8\xc3");
    assert_eq!(refused(&wrong).0, INVALID_DATA);
}

/// Texts whose last byte is invalid.
const WRONG: &[&[u8]] = &[
    b"ok \x80",
    b"ok \xc0",
    b"ok \xc1",
    b"ok \xc3\x28",
    b"ok \xe0\x9f",
    b"ok \xe2\x82\x28",
    b"ok \xed\xa0",
    b"ok \xf0\x8f",
    b"ok \xf0\x9f\xa6\xc0",
    b"ok \xf4\x90",
    b"ok \xf5",
    b"ok \xff",
];

#[test]
fn invalid_text_is_refused_before_the_frame_is_complete() {
    for wrong in WRONG {
        for before in [0, 1, 60, 64, 1000] {
            let mut text = vec![b'x'; before];
            text.extend_from_slice(wrong);
            let wrong_at = text.len();
            text.extend_from_slice(&[b'y'; 200]);
            let frame = masked(Opcode::Text, Flags::FIN, &text);
            let head = frame.len() - text.len();
            let limits = Limits::default();
            let until = |end: usize| {
                let bytes = frame[..end].chunks(1);
                invariants::decode(bytes, Role::Server, false, &limits)
            };
            assert_eq!(until(head + wrong_at - 1), []);
            let [Event::Error(invalid)] = until(head + wrong_at)[..] else {
                panic!("{wrong:x?} was not refused");
            };
            assert_eq!(invalid.code().as_u16(), INVALID_DATA);
            assert_eq!(refused(&frame).0, INVALID_DATA);
        }
    }
}

#[test]
fn text_that_ends_within_a_character_is_refused() {
    for text in ["\u{e4}", "\u{20ac}", "\u{1f980}"] {
        for end in 1..text.len() {
            let cut = &text.as_bytes()[..end];
            assert_eq!(
                refused(&masked(Opcode::Text, Flags::FIN, cut)).0,
                INVALID_DATA
            );
            let bytes = [
                masked(Opcode::Text, Flags::empty(), cut),
                masked(Opcode::Continuation, Flags::FIN, b""),
            ]
            .concat();
            assert_eq!(refused(&bytes).0, INVALID_DATA);
        }
    }
}
