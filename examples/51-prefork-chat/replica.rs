//! The replica of the chat in one worker, without sockets and without the bus.
//!
//! News of different workers arrive in any order, and some arrive twice. All replicas converge, because conflicts are resolved by the
//! numbers of the clock only:
//! - Messages are ordered by their numbers.
//! - Of two connections of the same page (same name and token), the later one stays.
//! - Of two people who took the same name at the same moment, the earlier one stays.

use std::collections::HashMap;
use std::ops::Bound;

use super::chat::{Chat, Effect, MOST_ROOMS, Moment, told_message};
use super::clock::{Clock, is_of, milliseconds};
use super::news::{Arrival, News, Seat};
use super::room::{Member, Room};
use super::wire::{Ask, Said, Tell};
use super::words::look;

/// The longest delay of a message between workers for which a page that reconnects does not miss it.
const OVERLAP: u64 = milliseconds(5000);
/// The messages of a lost worker that are repeated to the others: those of its last 10 s.
const LAST_WORDS: u64 = milliseconds(10_000);

#[derive(Debug)]
pub(crate) struct Replica {
    /// This worker.
    worker: u64,
    chat: Chat<Seat>,
    /// The time at which each member joined, by the clock of its worker.
    stamps: HashMap<Seat, u64>,
    clock: Clock,
}

