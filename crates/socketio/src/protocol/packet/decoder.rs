//! Decoder of Socket.IO packets.
//!
//! Costs: a packet without attachments is scanned once and shares its text; nothing is allocated for up to four arguments. The values of a packet with
//! attachments are built when its last attachment is received.

use bytes::Bytes;
use memchr::memchr;
use uptick_websocket::{Message, Text};

use super::{Arguments, Body, Data, MAX_ID, Packet, PacketError, RESERVED_EVENTS, numeric_name};
use crate::protocol::json::{self, ElementRanges, JsonKind, JsonScan};

/// Limits of a received packet. The size of its text and of each attachment is also limited by `maxPayload` of the session.
#[derive(Clone, Debug)]
pub struct Limits {
    pub(crate) depth: usize,
    pub(crate) attachments: usize,
    pub(crate) attachment_bytes: usize,
    pub(crate) namespace: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            depth: 64,
            attachments: 10,
            attachment_bytes: 10_000_000,
            namespace: 1024,
        }
    }
}

impl Limits {
    /// Sets the maximum nesting depth of arrays and objects, including the array of the arguments. At most 120. Default: 64.
    pub fn depth(mut self, depth: usize) -> Limits {
        self.depth = depth.min(json::MAX_DEPTH);
        self
    }

    /// Sets the maximum number of attachments of a packet. Default: 10.
    pub fn attachments(mut self, attachments: usize) -> Limits {
        self.attachments = attachments;
        self
    }

    /// Sets the maximum total size of the attachments of a packet, in bytes. Default: 10,000,000.
    pub fn attachment_bytes(mut self, bytes: usize) -> Limits {
        self.attachment_bytes = bytes;
        self
    }

    /// Sets the maximum length of the name of a namespace, in bytes. Default: 1024.
    pub fn namespace(mut self, bytes: usize) -> Limits {
        self.namespace = bytes;
        self
    }
}

/// A decoder for the packets of one client.
///
/// # Examples
///
/// ```
/// use uptick_socketio::protocol::packet::{Body, Decoder, Limits};
/// use uptick_websocket::Message;
///
/// let (mut decoder, limits) = (Decoder::new(), Limits::default());
/// assert!(decoder.push(r#"51-["file",{"_placeholder":true,"num":0}]"#.into(), &limits)?.is_none());
/// let packet = decoder.push(Message::Binary(vec![1, 2].into()), &limits)?.unwrap();
/// let Body::Event { arguments, .. } = packet.body else { panic!("no event") };
/// assert_eq!(arguments.binary(0).unwrap(), [1, 2][..]);
/// # Ok::<(), uptick_socketio::protocol::packet::PacketError>(())
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<PartialPacket>>,
}

/// A packet that is waiting for attachments.
#[derive(Debug)]
struct PartialPacket {
    packet: Packet,
    count: usize,
    attachments: Vec<Bytes>,
    bytes: usize,
}

impl Decoder {
    /// Creates a decoder that expects a new packet.
    pub fn new() -> Decoder {
        Decoder::default()
    }

    /// Returns `true` if a packet is waiting for attachments.
    pub fn is_partial(&self) -> bool {
        self.partial.is_some()
    }

    /// Decodes a message. Returns `None` if the packet is waiting for more attachments.
    ///
    /// # Errors
    ///
    /// Returns [`PacketError`] if the message is not valid at this point. A packet that was waiting for attachments is dropped.
    pub fn push(
        &mut self,
        message: Message,
        limits: &Limits,
    ) -> Result<Option<Packet>, PacketError> {
        match (message, self.partial.take()) {
            (Message::Text(_), Some(_)) => Err(PacketError::UnexpectedText),
            (Message::Binary(_), None) => Err(PacketError::UnexpectedBinary),
            (Message::Text(text), None) => self.text(text, limits),
            (Message::Binary(bytes), Some(partial)) => self.attachment(bytes, partial, limits),
        }
    }

