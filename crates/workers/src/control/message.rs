//! Control messages and their encoding.

use std::os::fd::OwnedFd;

use crate::error::Error;

/// The maximum length of a packet, in bytes.
pub(super) const MAX_PACKET: usize = 16 * 1024;

/// The maximum number of descriptors in one packet: slightly below the limit of the system.
pub(super) const MAX_DESCRIPTORS: usize = 250;

/// A message between a master and a worker, or between two masters during an upgrade.
#[derive(Debug)]
pub(crate) enum ControlMessage {
    /// The first message to a new worker.
    Start(StartParameters),
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
    /// Sent by a new master to the old one: a [`ControlMessage::Peer`] for the worker in `owner`.
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
pub(crate) struct StartParameters {
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

impl ControlMessage {
    /// Appends the packet of a message; returns the descriptors that go with it.
    pub(super) fn encode(self, out: &mut Vec<u8>) -> Vec<OwnedFd> {
        let mut put = |tag: u8, numbers: &[u64]| {
            out.push(tag);
            for number in numbers {
                out.extend_from_slice(&number.to_le_bytes());
            }
        };
        match self {
            ControlMessage::Start(start) => {
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
            ControlMessage::Peer {
                slot,
                bus,
                connections,
            } => {
                put(2, &[slot as u64]);
                return vec![bus, connections];
            }
            ControlMessage::Complete => put(3, &[]),
            ControlMessage::Drain(cause) => put(4, &[u64::from(cause == DrainCause::Restart)]),
            ControlMessage::Accept => put(5, &[]),
            ControlMessage::ReopenLogs => put(6, &[]),
            ControlMessage::Ready => put(7, &[]),
            ControlMessage::Replace { reason } => {
                put(8, &[]);
                put_bytes(out, reason.as_bytes());
            }
            ControlMessage::Forward {
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
    pub(super) fn decode(
        packet: &[u8],
        descriptors: Vec<OwnedFd>,
    ) -> Result<ControlMessage, Error> {
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
    fn message(&mut self) -> Result<ControlMessage, Error> {
        let [tag] = *self.take(1)? else {
            return Err(Error::control("a message is empty"));
        };
        Ok(match tag {
            1 => ControlMessage::Start(StartParameters {
                place: self.index()?,
                slot: self.index()?,
                generation: self.number()?,
                addresses: self.text()?.lines().map(str::to_owned).collect(),
                ticket_keys: self.bytes()?.to_vec(),
                memory: self.descriptor()?,
                listeners: self.descriptors.by_ref().collect(),
            }),
            2 => ControlMessage::Peer {
                slot: self.index()?,
                bus: self.descriptor()?,
                connections: self.descriptor()?,
            },
            3 => ControlMessage::Complete,
            4 => ControlMessage::Drain(match self.number()? {
                0 => DrainCause::Stop,
                _ => DrainCause::Restart,
            }),
            5 => ControlMessage::Accept,
            6 => ControlMessage::ReopenLogs,
            7 => ControlMessage::Ready,
            8 => ControlMessage::Replace {
                reason: self.text()?,
            },
            9 => ControlMessage::Forward {
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

    fn round_trip(message: ControlMessage) -> ControlMessage {
        let mut packet = Vec::new();
        let descriptors = message.encode(&mut packet);
        assert!(packet.len() < MAX_PACKET);
        ControlMessage::decode(&packet, descriptors).unwrap()
    }

    #[test]
    fn a_start_arrives_with_its_descriptors() {
        let sent = ControlMessage::Start(StartParameters {
            place: 1,
            slot: 9,
            generation: 3,
            addresses: vec!["tcp://127.0.0.1:80".into(), "unix:///run/a".into()],
            ticket_keys: vec![1, 2, 3],
            memory: descriptor(),
            listeners: vec![descriptor(), descriptor()],
        });
        let ControlMessage::Start(start) = round_trip(sent) else {
            panic!("unexpected message");
        };
        assert_eq!((start.place, start.slot, start.generation), (1, 9, 3));
        assert_eq!(start.addresses, ["tcp://127.0.0.1:80", "unix:///run/a"]);
        assert_eq!(start.ticket_keys, [1, 2, 3]);
        assert_eq!(start.listeners.len(), 2);
    }

    #[test]
    fn short_messages_arrive() {
        let drain = round_trip(ControlMessage::Drain(DrainCause::Restart));
        assert!(matches!(drain, ControlMessage::Drain(DrainCause::Restart)));
        let reason = "100 requests".to_owned();
        let replace = round_trip(ControlMessage::Replace { reason });
        assert!(matches!(replace, ControlMessage::Replace { reason } if reason == "100 requests"));
        let peer = round_trip(ControlMessage::Peer {
            slot: 4,
            bus: descriptor(),
            connections: descriptor(),
        });
        assert!(matches!(peer, ControlMessage::Peer { slot: 4, .. }));
    }

    #[test]
    fn malformed_packets_are_refused() {
        let text = |packet: &[u8]| {
            ControlMessage::decode(packet, Vec::new())
                .unwrap_err()
                .to_string()
        };
        assert!(text(&[]).contains("too short"));
        assert!(text(&[200]).contains("unknown kind"));
        assert!(text(&[7, 0]).contains("too long"));
        assert!(text(&[2, 0, 0, 0, 0, 0, 0, 0, 0]).contains("lacks a descriptor"));
        assert!(text(&[8, 255, 255, 255, 255, 255, 255, 255, 255]).contains("too short"));
    }
}
