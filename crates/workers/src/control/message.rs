//! Control messages and their encoding.

use std::os::fd::OwnedFd;

use crate::error::Error;

/// The maximum length of a packet, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// The maximum number of descriptors in one packet: slightly below the limit of the system.
pub(super) const MOST_DESCRIPTORS: usize = 250;

/// A message between a master and a worker, or between two masters during an upgrade.
#[derive(Debug)]
pub(crate) enum Message {
    /// The first message to a new worker.
    Start(Start),
    /// To a worker: two sockets connected to another worker, for the bus and for connections.
    Peer {
        slot: usize,
        bus: OwnedFd,
        connections: OwnedFd,
    },
    /// To a new worker: all its peers have been sent.
    Complete,
    /// To a worker: stop accepting, end the connections, then exit.
    Drain(DrainCause),
    /// To a worker: accept pending connections, since the wake-up for them may have gone to a worker
    /// that has died.
    Accept,
    /// To a worker: reopen the log files.
    ReopenLogs,
    /// Sent by a worker or a new master: it is serving.
    Ready,
    /// Sent by a worker: it needs a successor.
    Replace { reason: String },
    /// Sent by a new master to the old one: a [`Message::Peer`] for the worker in `owner`.
    Forward {
        owner: usize,
        slot: usize,
        bus: OwnedFd,
        connections: OwnedFd,
    },
}

/// The reason for a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DrainCause {
    /// The service is stopping.
    Stop,
    /// A successor is serving.
    Restart,
}

/// The state that a new worker, or a new master, takes over.
#[derive(Debug)]
pub(crate) struct Start {
    /// The worker's place, counted from 0.
    pub(crate) place: usize,
    pub(crate) slot: usize,
    pub(crate) generation: u64,
    /// The addresses of the listening sockets.
    pub(crate) addresses: Vec<String>,
    /// The state of the session ticket keys; empty if there are none.
    pub(crate) ticket_keys: Vec<u8>,
    /// The shared memory.
    pub(crate) memory: OwnedFd,
    /// The listening sockets.
    pub(crate) listeners: Vec<OwnedFd>,
}

impl Message {
    /// Appends the packet of a message; returns the descriptors that go with it.
    pub(super) fn encode(self, out: &mut Vec<u8>) -> Vec<OwnedFd> {
        let mut put = |tag: u8, numbers: &[u64]| {
            out.push(tag);
            for number in numbers {
                out.extend_from_slice(&number.to_le_bytes());
            }
        };
        match self {
            Message::Start(start) => {
                put(
                    1,
                    &[start.place as u64, start.slot as u64, start.generation],
                );
                let text = start.addresses.join("\n");
                put_bytes(out, text.as_bytes());
                put_bytes(out, &start.ticket_keys);
                let mut descriptors = vec![start.memory];
                descriptors.extend(start.listeners);
                return descriptors;
            }
            Message::Peer {
                slot,
                bus,
                connections,
            } => {
                put(2, &[slot as u64]);
                return vec![bus, connections];
            }
            Message::Complete => put(3, &[]),
            Message::Drain(cause) => put(4, &[u64::from(cause == DrainCause::Restart)]),
            Message::Accept => put(5, &[]),
            Message::ReopenLogs => put(6, &[]),
            Message::Ready => put(7, &[]),
            Message::Replace { reason } => {
                put(8, &[]);
                put_bytes(out, reason.as_bytes());
            }
            Message::Forward {
                owner,
                slot,
                bus,
                connections,
            } => {
                put(9, &[owner as u64, slot as u64]);
                return vec![bus, connections];
            }
        }
        Vec::new()
    }

