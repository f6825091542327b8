//! Sans-I/O codec of the messages between workers over Redis.
//!
//! Numbers are little-endian. A message of a topic is published to the channel `PREFIX:topic:TOPIC`:
//!
//! | bytes | content |
//! |---:|---|
//! | 1 | the version of this format |
//! | 8 | the group of the publisher |
//! | 8 | the id of the publisher |
//! | the rest | the payload |
//!
//! A control message is published to the channel of all workers, `PREFIX:control`, or of one, `PREFIX:worker:ID`:
//!
//! | bytes | content |
//! |---:|---|
//! | 1 | the version of this format |
//! | 1 | the kind |
//! | 8 | the group of the sender |
//! | 8 | the id of the sender |
//! | 8 | the session of the sender: a random number for each connection to Redis |
//! | the rest | the body |
//!
//! | kind | body |
//! |---:|---|
//! | 1 hello | empty; a new session. Each receiver responds with its topics, to the sender only |
//! | 2 topics | topics with subscribers, each preceded by its length in two bytes |
//! | 3 ready | empty; all topics have been announced |
//! | 4 subscribe | a topic |
//! | 5 unsubscribe | a topic |
//! | 6 alive | empty |
//! | 7 bye | empty; the session has ended |
//! | 8 request | empty; the receiver responds with its topics, as to a hello |

use bytes::{Buf, Bytes};

/// The version of the format.
const VERSION: u8 = 1;

const DATA_HEADER: usize = 1 + 8 + 8;

/// The identity of the sender of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sender {
    pub(super) group: u64,
    pub(super) id: u64,
    /// 0 in messages of topics.
    pub(super) session: u64,
}

/// The content of a control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control<'a> {
    Hello,
    Topics(Vec<&'a str>),
    Ready,
    Subscribe(&'a str),
    Unsubscribe(&'a str),
    Alive,
    Bye,
    Request,
}

/// Appends a message of a topic.
pub(super) fn encode_data(out: &mut Vec<u8>, sender: Sender, payload: &[u8]) {
    out.push(VERSION);
    out.extend_from_slice(&sender.group.to_le_bytes());
    out.extend_from_slice(&sender.id.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Decodes a message of a topic; returns `None` if it is malformed or of another version.
pub(super) fn decode_data(mut message: Bytes) -> Option<(Sender, Bytes)> {
    if message.len() < DATA_HEADER || message.get_u8() != VERSION {
        return None;
    }
    let group = message.get_u64_le();
    let id = message.get_u64_le();
    let sender = Sender {
        group,
        id,
        session: 0,
    };
    Some((sender, message))
}

/// Appends a control message.
pub(super) fn encode_control(out: &mut Vec<u8>, sender: Sender, control: &Control<'_>) {
    let kind = match control {
        Control::Hello => 1,
        Control::Topics(_) => 2,
        Control::Ready => 3,
        Control::Subscribe(_) => 4,
        Control::Unsubscribe(_) => 5,
        Control::Alive => 6,
        Control::Bye => 7,
        Control::Request => 8,
    };
    out.extend_from_slice(&[VERSION, kind]);
    for number in [sender.group, sender.id, sender.session] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    match control {
        Control::Topics(topics) => {
            for topic in topics {
                // The bus does not announce longer topics.
                let length = u16::try_from(topic.len()).unwrap_or(u16::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(topic.as_bytes());
            }
        }
        Control::Subscribe(topic) | Control::Unsubscribe(topic) => {
            out.extend_from_slice(topic.as_bytes());
        }
        _ => {}
    }
}

/// Decodes a control message; returns `None` if it is malformed or of another version.
pub(super) fn decode_control(message: &[u8]) -> Option<(Sender, Control<'_>)> {
    let (&[version, kind], rest) = message.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    let (group, rest) = number(rest)?;
    let (id, rest) = number(rest)?;
    let (session, body) = number(rest)?;
    let control = match kind {
        2 => Control::Topics(topics(body)?),
        4 => Control::Subscribe(std::str::from_utf8(body).ok()?),
        5 => Control::Unsubscribe(std::str::from_utf8(body).ok()?),
        _ if !body.is_empty() => return None,
        1 => Control::Hello,
        3 => Control::Ready,
        6 => Control::Alive,
        7 => Control::Bye,
        8 => Control::Request,
        _ => return None,
    };
    let sender = Sender { group, id, session };
    Some((sender, control))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}

fn topics(mut body: &[u8]) -> Option<Vec<&str>> {
    let mut topics = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk()?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (topic, rest) = rest.split_at_checked(length)?;
        topics.push(std::str::from_utf8(topic).ok()?);
        body = rest;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENDER: Sender = Sender {
        group: 0x0102_0304_0506_0000,
        id: 0x0102_0304_0506_0007,
        session: u64::MAX,
    };

    #[test]
    fn control_messages_arrive_unchanged() {
        for control in [
            Control::Hello,
            Control::Topics(Vec::new()),
            Control::Topics(vec!["", "a", "ä/ö"]),
            Control::Ready,
            Control::Subscribe("news"),
            Control::Unsubscribe(""),
            Control::Alive,
            Control::Bye,
            Control::Request,
        ] {
            let mut bytes = Vec::new();
            encode_control(&mut bytes, SENDER, &control);
            assert_eq!(decode_control(&bytes), Some((SENDER, control)));
        }
    }

    #[test]
    fn payloads_are_binary() {
        let payload: Vec<u8> = (0..=255).collect();
        let mut bytes = Vec::new();
        encode_data(&mut bytes, SENDER, &payload);
        let (sender, decoded) = decode_data(bytes.into()).unwrap();
        assert_eq!((sender.group, sender.id), (SENDER.group, SENDER.id));
        assert_eq!(decoded, payload);
    }

    #[test]
    fn malformed_messages_are_refused() {
        let mut topics = Vec::new();
        encode_control(&mut topics, SENDER, &Control::Topics(vec!["abc"]));
        for end in 0..topics.len() {
            let decoded = decode_control(&topics[..end]);
            assert_eq!(decoded.is_some(), end == topics.len() - 5, "{end}");
        }
        let mut bytes = Vec::new();
        encode_control(&mut bytes, SENDER, &Control::Subscribe("a"));
        for (at, byte) in [(0, 2), (1, 0), (1, 9), (26, 0xff)] {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            assert_eq!(decode_control(&bytes), None);
        }
        let mut bytes = Vec::new();
        encode_control(&mut bytes, SENDER, &Control::Hello);
        bytes.push(0);
        assert_eq!(decode_control(&bytes), None);
        for short in ["", "\u{1}", "\u{1}234567890123456"] {
            let decoded = decode_data(Bytes::from(short));
            assert_eq!(decoded.is_some(), short.len() == DATA_HEADER);
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes: Vec<u8>, kind in 0..10_u8) {
            decode_control(&bytes);
            decode_control(&[&[VERSION, kind], &bytes[..]].concat());
            decode_data(bytes.into());
        }
    }
}
