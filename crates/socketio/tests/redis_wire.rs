//! The wire formats of the official adapters over Redis: captured messages, round trips, and malformed input.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

#[path = "invariants/redis_message.rs"]
mod invariants;

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use uptick_socketio::adapter::redis::wire::WireError;
use uptick_socketio::adapter::redis::wire::classic::{
    Broadcast, BroadcastFlags, Request, RequestBody, Response, ResponseBody,
};
use uptick_socketio::adapter::redis::wire::cluster_message::{self, Content};
use uptick_socketio::adapter::{ClusterMessage, ClusterResponse, RemoteSocket, Target};
use uptick_socketio::protocol::Value;
use uptick_socketio::protocol::packet::{Encoded, Encoder};

#[derive(Deserialize)]
struct Fixture {
    classic: Vec<Captured>,
    sharded: Vec<Captured>,
}

/// A captured message.
#[derive(Deserialize)]
struct Captured {
    operation: String,
    channel: String,
    text: Option<String>,
    hex: Option<String>,
}

impl Captured {
    fn payload(&self) -> Bytes {
        if let Some(text) = &self.text {
            return Bytes::copy_from_slice(text.as_bytes());
        }
        let hex = self.hex.as_deref().unwrap().as_bytes();
        let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16);
        hex.chunks(2).map(|digits| byte(digits).unwrap()).collect()
    }

    fn namespace(&self) -> &str {
        self.channel.split('#').nth(1).unwrap()
    }
}

fn captured() -> Fixture {
    serde_json::from_str(include_str!("fixtures/redis_messages.json")).unwrap()
}

fn event(namespace: &str, arguments: &[Value]) -> Encoded {
    let Value::String(name) = &arguments[0] else {
        panic!()
    };
    let mut encoder = Encoder::event(namespace, None, name).unwrap();
    for argument in &arguments[1..] {
        match argument {
            Value::Binary(bytes) => encoder.binary(bytes.clone()),
            other => encoder.argument(other).unwrap(),
        }
    }
    encoder.finish().unwrap()
}

fn event_of_json(arguments: serde_json::Value) -> Encoded {
    let Value::Array(arguments) = Value::of(&arguments).unwrap() else {
        panic!()
    };
    event("/", &arguments)
}

fn target(rooms: &[&str], except: &[&str]) -> Target {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Target {
        rooms: owned(rooms),
        except: owned(except),
    }
}

#[test]
fn captured_classic_messages_are_decoded_and_encoded_to_the_same_bytes() {
    for message in captured().classic {
        let (payload, namespace) = (message.payload(), message.namespace());
        let encoded = if message.channel.starts_with("socket.io#") {
            let mut broadcast = Broadcast::decode(payload.clone()).unwrap();
            assert_eq!(broadcast.namespace, namespace);
            if message.operation.contains("compress") {
                // Not decoded, because the receiver ignores it.
                broadcast.flags.compress = Some(false);
            }
            Broadcast::encode(
                &broadcast.uid,
                namespace,
                &broadcast.packet,
                &broadcast.target,
                broadcast.flags,
            )
            .unwrap()
        } else if message.channel.starts_with("socket.io-request#") {
            let request = Request::decode(payload.clone(), namespace).unwrap();
            request.encode(namespace).unwrap()
        } else {
            Response::decode(payload.clone()).unwrap().encode()
        };
        assert_eq!(encoded, payload, "{}", message.operation);
    }
}

#[test]
fn captured_sharded_messages_are_decoded_and_encoded_to_the_same_bytes() {
    for message in captured().sharded {
        let payload = message.payload();
        let decoded = cluster_message::decode(payload.clone()).unwrap();
        assert_eq!(decoded.namespace, message.namespace());
        let Content::Message(content) = decoded.content else {
            panic!("{}", message.operation)
        };
        let encoded = cluster_message::encode_message(&decoded.uid, &decoded.namespace, &content);
        assert_eq!(encoded.unwrap(), payload, "{}", message.operation);
    }
}

