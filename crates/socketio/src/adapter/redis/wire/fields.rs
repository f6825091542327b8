//! The entries of a decoded object.

use indexmap::IndexMap;

use super::WireError;
use crate::adapter::{RemoteSocket, Target};
use crate::protocol::Value;
use crate::protocol::packet::numeric_name;

/// Greatest integer that JavaScript represents exactly.
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The entries of an object, which are removed one by one.
pub(super) struct Fields(IndexMap<String, Value>);

impl Fields {
    pub(super) fn of(value: Value) -> Result<Fields, WireError> {
        match value {
            Value::Object(entries) => Ok(Fields(entries)),
            _ => Err(WireError::Structure),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// Removes an entry. `null` counts as missing.
    pub(super) fn optional(&mut self, key: &str) -> Option<Value> {
        self.0
            .swap_remove(key)
            .filter(|value| *value != Value::Null)
    }

    /// Removes an entry; `null` if it is missing, as JSON has no `undefined`.
    pub(super) fn value(&mut self, key: &str) -> Value {
        self.0.swap_remove(key).unwrap_or_default()
    }

    pub(super) fn optional_string(
        &mut self,
        key: &'static str,
    ) -> Result<Option<String>, WireError> {
        match self.optional(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(WireError::Key(key)),
        }
    }

    pub(super) fn string(&mut self, key: &'static str) -> Result<String, WireError> {
        self.optional_string(key)?.ok_or(WireError::Key(key))
    }

    pub(super) fn optional_integer(&mut self, key: &'static str) -> Result<Option<u64>, WireError> {
        match self.optional(key) {
            None => Ok(None),
            Some(Value::Number(number)) => {
                let number = number.as_u64().or_else(|| {
                    let number = number.as_f64()?;
                    let is_integer = (0.0..=MAX_INTEGER).contains(&number) && number.fract() == 0.0;
                    is_integer.then_some(number as u64)
                });
                number.map(Some).ok_or(WireError::Key(key))
            }
            Some(_) => Err(WireError::Key(key)),
        }
    }

    pub(super) fn integer(&mut self, key: &'static str) -> Result<u64, WireError> {
        self.optional_integer(key)?.ok_or(WireError::Key(key))
    }

    pub(super) fn count(&mut self, key: &'static str) -> Result<usize, WireError> {
        usize::try_from(self.integer(key)?).map_err(|_| WireError::Key(key))
    }

    pub(super) fn boolean(&mut self, key: &str) -> bool {
        self.optional(key) == Some(Value::Bool(true))
    }

    pub(super) fn array(&mut self, key: &'static str) -> Result<Vec<Value>, WireError> {
        match self.optional(key) {
            Some(Value::Array(array)) => Ok(array),
            _ => Err(WireError::Key(key)),
        }
    }

    /// Removes a list of rooms. A room may be a number.
    pub(super) fn rooms(&mut self, key: &'static str) -> Result<Vec<String>, WireError> {
        let rooms = self.array(key)?.into_iter().map(room);
        rooms.collect::<Option<_>>().ok_or(WireError::Key(key))
    }

    pub(super) fn room(&mut self, key: &'static str) -> Result<String, WireError> {
        room(self.value(key)).ok_or(WireError::Key(key))
    }

    pub(super) fn fields(&mut self, key: &'static str) -> Result<Fields, WireError> {
        Fields::of(self.value(key)).map_err(|_| WireError::Key(key))
    }

    /// Removes the selection of sockets.
    pub(super) fn target(&mut self) -> Result<Target, WireError> {
        Ok(Target {
            rooms: self.rooms("rooms")?,
            except: match self.0.contains_key("except") {
                true => self.rooms("except")?,
                false => Vec::new(),
            },
        })
    }

    /// Removes a list of sockets.
    pub(super) fn sockets(&mut self) -> Result<Vec<RemoteSocket>, WireError> {
        self.array("sockets")?.into_iter().map(socket).collect()
    }
}

/// The flags of a broadcast that matter to the receiver.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) volatile: bool,
    /// The timeout of acknowledgements in milliseconds.
    pub(super) timeout: Option<u64>,
}

impl Flags {
    /// Removes the flags from the options of a broadcast. Missing and unknown flags are ignored.
    pub(super) fn of(options: &mut Fields) -> Flags {
        let Ok(mut flags) = options.fields("flags") else {
            return Flags::default();
        };
        Flags {
            volatile: flags.boolean("volatile"),
            timeout: flags.optional_integer("timeout").unwrap_or_default(),
        }
    }
}

fn room(value: Value) -> Option<String> {
    match value {
        Value::String(room) => Some(room),
        Value::Number(number) => Some(numeric_name(number.as_f64()?).to_string()),
        _ => None,
    }
}

fn socket(value: Value) -> Result<RemoteSocket, WireError> {
    let mut fields = Fields::of(value)?;
    Ok(RemoteSocket {
        id: fields.string("id")?,
        handshake: fields.value("handshake"),
        rooms: fields.rooms("rooms")?,
        data: fields.value("data"),
    })
}

/// Returns a socket as a value, with the keys in the order of the official adapters.
pub(super) fn of_socket(socket: &RemoteSocket) -> Value {
    super::value::object([
        ("id", Value::from(socket.id.as_str())),
        ("handshake", socket.handshake.clone()),
        ("rooms", super::value::strings(&socket.rooms)),
        ("data", socket.data.clone()),
    ])
}
