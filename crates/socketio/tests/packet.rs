//! Property tests of the codecs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod invariants {
    pub(crate) mod packet;
}

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use uptick_socketio::protocol::Value;
use uptick_socketio::protocol::packet::{Arguments, Body, Decoder, Limits, Packet};
use uptick_websocket::{Message, Text};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1.0e9..1.0e9).prop_map(Value::from_f64),
        ".{0,20}".prop_map(Value::String),
        vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((".{0,8}", inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn packet()(
        namespace in prop_oneof![Just("/".to_owned()), "/[^,\u{1e}]{1,20}"],
        id in proptest::option::of(0..(1_u64 << 53)),
        name in proptest::option::of("x.{0,20}"),
        values in vec(value(), 0..5),
    ) -> Packet {
        let arguments = Arguments::of_values(values);
        let body = match name {
            Some(name) => Body::Event { name: Some(Text::from(name)), arguments },
            None => Body::Ack(arguments),
        };
        Packet { namespace: Text::from(namespace), id, body }
    }
}

proptest! {
    #[test]
    fn any_packet_survives_encoding_and_decoding(packet in packet()) {
        let limits = Limits::default().attachments(1000);
        let mut decoder = Decoder::new();
        let mut decoded = None;
        for (index, frame) in packet.encode().unwrap().frames().enumerate() {
            prop_assert!(decoded.is_none());
            let frame = match frame {
                Message::Text(text) if index == 0 => Message::Text(text.slice(1..)),
                frame => frame,
            };
            decoded = decoder.push(frame, &limits).unwrap();
        }
        prop_assert_eq!(decoded, Some(packet));
        prop_assert!(!decoder.is_partial());
    }

    #[test]
    fn text_that_resembles_a_packet_is_refused_or_decoded_consistently(
        text in "[0-7]([0-3]-)?(/[a-z,]{0,3})?[0-9]{0,3}[\\[\\]{}\",:0-9eE.\\\\u -]{0,20}",
        attachments in vec(vec(any::<u8>(), 0..4).prop_map(Bytes::from), 0..3),
    ) {
        invariants::packet::check_packet(&text, &attachments);
    }

    #[test]
    fn events_with_corrupted_json_are_refused_or_decoded_consistently(
        packet in packet(),
        at in any::<prop::sample::Index>(),
        with in prop_oneof![Just(""), Just("\\"), Just("\""), Just("[["), Just("\\ud800"), Just("1e999")],
    ) {
        let frames: Vec<_> = packet.encode().unwrap().frames().collect();
        let text = frames[0].as_text().unwrap()[1..].to_owned();
        let attachments: Vec<_> = frames[1..].iter().cloned().map(Message::into_bytes).collect();
        let characters: Vec<_> = text.chars().collect();
        let at = at.index(characters.len());
        let corrupted: String =
            characters[..at].iter().copied().chain(with.chars()).chain(characters[at + 1..].iter().copied()).collect();
        invariants::packet::check_packet(&corrupted, &attachments);
    }

    #[test]
    fn any_payload_is_refused_or_decoded_consistently(body in vec(prop_oneof![
        any::<u8>(), Just(0x1e), 0x30..0x38_u8, Just(b'b'), Just(b'='),
    ], 0..60)) {
        invariants::packet::check_payload(&body);
    }
}

#[cfg(feature = "msgpack")]
mod msgpack {
    use uptick_socketio::protocol::msgpack::{decode, encode};

    use super::*;

    proptest! {
        #[test]
        fn any_packet_survives_encoding_and_decoding_as_messagepack(packet in packet()) {
            let frame = encode(&packet).unwrap().frames().next().unwrap();
            prop_assert_eq!(decode(frame.into_bytes(), &Limits::default()), Ok(packet));
        }

        #[test]
        fn truncated_or_changed_messagepack_packets_are_refused_or_decoded_consistently(
            packet in packet(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let bytes = encode(&packet).unwrap().frames().next().unwrap().into_bytes();
            let at = at.index(bytes.len());
            prop_assert!(decode(bytes.slice(..at), &Limits::default()).is_err());
            let mut changed = bytes.to_vec();
            changed[at] = byte;
            if let Ok(packet) = decode(changed.into(), &Limits::default()) {
                let again = encode(&packet).unwrap().frames().next().unwrap();
                prop_assert_eq!(decode(again.into_bytes(), &Limits::default()), Ok(packet));
            }
        }
    }
}