/// The results of an event: effects for pages of this worker, and news for the other workers.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) effects: Vec<Effect<Seat>>,
    pub(crate) news: Vec<News>,
    /// Members of this worker who have lost their names to members of others.
    pub(crate) outdone: Vec<Seat>,
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
    pub(crate) fn hear(&mut self, seat: Seat, ask: Ask, mut now: Moment) -> Outcome {
        now.least_id = self.clock.next(now.unix);
        let says = matches!(ask, Ask::Say { .. });
        let types = matches!(ask, Ask::Typing);
        let effects = self.chat.hear(seat, ask, now);
        let mut news = Vec::new();
        for effect in &effects {
            match effect {
                Effect::Enter(_) => {
                    self.stamps.insert(seat, now.least_id);
                    news.extend(self.arrival(seat).map(News::Joined));
                }
                Effect::Exit(_) => news.push(News::Left { seat }),
                Effect::Dismiss(other) => {
                    self.stamps.remove(other);
                    // Each worker announces its own people only.
                    if other.worker == self.worker {
                        news.push(News::Left { seat: *other });
                    }
                }
                Effect::Tell(room, _) if says => news.extend(self.last_said(room)),
                Effect::TellOthers(..) if types => news.push(News::Typing { seat }),
                _ => {}
            }
        }
        if !self.chat.places.contains_key(&seat) {
            self.stamps.remove(&seat);
        }
        Outcome {
            effects,
            news,
            ..Outcome::default()
        }
    }

    /// Removes a socket of this worker from its room.
    pub(crate) fn leave(&mut self, seat: Seat) -> Outcome {
        let effects = self.forget(seat);
        let news = match effects.is_empty() {
            true => Vec::new(),
            false => vec![News::Left { seat }],
        };
        Outcome {
            effects,
            news,
            ..Outcome::default()
        }
    }

    /// Applies the news of another worker.
    pub(crate) fn learn(&mut self, news: News, now: Moment) -> Outcome {
        let mut outcome = Outcome::default();
        match news {
            News::Joined(arrival) => self.join(arrival, &mut outcome),
            News::Left { seat } => outcome.effects = self.forget(seat),
            News::Typing { seat } => outcome.effects = self.chat.hear(seat, Ask::Typing, now),
            News::Said { room, epoch, said } => {
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
                let place = self.room(&room, epoch);
                place.forgotten = place.forgotten.max(forgotten);
            }
            News::Ask { worker, after } => outcome.news = self.answer(worker, after),
            News::End { .. } => {}
        }
        outcome
    }

    /// Removes the people of a worker that is gone. Its last messages may have reached only some workers, so each repeats them to the
    /// others.
    pub(crate) fn lose(&mut self, worker: u64, now: Moment) -> Outcome {
        let seats = self.chat.places.keys().copied();
        let mut gone: Vec<Seat> = seats.filter(|seat| seat.worker == worker).collect();
        gone.sort_unstable();
        let effects = gone.into_iter().flat_map(|seat| self.forget(seat));
        let effects = effects.collect();
        let recent = self.clock.next(now.unix).saturating_sub(LAST_WORDS);
        let mut news = Vec::new();
        for (room, place) in &self.chat.rooms {
            let late = place.history.iter().rev();
            let late = late.take_while(|said| said.id >= recent);
            let late = late.filter(|said| is_of(said.id, worker));
            news.extend(late.map(|said| News::Said {
                room: room.clone(),
                epoch: place.epoch,
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
    fn join(&mut self, arrival: Arrival, outcome: &mut Outcome) {
        let Arrival {
            seat,
            stamp,
            room,
            epoch,
            name,
            token,
        } = arrival;
        self.clock.observe(stamp);
        if self.stamp(seat) >= stamp {
            return;
        }
        outcome.effects = self.forget(seat);
        let is_new = !self.room(&room, epoch).names().contains(&name.as_str());

        let others = self.named(&room, &name);
        let (same_page, others): (Vec<Seat>, Vec<Seat>) = others
            .into_iter()
            .partition(|other| !token.is_empty() && self.token(&room, *other) == Some(&token));
        if same_page.iter().any(|other| self.stamp(*other) > stamp) {
            return;
        }
        for other in same_page {
            self.remove_quietly(&room, other);
            if other.worker == self.worker {
                outcome.effects.push(Effect::Dismiss(other));
                outcome.news.push(News::Left { seat: other });
            }
        }

        let member = Member {
            name: name.clone(),
            token,
            typed: None,
        };
        self.room(&room, epoch).members.insert(seat, member);
        self.chat.places.insert(seat, room.clone());
        self.stamps.insert(seat, stamp);
        if is_new {
            let (room_name, name) = (room.as_str(), name.as_str());
            let joined = Tell::Joined {
                room: room_name,
                name,
            };
            let joined = joined.to_json();
            outcome.effects.push(Effect::Tell(room, joined));
        }
        outcome.effects.push(Effect::RoomsChanged);
        for other in others {
            if other.worker == self.worker && self.stamp(other) > stamp {
                outcome.effects.extend(self.forget(other));
                outcome.news.push(News::Left { seat: other });
                outcome.outdone.push(other);
            }
        }
    }

    fn stamp(&self, seat: Seat) -> u64 {
        self.stamps.get(&seat).copied().unwrap_or(0)
    }

    /// Returns the members of a room whose names look like `name`.
    fn named(&self, room: &str, name: &str) -> Vec<Seat> {
        let name = look(name);
        let members = self.chat.rooms.get(room).map(|place| &place.members);
        let members = members.into_iter().flatten();
        let alike = members.filter(|(_, member)| look(&member.name) == name);
        alike.map(|(seat, _)| *seat).collect()
    }

    fn token(&self, room: &str, seat: Seat) -> Option<&String> {
        let member = self.chat.rooms.get(room)?.members.get(&seat)?;
        Some(&member.token)
    }

    /// Removes a member who is replaced by another connection of the same page.
    fn remove_quietly(&mut self, room: &str, seat: Seat) {
        self.stamps.remove(&seat);
        self.chat.places.remove(&seat);
        if let Some(place) = self.chat.rooms.get_mut(room) {
            place.members.remove(&seat);
        }
    }

    fn forget(&mut self, seat: Seat) -> Vec<Effect<Seat>> {
        self.stamps.remove(&seat);
        self.chat.leave(seat)
    }

    /// Returns a room, and creates it if needed. If several workers have created it at the same moment, the earliest time counts.
    fn room(&mut self, name: &str, epoch: u64) -> &mut Room<Seat> {
        if !self.chat.rooms.contains_key(name) && self.chat.rooms.len() >= MOST_ROOMS {
            // The worker that created the room has removed the same one. If all are in use, there is one room too many for a while.
            let _ = self.chat.make_room();
        }
        let rooms = &mut self.chat.rooms;
        let place = rooms
            .entry(name.to_owned())
            .or_insert_with(|| Room::new(epoch));
        place.epoch = place.epoch.min(epoch);
        place
    }

    /// Adds a message to the history; returns the effects that send it to the room, and mark the room as unread, if it is new.
    fn record(&mut self, room: &str, epoch: u64, said: Said) -> Vec<Effect<Seat>> {
        self.clock.observe(said.id);
        let told = told_message(room, &said);
        let is_new = self.room(room, epoch).record(said);
        if !is_new {
            return Vec::new();
        }
        vec![Effect::Tell(room.to_owned(), told), Effect::RoomsChanged]
    }

    fn last_said(&self, room: &str) -> Option<News> {
        let place = self.chat.rooms.get(room)?;
        Some(News::Said {
            room: room.to_owned(),
            epoch: place.epoch,
            said: place.history.back()?.clone(),
        })
    }

    fn arrival(&self, seat: Seat) -> Option<Arrival> {
        let room = self.chat.places.get(&seat)?;
        let place = self.chat.rooms.get(room)?;
        let member = place.members.get(&seat)?;
        Some(Arrival {
            seat,
            stamp: self.stamp(seat),
            room: room.clone(),
            epoch: place.epoch,
            name: member.name.clone(),
            token: member.token.clone(),
        })
    }

    /// Returns the response to another worker: the people of this one at first, and the next room that has a history.
    fn answer(&self, asking: u64, after: Option<String>) -> Vec<News> {
        let mut news = Vec::new();
        if after.is_none() && asking != self.worker {
            let seats = self.chat.places.keys();
            let own = seats.filter(|seat| seat.worker == self.worker);
            news.extend(own.filter_map(|seat| self.arrival(*seat).map(News::Joined)));
        }
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rooms = self.chat.rooms.range((start, Bound::Unbounded));
        let next = rooms.find(|(_, place)| !place.is_silent());
        let worker = self.worker;
        news.push(
            next.map_or(News::End { worker }, |(room, place)| News::Room {
                worker,
                room: room.clone(),
                epoch: place.epoch,
                forgotten: place.forgotten,
                messages: place.history.iter().cloned().collect(),
            }),
        );
        news
    }
}

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