    /// Reads a packet.
    ///
    /// # Errors
    /// [`Error::Control`] if the packet is malformed, for example because the two programs are of
    /// different versions.
    pub(super) fn decode(packet: &[u8], descriptors: Vec<OwnedFd>) -> Result<Message, Error> {
        let mut reader = Reader {
            rest: packet,
            descriptors: descriptors.into_iter(),
        };
        let message = reader.message()?;
        match reader.rest {
            [] => Ok(message),
            _ => Err(Error::control("a message is too long")),
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

struct Reader<'a> {
    rest: &'a [u8],
    descriptors: std::vec::IntoIter<OwnedFd>,
}

impl Reader<'_> {
    fn message(&mut self) -> Result<Message, Error> {
        let [tag] = *self.take(1)? else {
            return Err(Error::control("a message is empty"));
        };
        Ok(match tag {
            1 => Message::Start(Start {
                place: self.index()?,
                slot: self.index()?,
                generation: self.number()?,
                addresses: self.text()?.lines().map(str::to_owned).collect(),
                ticket_keys: self.bytes()?.to_vec(),
                memory: self.descriptor()?,
                listeners: self.descriptors.by_ref().collect(),
            }),
            2 => Message::Peer {
                slot: self.index()?,
                bus: self.descriptor()?,
                connections: self.descriptor()?,
            },
            3 => Message::Complete,
            4 => Message::Drain(match self.number()? {
                0 => DrainCause::Stop,
                _ => DrainCause::Restart,
            }),
            5 => Message::Accept,
            6 => Message::ReopenLogs,
            7 => Message::Ready,
            8 => Message::Replace {
                reason: self.text()?,
            },
            9 => Message::Forward {
                owner: self.index()?,
                slot: self.index()?,
                bus: self.descriptor()?,
                connections: self.descriptor()?,
            },
            _ => return Err(Error::control("a message is of an unknown kind")),
        })
    }

    fn take(&mut self, count: usize) -> Result<&[u8], Error> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Error::control("a message is too short")),
        }
    }

    fn number(&mut self) -> Result<u64, Error> {
        let bytes = self.take(8)?.try_into().unwrap_or_default();
        Ok(u64::from_le_bytes(bytes))
    }

    fn index(&mut self) -> Result<usize, Error> {
        usize::try_from(self.number()?).map_err(|_| Error::control("a number is out of range"))
    }

    fn bytes(&mut self) -> Result<&[u8], Error> {
        let length = self.index()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<String, Error> {
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(Error::control("a text is not UTF-8")),
        }
    }

    fn descriptor(&mut self) -> Result<OwnedFd, Error> {
        self.descriptors.next().ok_or_else(|| {
            Error::control("a message lacks a descriptor: none may be free (EMFILE)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    fn over_the_wire(message: Message) -> Message {
        let mut packet = Vec::new();
        let descriptors = message.encode(&mut packet);
        assert!(packet.len() < LONGEST);
        Message::decode(&packet, descriptors).unwrap()
    }

    #[test]
    fn a_start_arrives_with_its_descriptors() {
        let sent = Message::Start(Start {
            place: 1,
            slot: 9,
            generation: 3,
            addresses: vec!["tcp://127.0.0.1:80".into(), "unix:///run/a".into()],
            ticket_keys: vec![1, 2, 3],
            memory: descriptor(),
            listeners: vec![descriptor(), descriptor()],
        });
        let Message::Start(start) = over_the_wire(sent) else {
            panic!("unexpected message");
        };
        assert_eq!((start.place, start.slot, start.generation), (1, 9, 3));
        assert_eq!(start.addresses, ["tcp://127.0.0.1:80", "unix:///run/a"]);
        assert_eq!(start.ticket_keys, [1, 2, 3]);
        assert_eq!(start.listeners.len(), 2);
    }

    #[test]
    fn short_messages_arrive() {
        let drain = over_the_wire(Message::Drain(DrainCause::Restart));
        assert!(matches!(drain, Message::Drain(DrainCause::Restart)));
        let reason = "100 requests".to_owned();
        let replace = over_the_wire(Message::Replace { reason });
        assert!(matches!(replace, Message::Replace { reason } if reason == "100 requests"));
        let peer = over_the_wire(Message::Peer {
            slot: 4,
            bus: descriptor(),
            connections: descriptor(),
        });
        assert!(matches!(peer, Message::Peer { slot: 4, .. }));
    }

    #[test]
    fn malformed_packets_are_refused() {
        let text = |packet: &[u8]| Message::decode(packet, Vec::new()).unwrap_err().to_string();
        assert!(text(&[]).contains("shorter"));
        assert!(text(&[200]).contains("unknown kind"));
        assert!(text(&[7, 0]).contains("longer"));
        assert!(text(&[2, 0, 0, 0, 0, 0, 0, 0, 0]).contains("lacks a descriptor"));
        assert!(text(&[8, 255, 255, 255, 255, 255, 255, 255, 255]).contains("shorter"));
    }
}