#[test]
fn captured_broadcasts_have_the_expected_content() {
    let fixture = captured();
    let first = Broadcast::decode(fixture.classic[0].payload()).unwrap();
    assert_eq!(
        first,
        Broadcast {
            uid: "5Z18Ld".to_owned(),
            namespace: "/".to_owned(),
            packet: event_of_json(json!(["ev", 1, "two", {"three": [null, true, 4.5]}])),
            target: Target::default(),
            flags: BroadcastFlags::default(),
        }
    );
    let rooms = Broadcast::decode(fixture.classic[2].payload()).unwrap();
    assert_eq!(rooms.target, target(&["r1", "r2"], &["r3"]));
    assert_eq!(
        rooms.packet,
        event_of_json(json!(["ev", -1, 300, 70_000, 1_099_511_627_776_i64]))
    );
    let binary = Broadcast::decode(fixture.classic[5].payload()).unwrap();
    assert_eq!(binary.packet.frame_count(), 3);
    let volatile = Broadcast::decode(fixture.classic[4].payload()).unwrap();
    assert!(volatile.flags.volatile);
}

#[test]
fn old_requests_for_a_single_socket_are_decoded() {
    let request = |text: &'static str| Request::decode(Bytes::from_static(text.as_bytes()), "/");
    let join = request(r#"{"uid":"a","requestId":"i","type":2,"sid":"s","room":7}"#).unwrap();
    assert_eq!(join.id.as_deref(), Some("i"));
    let (one, rooms) = (target(&["s"], &[]), vec!["7".to_owned()]);
    assert_eq!(
        join.body,
        RequestBody::Join {
            target: one.clone(),
            rooms
        }
    );
    let disconnect = request(r#"{"requestId":"i","type":4,"sid":"s","close":true}"#).unwrap();
    let expected = RequestBody::Disconnect {
        target: one,
        close: true,
    };
    assert_eq!((disconnect.uid, disconnect.body), (None, expected));
    let sockets = request(r#"{"requestId":"i","type":0,"rooms":["a"]}"#).unwrap();
    let rooms = vec!["a".to_owned()];
    assert_eq!(sockets.body, RequestBody::Sockets { rooms });
}

#[test]
fn requests_and_responses_with_binary_data_are_messagepack() {
    let packet = event(
        "/",
        &[Value::from("e"), Value::Binary(Bytes::from_static(b"b"))],
    );
    let request = Request {
        uid: Some("u".to_owned()),
        id: None,
        body: RequestBody::ServerSideEmit { packet },
    };
    let bytes = request.encode("/").unwrap();
    assert_ne!(bytes[0], b'{');
    assert_eq!(Request::decode(bytes, "/").unwrap(), request);
    let response = Response {
        id: "i".to_owned(),
        body: ResponseBody::ServerSideAck(Value::Binary(Bytes::from_static(b"b"))),
    };
    let bytes = response.encode();
    assert_ne!(bytes[0], b'{');
    assert_eq!(Response::decode(bytes).unwrap(), response);
}

#[test]
fn all_responses_survive_encoding_and_decoding() {
    let socket = RemoteSocket {
        id: "s".to_owned(),
        handshake: Value::of(&json!({"url": "/"})).unwrap(),
        rooms: vec!["s".to_owned(), "r".to_owned()],
        data: Value::Binary(Bytes::from_static(&[0, 255])),
    };
    let names = || vec!["a".to_owned(), "b".to_owned()];
    for body in [
        ResponseBody::Done,
        ResponseBody::Rooms(names()),
        ResponseBody::SocketIds(names()),
        ResponseBody::Sockets(vec![socket.clone()]),
        ResponseBody::Sockets(Vec::new()),
        ResponseBody::ServerSideAck(Value::from(7)),
        ResponseBody::ClientCount(3),
        ResponseBody::Ack(Value::Null),
    ] {
        let response = Response {
            id: "i".to_owned(),
            body,
        };
        assert_eq!(Response::decode(response.encode()).unwrap(), response);
    }
    let request = || "9".to_owned();
    for response in [
        ClusterResponse::Sockets {
            request: request(),
            sockets: vec![socket],
        },
        ClusterResponse::ServerSideAck {
            request: request(),
            value: Value::from("x"),
        },
        ClusterResponse::ClientCount {
            request: request(),
            count: 2,
        },
        ClusterResponse::Ack {
            request: request(),
            value: Value::Null,
        },
    ] {
        let bytes = cluster_message::encode_response("u", "/n", &response).unwrap();
        let decoded = cluster_message::decode(bytes).unwrap();
        assert_eq!((&*decoded.uid, &*decoded.namespace), ("u", "/n"));
        assert_eq!(decoded.content, Content::Response(response));
    }
}

#[test]
fn all_cluster_messages_survive_encoding_and_decoding() {
    let request = || Some("1".to_owned());
    let packet = || event("/", &[Value::from("e"), Value::from(1)]);
    for message in [
        ClusterMessage::Broadcast {
            packet: packet(),
            target: target(&["a"], &["b"]),
            volatile: true,
            request: request(),
            timeout: Some(500),
        },
        ClusterMessage::SocketsJoin {
            target: target(&[], &["b"]),
            rooms: vec!["r".to_owned()],
        },
        ClusterMessage::SocketsLeave {
            target: target(&["a"], &[]),
            rooms: vec!["r".to_owned()],
        },
        ClusterMessage::DisconnectSockets {
            target: Target::default(),
            close: true,
        },
        ClusterMessage::FetchSockets {
            target: Target::default(),
            request: "1".to_owned(),
        },
        ClusterMessage::ServerSideEmit {
            packet: packet(),
            request: request(),
        },
        ClusterMessage::ServerSideEmit {
            packet: packet(),
            request: None,
        },
    ] {
        let bytes = cluster_message::encode_message("u", "/", &message).unwrap();
        let decoded = cluster_message::decode(bytes).unwrap();
        assert_eq!(decoded.content, Content::Message(message));
    }
    for (kind, expected) in [
        (1, Content::InitialHeartbeat),
        (2, Content::Heartbeat),
        (13, Content::AdapterClose),
    ] {
        let text = format!(r#"{{"type":{kind},"uid":"u","nsp":"/"}}"#);
        assert_eq!(
            cluster_message::decode(text.into()).unwrap().content,
            expected
        );
    }
}

#[test]
fn a_request_for_the_state_of_a_client_is_not_supported() {
    let message = ClusterMessage::RestoreSession {
        pid: "p".to_owned(),
        offset: "o".to_owned(),
        request: "1".to_owned(),
    };
    let encoded = cluster_message::encode_message("u", "/", &message);
    assert!(matches!(encoded, Err(WireError::Unsupported)));
}

fn accepted(bytes: &[u8]) -> usize {
    invariants::check_bytes(&Bytes::copy_from_slice(bytes))
}

#[test]
fn malformed_messages_are_errors() {
    for bytes in [
        &b""[..],
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\xc1",
        b"\x90",
        b"\x93\xa1u\x80\x80",
        b"{\"type\":99,\"requestId\":\"i\",\"uid\":\"u\",\"nsp\":\"/\"}",
        b"{\"type\":-1}",
        b"{\"type\":2.5}",
        b"{\"type\":\"2\"}",
        // A selection of sockets whose rooms are missing must not select all sockets.
        b"{\"type\":4,\"opts\":{\"except\":[]},\"close\":true}",
        b"{\"type\":4,\"opts\":{\"rooms\":[{}],\"except\":[]},\"close\":true}",
        b"{\"type\":4,\"opts\":{\"rooms\":\"a\",\"except\":[]},\"close\":true}",
        b"{\"type\":4,\"close\":true}",
        b"{\"type\":6,\"data\":[]}",
        b"{\"type\":6,\"data\":[\"disconnect\"]}",
        b"{\"type\":6,\"data\":[{}]}",
        b"{\"type\":6,\"data\":7}",
        b"{\"type\":7,\"requestId\":\"i\",\"packet\":{\"type\":0,\"data\":[\"e\"]},\"opts\":{\"rooms\":[]}}",
        b"{\"type\":3,\"uid\":\"u\",\"nsp\":\"/\",\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]}}}",
        b"{\"type\":3,\"uid\":\"u\",\"nsp\":\"a,b\",\"data\":{\"packet\":{\"type\":2,\"data\":[\"e\"]},\"opts\":{\"rooms\":[]}}}",
        b"{\"type\":8,\"requestId\":\"i\",\"clientCount\":-1}",
        b"{\"requestId\":\"i\",\"sockets\":[7]}",
        b"{\"requestId\":\"i\",\"sockets\":[{\"id\":1}]}",
        b"{\"requestId\":7}",
        b"\xdd\xff\xff\xff\xff\x01",
        b"\xdf\xff\xff\xff\xff\xa1a\x01",
        b"\xc6\xff\xff\xff\xff\x01",
    ] {
        assert_eq!(accepted(bytes), 0, "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn the_nesting_depth_is_limited() {
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":6,"requestId":"i","data":["e",{open}{close}]}}"#)
    };
    assert!(Request::decode(deep(100).into(), "/").is_ok());
    for depth in [200, 1_000_000] {
        let error = Request::decode(deep(depth).into(), "/").unwrap_err();
        assert!(matches!(error, WireError::TooDeep), "{error}");
    }
    for first in [&b"\x91"[..], b"\x81\xa1a"] {
        let error = Broadcast::decode(first.repeat(500_000).into()).unwrap_err();
        assert!(matches!(error, WireError::TooDeep), "{error}");
    }
}

#[test]
fn every_prefix_and_every_changed_byte_of_a_captured_message_is_handled() {
    let fixture = captured();
    for message in fixture.classic.iter().chain(&fixture.sharded) {
        let payload = message.payload();
        for length in 0..payload.len() {
            // A prefix of MessagePack or JSON is never complete.
            assert_eq!(accepted(&payload[..length]), 0, "{}", message.operation);
        }
        let mut changed = payload.to_vec();
        for index in 0..changed.len() {
            for byte in [0, 0x7f, 0x91, 0xc1, 0xdf, 0xff] {
                let original = std::mem::replace(&mut changed[index], byte);
                accepted(&changed);
                changed[index] = original;
            }
        }
    }
}

/// JSON values with binary data.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300_f64).prop_map(Value::from_f64),
        ".{0,8}".prop_map(Value::String),
        any::<Vec<u8>>().prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((".{0,8}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>) {
        accepted(&bytes);
        accepted(&[b"{\"type\":", &*bytes].concat());
        accepted(&[b"\x93\xa1u\x83\xa4type\x02\xa4data", &*bytes].concat());
    }

    #[test]
    fn events_survive_encoding_and_decoding(arguments in prop::collection::vec(values(), 0..4), rooms in prop::collection::vec(".{0,8}", 0..3)) {
        let mut all = vec![Value::from("event")];
        all.extend(arguments);
        let packet = event("/chat", &all);
        let target = Target { rooms, except: vec!["x".to_owned()] };
        let bytes = Broadcast::encode("u", "/chat", &packet, &target, BroadcastFlags::default()).unwrap();
        let decoded = Broadcast::decode(bytes).unwrap();
        prop_assert_eq!(&decoded.packet, &packet);
        prop_assert_eq!(&decoded.target, &target);
        let message = ClusterMessage::Broadcast { packet, target, volatile: false, request: None, timeout: None };
        let bytes = cluster_message::encode_message("u", "/chat", &message).unwrap();
        prop_assert_eq!(cluster_message::decode(bytes).unwrap().content, Content::Message(message));
    }
}
