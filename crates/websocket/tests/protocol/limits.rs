//! Messages that are too long or have too many fragments.

use uptick_websocket::Message;
use uptick_websocket::protocol::frame::{Flags, Head, Opcode};
use uptick_websocket::protocol::{CloseCode, Decoder, Deflater, Event, Inflater, Limits, Role};

use crate::{masked, refused};

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// Returns the code with which bytes are refused, if they are.
fn code(bytes: &[u8], limits: &Limits) -> Option<CloseCode> {
    let mut decoder = Decoder::new(Role::Server).compressed(true);
    decoder.push(bytes.into());
    let mut inflater = Inflater::new();
    loop {
        match decoder.next(limits, Some(&mut inflater))? {
            Event::Error(invalid) => return Some(invalid.code()),
            _ => continue,
        }
    }
}

#[test]
fn a_message_of_the_maximum_length_is_accepted_and_a_longer_one_refused() {
    for max in [0, 1, 125, 126, 1000, 65_535, 70_000] {
        let limits = Limits::default().message(max);
        let frame = masked(Opcode::Binary, Flags::FIN, &vec![0; max]);
        assert_eq!(code(&frame, &limits), None);
        let frame = masked(Opcode::Binary, Flags::FIN, &vec![0; max + 1]);
        assert_eq!(code(&frame, &limits), Some(CloseCode::TOO_BIG));
        let bytes = [
            masked(Opcode::Text, Flags::empty(), &vec![b'a'; max]),
            masked(Opcode::Continuation, Flags::FIN, b"b"),
        ]
        .concat();
        assert_eq!(code(&bytes, &limits), Some(CloseCode::TOO_BIG));
    }
}

#[test]
fn a_long_message_is_refused_at_its_head() {
    for length in [1024 * 1024 + 1, 1 << 32, i64::MAX as u64] {
        let head = Head::new(Opcode::Binary, Flags::FIN, KEY, length);
        assert_eq!(refused(&head).0, 1009);
    }
    for length in [1 << 63, u64::MAX] {
        let mut head = Head::new(Opcode::Binary, Flags::FIN, KEY, i64::MAX as u64).to_vec();
        head[2..10].copy_from_slice(&u64::to_be_bytes(length));
        assert_eq!(refused(&head).0, 1002);
    }
}

#[test]
fn announcing_a_long_message_does_not_allocate_its_length() {
    let mut decoder = Decoder::new(Role::Server);
    decoder.push(Head::new(Opcode::Binary, Flags::FIN, KEY, 1024 * 1024)[..].into());
    assert!(decoder.next(&Limits::default(), None).is_none());
    assert_eq!(decoder.buffered(), 0);
    assert!(!decoder.is_idle());
}

#[test]
fn a_message_of_too_many_fragments_is_refused() {
    let limits = Limits::default().fragments(3);
    let first = masked(Opcode::Text, Flags::empty(), b"");
    let middle = masked(Opcode::Continuation, Flags::empty(), b"");
    let last = masked(Opcode::Continuation, Flags::FIN, b"");
    let three = [first.clone(), middle.clone(), last.clone()].concat();
    assert_eq!(code(&three.repeat(3), &limits), None);
    let four = [first, middle.clone(), middle, last].concat();
    assert_eq!(code(&four, &limits), Some(CloseCode::TOO_BIG));
}

#[test]
fn a_million_fragments_of_one_byte_are_a_message_if_allowed() {
    let limits = Limits::default().fragments(1_000_001);
    for (count, size) in [(1_000_000, 65_536), (200_000, 7)] {
        let mut bytes = masked(Opcode::Text, Flags::empty(), b"a");
        bytes.extend(masked(Opcode::Continuation, Flags::empty(), b"a").repeat(count - 1));
        bytes.extend(masked(Opcode::Ping, Flags::FIN, b""));
        bytes.extend(masked(Opcode::Continuation, Flags::FIN, b""));
        let mut decoder = Decoder::new(Role::Server);
        let mut events = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.push(piece.into());
            events.extend(std::iter::from_fn(|| decoder.next(&limits, None)));
            assert!(decoder.buffered() <= count + 14);
        }
        let whole = Event::Message(Message::from("a".repeat(count)));
        assert!(events == [Event::Ping("".into()), whole]);
        assert!(decoder.is_idle());
        assert_eq!(code(&bytes, &Limits::default()), Some(CloseCode::TOO_BIG));
    }
}

#[test]
fn a_bomb_is_refused_in_one_frame_and_in_many() {
    let mut bomb = Vec::new();
    assert!(Deflater::new(15).compress(&vec![b'a'; 3_000_000], &mut bomb, false));
    let limits = Limits::default();
    let frame = masked(Opcode::Text, Flags::FIN | Flags::RSV1, &bomb);
    assert_eq!(code(&frame, &limits), Some(CloseCode::TOO_BIG));
    let (last, first) = bomb.split_last().unwrap();
    let mut bytes = masked(Opcode::Text, Flags::RSV1, &[]);
    for byte in first {
        bytes.extend(masked(Opcode::Continuation, Flags::empty(), &[*byte]));
    }
    bytes.extend(masked(Opcode::Continuation, Flags::FIN, &[*last]));
    assert_eq!(code(&bytes, &limits), Some(CloseCode::TOO_BIG));
    assert_eq!(code(&bytes, &limits.message(3_000_000)), None);
}

#[test]
fn a_compressed_message_may_be_longer_than_its_content() {
    // Stored blocks add five bytes to each 65,535 bytes.
    let payload = vec![0xa5; 1024 * 1024];
    let mut blocks = Vec::new();
    for block in payload.chunks(65_535) {
        let length = block.len() as u16;
        blocks.push(0);
        blocks.extend(length.to_le_bytes());
        blocks.extend((!length).to_le_bytes());
        blocks.extend(block);
    }
    blocks.push(0);
    let frame = masked(Opcode::Binary, Flags::FIN | Flags::RSV1, &blocks);
    assert_eq!(code(&frame, &Limits::default()), None);
    assert_eq!(
        code(&frame, &Limits::default().message(payload.len() - 1)),
        Some(CloseCode::TOO_BIG)
    );
}
