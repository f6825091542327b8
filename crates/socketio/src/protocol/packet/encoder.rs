//! Encoder of Socket.IO packets.
//!
//! An encoded packet includes the leading `4` of an Engine.IO message, so the same text serves as a WebSocket frame and as part of a polling payload. Any number
//! of clients can share it. Binary data is copied once if it is serialized through `serde`, and not copied by [`Encoder::binary`].

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::Error as _;
use serde_json::ser::Formatter;
use uptick_websocket::{Message, Text};

use super::{Arguments, Body, Data, EncodeError, MAX_ID, Packet, is_reserved};
use crate::protocol::Value;

/// A packet encoded as Engine.IO frames: a text frame and its attachments. A clone shares all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    head: Message,
    attachments: Option<Arc<[Bytes]>>,
}

impl Encoded {
    /// Creates a packet from a single frame.
    pub fn of_frame(frame: Message) -> Encoded {
        Encoded {
            head: frame,
            attachments: None,
        }
    }

    /// Returns the frames, in the order in which they must be sent.
    pub fn frames(&self) -> impl Iterator<Item = Message> + Clone + '_ {
        let attachments = self.attachments.as_deref().unwrap_or_default();
        std::iter::once(self.head.clone()).chain(attachments.iter().cloned().map(Message::Binary))
    }

    /// Returns the packet with a string appended to its arguments. The packet must be a JSON event.
    pub(crate) fn with_argument(&self, argument: &str) -> Option<Encoded> {
        let Message::Text(text) = &self.head else {
            return None;
        };
        let arguments = text.as_bytes().strip_suffix(b"]")?;
        let mut longer = Vec::with_capacity(arguments.len() + argument.len() + 4);
        longer.extend_from_slice(arguments);
        longer.push(b',');
        serde_json::to_writer(&mut longer, argument).ok()?;
        longer.push(b']');
        Some(Encoded {
            head: frame(longer).ok()?,
            attachments: self.attachments.clone(),
        })
    }

    /// Creates a packet from frames that were encoded elsewhere.
    #[cfg(feature = "workers")]
    pub(crate) fn of_frames(head: Message, attachments: Vec<Bytes>) -> Encoded {
        Encoded {
            head,
            attachments: (!attachments.is_empty()).then(|| attachments.into()),
        }
    }

    /// Returns the first frame.
    #[inline]
    pub(crate) fn head(&self) -> &Message {
        &self.head
    }

    /// Returns the attachments, which are the frames after the first.
    #[inline]
    pub(crate) fn attachments(&self) -> &[Bytes] {
        self.attachments.as_deref().unwrap_or_default()
    }

    /// Returns the number of frames.
    pub fn frame_count(&self) -> usize {
        1 + self.attachments.as_deref().map_or(0, <[Bytes]>::len)
    }

    /// Returns the total size of all frames, in bytes.
    pub fn size(&self) -> usize {
        let attachments = self.attachments.as_deref().unwrap_or_default();
        self.head.as_bytes().len() + attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

/// An encoder for one event or acknowledgement.
///
/// Values are serialized as JSON. Binary data in them (`bytes::Bytes`, `serde_bytes`, [`Value::Binary`]) is sent as
/// attachments. The official client accepts at most 10 of them.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::packet::Encoder;
///
/// let mut encoder = Encoder::event("/admin", Some(7), "greet")?;
/// encoder.argument(&"hello")?;
/// let packet = encoder.finish()?;
/// let frames: Vec<_> = packet.frames().collect();
/// assert_eq!(frames, [r#"42/admin,7["greet","hello"]"#.into()]);
/// # Ok::<(), uptick_socketio::protocol::packet::EncodeError>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    text: Vec<u8>,
    attachments: Vec<Bytes>,
    /// `true` if the next argument must be preceded by a comma.
    comma: bool,
}

impl Encoder {
    /// Starts an event. An `id` requests an acknowledgement.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError`] if the name of the event is reserved, or if the namespace or the id is not valid.
    pub fn event(namespace: &str, id: Option<u64>, name: &str) -> Result<Encoder, EncodeError> {
        if is_reserved(name) {
            return Err(EncodeError::ReservedEvent(name.to_owned()));
        }
        let mut encoder = Encoder::begin(b'2', namespace, id)?;
        encoder.argument(name)?;
        Ok(encoder)
    }

    /// Starts an acknowledgement.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError`] if the namespace or the id is not valid.
    pub fn ack(namespace: &str, id: u64) -> Result<Encoder, EncodeError> {
        Encoder::begin(b'3', namespace, Some(id))
    }

    fn begin(kind: u8, namespace: &str, id: Option<u64>) -> Result<Encoder, EncodeError> {
        let mut text = head(kind, namespace, id)?;
        text.push(b'[');
        Ok(Encoder {
            text,
            attachments: Vec::new(),
            comma: false,
        })
    }

    fn separate(&mut self) {
        if self.comma {
            self.text.push(b',');
        }
        self.comma = true;
    }

