//! Invariants of the codecs for arbitrary input. Used by the tests and the fuzzer.

use bytes::Bytes;
use uptick_socketio::protocol::engine::{Payload, encode_payload};
use uptick_socketio::protocol::packet::{Body, Decoder, EncodeError, Limits, Packet, PacketError};
use uptick_websocket::{Message, Text};

fn decode(frames: impl IntoIterator<Item = Message>) -> Result<Option<Packet>, PacketError> {
    let mut decoder = Decoder::new();
    let mut packet = None;
    for frame in frames {
        packet = decoder.push(frame, &Limits::default())?;
    }
    Ok(packet)
}

/// Checks that an accepted packet is identical after encoding and decoding.
pub(crate) fn check_packet(text: &str, attachments: &[Bytes]) {
    let attachments = attachments.iter().cloned().map(Message::Binary);
    let head = Message::Text(Text::copy_from(text));
    let Ok(Some(packet)) = decode([head].into_iter().chain(attachments)) else {
        return;
    };
    if let Body::Event { arguments, .. } | Body::Ack(arguments) = &packet.body {
        for index in 0..arguments.len() {
            // Parsing fails only for numbers that Rust cannot represent.
            let value = arguments.parse::<uptick_socketio::protocol::Value>(index);
            assert!(
                value.is_ok()
                    || arguments.json(index).is_some_and(
                        |json| json.contains(['e', 'E']) || json.as_bytes().len() > 300
                    ),
                "{value:?}"
            );
        }
    }
    let encoded = match packet.encode() {
        Ok(encoded) => encoded,
        Err(EncodeError::Json(_)) => return,
        Err(error) => panic!("{error} for {packet:?}"),
    };
    let mut frames: Vec<_> = encoded.frames().collect();
    frames[0] = Message::from(frames[0].as_text().unwrap()[1..].to_owned());
    assert_eq!(decode(frames), Ok(Some(packet)));
}

/// Checks that an accepted payload has the same packets after encoding and decoding.
pub(crate) fn check_payload(body: &[u8]) {
    let limit = 10_000;
    let Ok(payload) = Payload::new(Bytes::copy_from_slice(body), limit) else {
        assert!(body.len() > limit || str::from_utf8(body).is_err());
        return;
    };
    let packets: Vec<_> = payload.collect();
    assert!(
        packets.iter().rev().skip(1).all(Result::is_ok),
        "packets after an error"
    );
    let valid: Vec<_> = packets.into_iter().filter_map(Result::ok).collect();
    if valid.is_empty() {
        return;
    }
    let frames: Vec<_> = valid
        .iter()
        .cloned()
        .map(|packet| packet.encode())
        .collect();
    let again: Result<Vec<_>, _> = Payload::new(encode_payload(&frames), usize::MAX)
        .unwrap()
        .collect();
    assert_eq!(again, Ok(valid));
}
