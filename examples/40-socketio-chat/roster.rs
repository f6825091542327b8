//! The people in each room.

use std::collections::{BTreeMap, BTreeSet};

use super::wire::{Guest, RoomLine};

/// The names in each non-empty room.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Roster {
    rooms: BTreeMap<String, BTreeSet<String>>,
}

impl Roster {
    pub(crate) fn of(guests: impl IntoIterator<Item = Guest>) -> Roster {
        let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for Guest { room, name, .. } in guests {
            rooms.entry(room).or_default().insert(name);
        }
        Roster { rooms }
    }

    /// Returns the rooms and the number of people in each.
    pub(crate) fn lines(&self) -> Vec<RoomLine> {
        let lines = self.rooms.iter().map(|(name, people)| RoomLine {
            name: name.clone(),
            people: people.len(),
        });
        lines.collect()
    }

    /// Returns the rooms whose people have changed since `before`, with their people.
    pub(crate) fn changed_since<'a>(
        &'a self,
        before: &'a Roster,
    ) -> impl Iterator<Item = (&'a str, &'a BTreeSet<String>)> {
        // Rooms that are gone have no listeners.
        let changed = self
            .rooms
            .iter()
            .filter(|(room, people)| before.rooms.get(*room) != Some(people));
        changed.map(|(room, people)| (room.as_str(), people))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(guests: &[(&str, &str)]) -> Roster {
        Roster::of(guests.iter().map(|(room, name)| Guest {
            name: (*name).into(),
            room: (*room).into(),
            token: String::new(),
        }))
    }

    #[test]
    fn people_are_counted_by_name() {
        let lines = roster(&[("b", "Ann"), ("a", "Bob"), ("b", "Cid"), ("b", "Ann")]).lines();
        let lines: Vec<_> = lines
            .iter()
            .map(|line| (line.name.as_str(), line.people))
            .collect();
        assert_eq!(lines, [("a", 1), ("b", 2)]);
    }

    #[test]
    fn only_rooms_with_other_people_have_changed() {
        let before = roster(&[("a", "Ann"), ("b", "Bob"), ("c", "Cid")]);
        let now = roster(&[("a", "Ann"), ("b", "Bob"), ("b", "Cid"), ("d", "Dan")]);
        let rooms: Vec<_> = now.changed_since(&before).map(|(room, _)| room).collect();
        assert_eq!(rooms, ["b", "d"]);
    }
}
