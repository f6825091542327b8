//! Property tests of the messages between workers.
#![cfg(feature = "workers")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "invariants/bus_message.rs"]
mod invariants;

use bytes::Bytes;
use proptest::prelude::*;
use uptick_socketio::RemoteSocket;
use uptick_socketio::adapter::bus::codec::{BusMessage, CodecError, decode};
use uptick_socketio::adapter::{ClusterMessage, ClusterResponse, RemoteSession, Target};
use uptick_socketio::protocol::Value;
use uptick_socketio::protocol::packet::{Encoded, Encoder};

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<u64>().prop_map(|number| Value::Number(number.into())),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from_f64),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        ".{0,8}".prop_map(Value::String),
        bytes().prop_map(Value::Binary),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn bytes() -> impl Strategy<Value = Bytes> {
    let short = prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from);
    let long = (any::<u8>(), 16_000..40_000_usize)
        .prop_map(|(byte, length)| Bytes::from(vec![byte; length]));
    prop_oneof![4 => short, 1 => long]
}

fn packet() -> impl Strategy<Value = Encoded> {
    let arguments = prop::collection::vec(value(), 0..3);
    (".{1,8}", arguments, prop::collection::vec(bytes(), 0..3)).prop_map(|parts| {
        let (name, arguments, attachments) = parts;
        let mut encoder = Encoder::event("/admin", None, &format!("e{name}")).unwrap();
        for argument in arguments {
            encoder.argument(&argument).unwrap();
        }
        for attachment in attachments {
            encoder.binary(attachment);
        }
        encoder.finish().unwrap()
    })
}

fn strings() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(".{0,200}", 0..4)
}

fn target() -> impl Strategy<Value = Target> {
    (strings(), strings()).prop_map(|(rooms, except)| Target { rooms, except })
}

fn request() -> impl Strategy<Value = Option<String>> {
    prop::option::of(".{0,8}")
}

fn cluster_message() -> impl Strategy<Value = ClusterMessage> {
    let broadcast = (
        packet(),
        target(),
        any::<bool>(),
        request(),
        any::<Option<u64>>(),
    );
    prop_oneof![
        broadcast.prop_map(|(packet, target, volatile, request, timeout)| {
            ClusterMessage::Broadcast {
                packet,
                target,
                volatile,
                request,
                timeout,
            }
        }),
        (target(), strings())
            .prop_map(|(target, rooms)| ClusterMessage::SocketsJoin { target, rooms }),
        (target(), strings())
            .prop_map(|(target, rooms)| ClusterMessage::SocketsLeave { target, rooms }),
        (target(), any::<bool>())
            .prop_map(|(target, close)| ClusterMessage::DisconnectSockets { target, close }),
        (target(), ".{0,8}")
            .prop_map(|(target, request)| ClusterMessage::FetchSockets { target, request }),
        (packet(), request())
            .prop_map(|(packet, request)| ClusterMessage::ServerSideEmit { packet, request }),
        (".{0,20}", ".{0,20}", ".{0,8}").prop_map(|(pid, offset, request)| {
            ClusterMessage::RestoreSession {
                pid,
                offset,
                request,
            }
        }),
    ]
}

fn response() -> impl Strategy<Value = ClusterResponse> {
    let socket = (".{0,20}", value(), strings(), value()).prop_map(|parts| {
        let (id, handshake, rooms, data) = parts;
        RemoteSocket {
            id,
            handshake,
            rooms,
            data,
        }
    });
    let missed = prop::collection::vec(packet(), 0..3);
    let session = (".{0,20}", strings(), value(), missed).prop_map(|parts| {
        let (id, rooms, data, missed) = parts;
        RemoteSession {
            id,
            rooms,
            data,
            missed,
        }
    });
    prop_oneof![
        (".{0,8}", prop::option::of(session))
            .prop_map(|(request, session)| ClusterResponse::Session { request, session }),
        (".{0,8}", any::<usize>())
            .prop_map(|(request, count)| ClusterResponse::ClientCount { request, count }),
        (".{0,8}", value()).prop_map(|(request, value)| ClusterResponse::Ack { request, value }),
        (".{0,8}", prop::collection::vec(socket, 0..3))
            .prop_map(|(request, sockets)| ClusterResponse::Sockets { request, sockets }),
        (".{0,8}", value())
            .prop_map(|(request, value)| ClusterResponse::ServerSideAck { request, value }),
    ]
}

fn message() -> impl Strategy<Value = BusMessage> {
    prop_oneof![
        4 => cluster_message().prop_map(BusMessage::Message),
        3 => (any::<u64>(), response())
            .prop_map(|(to, response)| BusMessage::Response { to, response }),
        1 => Just(BusMessage::Gone),
        1 => any::<(u64, u64)>().prop_map(|(to, sequence)| BusMessage::Applied { to, sequence }),
    ]
}

proptest! {
    #[test]
    fn a_message_survives_encoding_and_decoding(message in message()) {
        let encoded = Bytes::from(invariants::encode(&message).unwrap());
        prop_assert_eq!(decode(encoded.clone()), Ok(message));
        invariants::check_bytes(&encoded);
    }

    #[test]
    fn a_truncated_message_is_refused(message in message(), cut in any::<prop::sample::Index>()) {
        let encoded = Bytes::from(invariants::encode(&message).unwrap());
        let cut = cut.index(encoded.len());
        prop_assert!(decode(encoded.slice(..cut)).is_err());
        let mut longer = encoded.to_vec();
        longer.push(0);
        prop_assert_eq!(decode(longer.into()), Err(CodecError::Trailing));
    }

    #[test]
    fn changed_bytes_are_refused_or_decoded_consistently(
        message in message(),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = invariants::encode(&message).unwrap();
        let position = position.index(bytes.len());
        bytes[position] = byte;
        invariants::check_bytes(&bytes.into());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_encoded_identically(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        invariants::check_bytes(&bytes.into());
    }
}
