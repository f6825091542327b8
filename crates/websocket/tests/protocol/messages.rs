//! Decoding of messages and control frames.

use uptick_websocket::Message;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::protocol::{CloseCode, CloseFrame, Event, Limits, Role, close};

use crate::invariants::{self, their_messages};
use crate::{decode, masked};

#[test]
fn control_frames_may_be_between_the_fragments_of_a_message() {
    let bytes = [
        masked(Opcode::Text, Flags::empty(), "gr\u{fc}".as_bytes()),
        masked(Opcode::Ping, Flags::FIN, b"there?"),
        masked(Opcode::Continuation, Flags::empty(), b""),
        masked(Opcode::Pong, Flags::FIN, b""),
        masked(Opcode::Continuation, Flags::FIN, b"ezi"),
        masked(Opcode::Binary, Flags::FIN, b""),
    ]
    .concat();
    let expected = [
        Event::Ping("there?".into()),
        Event::Pong("".into()),
        Event::Message(Message::from("gr\u{fc}ezi")),
        Event::Message(Message::from(Vec::new())),
    ];
    assert_eq!(decode(&bytes), expected);
}

#[test]
fn a_character_may_be_split_between_fragments() {
    let text = "a\u{e4}\u{20ac}\u{1f980}";
    for first in 0..=text.len() {
        for second in first..=text.len() {
            let bytes = [
                masked(Opcode::Text, Flags::empty(), &text.as_bytes()[..first]),
                masked(
                    Opcode::Continuation,
                    Flags::empty(),
                    &text.as_bytes()[first..second],
                ),
                masked(Opcode::Continuation, Flags::FIN, &text.as_bytes()[second..]),
            ]
            .concat();
            assert_eq!(decode(&bytes), [Event::Message(Message::from(text))]);
        }
    }
}

#[test]
fn a_close_within_a_fragmented_message_is_the_last_event() {
    let mut bytes = masked(Opcode::Text, Flags::empty(), b"never whole");
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "bye");
    close::append(&mut bytes, Some(&frame), Some([1, 2, 3, 4]));
    bytes.extend(masked(Opcode::Continuation, Flags::FIN, b"late"));
    assert_eq!(decode(&bytes), [Event::Close(Some(frame))]);
}

#[test]
fn each_code_and_reason_is_decoded_as_encoded() {
    for code in (1000..1004).chain(1007..1015).chain([3000, 4999]) {
        for reason in ["", "reason", "\u{1f980}"] {
            let frame = CloseFrame::new(CloseCode::from(code), reason);
            let mut bytes = Vec::new();
            close::append(&mut bytes, Some(&frame), Some([9; 4]));
            assert_eq!(decode(&bytes), [Event::Close(Some(frame))]);
        }
    }
    let mut bytes = Vec::new();
    close::append(&mut bytes, None, Some([9; 4]));
    assert_eq!(decode(&bytes), [Event::Close(None)]);
}

#[test]
fn events_do_not_depend_on_where_the_bytes_are_split() {
    let bytes = [
        masked(Opcode::Text, Flags::FIN, "h\u{e9}llo".as_bytes()),
        masked(Opcode::Binary, Flags::FIN, &[7; 300]),
        masked(Opcode::Text, Flags::empty(), b"one "),
        masked(Opcode::Ping, Flags::FIN, b"p"),
        masked(Opcode::Continuation, Flags::FIN, b"two"),
        masked(Opcode::Close, Flags::FIN, b"\x03\xe8"),
    ]
    .concat();
    let limits = Limits::default();
    let whole = decode(&bytes);
    assert_eq!(whole.len(), 5);
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let pieces = [first, second];
        assert_eq!(
            invariants::decode(pieces, Role::Server, false, &limits),
            whole,
            "{cut}"
        );
    }
}

#[test]
fn messages_with_each_form_of_length_are_decoded() {
    for length in [125, 126, 127, 65_535, 65_536, 70_000, 1024 * 1024] {
        let text = "x".repeat(length);
        let bytes = masked(Opcode::Text, Flags::FIN, text.as_bytes());
        let expected = [Event::Message(Message::from(text))];
        assert!(decode(&bytes) == expected, "{length}");
        let limits = Limits::default();
        let pieces = bytes.chunks(65_536);
        assert!(invariants::decode(pieces, Role::Server, false, &limits) == expected);
        assert_eq!(their_messages(&bytes, Role::Server).0.len(), 1);
    }
}

#[test]
fn a_compressed_message_may_have_a_block_with_bfinal_at_the_end_of_each_fragment() {
    let last = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let bytes = [
        masked(Opcode::Text, Flags::RSV1, &last),
        masked(Opcode::Ping, Flags::FIN, b"p"),
        masked(Opcode::Continuation, Flags::empty(), &last),
        masked(
            Opcode::Continuation,
            Flags::FIN,
            &[&last[..], &[0]].concat(),
        ),
        masked(
            Opcode::Text,
            Flags::FIN | Flags::RSV1,
            &[&last[..], &[0]].concat(),
        ),
    ]
    .concat();
    let limits = Limits::default();
    let expected = [
        Event::Ping("p".into()),
        Event::Message(Message::from("HelloHelloHello")),
        Event::Message(Message::from("Hello")),
    ];
    for size in [1, 5, bytes.len()] {
        let pieces = bytes.chunks(size);
        let events = invariants::decode(pieces, Role::Server, true, &limits);
        assert_eq!(events, expected, "{size}");
    }
}
