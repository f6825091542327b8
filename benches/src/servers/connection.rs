//! One connection on an edge-triggered poller, the habits that the floors and `mio` share: a
//! short read ends the drain, and answers go straight from one buffer to the socket.

use std::io;

/// A non-blocking socket.
pub(super) trait Socket {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;
}

/// What is said on a connection; the value is what one connection has to remember.
pub(super) trait Protocol: Default {
    /// What all connections have in common.
    type Shared: Default;

    /// The answer to what has come, if there is one yet. An error closes the connection.
    fn answer<'a>(
        &'a mut self,
        received: &'a [u8],
        shared: &'a mut Self::Shared,
    ) -> io::Result<&'a [u8]>;
}

/// Sends back what has come.
#[derive(Default)]
pub(super) struct Echo;

impl Protocol for Echo {
    type Shared = ();

    fn answer<'a>(&'a mut self, received: &'a [u8], (): &'a mut ()) -> io::Result<&'a [u8]> {
        Ok(received)
    }
}

/// What there is once for all connections.
pub(super) struct Common<P: Protocol> {
    buffer: Vec<u8>,
    shared: P::Shared,
}

impl<P: Protocol> Common<P> {
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
    /// What the socket did not take; nothing more is read until it has.
    unsent: Vec<u8>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    Closed,
}

/// How one read ended.
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

    /// The first request has often arrived with the connection: one read before registering
    /// saves a wait. Whatever that read leaves behind, registering reports at once.
    pub(super) fn begin(&mut self, common: &mut Common<P>) -> State {
        match self.receive_and_answer(common) {
            Ok(Received::Bytes(_) | Received::Nothing) => State::Open,
            Ok(Received::End) | Err(_) => State::Closed,
        }
    }

    /// Does what an event asks for.
    pub(super) fn ready(&mut self, readable: bool, hung_up: bool, common: &mut Common<P>) -> State {
        self.drain(readable, hung_up, common)
            .unwrap_or(State::Closed)
    }

    fn drain(
        &mut self,
        readable: bool,
        hung_up: bool,
        common: &mut Common<P>,
    ) -> io::Result<State> {
        let stalled = !self.unsent.is_empty();
        if stalled {
            self.flush()?;
        } else if !readable && !hung_up {
            return Ok(State::Open);
        }
        // Edges that came during a stall are gone, so after one only "would block" ends the drain.
        let to_the_end = hung_up || stalled;
        while self.unsent.is_empty() {
            match self.receive_and_answer(common)? {
                Received::Bytes(length) if length == common.buffer.len() || to_the_end => {}
                Received::Bytes(_) | Received::Nothing => break,
                Received::End => return Ok(State::Closed),
            }
        }
        Ok(State::Open)
    }

    fn receive_and_answer(&mut self, common: &mut Common<P>) -> io::Result<Received> {
        loop {
            match self.socket.receive(&mut common.buffer) {
                Ok(0) => return Ok(Received::End),
                Ok(length) => {
                    let received = &common.buffer[..length];
                    let answer = self.protocol.answer(received, &mut common.shared)?;
                    let sent = send(&mut self.socket, answer)?;
                    if sent < answer.len() {
                        self.unsent.extend_from_slice(&answer[sent..]);
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
            // A connection at rest keeps no memory.
            self.unsent = Vec::new();
        }
        Ok(())
    }
}

/// Sends until the socket takes no more, and says how much it took.
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

    /// A socket that has `arrived` to give, a piece for each read and then nothing or the end,
    /// and room for `room` bytes.
    #[derive(Default)]
    struct Script {
        arrived: VecDeque<&'static [u8]>,
        ended: bool,
        room: usize,
        sent: Vec<u8>,
        reads: usize,
    }

    impl Socket for Script {
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

    fn connection(arrived: &[&'static [u8]], room: usize) -> Connection<Script, Echo> {
        Connection::new(Script {
            arrived: arrived.iter().copied().collect(),
            room,
            ..Script::default()
        })
    }

    #[test]
    fn a_short_read_ends_the_drain() {
        let mut connection = connection(&[b"abc"], 100);
        assert!(connection.ready(true, false, &mut Common::new(4)) == State::Open);
        assert_eq!(connection.socket.sent, b"abc");
        assert_eq!(connection.socket.reads, 1);
    }

    #[test]
    fn a_full_read_is_followed_by_another() {
        let mut connection = connection(&[b"abcd", b"ef"], 100);
        assert!(connection.ready(true, false, &mut Common::new(4)) == State::Open);
        assert_eq!(connection.socket.sent, b"abcdef");
        assert_eq!(connection.socket.reads, 2);
    }

    #[test]
    fn a_hang_up_is_read_to_the_end() {
        let mut connection = connection(&[b"abc"], 100);
        connection.socket.ended = true;
        assert!(connection.ready(true, true, &mut Common::new(4)) == State::Closed);
        assert_eq!(connection.socket.sent, b"abc");
    }

    #[test]
    fn a_stalled_connection_reads_nothing() {
        let mut connection = connection(&[b"abcd", b"efgh"], 2);
        assert!(connection.ready(true, false, &mut Common::new(4)) == State::Open);
        assert!(connection.ready(true, false, &mut Common::new(4)) == State::Open);
        assert_eq!(connection.socket.sent, b"ab");
        assert_eq!(connection.socket.reads, 1);
    }

    #[test]
    fn an_end_that_came_during_a_stall_is_found_after_it() {
        let mut connection = connection(&[b"abcd", b"ef"], 2);
        connection.socket.ended = true;
        assert!(connection.ready(true, false, &mut Common::new(4)) == State::Open);
        connection.socket.room = 100;
        assert!(connection.ready(false, false, &mut Common::new(4)) == State::Closed);
        assert_eq!(connection.socket.sent, b"abcdef");
    }
}
