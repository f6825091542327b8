//! Connection state recovery: clients that reconnect in time miss no event.
//!
//! While it is enabled, each event that is not volatile and expects no acknowledgement carries an offset after its arguments, and is kept for a limited time. A
//! client that reconnects with its private id and the last offset keeps its id, rooms and data, and receives the events that it missed.
//!
//! With an adapter [that has a log](crate::adapter::Adapter::has_log), the events and the state of disconnected clients are kept by the adapter instead. The log here then
//! only has the events since a client reconnected, until it is connected.
//!
//! Cost of an event while recovery is enabled: one entry in the log, which shares the packet.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::adapter::{RemoteSession, RestoredSession, Target};
use crate::options::RecoveryOptions;
use crate::protocol::Value;
use crate::protocol::packet::{Data, Encoded};
use crate::socket_id::SocketId;

/// Number of bytes that a log entry counts for in addition to its packet.
const OVERHEAD: usize = 128;

/// The event log of a namespace, and its disconnected clients.
pub(crate) struct Recovery {
    options: RecoveryOptions,
    /// A random id of this log. A part of it is the prefix of each offset, so that offsets from other servers and earlier runs are recognized.
    run: SocketId,
    /// The number of the first event in the log.
    first: u64,
    log: VecDeque<LoggedEvent>,
    bytes: usize,
    sessions: HashMap<SocketId, RecoverableSession>,
    /// Shared with the clients that have reconnected and are not connected yet, if the log of the adapter is used.
    reconnecting: Rc<()>,
    /// Private ids in the order in which their clients were disconnected, including those of clients that have reconnected since.
    order: VecDeque<(Instant, SocketId)>,
}

struct LoggedEvent {
    at: Instant,
    /// The packet, without its offset.
    packet: Encoded,
    target: Target,
    except: Option<SocketId>,
    /// The offset, if the event is also in the log of the adapter.
    shared_offset: Option<Box<str>>,
}

impl LoggedEvent {
    fn bytes(&self) -> usize {
        self.packet.size() + OVERHEAD
    }
}

/// The state of a disconnected client that may reconnect.
pub(crate) struct RecoverableSession {
    pub(crate) id: SocketId,
    pub(crate) rooms: Vec<String>,
    pub(crate) data: Value,
    pub(crate) at: Instant,
    pub(crate) foreign_offset: Option<ForeignOffset>,
}

/// The offset with which a client came from another server, and the number of the next event on this server.
///
/// It is the last offset that the client knows until it receives an event of this server.
#[derive(Clone, Debug)]
pub(crate) struct ForeignOffset {
    offset: String,
    next: u64,
}

/// A client that has reconnected.
pub(crate) struct Recovered {
    pub(crate) id: SocketId,
    pub(crate) pid: SocketId,
    pub(crate) rooms: Vec<String>,
    pub(crate) data: Value,
    /// The missed events, with their offsets.
    pub(crate) missed: Vec<Encoded>,
    /// The number of the event after the missed ones.
    until: u64,
    pub(crate) foreign_offset: Option<ForeignOffset>,
    /// Set if the state is known to be of this namespace.
    pub(crate) is_verified: bool,
    /// Keeps the events since the client reconnected.
    _reconnecting: Option<Rc<()>>,
}

impl Recovered {
    /// Converts this back into the state of a disconnected client, because the client left before it was connected.
    pub(crate) fn into_session(self) -> (SocketId, RecoverableSession) {
        let session = RecoverableSession {
            id: self.id,
            rooms: self.rooms,
            data: self.data,
            at: Instant::now(),
            foreign_offset: self.foreign_offset,
        };
        (self.pid, session)
    }
}

/// The authentication data of a reconnecting client.
#[derive(Deserialize)]
pub(crate) struct RecoveryClaim {
    pub(crate) pid: String,
    pub(crate) offset: String,
}

