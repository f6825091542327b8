//! Deduplication and reassembly of received messages.

use std::collections::HashMap;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};

use super::MESSAGE_LIMIT;
use super::codec::{Envelope, Part, Sender};

/// The workers from which messages were received, with the position in the messages of each.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    publishers: HashMap<Sender, Publisher>,
}

/// A worker that publishes messages.
#[derive(Debug)]
struct Publisher {
    /// The bus id of the worker, as text.
    name: Rc<str>,
    /// The sequence number of its last message. Copies of a message arrive one after the other, regardless of their topics.
    sequence: Option<u64>,
    /// The received beginning of a message that is sent in parts.
    partial: Option<PartialMessage>,
}

#[derive(Debug)]
struct PartialMessage {
    bytes: BytesMut,
    total: usize,
}

/// The result of a received envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EnvelopeResult {
    /// A message is complete.
    Message { from: Rc<str>, message: Bytes },
    /// More parts are needed.
    Part,
    /// The message or part is a duplicate, or another part of its message was lost.
    Ignored,
    /// The part does not fit its message, or is too long.
    Malformed,
}

impl Inbox {
    /// Processes an envelope. Returns the result, and the number of messages now known to be lost because of missing parts.
    pub(super) fn push(&mut self, envelope: Envelope) -> (EnvelopeResult, u64) {
        let sender = envelope.sender;
        let mut lost = 0;
        if !self.publishers.contains_key(&sender) {
            // An earlier worker with the same id left unnoticed, because this worker left the bus and joined it again.
            lost += self.forget(sender.id);
        }
        let publisher = self.publishers.entry(sender).or_insert_with(|| Publisher {
            name: sender.id.to_string().into(),
            sequence: None,
            partial: None,
        });
        let (received, missing) = publisher.push(envelope);
        (received, lost + missing)
    }

    /// Returns the tag of the worker with a bus id.
    pub(super) fn tag(&self, id: u64) -> Option<[u8; 4]> {
        let mut senders = self.publishers.keys();
        senders
            .find(|sender| sender.id == id)
            .map(|sender| sender.tag)
    }

    /// Removes a worker. Returns the number of its incomplete messages.
    pub(super) fn forget(&mut self, id: u64) -> u64 {
        let mut lost = 0;
        self.publishers.retain(|sender, publisher| {
            let stays = sender.id != id;
            lost += u64::from(!stays && publisher.partial.is_some());
            stays
        });
        lost
    }
}

impl Publisher {
    fn push(&mut self, envelope: Envelope) -> (EnvelopeResult, u64) {
        let is_new = self.sequence != Some(envelope.sequence);
        let mut lost = 0;
        if is_new {
            self.sequence = Some(envelope.sequence);
            lost += u64::from(self.partial.take().is_some());
        }
        let received = match envelope.part {
            None if is_new => EnvelopeResult::Message {
                from: Rc::clone(&self.name),
                message: envelope.payload,
            },
            None => EnvelopeResult::Ignored,
            Some(part) if is_new => match part.position {
                0 => self.begin(part, &envelope.payload),
                _ => {
                    lost += 1;
                    EnvelopeResult::Ignored
                }
            },
            Some(part) => match &self.partial {
                Some(partial) if part.position == partial.bytes.len() => {
                    self.append(part, &envelope.payload)
                }
                Some(partial) if part.position > partial.bytes.len() => {
                    self.partial = None;
                    lost += 1;
                    EnvelopeResult::Ignored
                }
                _ => EnvelopeResult::Ignored,
            },
        };
        (received, lost)
    }

    fn begin(&mut self, part: Part, payload: &[u8]) -> EnvelopeResult {
        if part.total > MESSAGE_LIMIT {
            return EnvelopeResult::Malformed;
        }
        self.partial = Some(PartialMessage {
            bytes: BytesMut::with_capacity(part.total),
            total: part.total,
        });
        self.append(part, payload)
    }

