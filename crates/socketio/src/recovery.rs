//! Connection state recovery: clients that come back soon miss nothing.
//!
//! While it is on, each event that is sent without an acknowledgement and is not volatile has an offset behind its arguments, and is kept for a while. A client
//! that comes back with its private id and the last offset gets its id, rooms and data, and what it has missed.
//!
//! Cost of an event while it is on: an entry of the log, which shares the packet.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::adapter::Target;
use crate::options::RecoveryOptions;
use crate::protocol::Value;
use crate::protocol::packet::{Data, Encoded};
use crate::socket_id::SocketId;

/// The number of bytes that an entry of the log counts for, beside its packet.
const OVERHEAD: usize = 128;

/// The log of a namespace, and its disconnected clients.
pub(crate) struct Recovery {
    options: RecoveryOptions,
    /// Begins each offset, so that those of other servers and earlier runs are not taken for own ones.
    run: SocketId,
    /// The number of the first packet in the log.
    first: u64,
    log: VecDeque<Logged>,
    bytes: usize,
    sessions: HashMap<SocketId, Session>,
    /// The private ids in the order in which their clients were disconnected; some have come back since.
    order: VecDeque<(Instant, SocketId)>,
}

struct Logged {
    at: Instant,
    packet: Encoded,
    target: Target,
    except: Option<SocketId>,
}

impl Logged {
    fn bytes(&self) -> usize {
        self.packet.size() + OVERHEAD
    }
}

/// The state of a client that may come back.
pub(crate) struct Session {
    pub(crate) id: SocketId,
    pub(crate) rooms: Vec<String>,
    pub(crate) data: Value,
    pub(crate) at: Instant,
}

/// A client that has come back.
pub(crate) struct Recovered {
    pub(crate) id: SocketId,
    pub(crate) pid: SocketId,
    pub(crate) rooms: Vec<String>,
    pub(crate) data: Value,
    /// The events that it has missed.
    pub(crate) missed: Vec<Encoded>,
}

/// What a client that comes back sends.
#[derive(Deserialize)]
struct Claim {
    pid: String,
    offset: String,
}

