//! Packets encoded as MessagePack, compatible with npm's `socket.io-msgpack-parser`.
//!
//! A packet is one binary message: a map with the keys `type`, `nsp`, `data` and `id`. Binary values are encoded in place, without attachments. Decoding is
//! strict and applies the depth and namespace limits of [`Limits`]; the bytes of received values are shared.
//!
//! Extensions are decoded as in `notepack.io`: type 0 is binary data, `undefined` becomes `null`, and other types become an array of the type and the bytes. A date
//! becomes its number of milliseconds.

pub(crate) mod read;
pub(crate) mod write;

use bytes::Bytes;
use uptick_websocket::{Message, Text};

use self::read::Reader;
use super::Value;
use super::json::MAX_DEPTH;
use super::packet::{
    Arguments, Body, Data, EncodeError, Encoded, Limits, MAX_ID, Packet, PacketError,
    RESERVED_EVENTS, numeric_name,
};

/// Decodes a packet.
///
/// # Errors
///
/// Returns [`PacketError`] if the bytes are not valid MessagePack, or not a packet.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::msgpack;
/// use uptick_socketio::protocol::packet::{Body, Limits, Packet};
/// use uptick_websocket::Message;
///
/// let packet = Packet { namespace: "/".into(), id: None, body: Body::Disconnect };
/// let Some(Message::Binary(bytes)) = msgpack::encode(&packet)?.frames().next() else { panic!() };
/// assert_eq!(msgpack::decode(bytes, &Limits::default())?, packet);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Packet, PacketError> {
    // The map of the packet adds one level that a JSON packet does not have.
    let mut reader = Reader::new(bytes, (limits.depth + 1).min(MAX_DEPTH));
    let entries = reader.map_length()?;
    let (mut kind, mut namespace, mut data, mut id) = (None, None, None, None);
    for _ in 0..entries {
        let key = reader.key()?;
        let value = reader.value(1)?;
        match key.as_str() {
            "type" => kind = value,
            "nsp" => namespace = value,
            "data" => data = value,
            "id" => id = value,
            // The client also sends its `options`, which are ignored.
            _ => {}
        }
    }
    reader.end()?;
    let namespace = match namespace {
        Some(Value::String(name)) if name.len() > limits.namespace => {
            return Err(PacketError::NamespaceTooLong {
                limit: limits.namespace,
            });
        }
        Some(Value::String(name)) => Text::from(name),
        _ => return Err(PacketError::IllegalNamespace),
    };
    let id = match id {
        None => None,
        Some(Value::Number(id)) => Some(
            id.as_u64()
                .filter(|id| *id <= MAX_ID)
                .ok_or(PacketError::IllegalId)?,
        ),
        Some(_) => return Err(PacketError::IllegalId),
    };
    let kind = match kind {
        Some(Value::Number(kind)) => kind.as_u64(),
        _ => None,
    };
    let body = match (kind, data) {
        (Some(0), data @ (None | Some(Value::Object(_)))) => Body::Connect(data.map(Data::Value)),
        (Some(1), None) => Body::Disconnect,
        (Some(2), Some(Value::Array(values))) => event(values)?,
        (Some(3), Some(Value::Array(values))) => Body::Ack(Arguments::of_values(values)),
        (Some(4), Some(error @ (Value::String(_) | Value::Object(_)))) => {
            Body::ConnectError(Some(Data::Value(error)))
        }
        (Some(0..=4), _) => return Err(PacketError::InvalidPayload),
        _ => return Err(PacketError::UnknownType),
    };
    Ok(Packet {
        namespace,
        id,
        body,
    })
}

/// Separates the name of an event from its arguments.
fn event(mut values: Vec<Value>) -> Result<Body, PacketError> {
    if values.is_empty() {
        return Ok(Body::Event {
            name: None,
            arguments: Arguments::default(),
        });
    }
    let name = match values.remove(0) {
        Value::String(name) => Text::from(name),
        Value::Number(number) => numeric_name(number.as_f64().unwrap_or_default()),
        _ => return Err(PacketError::InvalidPayload),
    };
    match RESERVED_EVENTS.iter().find(|reserved| name == **reserved) {
        Some(reserved) => Err(PacketError::ReservedEvent(reserved)),
        None => Ok(Body::Event {
            name: Some(name),
            arguments: Arguments::of_values(values),
        }),
    }
}

