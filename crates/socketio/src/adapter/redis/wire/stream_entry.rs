//! The entries of `@socket.io/redis-streams-adapter`, and the state of disconnected clients.
//!
//! An entry has the fields `uid`, `nsp`, `type` (a decimal number) and `data`: JSON, or the Base64 encoding of MessagePack if it contains binary data. The state of a
//! client is the Base64 encoding of MessagePack.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use bytes::Bytes;

use super::WireError;
use super::cluster_message::{BROADCAST, Content, data_of_message, from_parts};
use super::fields::Fields;
use super::value::{self, object};
use crate::adapter::{ClusterMessage, SavedSession};
use crate::protocol::Value;

/// The names of the fields.
const NAMES: [&str; 4] = ["uid", "nsp", "type", "data"];

/// The fields of an entry, with their names.
pub type EntryFields = [(&'static str, Bytes); 4];

/// Encodes a message of a namespace.
///
/// # Errors
///
/// Returns [`WireError`] if the format has no such message, or if its packet is not a JSON event.
pub fn encode(
    uid: &str,
    namespace: &str,
    message: &ClusterMessage,
) -> Result<EntryFields, WireError> {
    let (kind, data) = data_of_message(message)?;
    let data = match data.has_binary() {
        true => STANDARD.encode(value::encode_msgpack(&data)).into(),
        false => value::encode_json(&data),
    };
    let [uid_name, namespace_name, type_name, data_name] = NAMES;
    Ok([
        (uid_name, Bytes::copy_from_slice(uid.as_bytes())),
        (namespace_name, Bytes::copy_from_slice(namespace.as_bytes())),
        (type_name, kind.to_string().into()),
        (data_name, data),
    ])
}

/// The fields of a received entry, before its data is decoded.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedEntry<'a> {
    /// The id of the sending server.
    pub uid: &'a str,
    /// The namespace.
    pub namespace: &'a str,
    kind: u64,
    data: Option<&'a Bytes>,
}

impl<'a> ReceivedEntry<'a> {
    /// Parses the fields of an entry.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if a field other than `data` is missing or invalid.
    pub fn of(fields: &'a [(String, Bytes)]) -> Result<ReceivedEntry<'a>, WireError> {
        let field = |name: &str| {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map(|(_, value)| value)
        };
        let text = |name: &'static str| {
            let value = field(name).and_then(|value| str::from_utf8(value).ok());
            value.ok_or(WireError::Key(name))
        };
        let [uid, namespace, kind, data] = NAMES;
        Ok(ReceivedEntry {
            uid: text(uid)?,
            namespace: text(namespace)?,
            kind: text(kind)?.parse().map_err(|_| WireError::Key(kind))?,
            data: field(data),
        })
    }

    /// Returns `true` if the entry is a broadcast.
    pub fn is_broadcast(self) -> bool {
        self.kind == BROADCAST
    }

    /// Decodes the content.
    ///
    /// # Errors
    ///
    /// Returns [`WireError`] if the data does not fit the type, or if the type is unknown.
    pub fn decode(self) -> Result<Content, WireError> {
        let data = match self.data {
            None => Value::Null,
            Some(data) if data.is_empty() => Value::Null,
            Some(data) if data.starts_with(b"{") => value::decode(data.clone())?,
            Some(data) => value::decode_msgpack(decode_base64(data)?)?,
        };
        from_parts(self.kind, data, self.namespace)
    }

    /// Returns `true` if the entry is equal to one that was encoded.
    pub fn is_equal(self, fields: &EntryFields) -> bool {
        let [(_, uid), (_, namespace), (_, kind), (_, data)] = fields;
        self.uid.as_bytes() == uid
            && self.namespace.as_bytes() == namespace
            && self.kind.to_string().as_bytes() == kind
            && self.data == Some(data)
    }
}

/// Encodes the state of a disconnected client of a namespace.
///
/// The official adapter stores no namespace, and ignores the key `nsp`.
pub fn encode_session(namespace: &str, session: &SavedSession) -> String {
    let rooms = std::iter::once(&session.id).chain(&session.rooms);
    let data = match &session.data {
        // The official server always has an object.
        Value::Null => object([]),
        data => data.clone(),
    };
    let state = object([
        ("sid", Value::from(session.id.as_str())),
        ("pid", Value::from(session.pid.as_str())),
        (
            "rooms",
            Value::Array(rooms.map(|room| Value::from(room.as_str())).collect()),
        ),
        ("data", data),
        ("nsp", Value::from(namespace)),
    ]);
    STANDARD.encode(value::encode_msgpack(&state))
}

/// Decodes the state of a disconnected client, and its namespace, which is unknown if the state was stored by the official adapter.
///
/// # Errors
///
/// Returns [`WireError`] if the bytes are not the state of a client.
pub fn decode_session(bytes: &[u8]) -> Result<(SavedSession, Option<String>), WireError> {
    let mut fields = Fields::of(value::decode_msgpack(decode_base64(bytes)?)?)?;
    let id = fields.string("sid")?;
    let mut rooms = fields.rooms("rooms")?;
    rooms.retain(|room| *room != id);
    let session = SavedSession {
        pid: fields.string("pid")?,
        data: fields.value("data"),
        rooms,
        id,
    };
    Ok((session, fields.optional_string("nsp")?))
}

fn decode_base64(text: &[u8]) -> Result<Bytes, WireError> {
    let text = text.trim_ascii_end();
    let unpadded = text.strip_suffix(b"==").or(text.strip_suffix(b"="));
    let decoded = STANDARD_NO_PAD.decode(unpadded.unwrap_or(text));
    decoded.map(Bytes::from).map_err(|_| WireError::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Parser;
    use crate::adapter::Target;

    fn message(arguments: &Value) -> ClusterMessage {
        ClusterMessage::Broadcast {
            packet: Parser::Json.event("/chat", None, "hi", arguments).unwrap(),
            target: Target {
                rooms: vec!["a".to_owned()],
                except: vec!["b".to_owned()],
            },
            volatile: false,
            request: None,
            timeout: None,
        }
    }

    fn received(fields: &EntryFields) -> Vec<(String, Bytes)> {
        let fields = fields.iter();
        fields
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn entries_are_encoded_as_by_the_official_adapter() {
        let encoded = encode("0123", "/chat", &message(&Value::from(1))).unwrap();
        let expected = r#"{"packet":{"type":2,"data":["hi",1]},"opts":{"rooms":["a"],"except":["b"],"flags":{}}}"#;
        assert_eq!(encoded[0], ("uid", "0123".into()));
        assert_eq!(encoded[1], ("nsp", "/chat".into()));
        assert_eq!(encoded[2], ("type", "3".into()));
        assert_eq!(encoded[3], ("data", expected.into()));
    }

    #[test]
    fn entries_are_decoded() {
        for arguments in [
            Value::from(1),
            Value::Binary(Bytes::from_static(b"\x01\x02\xff")),
        ] {
            let message = message(&arguments);
            let encoded = encode("0123", "/chat", &message).unwrap();
            assert_eq!(
                encoded[3].1.starts_with(b"{"),
                !matches!(arguments, Value::Binary(_))
            );
            let fields = received(&encoded);
            let entry = ReceivedEntry::of(&fields).unwrap();
            assert_eq!((entry.uid, entry.namespace), ("0123", "/chat"));
            assert!(entry.is_equal(&encoded));
            assert_eq!(entry.decode().unwrap(), Content::Message(message));
        }
    }

    #[test]
    fn malformed_entries_are_errors() {
        let fields = |kind: &str, data: &'static str| {
            vec![
                ("uid".to_owned(), Bytes::from("a")),
                ("nsp".to_owned(), Bytes::from("/")),
                ("type".to_owned(), Bytes::from(kind.to_owned())),
                ("data".to_owned(), Bytes::from(data)),
            ]
        };
        assert!(ReceivedEntry::of(&[]).is_err());
        assert!(ReceivedEntry::of(&fields("x", "{}")).is_err());
        for (kind, data) in [
            ("3", "{}"),
            ("3", ""),
            ("3", "{"),
            ("3", "?"),
            ("3", "gA=="),
            ("99", "{}"),
        ] {
            let fields = fields(kind, data);
            let entry = ReceivedEntry::of(&fields).unwrap();
            assert!(entry.decode().is_err(), "{kind} {data}");
        }
        let heartbeat = fields("2", "");
        let heartbeat = ReceivedEntry::of(&heartbeat).unwrap().decode().unwrap();
        assert_eq!(heartbeat, Content::Heartbeat);
    }

    #[test]
    fn the_state_of_a_client_is_encoded_and_decoded() {
        let mut session = SavedSession {
            id: "sidsidsidsidsidsid00".to_owned(),
            pid: "pidpidpidpidpidpid00".to_owned(),
            rooms: vec!["a".to_owned()],
            data: object([("name", Value::from("Ann"))]),
        };
        let encoded = encode_session("/chat", &session);
        let (decoded, namespace) = decode_session(encoded.as_bytes()).unwrap();
        assert_eq!((&decoded, namespace.as_deref()), (&session, Some("/chat")));
        session.data = Value::Null;
        let encoded = encode_session("/", &session);
        let (decoded, _) = decode_session(encoded.as_bytes()).unwrap();
        assert_eq!(decoded.data, object([]));
        // Stored by the official adapter: {sid: "a", pid: "b", rooms: ["a", "r"], data: {}}
        let official = b"hKNzaWShYaNwaWShYqVyb29tc5KhYaFypGRhdGGA";
        let (decoded, namespace) = decode_session(official).unwrap();
        assert_eq!((&*decoded.id, &*decoded.pid), ("a", "b"));
        assert_eq!((decoded.rooms, namespace), (vec!["r".to_owned()], None));
        assert!(decode_session(b"gA==").is_err());
        assert!(decode_session(b"").is_err());
    }
}