    fn append(&mut self, part: Part, payload: &[u8]) -> EnvelopeResult {
        let Some(mut partial) = self.partial.take() else {
            return EnvelopeResult::Ignored;
        };
        let fits = partial.bytes.len() + payload.len() <= partial.total;
        if part.total != partial.total || !fits || payload.is_empty() {
            return EnvelopeResult::Malformed;
        }
        partial.bytes.extend_from_slice(payload);
        if partial.bytes.len() < partial.total {
            self.partial = Some(partial);
            return EnvelopeResult::Part;
        }
        EnvelopeResult::Message {
            from: Rc::clone(&self.name),
            message: partial.bytes.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(sequence: u64, part: Option<(usize, usize)>, payload: &'static str) -> Envelope {
        Envelope {
            sender: Sender {
                id: 7,
                tag: *b"tagA",
            },
            sequence,
            part: part.map(|(position, total)| Part { position, total }),
            payload: Bytes::from_static(payload.as_bytes()),
        }
    }

    fn message(text: &'static str) -> EnvelopeResult {
        EnvelopeResult::Message {
            from: "7".into(),
            message: Bytes::from_static(text.as_bytes()),
        }
    }

    #[test]
    fn copies_are_ignored() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.push(envelope(5, None, "a")), (message("a"), 0));
        assert_eq!(
            inbox.push(envelope(5, None, "a")),
            (EnvelopeResult::Ignored, 0)
        );
        assert_eq!(inbox.push(envelope(6, None, "b")), (message("b"), 0));
        // The same sequence number from another worker.
        let mut other = envelope(6, None, "c");
        other.sender.id = 8;
        assert!(matches!(
            inbox.push(other).0,
            EnvelopeResult::Message { .. }
        ));
        assert_eq!(inbox.tag(8), Some(*b"tagA"));
        inbox.forget(8);
        assert_eq!(inbox.tag(8), None);
    }

    #[test]
    fn parts_are_reassembled_and_duplicates_ignored() {
        let mut inbox = Inbox::default();
        for _ in 0..2 {
            let first = inbox.push(envelope(1, Some((0, 5)), "abc"));
            assert!(matches!(
                first,
                (EnvelopeResult::Part | EnvelopeResult::Ignored, 0)
            ));
        }
        assert_eq!(
            inbox.push(envelope(1, Some((3, 5)), "de")),
            (message("abcde"), 0)
        );
        assert_eq!(
            inbox.push(envelope(1, Some((3, 5)), "de")),
            (EnvelopeResult::Ignored, 0)
        );
        assert_eq!(inbox.push(envelope(2, None, "f")), (message("f"), 0));
    }

    #[test]
    fn a_message_with_a_missing_part_is_counted_as_lost_once() {
        let mut inbox = Inbox::default();
        assert_eq!(
            inbox.push(envelope(1, Some((0, 9)), "abc")),
            (EnvelopeResult::Part, 0)
        );
        assert_eq!(
            inbox.push(envelope(1, Some((6, 9)), "ghi")),
            (EnvelopeResult::Ignored, 1)
        );
        assert_eq!(
            inbox.push(envelope(1, Some((6, 9)), "ghi")),
            (EnvelopeResult::Ignored, 0)
        );
        // The first part is missing.
        assert_eq!(
            inbox.push(envelope(2, Some((3, 9)), "def")),
            (EnvelopeResult::Ignored, 1)
        );
        assert_eq!(
            inbox.push(envelope(2, Some((6, 9)), "ghi")),
            (EnvelopeResult::Ignored, 0)
        );
        // The last part is missing.
        assert_eq!(
            inbox.push(envelope(3, Some((0, 9)), "abc")),
            (EnvelopeResult::Part, 0)
        );
        assert_eq!(inbox.push(envelope(4, None, "a")), (message("a"), 1));
        assert_eq!(
            inbox.push(envelope(5, Some((0, 9)), "abc")),
            (EnvelopeResult::Part, 0)
        );
        assert_eq!(inbox.forget(7), 1);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        let mut inbox = Inbox::default();
        let too_long = Some((0, MESSAGE_LIMIT + 1));
        for (sequence, part) in [(1, too_long), (2, Some((0, 2))), (3, Some((0, 0)))] {
            assert_eq!(
                inbox.push(envelope(sequence, part, "abc")).0,
                EnvelopeResult::Malformed
            );
        }
        assert_eq!(
            inbox.push(envelope(4, Some((0, 5)), "abc")).0,
            EnvelopeResult::Part
        );
        assert_eq!(
            inbox.push(envelope(4, Some((3, 6)), "abc")).0,
            EnvelopeResult::Malformed
        );
    }
}
