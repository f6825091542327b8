//! Invariants of the messages between workers for arbitrary input. Used by the tests and the fuzzer.

use bytes::Bytes;
use uptick_socketio::adapter::bus::codec::{
    BusMessage, CodecError, Envelope, decode, encode_applied, encode_gone, encode_message,
    encode_response,
};

pub(crate) fn encode(message: &BusMessage) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    match message {
        BusMessage::Message(message) => encode_message(&mut out, message),
        BusMessage::Response { to, response } => encode_response(&mut out, *to, response)?,
        BusMessage::Gone => encode_gone(&mut out),
        BusMessage::Applied { to, sequence } => encode_applied(&mut out, *to, *sequence),
    }
    Ok(out)
}

/// Checks that bytes are refused, or are identical after decoding and encoding.
pub(crate) fn check_bytes(bytes: &Bytes) {
    if let Ok(envelope) = Envelope::decode(bytes.clone()) {
        let mut again = Vec::new();
        Envelope::encode_head(
            &mut again,
            envelope.sender,
            envelope.sequence,
            envelope.part,
        );
        again.extend_from_slice(&envelope.payload);
        assert_eq!(again, bytes[..]);
    }
    if let Ok(message) = decode(bytes.clone()) {
        assert_eq!(encode(&message).as_deref(), Ok(&bytes[..]));
    }
}