    fn text(&mut self, text: Text, limits: &Limits) -> Result<Option<Packet>, PacketError> {
        let bytes = text.as_bytes();
        let kind = match bytes.first() {
            None => return Err(PacketError::Empty),
            Some(kind @ b'0'..=b'6') => *kind,
            Some(_) => return Err(PacketError::UnknownType),
        };
        let mut at = 1;
        let mut count = 0;
        if matches!(kind, b'5' | b'6') {
            let (number, end) = digits(bytes, at).ok_or(PacketError::IllegalAttachments)?;
            if bytes.get(end) != Some(&b'-') || number == 0 {
                return Err(PacketError::IllegalAttachments);
            }
            count = usize::try_from(number).unwrap_or(usize::MAX);
            if count > limits.attachments {
                return Err(PacketError::TooManyAttachments {
                    limit: limits.attachments,
                });
            }
            at = end + 1;
        }
        let mut namespace = Text::from("/");
        if bytes.get(at) == Some(&b'/') {
            let end = memchr(b',', &bytes[at..]).map_or(bytes.len(), |length| at + length);
            if end - at > limits.namespace {
                return Err(PacketError::NamespaceTooLong {
                    limit: limits.namespace,
                });
            }
            if end - at > 1 {
                namespace = text.slice(at..end);
            }
            at = (end + 1).min(bytes.len());
        }
        let mut id = None;
        if bytes.get(at).is_some_and(u8::is_ascii_digit) {
            let (number, end) = digits(bytes, at)
                .filter(|(id, _)| *id <= MAX_ID)
                .ok_or(PacketError::IllegalId)?;
            id = Some(number);
            at = end;
        }
        let body = body(kind, text.slice(at..), limits)?;
        let packet = Packet {
            namespace,
            id,
            body,
        };
        if count == 0 {
            return Ok(Some(packet));
        }
        self.partial = Some(Box::new(PartialPacket {
            packet,
            count,
            attachments: Vec::new(),
            bytes: 0,
        }));
        Ok(None)
    }

    fn attachment(
        &mut self,
        bytes: Bytes,
        mut partial: Box<PartialPacket>,
        limits: &Limits,
    ) -> Result<Option<Packet>, PacketError> {
        partial.bytes = partial.bytes.saturating_add(bytes.len());
        if partial.bytes > limits.attachment_bytes {
            return Err(PacketError::AttachmentsTooLarge {
                limit: limits.attachment_bytes,
            });
        }
        partial.attachments.push(bytes);
        if partial.attachments.len() < partial.count {
            self.partial = Some(partial);
            return Ok(None);
        }
        let PartialPacket {
            mut packet,
            attachments,
            ..
        } = *partial;
        if let Body::Event { arguments, .. } | Body::Ack(arguments) = &mut packet.body {
            *arguments = arguments
                .reconstruct(&attachments)
                .ok_or(PacketError::IllegalPlaceholder)?;
        }
        Ok(Some(packet))
    }
}

/// Parses the decimal digits at `start`. Returns the number and the position after it; `None` without a digit, or if the number is too large.
fn digits(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    let mut number: u64 = 0;
    let mut at = start;
    while let Some(digit) = bytes.get(at).filter(|byte| byte.is_ascii_digit()) {
        number = number
            .checked_mul(10)?
            .checked_add(u64::from(digit - b'0'))?;
        at += 1;
    }
    (at > start).then_some((number, at))
}

