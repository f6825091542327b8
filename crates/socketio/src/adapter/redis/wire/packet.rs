//! Conversion of packets.

use super::WireError;
use crate::namespace::event_of;
use crate::protocol::Value;
use crate::protocol::packet::{Encoded, Encoder, numeric_name};

/// Packet types of events, without and with attachments.
const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

/// Returns the name and the arguments of an event as an array.
pub(super) fn data_of(packet: &Encoded) -> Result<Value, WireError> {
    let (name, arguments) =
        event_of(packet).ok_or_else(|| WireError::Event("it is not an event".to_owned()))?;
    let values = arguments.to_values();
    let mut values = values.map_err(|error| WireError::Event(error.to_string()))?;
    values.insert(0, Value::from(name.as_str()));
    Ok(Value::Array(values))
}

/// Encodes an event from its name and arguments.
pub(super) fn packet_of(namespace: &str, data: Value) -> Result<Encoded, WireError> {
    let Value::Array(data) = data else {
        return Err(WireError::Event("its data is not an array".to_owned()));
    };
    let mut data = data.into_iter();
    let mut encoder = match data.next() {
        Some(Value::String(name)) => Encoder::event(namespace, None, &name)?,
        Some(Value::Number(number)) => {
            let name = numeric_name(number.as_f64().unwrap_or_default());
            Encoder::event(namespace, None, name.as_str())?
        }
        _ => return Err(WireError::Event("it has no name".to_owned())),
    };
    for argument in data {
        match argument {
            Value::Binary(bytes) => encoder.binary(bytes),
            argument => encoder.argument(&argument)?,
        }
    }
    Ok(encoder.finish()?)
}

/// Checks the type of a packet.
pub(super) fn check_type(kind: u64) -> Result<(), WireError> {
    match kind {
        EVENT | BINARY_EVENT => Ok(()),
        kind => Err(WireError::Event(format!("it has the packet type {kind}"))),
    }
}
