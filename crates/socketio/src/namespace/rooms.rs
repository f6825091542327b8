//! The sockets of a namespace and their rooms.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use indexmap::IndexMap;

use crate::adapter::Target;
use crate::engine::Client;
use crate::{Socket, SocketId};

/// A socket, and the client that receives its packets.
pub(crate) type Receiver = (Socket, Client);

/// The sockets of a namespace on this server, and their rooms.
///
/// The room named after a socket's id is not stored: the socket is looked up by its id instead.
#[derive(Default)]
pub(crate) struct Rooms {
    sockets: IndexMap<Socket, Client>,
    ids: HashMap<SocketId, Socket>,
    rooms: HashMap<Rc<str>, IndexMap<Socket, Client>>,
}

impl Rooms {
    pub(crate) fn add_socket(&mut self, id: SocketId, socket: Socket, client: Client) {
        self.sockets.insert(socket, client);
        self.ids.insert(id, socket);
    }

    /// Removes a socket that has already left its rooms.
    pub(crate) fn remove_socket(&mut self, id: SocketId, socket: Socket) {
        self.sockets.swap_remove(&socket);
        self.ids.remove(&id);
        if self.sockets.capacity() > 64 && self.sockets.len() < self.sockets.capacity() / 4 {
            self.sockets.shrink_to(self.sockets.len() * 2);
            self.ids.shrink_to(self.ids.len() * 2);
        }
    }

    /// Removes a socket from the room named after its id.
    pub(crate) fn leave_own(&mut self, id: SocketId) {
        self.ids.remove(&id);
    }

    /// Adds a socket to the room named after its id.
    pub(crate) fn join_own(&mut self, id: SocketId, socket: Socket) {
        self.ids.insert(id, socket);
    }

    /// Adds a socket to a room. Returns the shared name of the room, and `true` if the room is new.
    pub(crate) fn join(&mut self, room: &str, socket: Socket, client: Client) -> (Rc<str>, bool) {
        if let Some((name, _)) = self.rooms.get_key_value(room) {
            let name = Rc::clone(name);
            if let Some(members) = self.rooms.get_mut(room) {
                members.insert(socket, client);
            }
            return (name, false);
        }
        let name: Rc<str> = room.into();
        let members = IndexMap::from_iter([(socket, client)]);
        self.rooms.insert(Rc::clone(&name), members);
        (name, true)
    }

    /// Removes a socket from a room. Returns `true` if the room was deleted because it is empty.
    pub(crate) fn leave(&mut self, room: &str, socket: Socket) -> bool {
        let Some(members) = self.rooms.get_mut(room) else {
            return false;
        };
        members.swap_remove(&socket);
        if members.is_empty() {
            self.rooms.remove(room);
            if self.rooms.capacity() > 64 && self.rooms.len() < self.rooms.capacity() / 4 {
                self.rooms.shrink_to(self.rooms.len() * 2);
            }
            return true;
        }
        if members.capacity() > 64 && members.len() < members.capacity() / 4 {
            members.shrink_to(members.len() * 2);
        }
        false
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Returns `true` if a socket is in the room.
    pub(crate) fn contains(&self, room: &str) -> bool {
        self.rooms.contains_key(room) || self.is_id(room)
    }

    /// Returns the names of the rooms.
    pub(crate) fn names(&self) -> Vec<Rc<str>> {
        self.rooms.keys().cloned().collect()
    }

    /// Returns the socket with an id.
    pub(crate) fn socket(&self, id: &str) -> Option<Socket> {
        self.ids.get(&SocketId::parse(id)?).copied()
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = Socket> {
        self.sockets.keys().copied()
    }

    /// Calls `visit` with each socket in a room. A socket that is also found by its id may be visited twice.
    fn visit(&self, room: &str, mut visit: impl FnMut(Receiver)) {
        if let Some(members) = self.rooms.get(room) {
            members
                .iter()
                .for_each(|(socket, client)| visit((*socket, *client)));
        }
        if let Some(socket) = self.socket(room)
            && let Some(client) = self.sockets.get(&socket)
        {
            visit((socket, *client));
        }
    }

    /// Appends the sockets that `target` selects to `into`, each once.
    ///
    /// Cost for all sockets, or for one room without exceptions: one copy of the list.
    pub(crate) fn select(&self, target: &Target, except: Option<Socket>, into: &mut Vec<Receiver>) {
        let mut skipped = HashSet::new();
        for room in &target.except {
            self.visit(room, |(socket, _)| {
                skipped.insert(socket);
            });
        }
        skipped.extend(except);
        let start = into.len();
        match &*target.rooms {
            [] => {
                let all = self.sockets.iter();
                into.extend(all.map(|(socket, client)| (*socket, *client)));
            }
            [room] if !self.is_id(room) => self.visit(room, |one| into.push(one)),
            rooms => {
                let mut seen = HashSet::new();
                for room in rooms {
                    self.visit(room, |one| {
                        if seen.insert(one.0) {
                            into.push(one);
                        }
                    });
                }
            }
        }
        if !skipped.is_empty() {
            let mut at = start;
            into.retain(|(socket, _)| {
                at += 1;
                at <= start || !skipped.contains(socket)
            });
        }
    }

    /// Returns `true` if the room is named after the id of a socket.
    fn is_id(&self, room: &str) -> bool {
        self.socket(room).is_some()
    }
}
