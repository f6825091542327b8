//! Groups of sockets that are addressed together.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use smallvec::SmallVec;

use crate::adapter::{ClusterMessage, RemoteSocket, Target};
use crate::cluster::joined;
use crate::error::Incomplete;
use crate::namespace::{BroadcastFlags, NamespaceState, with_except};
use crate::{Namespace, Promise, Socket, ToArguments};

/// A selection of sockets: the sockets of a namespace, optionally restricted to rooms, and without excluded ones.
///
/// The methods of [`Namespace`] and [`Socket`] return it. Each of its methods returns a new selection, so a selection can be stored and reused. Operations include the
/// sockets of other servers if there is an [adapter](crate::adapter), unless the selection is [`local`](Broadcast::local).
///
/// # Examples
///
/// ```
/// use uptick_socketio::SocketIo;
///
/// let io = SocketIo::new();
/// io.to("red").to("blue").except("muted").emit("news", &("headline", 7));
/// io.to("red").sockets_join(["purple"]);
/// ```
#[derive(Clone)]
#[must_use = "nothing is sent until `emit` is called"]
pub struct Broadcast {
    namespace: Namespace,
    target: Target,
    except: Option<Socket>,
    flags: BroadcastFlags,
    timeout: Option<Duration>,
    /// `true` if no socket is addressed, because the list of rooms was empty.
    is_empty: bool,
}

impl Broadcast {
    pub(crate) fn of_namespace(namespace: Namespace) -> Broadcast {
        Broadcast {
            namespace,
            target: Target::default(),
            except: None,
            flags: BroadcastFlags::default(),
            timeout: None,
            is_empty: false,
        }
    }

    /// Addresses all sockets except one.
    pub(crate) fn from_socket(socket: Socket) -> Broadcast {
        Broadcast {
            except: Some(socket),
            ..Broadcast::of_namespace(socket.namespace())
        }
    }

    /// Adds the sockets in a room. Each socket receives an event once, even if it is in several of the rooms.
    pub fn to(mut self, room: impl AsRef<str>) -> Broadcast {
        self.target.rooms.push(room.as_ref().to_owned());
        self.is_empty = false;
        self
    }

    /// Adds the sockets that are in any of several rooms. An empty list adds no socket: unless another room is added, no socket is addressed.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::SocketIo;
    ///
    /// let io = SocketIo::new();
    /// let followers: Vec<String> = Vec::new();
    /// assert_eq!(io.broadcast().to_any(&followers).emit("news", "not sent"), 0);
    /// ```
    pub fn to_any<R: AsRef<str>>(mut self, rooms: impl IntoIterator<Item = R>) -> Broadcast {
        self.is_empty |= self.target.rooms.is_empty();
        self.target.rooms.extend(owned(rooms));
        self.is_empty &= self.target.rooms.is_empty();
        self
    }

    /// Returns the namespace, or all namespaces created from a pattern. Empty if no socket is addressed.
    fn states(&self) -> SmallVec<[Rc<NamespaceState>; 1]> {
        match self.is_empty {
            true => SmallVec::new(),
            false => self.namespace.states(),
        }
    }

    /// Excludes the sockets in a room.
    pub fn except(mut self, room: impl AsRef<str>) -> Broadcast {
        self.target.except.push(room.as_ref().to_owned());
        self
    }

    /// Excludes the sockets of other servers.
    pub fn local(mut self) -> Broadcast {
        self.flags.local = true;
        self
    }

    /// Drops the event for clients that it cannot be written to immediately: slow clients, and polling clients without a pending poll.
    pub fn volatile(mut self) -> Broadcast {
        self.flags.volatile = true;
        self
    }

    /// Sets the time within which clients must acknowledge. Default: [`SocketIoOptions::ack_timeout`](crate::SocketIoOptions::ack_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Broadcast {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event, and returns the number of sockets of this server to which it was sent.
    ///
    /// An event that cannot be encoded is logged and not sent.
    pub fn emit<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) -> usize {
        let send = |state: &Rc<NamespaceState>| {
            state.broadcast(event, arguments, &self.target, self.except, self.flags)
        };
        self.states().iter().map(send).sum()
    }

    /// Sends an event, and returns the first argument of the acknowledgement of each socket.
    ///
    /// # Errors
    ///
    /// Returns [`Incomplete`] with the received acknowledgements if a client does not acknowledge in time, or sends an argument that does not fit the type.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use uptick_socketio::{Incomplete, SocketIo};
    ///
    /// let io = SocketIo::new();
    /// let votes = io.to("jury").timeout(Duration::from_secs(10)).emit_with_ack("vote", &());
    /// votes.then(|votes: Result<Vec<i32>, Incomplete<i32>>| match votes {
    ///     Ok(votes) => println!("all votes: {votes:?}"),
    ///     Err(incomplete) => println!("in time: {:?}", incomplete.received),
    /// });
    /// ```
    pub fn emit_with_ack<T: DeserializeOwned + 'static, A: ToArguments + ?Sized>(
        &self,
        event: &str,
        arguments: &A,
    ) -> Promise<Result<Vec<T>, Incomplete<T>>> {
        joined(self.states().iter().map(|state| {
            state.broadcast_with_ack(
                event,
                arguments,
                &self.target,
                self.except,
                self.flags.local,
                self.timeout,
            )
        }))
    }

    /// Returns the selected sockets.
    ///
    /// # Errors
    ///
    /// Returns [`Incomplete`] with the known sockets if a server does not respond within
    /// [`request_timeout`](crate::SocketIoOptions::request_timeout).
    pub fn fetch_sockets(&self) -> Promise<Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> {
        let local = self.flags.local;
        joined(
            self.states()
                .iter()
                .map(|state| state.fetch_sockets(&self.target, self.except, local)),
        )
    }

    /// Adds the sockets to rooms.
    pub fn sockets_join<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        let rooms = owned(rooms);
        for state in self.states() {
            state.apply(&self.target, self.except, |socket| {
                for room in &rooms {
                    socket.join(room);
                }
            });
            self.publish(&state, |target| ClusterMessage::SocketsJoin {
                target,
                rooms: rooms.clone(),
            });
        }
    }

    /// Removes the sockets from rooms.
    pub fn sockets_leave<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        let rooms = owned(rooms);
        for state in self.states() {
            state.apply(&self.target, self.except, |socket| {
                for room in &rooms {
                    socket.leave(room);
                }
            });
            self.publish(&state, |target| ClusterMessage::SocketsLeave {
                target,
                rooms: rooms.clone(),
            });
        }
    }

    /// Disconnects the sockets from the namespace. If `close` is true, disconnects their clients from all namespaces and closes their connections.
    pub fn disconnect_sockets(&self, close: bool) {
        for state in self.states() {
            self.publish(&state, |target| ClusterMessage::DisconnectSockets {
                target,
                close,
            });
            state.disconnect_sockets_here(&self.target, self.except, close);
        }
    }

    /// Publishes a message to other servers, unless the selection is local.
    fn publish(&self, state: &NamespaceState, message: impl FnOnce(Target) -> ClusterMessage) {
        if !self.flags.local {
            state.publish(|| message(with_except(&self.target, self.except)));
        }
    }
}

fn owned<R: AsRef<str>>(rooms: impl IntoIterator<Item = R>) -> Vec<String> {
    let rooms = rooms.into_iter();
    rooms.map(|room| room.as_ref().to_owned()).collect()
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("namespace", &self.namespace)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