impl RecoveryClaim {
    /// Parses the authentication data of a client; `None` if it does not request recovery.
    pub(crate) fn of(auth: Option<&Data>) -> Option<RecoveryClaim> {
        auth?.parse().ok()
    }
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
            reconnecting: Rc::new(()),
            order: VecDeque::new(),
        }
    }

    pub(crate) fn skips_middleware(&self) -> bool {
        self.options.skip_middleware
    }

    /// Returns the offset of an event.
    fn offset(&self, number: u64) -> String {
        format!("{}.{number:x}", &self.run[4..16])
    }

    /// Returns the number of the next event.
    fn next(&self) -> u64 {
        self.first + self.log.len() as u64
    }

    /// Logs an event, and returns its offset.
    pub(crate) fn log(
        &mut self,
        packet: Encoded,
        target: Target,
        except: Option<SocketId>,
    ) -> String {
        let offset = self.offset(self.next());
        self.push(LoggedEvent {
            at: Instant::now(),
            packet,
            target,
            except,
            shared_offset: None,
        });
        offset
    }

    /// Logs an event of the log of the adapter, while clients are reconnecting.
    pub(crate) fn logged(&mut self, packet: &Encoded, target: &Target, offset: &str) {
        if Rc::strong_count(&self.reconnecting) > 1 {
            return self.push(LoggedEvent {
                at: Instant::now(),
                packet: packet.clone(),
                target: target.clone(),
                except: None,
                shared_offset: Some(offset.into()),
            });
        }
        self.first = self.next();
        self.log.clear();
        self.bytes = 0;
    }

    fn push(&mut self, event: LoggedEvent) {
        let now = event.at;
        self.bytes += event.bytes();
        self.log.push_back(event);
        self.expire(now);
    }

    /// Stores the state of a disconnected client.
    pub(crate) fn keep(&mut self, pid: SocketId, session: RecoverableSession) {
        let now = session.at;
        self.order.push_back((now, pid));
        self.sessions.insert(pid, session);
        self.expire(now);
    }

    /// Returns `true` if there are disconnected clients that may reconnect.
    pub(crate) fn has_sessions(&mut self) -> bool {
        self.expire(Instant::now());
        !self.sessions.is_empty()
    }

    /// Returns the maximum number and size of the events that a client may have missed.
    #[cfg(feature = "redis")]
    pub(crate) fn limits(&self) -> (usize, usize) {
        (self.options.max_packets, self.options.max_bytes)
    }

    /// Returns the time for which the state of a disconnected client is kept.
    pub(crate) fn retention(&self) -> Duration {
        self.options.max_disconnection
    }

    /// Removes and returns the state of a client that has reconnected.
    pub(crate) fn restore(&mut self, claim: &RecoveryClaim) -> Option<Recovered> {
        let (pid, session, next) = self.take(claim)?;
        Some(Recovered {
            id: session.id,
            pid,
            missed: self.missed_with_offsets(session.id, &session.rooms, next),
            until: self.next(),
            rooms: session.rooms,
            data: session.data,
            foreign_offset: session.foreign_offset,
            is_verified: true,
            _reconnecting: None,
        })
    }

    /// Removes and returns the state of a client that has reconnected to another server.
    pub(crate) fn export_session(&mut self, claim: &RecoveryClaim) -> Option<RemoteSession> {
        let (_, session, next) = self.take(claim)?;
        let missed = self.missed(session.id, &session.rooms, next);
        Some(RemoteSession {
            id: session.id.as_str().to_owned(),
            missed: missed.map(|(_, event)| event.packet.clone()).collect(),
            rooms: session.rooms,
            data: session.data,
        })
    }

    /// Accepts the state of a client from another server. The events that it missed are added to the log for it, with offsets of this server.
    pub(crate) fn import_session(
        &mut self,
        claim: RecoveryClaim,
        session: RemoteSession,
    ) -> Option<Recovered> {
        let (id, pid) = (SocketId::parse(&session.id)?, SocketId::parse(&claim.pid)?);
        let foreign_offset = ForeignOffset {
            offset: claim.offset,
            next: self.next(),
        };
        let mut missed = Vec::new();
        for packet in session.missed {
            let target = Target {
                rooms: vec![session.id.clone()],
                except: Vec::new(),
            };
            let offset = self.log(packet.clone(), target, None);
            missed.extend(packet.with_argument(&offset));
        }
        Some(Recovered {
            id,
            pid,
            rooms: session.rooms,
            data: session.data,
            missed,
            until: self.next(),
            foreign_offset: Some(foreign_offset),
            is_verified: true,
            _reconnecting: None,
        })
    }

    /// Accepts the state of a client from the log of the adapter.
    pub(crate) fn import_restored(&mut self, restored: RestoredSession) -> Option<Recovered> {
        let session = restored.session;
        Some(Recovered {
            id: SocketId::parse(&session.id)?,
            pid: SocketId::parse(&session.pid)?,
            rooms: session.rooms,
            data: session.data,
            missed: restored.missed,
            until: self.next(),
            foreign_offset: None,
            is_verified: restored.is_verified,
            _reconnecting: Some(Rc::clone(&self.reconnecting)),
        })
    }

    /// Removes the state of a client. Returns its private id, and the position of the first event that it has not received.
    fn take(&mut self, claim: &RecoveryClaim) -> Option<(SocketId, RecoverableSession, usize)> {
        let pid = SocketId::parse(&claim.pid)?;
        self.expire(Instant::now());
        let session = self.sessions.get(&pid)?;
        let next = match &session.foreign_offset {
            Some(foreign) if foreign.offset == claim.offset => {
                let next = foreign.next.checked_sub(self.first)?;
                usize::try_from(next).ok()?
            }
            _ => self.position(&claim.offset)? + 1,
        };
        let session = self.sessions.remove(&pid)?;
        Some((pid, session, next))
    }

    /// Returns the events that a client missed, including events since it reconnected.
    pub(crate) fn missed_until_now(&self, recovered: &Recovered) -> Vec<Encoded> {
        let mut missed = recovered.missed.clone();
        let next = recovered.until.saturating_sub(self.first) as usize;
        missed.extend(self.missed_with_offsets(recovered.id, &recovered.rooms, next));
        missed
    }

    fn missed_with_offsets(&self, id: SocketId, rooms: &[String], next: usize) -> Vec<Encoded> {
        self.missed(id, rooms, next)
            .filter_map(|(index, event)| match &event.shared_offset {
                Some(offset) => event.packet.with_argument(offset),
                None => {
                    let offset = self.offset(self.first + index as u64);
                    event.packet.with_argument(&offset)
                }
            })
            .collect()
    }

    /// Returns the events for a client in `rooms`, starting at position `next`, with their positions.
    fn missed<'a>(
        &'a self,
        id: SocketId,
        rooms: &'a [String],
        next: usize,
    ) -> impl Iterator<Item = (usize, &'a LoggedEvent)> {
        let log = self.log.iter().enumerate().skip(next);
        log.filter(move |(_, event)| event.is_for(id, rooms))
    }

    /// Returns the position in the log of the event with an offset.
    fn position(&self, offset: &str) -> Option<usize> {
        let (run, number) = offset.split_once('.')?;
        if run != &self.run[4..16] {
            return None;
        }
        let number = u64::from_str_radix(number, 16).ok()?;
        let position = usize::try_from(number.checked_sub(self.first)?).ok()?;
        (position < self.log.len()).then_some(position)
    }

    /// Discards entries that are too old or exceed a limit.
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

