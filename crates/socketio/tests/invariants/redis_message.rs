//! Invariants of the messages between servers over Redis for arbitrary input. Used by the tests and the fuzzer.

use bytes::Bytes;
use uptick_socketio::adapter::redis::wire::classic::{Broadcast, Request, Response};
use uptick_socketio::adapter::redis::wire::cluster_message::{self, Content};

/// Checks that bytes are refused, or that the decoded message survives encoding and decoding. Returns the number of decoders that accept the bytes.
pub(crate) fn check_bytes(bytes: &Bytes) -> usize {
    let mut accepted = 0;
    if let Ok(broadcast) = Broadcast::decode(bytes.clone()) {
        accepted += 1;
        let Broadcast {
            uid,
            namespace,
            packet,
            target,
            flags,
        } = &broadcast;
        // Fails for numbers that JavaScript cannot represent.
        if let Ok(again) = Broadcast::encode(uid, namespace, packet, target, *flags) {
            assert_eq!(Broadcast::decode(again).unwrap(), broadcast);
        }
    }
    if let Ok(request) = Request::decode(bytes.clone(), "/") {
        accepted += 1;
        if let Ok(again) = request.encode("/") {
            let decoded = Request::decode(again, "/").unwrap();
            assert_eq!((decoded.uid, decoded.body), (request.uid, request.body));
        }
    }
    if let Ok(response) = Response::decode(bytes.clone()) {
        accepted += 1;
        assert_eq!(Response::decode(response.encode()).unwrap(), response);
    }
    if let Ok(message) = cluster_message::decode(bytes.clone()) {
        accepted += 1;
        let (uid, namespace) = (&message.uid, &message.namespace);
        let again = match &message.content {
            Content::Message(content) => cluster_message::encode_message(uid, namespace, content),
            Content::Response(content) => cluster_message::encode_response(uid, namespace, content),
            _ => return accepted,
        };
        if let Ok(again) = again {
            let endings = cluster_message::endings(uid, namespace);
            assert!(endings.iter().any(|ending| again.ends_with(ending)));
            assert_eq!(cluster_message::decode(again).unwrap(), message);
        }
    }
    accepted
}