/// Checks and parses the data of a packet.
fn body(kind: u8, mut text: Text, limits: &Limits) -> Result<Body, PacketError> {
    if text.as_bytes().is_empty() {
        return Ok(match kind {
            b'0' => Body::Connect(None),
            b'1' => Body::Disconnect,
            b'2' | b'5' => Body::Event {
                name: None,
                arguments: Arguments::default(),
            },
            b'4' => Body::ConnectError(None),
            _ => Body::Ack(Arguments::default()),
        });
    }
    if kind == b'1' {
        return Err(PacketError::InvalidPayload);
    }
    let scan = json::scan(text.as_bytes(), limits.depth)
        .map_err(|error| PacketError::of_json(error, limits.depth))?;
    let JsonScan {
        kind: found,
        elements,
        lone_surrogates,
    } = scan;
    if !lone_surrogates.is_empty() {
        text = replace_surrogates(&text, &lone_surrogates);
    }
    match (kind, found) {
        (b'0', JsonKind::Object) => Ok(Body::Connect(Some(Data::Json(text)))),
        (b'4', JsonKind::Object | JsonKind::String) => {
            Ok(Body::ConnectError(Some(Data::Json(text))))
        }
        (b'2' | b'5', JsonKind::Array) => event(text, elements),
        (b'3' | b'6', JsonKind::Array) => Ok(Body::Ack(Arguments::of_json(text, elements))),
        _ => Err(PacketError::InvalidPayload),
    }
}

/// Separates the name of an event from its arguments.
fn event(text: Text, elements: ElementRanges) -> Result<Body, PacketError> {
    let mut arguments = Arguments::of_json(text.clone(), elements);
    let first = arguments.take_first().ok_or(PacketError::InvalidPayload)?;
    let bytes = &text.as_bytes()[first.clone()];
    let name = match bytes.first().map(|byte| json::kind_of(*byte)) {
        Some(JsonKind::String) if memchr(b'\\', bytes).is_none() => {
            text.slice(first.start + 1..first.end - 1)
        }
        Some(JsonKind::String) => {
            let name: String =
                serde_json::from_slice(bytes).map_err(|_| PacketError::InvalidPayload)?;
            Text::from(name)
        }
        Some(JsonKind::Number) => {
            let number: f64 =
                serde_json::from_slice(bytes).map_err(|_| PacketError::InvalidPayload)?;
            numeric_name(number)
        }
        _ => return Err(PacketError::InvalidPayload),
    };
    match RESERVED_EVENTS.iter().find(|reserved| name == **reserved) {
        Some(reserved) => Err(PacketError::ReservedEvent(reserved)),
        None => Ok(Body::Event {
            name: Some(name),
            arguments,
        }),
    }
}

