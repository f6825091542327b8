//! The replica of the chat in one worker, without sockets and without the bus.
//!
//! News of different workers arrive in any order, and some arrive twice. All replicas converge, because conflicts are resolved by
//! the numbers of the clock only:
//! - Messages are ordered by their numbers.
//! - Of two connections of the same page (same name and token), the later one stays.
//! - Of two people who took the same name at the same moment, the earlier one stays.

use std::collections::HashMap;
use std::ops::Bound;

use super::chat::{Chat, Effect, MAX_ROOMS, RequestTime, encode_message};
use super::clock::{Clock, is_of, milliseconds};
use super::news::{JoinedMember, News, SocketId};
use super::room::{Member, Room};
use super::validation::lookalike_key;
use super::wire::{ChatMessage, PageRequest, ServerMessage};

/// The longest delay of a message between workers for which a page that reconnects does not miss it.
const OVERLAP: u64 = milliseconds(5000);
/// The age of the messages of a lost worker that are repeated to the others: at most 10 s.
const REPEATED_AGE: u64 = milliseconds(10_000);

#[derive(Debug)]
pub(crate) struct Replica {
    /// This worker.
    worker: u64,
    chat: Chat<SocketId>,
    /// The time at which each member joined, by the clock of its worker.
    stamps: HashMap<SocketId, u64>,
    clock: Clock,
}

/// The results of an event: effects for pages of this worker, and news for the other workers.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) effects: Vec<Effect<SocketId>>,
    pub(crate) news: Vec<News>,
    /// Members of this worker who have lost their names to members of others.
    pub(crate) displaced: Vec<SocketId>,
}

impl Replica {
    pub(crate) fn new(worker: u64) -> Replica {
        Replica {
            worker,
            chat: Chat::new(OVERLAP),
            stamps: HashMap::new(),
            clock: Clock::new(worker),
        }
    }

    /// Handles the request of a page of this worker.
    pub(crate) fn handle(
        &mut self,
        socket_id: SocketId,
        request: PageRequest,
        mut now: RequestTime,
    ) -> Outcome {
        now.least_id = self.clock.next(now.unix);
        let says = matches!(request, PageRequest::Say { .. });
        let types = matches!(request, PageRequest::Typing);
        let effects = self.chat.handle(socket_id, request, now);
        let mut news = Vec::new();
        for effect in &effects {
            match effect {
                Effect::Subscribe(_) => {
                    self.stamps.insert(socket_id, now.least_id);
                    news.extend(self.joined_member(socket_id).map(News::Joined));
                }
                Effect::Unsubscribe(_) => news.push(News::Left { socket_id }),
                Effect::Disconnect(other) => {
                    self.stamps.remove(other);
                    // Each worker announces its own people only.
                    if other.worker == self.worker {
                        news.push(News::Left { socket_id: *other });
                    }
                }
                Effect::Publish(room, _) if says => news.extend(self.last_said(room)),
                Effect::PublishToOthers(..) if types => news.push(News::Typing { socket_id }),
                _ => {}
            }
        }
        if !self.chat.memberships.contains_key(&socket_id) {
            self.stamps.remove(&socket_id);
        }
        Outcome {
            effects,
            news,
            ..Outcome::default()
        }
    }

    /// Removes a socket of this worker from its room.
    pub(crate) fn leave(&mut self, socket_id: SocketId) -> Outcome {
        let effects = self.forget(socket_id);
        let news = match effects.is_empty() {
            true => Vec::new(),
            false => vec![News::Left { socket_id }],
        };
        Outcome {
            effects,
            news,
            ..Outcome::default()
        }
    }