    /// Appends an argument.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError::Json`] if the value cannot be serialized. The encoder must not be used afterwards.
    pub fn argument<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), EncodeError> {
        self.separate();
        let formatter = Placeholders {
            attachments: &mut self.attachments,
        };
        value.serialize(&mut serde_json::Serializer::with_formatter(
            &mut self.text,
            formatter,
        ))?;
        Ok(())
    }

    /// Appends binary data as an argument, without copying it.
    pub fn binary(&mut self, bytes: Bytes) {
        self.separate();
        placeholder(&mut self.text, self.attachments.len());
        self.attachments.push(bytes);
    }

    /// Appends all arguments of a received packet. JSON text is copied unchanged.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError::Json`] if a value cannot be serialized.
    pub fn arguments(&mut self, arguments: &Arguments) -> Result<(), EncodeError> {
        for index in 0..arguments.len() {
            if let Some(json) = arguments.json(index) {
                self.separate();
                self.text.extend_from_slice(json.as_bytes());
            } else if let Some(bytes) = arguments.binary(index) {
                self.binary(bytes);
            } else {
                self.argument(&arguments.parse::<Value>(index)?)?;
            }
        }
        Ok(())
    }

    /// Completes the packet.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError::Json`] if the serialized text is not valid UTF-8.
    pub fn finish(mut self) -> Result<Encoded, EncodeError> {
        self.text.push(b']');
        if self.attachments.is_empty() {
            return Ok(Encoded::of_frame(frame(self.text)?));
        }
        // After the `4` of the message comes the packet type. The type with attachments is greater by three.
        let mut text = Vec::with_capacity(self.text.len() + 4);
        text.extend_from_slice(&[b'4', self.text[1] + 3]);
        text.extend_from_slice(self.attachments.len().to_string().as_bytes());
        text.push(b'-');
        text.extend_from_slice(&self.text[2..]);
        Ok(Encoded {
            head: frame(text)?,
            attachments: Some(self.attachments.into()),
        })
    }
}

/// Encodes a CONNECT packet. A server sends an object with `sid`, a client its authentication data.
///
/// # Errors
///
/// Returns [`EncodeError`] if the namespace is not valid, or if the data cannot be serialized.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::packet::connect;
///
/// let packet = connect("/", Some(&[("sid", "x")].into_iter().collect::<std::collections::HashMap<_, _>>()))?;
/// assert_eq!(packet.frames().next(), Some(r#"40{"sid":"x"}"#.into()));
/// # Ok::<(), uptick_socketio::protocol::packet::EncodeError>(())
/// ```
pub fn connect<T: Serialize>(namespace: &str, data: Option<&T>) -> Result<Encoded, EncodeError> {
    with_data(b'0', namespace, None, data)
}

/// Encodes a CONNECT_ERROR packet. The data is an object with the key `message` and optionally `data`.
///
/// # Errors
///
/// Returns [`EncodeError`] if the namespace is not valid, or if the data cannot be serialized.
pub fn connect_error<T: Serialize>(namespace: &str, data: &T) -> Result<Encoded, EncodeError> {
    with_data(b'4', namespace, None, Some(data))
}

/// Encodes a DISCONNECT packet.
///
/// # Errors
///
/// Returns [`EncodeError::IllegalNamespace`] if the namespace is not valid.
pub fn disconnect(namespace: &str) -> Result<Encoded, EncodeError> {
    with_data::<()>(b'1', namespace, None, None)
}

fn with_data<T: Serialize>(
    kind: u8,
    namespace: &str,
    id: Option<u64>,
    data: Option<&T>,
) -> Result<Encoded, EncodeError> {
    let mut text = head(kind, namespace, id)?;
    if let Some(data) = data {
        serde_json::to_writer(&mut text, data)?;
    }
    Ok(Encoded::of_frame(frame(text)?))
}

impl Packet {
    /// Encodes the packet.
    ///
    /// # Errors
    ///
    /// Returns [`EncodeError`] if the namespace, the id or the name of the event is not valid.
    pub fn encode(&self) -> Result<Encoded, EncodeError> {
        let data = |kind: u8, data: &Option<Data>| match data {
            Some(Data::Json(json)) => {
                let mut text = head(kind, &self.namespace, self.id)?;
                text.extend_from_slice(json.as_bytes());
                Ok(Encoded::of_frame(frame(text)?))
            }
            Some(Data::Value(value)) => with_data(kind, &self.namespace, self.id, Some(value)),
            None => with_data::<()>(kind, &self.namespace, self.id, None),
        };
        let mut encoder = match &self.body {
            Body::Connect(auth) => return data(b'0', auth),
            Body::Disconnect => return data(b'1', &None),
            Body::ConnectError(error) => return data(b'4', error),
            Body::Event { name: None, .. } => return data(b'2', &None),
            Body::Event {
                name: Some(name), ..
            } => Encoder::event(&self.namespace, self.id, name)?,
            Body::Ack(_) => Encoder::begin(b'3', &self.namespace, self.id)?,
        };
        if let Body::Event { arguments, .. } | Body::Ack(arguments) = &self.body {
            encoder.arguments(arguments)?;
        }
        encoder.finish()
    }
}