/// Encodes a packet as one binary frame.
///
/// # Errors
///
/// Returns [`EncodeError`] if the name of the event is reserved, the id is not valid, or JSON in the packet contains a number that is too large.
pub fn encode(packet: &Packet) -> Result<Encoded, EncodeError> {
    let values = |first: Option<Value>, arguments: &Arguments| {
        let mut values = Vec::from_iter(first);
        values.extend(arguments.to_values()?);
        Ok::<_, EncodeError>(Some(Value::Array(values)))
    };
    let data = |data: &Option<Data>| match data {
        Some(data) => Ok::<_, EncodeError>(Some(data.parse()?)),
        None => Ok(None),
    };
    let (kind, data) = match &packet.body {
        Body::Connect(auth) => (0, data(auth)?),
        Body::Disconnect => (1, None),
        Body::Event { name, arguments } => {
            let name = name.as_deref();
            if let Some(name) = name.filter(|name| super::packet::is_reserved(name)) {
                return Err(EncodeError::ReservedEvent(name.to_owned()));
            }
            (2, values(name.map(Value::from), arguments)?)
        }
        Body::Ack(arguments) => (3, values(None, arguments)?),
        Body::ConnectError(error) => (4, data(error)?),
    };
    if let Some(id) = packet.id.filter(|id| *id > MAX_ID) {
        return Err(EncodeError::IllegalId(id));
    }
    let mut bytes = Vec::with_capacity(64);
    let entries = 2 + u8::from(data.is_some()) + u8::from(packet.id.is_some());
    bytes.push(0x80 | entries);
    write::string(&mut bytes, "type");
    bytes.push(kind);
    if let Some(data) = data {
        write::string(&mut bytes, "data");
        write::value(&mut bytes, &data);
    }
    if let Some(id) = packet.id {
        write::string(&mut bytes, "id");
        write::unsigned(&mut bytes, id);
    }
    write::string(&mut bytes, "nsp");
    write::string(&mut bytes, &packet.namespace);
    Ok(Encoded::of_frame(Message::Binary(bytes.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Packet, PacketError> {
        decode(Bytes::copy_from_slice(bytes), &Limits::default())
    }

    /// Returns a packet with encoded data.
    fn event_of(data: &[u8]) -> Vec<u8> {
        [b"\x83\xa4type\x02\xa3nsp\xa1/\xa4data", data].concat()
    }

    #[test]
    fn values_of_all_kinds_survive_encoding_and_decoding() {
        let json = r#"[null,true,0,127,128,255,256,65535,65536,4294967296,-1,-32,-33,-128,-129,-40000,-3000000000,0.5,"ü",{"a":[]}]"#;
        let mut values: Vec<Value> = serde_json::from_str(json).unwrap();
        for size in [0, 255, 256, 70_000] {
            values.push(Value::Binary(Bytes::from(vec![7; size])));
            values.push(Value::String("x".repeat(size)));
            values.push(Value::Array(vec![Value::Null; size]));
        }
        let packet = Packet {
            namespace: "/a".into(),
            id: Some(MAX_ID),
            body: Body::Event {
                name: Some("name".into()),
                arguments: Arguments::of_values(values),
            },
        };
        let frames: Vec<_> = encode(&packet).unwrap().frames().collect();
        assert_eq!(decoded(frames[0].as_bytes()), Ok(packet));
    }

    #[test]
    fn extensions_are_decoded_as_in_notepack() {
        let data = b"\x96\xa1e\xd4\x00\x00\xc7\x02\x00ab\xd5\x05cd\xd7\x00\0\0\0\0\0\0\x03\xe8\xc8\x00\x01\xffx";
        let Body::Event { arguments, .. } = decoded(&event_of(data)).unwrap().body else {
            panic!()
        };
        let extension = |kind: i64, bytes: &'static [u8]| {
            Value::from(vec![
                Value::from(kind),
                Value::Binary(Bytes::from_static(bytes)),
            ])
        };
        let expected = [
            Value::Null,
            Value::Binary("ab".into()),
            extension(5, b"cd"),
            Value::from(1000),
            extension(-1, b"x"),
        ];
        assert_eq!(arguments.to_values().unwrap(), expected);
    }

    #[test]
    fn malformed_packets_are_errors() {
        use PacketError::{IllegalId, IllegalNamespace, InvalidPayload, UnknownType};
        for (bytes, expected) in [
            (&b""[..], InvalidPayload),
            (b"\xc1", InvalidPayload),
            (b"\x80", IllegalNamespace),
            (b"\x81\xa3nsp\xa1/", UnknownType),
            (b"\x82\xa3nsp\xa1/\xa4type\x05", UnknownType),
            (b"\x82\xa3nsp\xa1/\xa4type\xa10", UnknownType),
            (b"\x82\xa3nsp\x01\xa4type\x01", IllegalNamespace),
            (b"\x82\xa3nsp\xa1/\xa4type\x02", InvalidPayload),
            (b"\x83\xa3nsp\xa1/\xa4type\x01\xa2id\xa11", IllegalId),
            (b"\x83\xa3nsp\xa1/\xa4type\x01\xa2id\xff", IllegalId),
            (b"\x82\xa3nsp\xa1/\xa4type\x01\x00", InvalidPayload),
            (b"\x82\xa3nsp\xa1\xff\xa4type\x01", InvalidPayload),
            (b"\x82\xa3nsp\xa1/\xa4ty", InvalidPayload),
            (b"\xdf\xff\xff\xff\xff", InvalidPayload),
        ] {
            assert_eq!(decoded(bytes), Err(expected), "{bytes:x?}");
        }
        let reserved = event_of(b"\x91\xaadisconnect");
        assert_eq!(
            decoded(&reserved),
            Err(PacketError::ReservedEvent("disconnect"))
        );
    }

    #[test]
    fn depth_and_sizes_are_bounded() {
        let deep = |depth: usize| {
            event_of(&[&b"\x92\xa1e"[..], &b"\x91".repeat(depth - 2), b"\x90"].concat())
        };
        assert!(decoded(&deep(64)).is_ok());
        assert_eq!(decoded(&deep(65)), Err(PacketError::TooDeep { limit: 64 }));
        assert_eq!(
            decoded(&deep(500_000)),
            Err(PacketError::TooDeep { limit: 64 })
        );
        // An array that claims more elements than the input contains reserves no memory.
        assert_eq!(
            decoded(&event_of(b"\xdd\xff\xff\xff\xff\x01")),
            Err(PacketError::InvalidPayload)
        );
        assert_eq!(
            decoded(&event_of(b"\xc6\xff\xff\xff\xff\x01")),
            Err(PacketError::InvalidPayload)
        );
    }
}
