//! A connection on an edge-triggered poller, shared by the floors and `mio`: a short read ends the
//! drain, and responses are sent directly from one buffer.

use std::io;

/// A non-blocking socket.
pub(super) trait Socket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// A protocol of a server, with its state for one connection.
pub(super) trait Protocol: Default {
    /// The state shared by all connections.
    type Shared: Default;

    /// Returns the response to received bytes, empty if they are incomplete. An error closes the
    /// connection.
    fn respond<'a>(
        &'a mut self,
        received: &'a [u8],
        shared: &'a mut Self::Shared,
    ) -> io::Result<&'a [u8]>;
}

/// The echo protocol, which sends received bytes back.
#[derive(Default)]
pub(super) struct Echo;

impl Protocol for Echo {
    type Shared = ();

    fn respond<'a>(&'a mut self, received: &'a [u8], (): &'a mut ()) -> io::Result<&'a [u8]> {
        Ok(received)
    }
}

/// The state shared by all connections.
pub(super) struct SharedState<P: Protocol> {
    buffer: Vec<u8>,
    shared: P::Shared,
}

impl<P: Protocol> SharedState<P> {
    pub(super) fn new(buffer: usize) -> Self {
        Self {
            buffer: vec![0; buffer],
            shared: P::Shared::default(),
        }
    }
}

pub(super) struct Connection<S, P> {
    pub(super) socket: S,
    protocol: P,
    /// The bytes that the socket did not accept. Nothing is read until they are sent.
    unsent: Vec<u8>,
}

/// The state of a connection after an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionState {
    Open,
    Closed,
}

/// The result of a read.
enum Received {
    Bytes(usize),
    Nothing,
    End,
}

impl<S: Socket, P: Protocol> Connection<S, P> {
    pub(super) fn new(socket: S) -> Self {
        Self {
            socket,
            protocol: P::default(),
            unsent: Vec::new(),
        }
    }

    /// Serves the first request, which has often arrived with the connection: one read before
    /// registering saves a wait. Registering reports remaining bytes immediately.
    pub(super) fn begin(&mut self, common: &mut SharedState<P>) -> ConnectionState {
        match self.receive_and_respond(common) {
            Ok(Received::Bytes(_) | Received::Nothing) => ConnectionState::Open,
            Ok(Received::End) | Err(_) => ConnectionState::Closed,
        }
    }

    /// Handles an event.
    pub(super) fn ready(
        &mut self,
        readable: bool,
        hung_up: bool,
        common: &mut SharedState<P>,
    ) -> ConnectionState {
        self.drain(readable, hung_up, common)
            .unwrap_or(ConnectionState::Closed)
    }

    fn drain(
        &mut self,
        readable: bool,
        hung_up: bool,
        common: &mut SharedState<P>,
    ) -> io::Result<ConnectionState> {
        let stalled = !self.unsent.is_empty();
        if stalled {
            self.flush()?;
        } else if !readable && !hung_up {
            return Ok(ConnectionState::Open);
        }
        // Edges during a stall are lost, so after a stall only "would block" ends the drain.
        let to_the_end = hung_up || stalled;
        while self.unsent.is_empty() {
            match self.receive_and_respond(common)? {
                Received::Bytes(length) if length == common.buffer.len() || to_the_end => {}
                Received::Bytes(_) | Received::Nothing => break,
                Received::End => return Ok(ConnectionState::Closed),
            }
        }
        Ok(ConnectionState::Open)
    }

    fn receive_and_respond(&mut self, common: &mut SharedState<P>) -> io::Result<Received> {
        loop {
            match self.socket.receive(&mut common.buffer) {
                Ok(0) => return Ok(Received::End),
                Ok(length) => {
                    let received = &common.buffer[..length];
                    let response = self.protocol.respond(received, &mut common.shared)?;
                    let sent = send(&mut self.socket, response)?;
                    if sent < response.len() {
                        self.unsent.extend_from_slice(&response[sent..]);
                    }
                    return Ok(Received::Bytes(length));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Received::Nothing);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let sent = send(&mut self.socket, &self.unsent)?;
        self.unsent.drain(..sent);
        if self.unsent.is_empty() {
            // An idle connection holds no memory.
            self.unsent = Vec::new();
        }
        Ok(())
    }
}

/// Sends until the socket accepts no more; returns the number of bytes sent.
fn send<S: Socket>(socket: &mut S, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match socket.send(&bytes[sent..]) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A socket with scripted input, one piece for each read and then nothing or the end of the
    /// stream, and space for `room` bytes of output.
    #[derive(Default)]
    struct ScriptedSocket {
        arrived: VecDeque<&'static [u8]>,
        ended: bool,
        room: usize,
        sent: Vec<u8>,
        reads: usize,
    }

    impl Socket for ScriptedSocket {
        fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            match self.arrived.pop_front() {
                Some(piece) => {
                    buffer[..piece.len()].copy_from_slice(piece);
                    Ok(piece.len())
                }
                None if self.ended => Ok(0),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }
        }

        fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let length = bytes.len().min(self.room);
            self.room -= length;
            self.sent.extend_from_slice(&bytes[..length]);
            Ok(length)
        }
    }

    fn connection(arrived: &[&'static [u8]], room: usize) -> Connection<ScriptedSocket, Echo> {
        Connection::new(ScriptedSocket {
            arrived: arrived.iter().copied().collect(),
            room,
            ..ScriptedSocket::default()
        })
    }

    #[test]
    fn a_short_read_ends_the_drain() {
        let mut connection = connection(&[b"abc"], 100);
        assert!(connection.ready(true, false, &mut SharedState::new(4)) == ConnectionState::Open);
        assert_eq!(connection.socket.sent, b"abc");
        assert_eq!(connection.socket.reads, 1);
    }

    #[test]
    fn a_full_read_is_followed_by_another() {
        let mut connection = connection(&[b"abcd", b"ef"], 100);
        assert!(connection.ready(true, false, &mut SharedState::new(4)) == ConnectionState::Open);
        assert_eq!(connection.socket.sent, b"abcdef");
        assert_eq!(connection.socket.reads, 2);
    }

    #[test]
    fn a_hang_up_is_read_to_the_end() {
        let mut connection = connection(&[b"abc"], 100);
        connection.socket.ended = true;
        assert!(connection.ready(true, true, &mut SharedState::new(4)) == ConnectionState::Closed);
        assert_eq!(connection.socket.sent, b"abc");
    }

    #[test]
    fn a_stalled_connection_reads_nothing() {
        let mut connection = connection(&[b"abcd", b"efgh"], 2);
        assert!(connection.ready(true, false, &mut SharedState::new(4)) == ConnectionState::Open);
        assert!(connection.ready(true, false, &mut SharedState::new(4)) == ConnectionState::Open);
        assert_eq!(connection.socket.sent, b"ab");
        assert_eq!(connection.socket.reads, 1);
    }

    #[test]
    fn an_end_of_stream_during_a_stall_is_found_after_it() {
        let mut connection = connection(&[b"abcd", b"ef"], 2);
        connection.socket.ended = true;
        assert!(connection.ready(true, false, &mut SharedState::new(4)) == ConnectionState::Open);
        connection.socket.room = 100;
        assert!(
            connection.ready(false, false, &mut SharedState::new(4)) == ConnectionState::Closed
        );
        assert_eq!(connection.socket.sent, b"abcdef");
    }
}