/// Returns the head of a packet: the type of the message, the type of the packet, the namespace and the id.
fn head(kind: u8, namespace: &str, id: Option<u64>) -> Result<Vec<u8>, EncodeError> {
    if !namespace.starts_with('/') || namespace.contains(',') {
        return Err(EncodeError::IllegalNamespace(namespace.to_owned()));
    }
    let mut text = Vec::with_capacity(64);
    text.extend_from_slice(&[b'4', kind]);
    if namespace != "/" {
        text.extend_from_slice(namespace.as_bytes());
        text.push(b',');
    }
    if let Some(id) = id {
        if id > MAX_ID {
            return Err(EncodeError::IllegalId(id));
        }
        text.extend_from_slice(id.to_string().as_bytes());
    }
    Ok(text)
}

fn frame(text: Vec<u8>) -> Result<Message, EncodeError> {
    let text = Text::try_from(Bytes::from(text)).map_err(serde_json::Error::custom)?;
    Ok(Message::Text(text))
}

fn placeholder(text: &mut Vec<u8>, index: usize) {
    text.extend_from_slice(br#"{"_placeholder":true,"num":"#);
    text.extend_from_slice(index.to_string().as_bytes());
    text.push(b'}');
}

/// Serializes a value as a [`Value`].
pub(crate) fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, EncodeError> {
    let (mut text, mut attachments) = (Vec::new(), Vec::new());
    let formatter = Placeholders {
        attachments: &mut attachments,
    };
    value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut text, formatter,
    ))?;
    let mut value: Value = serde_json::from_slice(&text)?;
    match value.reconstruct(&attachments) {
        true => Ok(value),
        false => {
            Err(serde_json::Error::custom("an object has the same keys as a placeholder").into())
        }
    }
}

/// JSON formatter that writes compact JSON, with placeholders for binary data.
struct Placeholders<'a> {
    attachments: &'a mut Vec<Bytes>,
}

impl Formatter for Placeholders<'_> {
    fn write_byte_array<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        let mut text = Vec::with_capacity(40);
        placeholder(&mut text, self.attachments.len());
        self.attachments.push(Bytes::copy_from_slice(bytes));
        writer.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::packet::{Decoder, Limits};

    fn texts(packet: &Encoded) -> Vec<Message> {
        packet.frames().collect()
    }

    #[test]
    fn binary_data_becomes_attachments_at_any_depth() {
        let mut encoder = Encoder::event("/", Some(3), "file").unwrap();
        encoder.binary(Bytes::from_static(&[1]));
        let nested = Value::from(vec![
            Value::from("x"),
            Value::Binary(Bytes::from_static(&[2])),
        ]);
        encoder.argument(&nested).unwrap();
        let packet = encoder.finish().unwrap();
        let text =
            r#"452-3["file",{"_placeholder":true,"num":0},["x",{"_placeholder":true,"num":1}]]"#;
        let attachments =
            [&[1][..], &[2][..]].map(|bytes| Message::Binary(Bytes::from_static(bytes)));
        let [first, second] = attachments;
        assert_eq!(texts(&packet), [text.into(), first, second]);
        assert_eq!((packet.frame_count(), packet.size()), (3, text.len() + 2));
    }

    #[test]
    fn packets_without_arguments_are_encoded() {
        assert_eq!(
            texts(&Encoder::ack("/a", 0).unwrap().finish().unwrap()),
            ["43/a,0[]".into()]
        );
        assert_eq!(texts(&disconnect("/").unwrap()), ["41".into()]);
        assert_eq!(texts(&disconnect("/a").unwrap()), ["41/a,".into()]);
        assert_eq!(
            texts(&connect_error("/", &"no").unwrap()),
            ["44\"no\"".into()]
        );
    }

    #[test]
    fn packets_that_no_decoder_accepts_are_refused() {
        assert!(matches!(
            Encoder::event("/", None, "connect"),
            Err(EncodeError::ReservedEvent(_))
        ));
        assert!(matches!(
            Encoder::event("a", None, "x"),
            Err(EncodeError::IllegalNamespace(_))
        ));
        assert!(matches!(
            Encoder::event("/a,b", None, "x"),
            Err(EncodeError::IllegalNamespace(_))
        ));
        assert!(matches!(
            Encoder::ack("/", MAX_ID + 1),
            Err(EncodeError::IllegalId(_))
        ));
    }

    #[test]
    fn arguments_of_a_received_packet_are_forwarded_unchanged() {
        let text = r#"2["a",1e2,{"b": "\u0061"}]"#;
        let packet = Decoder::new()
            .push(text.into(), &Limits::default())
            .unwrap()
            .unwrap();
        let frames = texts(&packet.encode().unwrap());
        assert_eq!(frames[0].as_bytes(), format!("4{text}").as_bytes());
    }
}