impl LoggedEvent {
    fn is_for(&self, id: SocketId, rooms: &[String]) -> bool {
        let is_in = |room: &String| *room == *id || rooms.contains(room);
        (self.target.rooms.is_empty() || self.target.rooms.iter().any(is_in))
            && !self.target.except.iter().any(is_in)
            && self.except != Some(id)
    }
}

#[cfg(test)]
mod tests {
    use uptick_websocket::Message;

    use super::*;
    use crate::adapter::SavedSession;

    fn packet(text: &str) -> Encoded {
        Encoded::of_frame(Message::from(format!(r#"42["{text}"]"#)))
    }

    /// Returns the names of events that carry offsets.
    fn texts(packets: &[Encoded]) -> Vec<String> {
        let text = |packet: &Encoded| {
            let text = packet.frames().next().unwrap().into_bytes();
            let text = String::from_utf8(text.to_vec()).unwrap();
            let (name, offset) = text.split_once(',').unwrap();
            assert!(offset.ends_with("\"]"), "{offset}");
            name.trim_start_matches("42[").replace('"', "")
        };
        packets.iter().map(text).collect()
    }

    fn target(rooms: &[&str], except: &[&str]) -> Target {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Target {
            rooms: owned(rooms),
            except: owned(except),
        }
    }

    fn claim(pid: SocketId, offset: &str) -> RecoveryClaim {
        let (pid, offset) = (pid.as_str().to_owned(), offset.to_owned());
        RecoveryClaim { pid, offset }
    }

    fn session(id: SocketId, rooms: &[&str]) -> RecoverableSession {
        RecoverableSession {
            id,
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
            data: Value::from(7),
            at: Instant::now(),
            foreign_offset: None,
        }
    }

    fn log(recovery: &mut Recovery, text: &'static str, target: Target) -> String {
        recovery.log(packet(text), target, None)
    }

    #[test]
    fn a_client_receives_only_the_events_that_it_missed() {
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
        let recovered = recovery.restore(&claim(pid, &offset)).unwrap();
        assert_eq!((recovered.id, recovered.pid), (id, pid));
        assert_eq!(recovered.rooms, ["a"]);
        assert_eq!(texts(&recovered.missed), ["room", "own"]);
        // The state can be restored only once.
        assert!(recovery.restore(&claim(pid, &offset)).is_none());
    }

    #[test]
    fn unknown_ids_and_offsets_are_not_recovered() {
        let mut recovery = Recovery::new(RecoveryOptions::new());
        let pid = SocketId::random();
        let offset = log(&mut recovery, "a", target(&[], &[]));
        recovery.keep(pid, session(SocketId::random(), &[]));
        let other = Recovery::new(RecoveryOptions::new()).offset(0);
        for claim in [
            claim(SocketId::random(), &offset),
            claim(pid, &other),
            claim(pid, ""),
            claim(pid, &recovery.offset(recovery.next())),
        ] {
            assert!(recovery.restore(&claim).is_none(), "{}", claim.offset);
        }
        for auth in ["{}", r#"{"pid":1,"offset":2}"#, r#"{"pid":"x"}"#] {
            assert!(
                RecoveryClaim::of(Some(&Data::Json(auth.into()))).is_none(),
                "{auth}"
            );
        }
        assert!(RecoveryClaim::of(None).is_none());
        assert!(recovery.restore(&claim(pid, &offset)).is_some());
    }

    #[test]
    fn events_of_a_shared_log_are_kept_only_while_a_client_is_reconnecting() {
        let mut recovery = Recovery::new(RecoveryOptions::new());
        let (id, pid) = (SocketId::random(), SocketId::random());
        let all = target(&[], &[]);
        recovery.logged(&packet("early"), &all, "1-0");
        let restored = RestoredSession {
            session: SavedSession {
                id: id.as_str().to_owned(),
                pid: pid.as_str().to_owned(),
                rooms: vec!["a".to_owned()],
                data: Value::Null,
            },
            missed: vec![packet("missed").with_argument("2-0").unwrap()],
            is_verified: true,
        };
        let recovered = recovery.import_restored(restored).unwrap();
        recovery.logged(&packet("room"), &target(&["a"], &[]), "3-0");
        recovery.logged(&packet("other"), &target(&["b"], &[]), "4-0");
        recovery.logged(&packet("all"), &all, "5-0");
        let missed = recovery.missed_until_now(&recovered);
        assert_eq!(texts(&missed), ["missed", "room", "all"]);
        let text = missed[2].frames().next().unwrap().into_bytes();
        assert_eq!(text, r#"42["all","5-0"]"#);
        drop(recovered);
        recovery.logged(&packet("late"), &all, "6-0");
        assert_eq!((recovery.log.len(), recovery.bytes), (0, 0));
    }

    #[test]
    fn the_state_of_a_client_moves_to_another_server() {
        let mut one = Recovery::new(RecoveryOptions::new());
        let mut two = Recovery::new(RecoveryOptions::new());
        let (id, pid) = (SocketId::random(), SocketId::random());
        let seen = log(&mut one, "seen", target(&[], &[]));
        one.keep(pid, session(id, &["a"]));
        log(&mut one, "missed", target(&["a"], &[]));
        assert!(two.export_session(&claim(pid, &seen)).is_none());
        let exported = one.export_session(&claim(pid, &seen)).unwrap();
        assert!(one.restore(&claim(pid, &seen)).is_none());
        let recovered = two.import_session(claim(pid, &seen), exported).unwrap();
        assert_eq!((recovered.id, recovered.pid), (id, pid));
        assert_eq!(texts(&recovered.missed), ["missed"]);
        // The client leaves before it has received an event, so it still has the offset of the first server.
        let kept = RecoverableSession {
            foreign_offset: recovered.foreign_offset,
            ..session(id, &["a"])
        };
        two.keep(pid, kept);
        log(&mut two, "later", target(&["a"], &[]));
        let recovered = two.restore(&claim(pid, &seen)).unwrap();
        assert_eq!(texts(&recovered.missed), ["missed", "later"]);
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
        assert!(recovery.restore(&claim(one, &third)).is_none());
        assert!(recovery.restore(&claim(two, &first)).is_none());
        assert!(recovery.restore(&claim(two, &third)).is_some());
        let options = RecoveryOptions::new().max_disconnection(Duration::ZERO);
        let mut recovery = Recovery::new(options);
        recovery.keep(one, session(SocketId::random(), &[]));
        std::thread::sleep(Duration::from_millis(2));
        assert!(!recovery.has_sessions());
    }
}