    /// Applies the news of another worker.
    pub(crate) fn apply_news(&mut self, news: News, now: RequestTime) -> Outcome {
        let mut outcome = Outcome::default();
        match news {
            News::Joined(joined_member) => self.join(joined_member, &mut outcome),
            News::Left { socket_id } => outcome.effects = self.forget(socket_id),
            News::Typing { socket_id } => {
                outcome.effects = self.chat.handle(socket_id, PageRequest::Typing, now)
            }
            News::ChatMessage { room, epoch, said } => {
                outcome.effects.extend(self.record(&room, epoch, said));
            }
            News::Room {
                room,
                epoch,
                forgotten,
                messages,
                ..
            } => {
                for said in messages {
                    outcome.effects.extend(self.record(&room, epoch, said));
                }
                let state = self.room(&room, epoch);
                state.forgotten = state.forgotten.max(forgotten);
            }
            News::Ask { worker, after } => outcome.news = self.answer(worker, after),
            News::End { .. } => {}
        }
        outcome
    }

    /// Removes the people of a worker that is gone. Its last messages may have reached only some workers, so each repeats them to the
    /// others.
    pub(crate) fn remove_worker(&mut self, worker: u64, now: RequestTime) -> Outcome {
        let socket_ids = self.chat.memberships.keys().copied();
        let mut gone: Vec<SocketId> = socket_ids
            .filter(|socket_id| socket_id.worker == worker)
            .collect();
        gone.sort_unstable();
        let effects = gone
            .into_iter()
            .flat_map(|socket_id| self.forget(socket_id));
        let effects = effects.collect();
        let recent = self.clock.next(now.unix).saturating_sub(REPEATED_AGE);
        let mut news = Vec::new();
        for (room, state) in &self.chat.rooms {
            let late = state.history.iter().rev();
            let late = late.take_while(|said| said.id >= recent);
            let late = late.filter(|said| is_of(said.id, worker));
            news.extend(late.map(|said| News::ChatMessage {
                room: room.clone(),
                epoch: state.epoch,
                said: said.clone(),
            }));
        }
        Outcome {
            effects,
            news,
            ..Outcome::default()
        }
    }

    pub(crate) fn rooms_as_json(&self) -> String {
        self.chat.rooms_as_json()
    }

    /// Adds a person of another worker.
    fn join(&mut self, joined_member: JoinedMember, outcome: &mut Outcome) {
        let JoinedMember {
            socket_id,
            stamp,
            room,
            epoch,
            name,
            token,
        } = joined_member;
        self.clock.observe(stamp);
        if self.stamp(socket_id) >= stamp {
            return;
        }
        outcome.effects = self.forget(socket_id);
        let is_new = !self.room(&room, epoch).names().contains(&name.as_str());

        let others = self.named(&room, &name);
        let (same_page, others): (Vec<SocketId>, Vec<SocketId>) = others
            .into_iter()
            .partition(|other| !token.is_empty() && self.token(&room, *other) == Some(&token));
        if same_page.iter().any(|other| self.stamp(*other) > stamp) {
            return;
        }
        for other in same_page {
            self.remove_quietly(&room, other);
            if other.worker == self.worker {
                outcome.effects.push(Effect::Disconnect(other));
                outcome.news.push(News::Left { socket_id: other });
            }
        }

        let member = Member {
            name: name.clone(),
            token,
            typed: None,
        };
        self.room(&room, epoch).members.insert(socket_id, member);
        self.chat.memberships.insert(socket_id, room.clone());
        self.stamps.insert(socket_id, stamp);
        if is_new {
            let (room_name, name) = (room.as_str(), name.as_str());
            let joined = ServerMessage::Joined {
                room: room_name,
                name,
            };
            let joined = joined.to_json();
            outcome.effects.push(Effect::Publish(room, joined));
        }
        outcome.effects.push(Effect::RoomsChanged);
        for other in others {
            if other.worker == self.worker && self.stamp(other) > stamp {
                outcome.effects.extend(self.forget(other));
                outcome.news.push(News::Left { socket_id: other });
                outcome.displaced.push(other);
            }
        }
    }

    fn stamp(&self, socket_id: SocketId) -> u64 {
        self.stamps.get(&socket_id).copied().unwrap_or(0)
    }

