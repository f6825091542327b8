//! Broadcasts without acknowledgements.

use bytes::Bytes;

use super::super::WireError;
use super::super::fields::{Fields, Flags};
use super::super::packet::{check_type, data_of, packet_of};
use super::super::value::{decode_msgpack, encode_msgpack, number, object, strings};
use super::EMITTER_UID;
use crate::adapter::Target;
use crate::protocol::Value;
use crate::protocol::packet::Encoded;

/// A broadcast: `[uid, {type, data, nsp}, {rooms, except, flags}]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Broadcast {
    /// The id of the sending server.
    pub uid: String,
    /// The namespace.
    pub namespace: String,
    /// The event.
    pub packet: Encoded,
    /// The selected sockets.
    pub target: Target,
    /// The flags.
    pub flags: BroadcastFlags,
}

/// The flags of a broadcast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BroadcastFlags {
    /// `true` if the event may be dropped for slow clients.
    pub volatile: bool,
    /// `false` if the event is not compressed. Ignored when decoding.
    pub compress: Option<bool>,
}

impl Broadcast {
    /// Decodes a broadcast.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if the bytes are not a valid broadcast.
    pub fn decode(bytes: Bytes) -> Result<Broadcast, WireError> {
        Broadcast::decode_for(bytes, |_, _| true)?.ok_or(WireError::Structure)
    }

    /// Decodes a broadcast if `accept` returns `true` for the id of the server and the namespace.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if the bytes are not a valid broadcast.
    pub fn decode_for(
        bytes: Bytes,
        accept: impl FnOnce(&str, &str) -> bool,
    ) -> Result<Option<Broadcast>, WireError> {
        let Value::Array(parts) = decode_msgpack(bytes)? else {
            return Err(WireError::Structure);
        };
        let mut parts = parts.into_iter();
        let (Some(Value::String(uid)), Some(packet), Some(options)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(WireError::Structure);
        };
        let (mut packet, mut options) = (Fields::of(packet)?, Fields::of(options)?);
        let namespace = packet.optional_string("nsp")?;
        let namespace = namespace.unwrap_or_else(|| "/".to_owned());
        if !accept(&uid, &namespace) {
            return Ok(None);
        }
        check_type(packet.integer("type")?)?;
        let target = options.target()?;
        let flags = Flags::of(&mut options);
        Ok(Some(Broadcast {
            packet: packet_of(&namespace, packet.value("data"))?,
            uid,
            namespace,
            target,
            flags: BroadcastFlags {
                volatile: flags.volatile,
                compress: None,
            },
        }))
    }

    /// Encodes a broadcast.
    ///
    /// # Errors
    ///
    /// Returns [`WireError::Event`] if the packet is not a JSON event.
    pub fn encode(
        uid: &str,
        namespace: &str,
        packet: &Encoded,
        target: &Target,
        flags: BroadcastFlags,
    ) -> Result<Bytes, WireError> {
        let packet = packet_value(namespace, packet)?;
        let rooms = ("rooms", strings(&target.rooms));
        let except = ("except", strings(&target.except));
        let flags = ("flags", flags_value(flags));
        // The official emitter writes the options in a different order than the servers.
        let options = match uid == EMITTER_UID {
            true => object([rooms, flags, except]),
            false => object([rooms, except, flags]),
        };
        let parts = vec![Value::from(uid), packet, options];
        Ok(encode_msgpack(&Value::Array(parts)))
    }
}

/// Returns a packet as an object.
pub(super) fn packet_value(namespace: &str, packet: &Encoded) -> Result<Value, WireError> {
    Ok(object([
        ("type", number(2)),
        ("data", data_of(packet)?),
        ("nsp", Value::from(namespace)),
    ]))
}

fn flags_value(flags: BroadcastFlags) -> Value {
    let volatile = flags.volatile.then_some(("volatile", true));
    let compress = flags.compress.map(|compress| ("compress", compress));
    let flags = volatile.into_iter().chain(compress);
    Value::Object(
        flags
            .map(|(key, flag)| (key.to_owned(), Value::Bool(flag)))
            .collect(),
    )
}
