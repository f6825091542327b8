//! Properties for any bytes, and interoperability with tungstenite.

use std::io::{self, Read, Write};

use proptest::prelude::*;
use tungstenite::Message as TheirMessage;
use tungstenite::protocol::Role as TheirRole;
use tungstenite::protocol::WebSocket;
use uptick_websocket::Message;
use uptick_websocket::protocol::frame::{self, Flags, Opcode};
use uptick_websocket::protocol::{Deflater, Event, Limits, Role};

use crate::invariants::{self, check, their_messages};
use crate::{deflate_invariants, handshake_invariants};

/// A payload: text, incomplete text, or bytes.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "\\PC{0,20}".prop_map(String::into_bytes),
        "[aä€🦀]{0,8}".prop_flat_map(|text| {
            let bytes = text.into_bytes();
            (0..=bytes.len()).prop_map(move |end| bytes[..end].to_vec())
        }),
        prop::collection::vec(any::<u8>(), 0..140),
        (0..4000_usize).prop_map(|length| vec![b'x'; length]),
        any::<u16>().prop_map(|code| code.to_be_bytes().to_vec()),
    ]
}

/// A frame that is usually valid.
fn one_frame(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        8 => prop::sample::select(vec![0x00, 0x80, 0x01, 0x81, 0x02, 0x82]),
        3 => prop::sample::select(vec![0x88, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let masked = prop::bool::weighted(if role == Role::Server { 0.98 } else { 0.02 });
    (opcode, masked, any::<[u8; 4]>(), payload()).prop_map(|(first, masked, key, payload)| {
        let mut bytes = Vec::new();
        let mask = masked.then_some(key);
        frame::append(&mut bytes, Opcode::Text, Flags::empty(), mask, &payload);
        bytes[0] = first;
        bytes
    })
}

/// Frames, possibly with one wrong byte.
fn frames(role: Role) -> impl Strategy<Value = Vec<u8>> {
    let frames = prop::collection::vec(one_frame(role), 1..8).prop_map(|frames| frames.concat());
    let wrong = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (frames, wrong).prop_map(|(mut bytes, wrong)| {
        if let Some((at, byte)) = wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

/// A transport that records written bytes.
#[derive(Default)]
struct Wire(Vec<u8>);

impl Read for Wire {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns messages as encoded by tungstenite.
fn sent_by_tungstenite(messages: &[Message], role: TheirRole) -> Vec<u8> {
    let mut socket = WebSocket::from_raw_socket(Wire::default(), role, None);
    for message in messages {
        let message = match message {
            Message::Text(text) => TheirMessage::text(text.as_str()),
            Message::Binary(bytes) => TheirMessage::binary(bytes.clone()),
        };
        socket.send(message).unwrap();
    }
    std::mem::take(&mut socket.get_mut().0)
}

fn message(longest: usize) -> impl Strategy<Value = Message> {
    prop_oneof![
        "\\PC{0,60}".prop_map(Message::from),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Message::from),
        (0..longest).prop_map(|length| Message::from("x".repeat(length))),
    ]
}

proptest! {
    #[test]
    fn decoding_frames_of_clients_does_not_depend_on_how_they_are_split(
        bytes in frames(Role::Server),
        size in 1..200_usize,
        compressed: bool,
    ) {
        check(&bytes, size, Role::Server, compressed, &Limits::default());
        check(&bytes, size, Role::Server, compressed, &Limits::default().message(50).fragments(3));
    }

    #[test]
    fn decoding_frames_of_servers_does_not_depend_on_how_they_are_split(
        bytes in frames(Role::Client),
        size in 1..200_usize,
        compressed: bool,
    ) {
        check(&bytes, size, Role::Client, compressed, &Limits::default());
    }

    #[test]
    fn messages_from_tungstenite_are_decoded(messages in prop::collection::vec(message(200_000), 0..5)) {
        let expected: Vec<_> = messages.iter().cloned().map(Event::Message).collect();
        for (sender, receiver) in [(TheirRole::Client, Role::Server), (TheirRole::Server, Role::Client)] {
            let bytes = sent_by_tungstenite(&messages, sender);
            let events = invariants::decode([&bytes[..]], receiver, false, &Limits::default());
            prop_assert!(events == expected);
        }
    }

    #[test]
    fn tungstenite_decodes_encoded_messages(
        messages in prop::collection::vec(message(200_000), 0..5),
        key in prop::option::of(any::<[u8; 4]>()),
        size in 1..100_000_usize,
    ) {
        let mut bytes = Vec::new();
        for message in &messages {
            let mut opcode = if message.is_text() { Opcode::Text } else { Opcode::Binary };
            let mut rest = message.as_bytes();
            while rest.len() > size {
                let (piece, after) = rest.split_at(size.max(rest.len() / 50));
                frame::append(&mut bytes, opcode, Flags::empty(), key, piece);
                (opcode, rest) = (Opcode::Continuation, after);
            }
            frame::append(&mut bytes, opcode, Flags::FIN, key, rest);
        }
        let role = if key.is_some() { Role::Server } else { Role::Client };
        let (theirs, failed) = their_messages(&bytes, role);
        prop_assert!(!failed && theirs.len() == messages.len());
        for (message, theirs) in messages.iter().zip(theirs) {
            prop_assert_eq!(message.is_text(), theirs.is_text());
            prop_assert!(message.as_bytes() == &theirs.into_data()[..]);
        }
    }
}

/// A response to a handshake request, usually valid.
fn response() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "HTTP/1.1 101 Go",
        "HTTP/1.1 101 Go",
        "HTTP/1.1 100 Continue",
        "HTTP/1.1 302 Found",
        "HTTP/1.0 101 Go",
        "Upgrade: websocket",
        "Upgrade: websocket",
        "Connection: upgrade",
        "Connection: upgrade",
        "Sec-WebSocket-Accept: {accept}",
        "Sec-WebSocket-Accept: {accept}",
        "Sec-WebSocket-Protocol: chat",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10",
        "X: y",
        " x",
        "",
        "",
    ]);
    prop::collection::vec(line, 0..10).prop_map(|lines| {
        let begin = [
            "HTTP/1.1 101 Go",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "",
        ];
        let known = begin[..3 * (lines.len() % 2)].iter();
        known
            .chain(&lines)
            .map(|line| format!("{line}\r\n"))
            .collect()
    })
}

/// A list of extensions, usually valid.
fn extensions() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "permessage-deflate",
        "permessage-deflate; ",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "server_max_window_bits",
        "client_max_window_bits",
        "=8",
        "=10",
        "=\"12\"",
        "=15",
        "; ",
        "; ",
        "; ",
        ", ",
        "\\",
        "\"",
    ]);
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn decoding_a_response_does_not_depend_on_how_it_is_split(
        response in response(),
        size in 1..100_usize,
    ) {
        handshake_invariants::check_response(&response, size);
    }

    #[test]
    fn both_sides_negotiate_the_same_parameters(field in extensions(), number: u8) {
        handshake_invariants::check_extensions(field.as_bytes(), number);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn inflated_messages_never_exceed_the_limit(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        max in 0..5000_usize,
    ) {
        deflate_invariants::check(&bytes, max);
    }

    #[test]
    fn compressed_messages_are_restored_however_they_are_split(
        messages in prop::collection::vec(message(20_000), 1..5),
        bits in 9..=15_u8,
        keep_context: bool,
        size in 1..5000_usize,
    ) {
        let mut deflater = Deflater::new(bits);
        let mut bytes = Vec::new();
        for message in &messages {
            let opcode = if message.is_text() { Opcode::Text } else { Opcode::Binary };
            let mut small = Vec::new();
            if deflater.compress(message.as_bytes(), &mut small, keep_context) {
                let (first, second) = small.split_at(small.len() / 3);
                frame::append(&mut bytes, opcode, Flags::RSV1, Some([7; 4]), first);
                frame::append(&mut bytes, Opcode::Continuation, Flags::FIN, Some([8; 4]), second);
            } else {
                frame::append(&mut bytes, opcode, Flags::FIN, Some([9; 4]), message.as_bytes());
            }
        }
        let events = invariants::decode(bytes.chunks(size), Role::Server, true, &Limits::default());
        let expected: Vec<_> = messages.into_iter().map(Event::Message).collect();
        prop_assert!(events == expected);
    }
}
