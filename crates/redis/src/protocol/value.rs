//! Values of RESP2 and RESP3.

use std::fmt;

use bytes::Bytes;

/// A value that a server has sent.
///
/// Strings are slices of the buffer into which they were read, without a copy. One that is kept keeps up to 64 KiB alive: copy strings that
/// are kept for a long time.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Value {
    /// Null: the null of RESP3, and the null string and null array of RESP2.
    #[default]
    Null,
    /// A simple string, such as `OK`.
    Simple(Bytes),
    /// A bulk string.
    Bulk(Bytes),
    /// A verbatim string of RESP3.
    Verbatim {
        /// The format: `txt` or `mkd`.
        format: [u8; 3],
        /// The text.
        text: Bytes,
    },
    /// An integer.
    Integer(i64),
    /// A double of RESP3.
    Double(f64),
    /// A boolean of RESP3.
    Boolean(bool),
    /// A big number of RESP3: decimal digits, with an optional sign.
    BigNumber(Bytes),
    /// An array.
    Array(Vec<Value>),
    /// A set of RESP3.
    Set(Vec<Value>),
    /// A map of RESP3.
    Map(Vec<(Value, Value)>),
    /// A push message of RESP3. It is not a reply to a command.
    Push(Vec<Value>),
    /// An error.
    Error(ServerError),
}

impl Value {
    /// Returns the bytes of a string of any type, or of a big number.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Value::Simple(bytes) | Value::Bulk(bytes) | Value::BigNumber(bytes) => Some(bytes),
            Value::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Returns `true` if the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns the name of the type, for error texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Simple(_) | Value::Bulk(_) | Value::Verbatim { .. } => "a string",
            Value::Integer(_) => "an integer",
            Value::Double(_) => "a double",
            Value::Boolean(_) => "a boolean",
            Value::BigNumber(_) => "a big number",
            Value::Array(_) => "an array",
            Value::Set(_) => "a set",
            Value::Map(_) => "a map",
            Value::Push(_) => "a push message",
            Value::Error(_) => "an error",
        }
    }
}

/// An error that a server has sent: a code and a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    text: Bytes,
}

impl ServerError {
    /// Creates an error from the text of a reply, such as `ERR unknown command`.
    pub fn new(text: impl Into<Bytes>) -> Self {
        ServerError { text: text.into() }
    }

    /// Returns the code, such as `ERR` or `WRONGTYPE`: the first word of the text.
    pub fn code(&self) -> &str {
        let end = memchr::memchr(b' ', &self.text).unwrap_or(self.text.len());
        std::str::from_utf8(&self.text[..end]).unwrap_or("ERR")
    }

    /// Returns the text after the code.
    pub fn message(&self) -> String {
        let start = memchr::memchr(b' ', &self.text).map_or(self.text.len(), |space| space + 1);
        String::from_utf8_lossy(&self.text[start..]).into_owned()
    }

    /// Returns the text, including the code.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}