/// Replaces lone surrogates, which Rust strings cannot represent, with the replacement character.
pub(crate) fn replace_surrogates(text: &Text, positions: &[usize]) -> Text {
    let mut json = String::with_capacity(text.as_bytes().len());
    let whole = text.as_str();
    let mut copied = 0;
    for &position in positions {
        json.push_str(&whole[copied..position]);
        json.push_str("\\ufffd");
        copied = position + 6;
    }
    json.push_str(&whole[copied..]);
    Text::from(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Value;

    fn decode(text: &str) -> Result<Packet, PacketError> {
        let packet =
            Decoder::new().push(Message::Text(Text::copy_from(text)), &Limits::default())?;
        Ok(packet.unwrap())
    }

    #[test]
    fn an_event_has_namespace_id_name_and_arguments() {
        let packet = decode(r#"2/admin,456["project:delete",123]"#).unwrap();
        assert_eq!((packet.namespace, packet.id), ("/admin".into(), Some(456)));
        let Body::Event { name, arguments } = packet.body else {
            panic!()
        };
        assert_eq!(name, Some("project:delete".into()));
        assert_eq!(arguments.to_values().unwrap(), [Value::from(123)]);
    }

    #[test]
    fn names_of_events_are_unescaped() {
        for (text, expected) in [
            (r#"2["a"]"#, "a"),
            (r#"2["\u0061\n"]"#, "a\n"),
            ("2[7]", "7"),
            ("2[7.0]", "7"),
            ("2[-0.0]", "0"),
            ("2[0.5]", "0.5"),
            (r#"2["\ud83d"]"#, "\u{fffd}"),
        ] {
            let Body::Event { name, .. } = decode(text).unwrap().body else {
                panic!()
            };
            assert_eq!(name.as_deref(), Some(expected), "{text}");
        }
        let reserved = r#"2["\u0063onnect"]"#;
        assert_eq!(decode(reserved), Err(PacketError::ReservedEvent("connect")));
    }

    #[test]
    fn data_may_be_missing() {
        assert_eq!(decode("0").unwrap().body, Body::Connect(None));
        assert_eq!(decode("0/admin").unwrap().namespace, "/admin");
        assert_eq!(decode("1/admin,").unwrap().body, Body::Disconnect);
        assert_eq!(decode("4").unwrap().body, Body::ConnectError(None));
        let Body::Event { name, .. } = decode("2").unwrap().body else {
            panic!()
        };
        assert_eq!(name, None);
    }

    #[test]
    fn invalid_packets_are_errors() {
        use PacketError::{IllegalAttachments, IllegalId, InvalidPayload, UnknownType};
        for (text, expected) in [
            ("", PacketError::Empty),
            ("7", UnknownType),
            ("x", UnknownType),
            (" ", UnknownType),
            ("5", IllegalAttachments),
            ("5-[\"a\"]", IllegalAttachments),
            ("50-[\"a\"]", IllegalAttachments),
            ("51", IllegalAttachments),
            ("511-[\"a\"]", PacketError::TooManyAttachments { limit: 10 }),
            ("299999999999999999999[\"a\"]", IllegalId),
            ("29007199254740992[\"a\"]", IllegalId),
            ("2[]", InvalidPayload),
            ("2{}", InvalidPayload),
            ("2[null]", InvalidPayload),
            ("2[{}]", InvalidPayload),
            ("2[\"a\"", InvalidPayload),
            ("2[\"a\"]x", InvalidPayload),
            ("0[]", InvalidPayload),
            ("0null", InvalidPayload),
            ("1{}", InvalidPayload),
            ("3{}", InvalidPayload),
            ("4[]", InvalidPayload),
        ] {
            assert_eq!(decode(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn unexpected_attachments_are_refused() {
        let (mut decoder, limits) = (Decoder::new(), Limits::default());
        let bytes = || Message::Binary(Bytes::from_static(&[0; 8]));
        assert_eq!(
            decoder.push(bytes(), &limits),
            Err(PacketError::UnexpectedBinary)
        );
        assert_eq!(decoder.push("52-[\"a\"]".into(), &limits), Ok(None));
        assert!(decoder.is_partial());
        assert_eq!(
            decoder.push("2[\"a\"]".into(), &limits),
            Err(PacketError::UnexpectedText)
        );
        assert!(!decoder.is_partial());
        let limits = limits.attachment_bytes(15);
        assert_eq!(decoder.push("52-[\"a\"]".into(), &limits), Ok(None));
        assert_eq!(decoder.push(bytes(), &limits), Ok(None));
        let error = PacketError::AttachmentsTooLarge { limit: 15 };
        assert_eq!(decoder.push(bytes(), &limits), Err(error));
    }

    #[test]
    fn depth_and_namespace_are_limited() {
        let deep = |depth: usize| {
            format!(
                "2[\"a\",{}{}]",
                "[".repeat(depth - 1),
                "]".repeat(depth - 1)
            )
        };
        assert!(decode(&deep(64)).is_ok());
        assert_eq!(decode(&deep(65)), Err(PacketError::TooDeep { limit: 64 }));
        assert_eq!(decode(&deep(5000)), Err(PacketError::TooDeep { limit: 64 }));
        assert!(decode(&format!("0/{}", "n".repeat(1023))).is_ok());
        let error = decode(&format!("0/{}", "n".repeat(1024))).unwrap_err();
        assert_eq!(error, PacketError::NamespaceTooLong { limit: 1024 });
    }
}
