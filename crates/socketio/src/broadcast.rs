//! Sockets that are addressed together.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::adapter::{ClusterMessage, RemoteSocket, Target};
use crate::error::Incomplete;
use crate::namespace::{Flags, NamespaceState};
use crate::{Namespace, Reply, Socket, ToArguments};

/// The sockets that an operation is for: those of a namespace, in rooms, without others.
///
/// The methods of [`Namespace`] and [`Socket`] return it. Each of its own methods returns a new one, so that it can be kept and used again. Operations include the
/// sockets of other servers, if there is an [adapter](crate::adapter), unless it is [`local`](Broadcast::local).
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
#[must_use = "nothing is sent before `emit`"]
pub struct Broadcast {
    namespace: Namespace,
    target: Target,
    except: Option<Socket>,
    flags: Flags,
    timeout: Option<Duration>,
    /// Nobody is addressed: the list of rooms was empty.
    is_empty: bool,
}

impl Broadcast {
    pub(crate) fn of_namespace(namespace: Namespace) -> Broadcast {
        Broadcast {
            namespace,
            target: Target::default(),
            except: None,
            flags: Flags::default(),
            timeout: None,
            is_empty: false,
        }
    }

    /// Addresses all sockets but one.
    pub(crate) fn from_socket(socket: Socket) -> Broadcast {
        Broadcast {
            except: Some(socket),
            ..Broadcast::of_namespace(socket.namespace())
        }
    }

    /// Adds the sockets in a room. Each socket receives an event once, whatever rooms it is in.
    pub fn to(mut self, room: impl AsRef<str>) -> Broadcast {
        self.target.rooms.push(room.as_ref().to_owned());
        self.is_empty = false;
        self
    }

    /// Adds the sockets in any of several rooms. An empty list adds no socket: without another room, nobody is addressed.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_socketio::SocketIo;
    ///
    /// let io = SocketIo::new();
    /// let followers: Vec<String> = Vec::new();
    /// assert_eq!(io.broadcast().to_any(&followers).emit("news", "nobody gets this"), 0);
    /// ```
    pub fn to_any<R: AsRef<str>>(mut self, rooms: impl IntoIterator<Item = R>) -> Broadcast {
        self.is_empty |= self.target.rooms.is_empty();
        self.target.rooms.extend(owned(rooms));
        self.is_empty &= self.target.rooms.is_empty();
        self
    }

    /// Returns the namespace, unless nobody is addressed.
    fn state(&self) -> Option<Rc<NamespaceState>> {
        self.namespace.state().filter(|_| !self.is_empty)
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

    /// Drops the event for clients to which it cannot be written at once: slow ones, and those between two polls.
    pub fn volatile(mut self) -> Broadcast {
        self.flags.volatile = true;
        self
    }

    /// Sets the time in which clients have to acknowledge. Default: [`SocketIoOptions::ack_timeout`](crate::SocketIoOptions::ack_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Broadcast {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event, and returns the number of sockets of this server that it was sent to.
    ///
    /// One that cannot be encoded is logged and not sent.
    pub fn emit<A: ToArguments + ?Sized>(&self, event: &str, arguments: &A) -> usize {
        self.state().map_or(0, |state| {
            state.broadcast(event, arguments, &self.target, self.except, self.flags)
        })
    }

    /// Sends an event, and returns the first argument of the acknowledgement of each socket.
    ///
    /// # Errors
    ///
    /// [`Incomplete`] with the acknowledgements that were received, if a client does not acknowledge in time, or sends an argument that does not fit the type.
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
    ) -> Reply<Result<Vec<T>, Incomplete<T>>> {
        match self.state() {
            Some(state) => state.broadcast_with_ack(
                event,
                arguments,
                &self.target,
                self.except,
                self.flags.local,
                self.timeout,
            ),
            None => Reply::ready(Ok(Vec::new())),
        }
    }

    /// Returns the sockets.
    ///
    /// # Errors
    ///
    /// [`Incomplete`] with the sockets that are known, if a server does not respond within
    /// [`request_timeout`](crate::SocketIoOptions::request_timeout).
    pub fn fetch_sockets(&self) -> Reply<Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>> {
        match self.state() {
            Some(state) => state.fetch_sockets(&self.target, self.except, self.flags.local),
            None => Reply::ready(Ok(Vec::new())),
        }
    }

    /// Lets the sockets join rooms.
    pub fn sockets_join<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        let rooms = owned(rooms);
        let Some(state) = self.state() else {
            return;
        };
        state.apply(&self.target, self.except, |socket| {
            for room in &rooms {
                socket.join(room);
            }
        });
        self.publish(|target| ClusterMessage::SocketsJoin { target, rooms });
    }

    /// Lets the sockets leave rooms.
    pub fn sockets_leave<R: AsRef<str>>(&self, rooms: impl IntoIterator<Item = R>) {
        let rooms = owned(rooms);
        let Some(state) = self.state() else {
            return;
        };
        // Others have to find the target before this server changes it, which does not change theirs.
        state.apply(&self.target, self.except, |socket| {
            for room in &rooms {
                socket.leave(room);
            }
        });
        self.publish(|target| ClusterMessage::SocketsLeave { target, rooms });
    }

    /// Disconnects the sockets from the namespace, or with `close` their clients from all namespaces, and closes their connections.
    pub fn disconnect_sockets(&self, close: bool) {
        let Some(state) = self.state() else {
            return;
        };
        self.publish(|target| ClusterMessage::DisconnectSockets { target, close });
        state.disconnect_sockets_here(&self.target, self.except, close);
    }

    /// Publishes a message to other servers, unless it is local.
    fn publish(&self, message: impl FnOnce(Target) -> ClusterMessage) {
        if self.flags.local {
            return;
        }
        if let Some(state) = self.state() {
            state.publish(|| message(state.remote_target(&self.target, self.except)));
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