    /// Returns the members of a room whose names look like `name`.
    fn named(&self, room: &str, name: &str) -> Vec<SocketId> {
        let name = lookalike_key(name);
        let members = self.chat.rooms.get(room).map(|state| &state.members);
        let members = members.into_iter().flatten();
        let alike = members.filter(|(_, member)| lookalike_key(&member.name) == name);
        alike.map(|(socket_id, _)| *socket_id).collect()
    }

    fn token(&self, room: &str, socket_id: SocketId) -> Option<&String> {
        let member = self.chat.rooms.get(room)?.members.get(&socket_id)?;
        Some(&member.token)
    }

    /// Removes a member who is replaced by another connection of the same page.
    fn remove_quietly(&mut self, room: &str, socket_id: SocketId) {
        self.stamps.remove(&socket_id);
        self.chat.memberships.remove(&socket_id);
        if let Some(state) = self.chat.rooms.get_mut(room) {
            state.members.remove(&socket_id);
        }
    }

    fn forget(&mut self, socket_id: SocketId) -> Vec<Effect<SocketId>> {
        self.stamps.remove(&socket_id);
        self.chat.leave(socket_id)
    }

    /// Returns a room, and creates it if needed. If several workers have created it at the same moment, the earliest time counts.
    fn room(&mut self, name: &str, epoch: u64) -> &mut Room<SocketId> {
        if !self.chat.rooms.contains_key(name) && self.chat.rooms.len() >= MAX_ROOMS {
            // The worker that created the room has removed the same one. If all are in use, there is one room too many for a while.
            let _ = self.chat.ensure_capacity();
        }
        let rooms = &mut self.chat.rooms;
        let state = rooms
            .entry(name.to_owned())
            .or_insert_with(|| Room::new(epoch));
        state.epoch = state.epoch.min(epoch);
        state
    }

    /// Adds a message to the history; returns the effects that send it to the room, and mark the room as unread, if it is new.
    fn record(&mut self, room: &str, epoch: u64, said: ChatMessage) -> Vec<Effect<SocketId>> {
        self.clock.observe(said.id);
        let told = encode_message(room, &said);
        let is_new = self.room(room, epoch).record(said);
        if !is_new {
            return Vec::new();
        }
        vec![Effect::Publish(room.to_owned(), told), Effect::RoomsChanged]
    }

    fn last_said(&self, room: &str) -> Option<News> {
        let state = self.chat.rooms.get(room)?;
        Some(News::ChatMessage {
            room: room.to_owned(),
            epoch: state.epoch,
            said: state.history.back()?.clone(),
        })
    }

    fn joined_member(&self, socket_id: SocketId) -> Option<JoinedMember> {
        let room = self.chat.memberships.get(&socket_id)?;
        let state = self.chat.rooms.get(room)?;
        let member = state.members.get(&socket_id)?;
        Some(JoinedMember {
            socket_id,
            stamp: self.stamp(socket_id),
            room: room.clone(),
            epoch: state.epoch,
            name: member.name.clone(),
            token: member.token.clone(),
        })
    }

    /// Returns the response to another worker: the people of this one at first, and the next room that has a history.
    fn answer(&self, asking: u64, after: Option<String>) -> Vec<News> {
        let mut news = Vec::new();
        if after.is_none() && asking != self.worker {
            let socket_ids = self.chat.memberships.keys();
            let own = socket_ids.filter(|socket_id| socket_id.worker == self.worker);
            news.extend(
                own.filter_map(|socket_id| self.joined_member(*socket_id).map(News::Joined)),
            );
        }
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rooms = self.chat.rooms.range((start, Bound::Unbounded));
        let next = rooms.find(|(_, state)| !state.has_no_messages());
        let worker = self.worker;
        news.push(
            next.map_or(News::End { worker }, |(room, state)| News::Room {
                worker,
                room: room.clone(),
                epoch: state.epoch,
                forgotten: state.forgotten,
                messages: state.history.iter().cloned().collect(),
            }),
        );
        news
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