impl Recovery {
    pub(crate) fn new(options: RecoveryOptions) -> Recovery {
        Recovery {
            options,
            run: SocketId::random(),
            first: 0,
            log: VecDeque::new(),
            bytes: 0,
            sessions: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn skips_middleware(&self) -> bool {
        self.options.skip_middleware
    }

    /// Returns the offset of the next event.
    pub(crate) fn next_offset(&self) -> String {
        let number = self.first + self.log.len() as u64;
        format!("{}.{number:x}", &self.run[4..16])
    }

    /// Logs the event that has the [next offset](Self::next_offset).
    pub(crate) fn log(&mut self, packet: Encoded, target: Target, except: Option<SocketId>) {
        let now = Instant::now();
        let entry = Logged {
            at: now,
            packet,
            target,
            except,
        };
        self.bytes += entry.bytes();
        self.log.push_back(entry);
        self.expire(now);
    }

    /// Keeps the state of a client that was disconnected.
    pub(crate) fn keep(&mut self, pid: SocketId, session: Session) {
        let now = session.at;
        self.order.push_back((now, pid));
        self.sessions.insert(pid, session);
        self.expire(now);
    }

    /// Returns whether clients may come back.
    pub(crate) fn has_sessions(&mut self) -> bool {
        self.expire(Instant::now());
        !self.sessions.is_empty()
    }

    /// Returns the time until the oldest client cannot come back any more.
    pub(crate) fn retention(&self) -> Duration {
        self.options.max_disconnection
    }

    /// Finds the state of a client that has come back, by what it has sent to authenticate itself.
    pub(crate) fn restore(&mut self, auth: Option<&Data>) -> Option<Recovered> {
        let claim: Claim = auth?.parse().ok()?;
        let pid = SocketId::parse(&claim.pid)?;
        self.expire(Instant::now());
        let next = self.position(&claim.offset)? + 1;
        let session = self.sessions.remove(&pid)?;
        let missed = self
            .log
            .range(next..)
            .filter(|entry| entry.is_for(&session))
            .map(|entry| entry.packet.clone())
            .collect();
        Some(Recovered {
            id: session.id,
            pid,
            rooms: session.rooms,
            data: session.data,
            missed,
        })
    }

    /// Returns the position in the log of the event that has an offset.
    fn position(&self, offset: &str) -> Option<usize> {
        let (run, number) = offset.split_once('.')?;
        if run != &self.run[4..16] {
            return None;
        }
        let number = u64::from_str_radix(number, 16).ok()?;
        let position = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (position < self.log.len()).then_some(position)
    }

    /// Discards what is too old, or too much.
    fn expire(&mut self, now: Instant) {
        let options = &self.options;
        let is_old = |at: Instant| now.saturating_duration_since(at) > options.max_disconnection;
        while let Some(oldest) = self.log.front()
            && (is_old(oldest.at)
                || self.log.len() > options.max_packets
                || self.bytes > options.max_bytes)
        {
            self.bytes -= oldest.bytes();
            self.log.pop_front();
            self.first += 1;
        }
        while let Some((at, pid)) = self.order.front()
            && (is_old(*at) || self.order.len() > options.max_sessions)
        {
            if self
                .sessions
                .get(pid)
                .is_some_and(|session| session.at == *at)
            {
                self.sessions.remove(pid);
            }
            self.order.pop_front();
        }
    }
}

impl Logged {
    fn is_for(&self, session: &Session) -> bool {
        let is_in = |room: &String| *room == *session.id || session.rooms.contains(room);
        (self.target.rooms.is_empty() || self.target.rooms.iter().any(is_in))
            && !self.target.except.iter().any(is_in)
            && self.except != Some(session.id)
    }
}

#[cfg(test)]
mod tests {
    use uptick_websocket::Message;

    use super::*;

    fn packet(text: &'static str) -> Encoded {
        Encoded::of_frame(Message::from(text))
    }

    fn target(rooms: &[&str], except: &[&str]) -> Target {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Target {
            rooms: owned(rooms),
            except: owned(except),
        }
    }

    fn claim(pid: SocketId, offset: &str) -> Data {
        Data::Json(format!(r#"{{"pid":"{pid}","offset":"{offset}"}}"#).into())
    }

    fn session(id: SocketId, rooms: &[&str]) -> Session {
        Session {
            id,
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
            data: Value::from(7),
            at: Instant::now(),
        }
    }

    fn log(recovery: &mut Recovery, text: &'static str, target: Target) -> String {
        let offset = recovery.next_offset();
        recovery.log(packet(text), target, None);
        offset
    }

    #[test]
    fn a_client_gets_what_it_has_missed_and_nothing_else() {
        let mut recovery = Recovery::new(RecoveryOptions::new());
        let (id, pid) = (SocketId::random(), SocketId::random());
        log(&mut recovery, "early", target(&[], &[]));
        let offset = log(&mut recovery, "seen", target(&[], &[]));
        recovery.keep(pid, session(id, &["a"]));
        log(&mut recovery, "room", target(&["a", "b"], &[]));
        log(&mut recovery, "other", target(&["b"], &[]));
        log(&mut recovery, "except", target(&[], &["a"]));
        log(&mut recovery, "own", target(&[id.as_str()], &[]));
        recovery.log(packet("sender"), target(&[], &[]), Some(id));
        let recovered = recovery.restore(Some(&claim(pid, &offset))).unwrap();
        assert_eq!((recovered.id, recovered.pid), (id, pid));
        assert_eq!(recovered.rooms, ["a"]);
        assert_eq!(recovered.missed, [packet("room"), packet("own")]);
        // Only once.
        assert!(recovery.restore(Some(&claim(pid, &offset))).is_none());
    }

    #[test]
    fn unknown_ids_and_offsets_are_not_recovered() {
        let mut recovery = Recovery::new(RecoveryOptions::new());
        let pid = SocketId::random();
        let offset = log(&mut recovery, "a", target(&[], &[]));
        recovery.keep(pid, session(SocketId::random(), &[]));
        let other = Recovery::new(RecoveryOptions::new()).next_offset();
        for auth in [
            claim(SocketId::random(), &offset),
            claim(pid, &other),
            claim(pid, ""),
            claim(pid, &recovery.next_offset()),
            Data::Json("{}".into()),
            Data::Json(r#"{"pid":1,"offset":2}"#.into()),
        ] {
            assert!(recovery.restore(Some(&auth)).is_none(), "{auth:?}");
        }
        assert!(recovery.restore(None).is_none());
        assert!(recovery.restore(Some(&claim(pid, &offset))).is_some());
    }

    #[test]
    fn the_log_and_the_clients_are_bounded() {
        let options = RecoveryOptions::new().max_packets(2).max_sessions(1);
        let mut recovery = Recovery::new(options);
        let first = log(&mut recovery, "1", target(&[], &[]));
        log(&mut recovery, "2", target(&[], &[]));
        let third = log(&mut recovery, "3", target(&[], &[]));
        let (one, two) = (SocketId::random(), SocketId::random());
        recovery.keep(one, session(SocketId::random(), &[]));
        recovery.keep(two, session(SocketId::random(), &[]));
        assert!(recovery.restore(Some(&claim(one, &third))).is_none());
        assert!(recovery.restore(Some(&claim(two, &first))).is_none());
        assert!(recovery.restore(Some(&claim(two, &third))).is_some());
        let options = RecoveryOptions::new().max_disconnection(Duration::ZERO);
        let mut recovery = Recovery::new(options);
        recovery.keep(one, session(SocketId::random(), &[]));
        std::thread::sleep(Duration::from_millis(2));
        assert!(!recovery.has_sessions());
    }
}
