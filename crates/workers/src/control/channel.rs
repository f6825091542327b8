//! A socket for control messages with descriptors.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::message::{ControlMessage, MAX_DESCRIPTORS, MAX_PACKET};
use crate::error::Error;

/// The maximum number of packets queued for a peer that does not read.
const MAX_QUEUED: usize = 4096;

/// One end of a connection between a master and a worker.
#[derive(Debug)]
pub(crate) struct ControlChannel {
    socket: OwnedFd,
    /// Packets that did not fit into the socket's buffer.
    queue: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
}

impl ControlChannel {
    /// Creates the two ends: a channel for this process, and the socket for the other.
    pub(crate) fn pair() -> Result<(ControlChannel, OwnedFd), Error> {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
                .map_err(|errno| Error::system("creating a socket pair", errno))?;
        Ok((ControlChannel::new(ours)?, theirs))
    }

    /// Creates a channel from a socket whose other end belongs to another process.
    pub(crate) fn new(socket: OwnedFd) -> Result<ControlChannel, Error> {
        rustix::io::ioctl_fionbio(&socket, true)
            .map_err(|errno| Error::system("setting up a socket pair", errno))?;
        Ok(ControlChannel {
            socket,
            queue: VecDeque::new(),
        })
    }

    /// Returns a duplicate of the socket's descriptor, for watching it.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd, Error> {
        self.socket
            .try_clone()
            .map_err(|error| Error::io("duplicating a descriptor", error))
    }

    /// Sends a message, or queues it until [`flush`](ControlChannel::flush) can send it.
    ///
    /// # Errors
    /// Returns an error if the peer is gone, or the queue is full.
    pub(crate) fn send(&mut self, message: ControlMessage) -> Result<(), Error> {
        let mut packet = Vec::new();
        let descriptors = message.encode(&mut packet);
        if self.queue.len() >= MAX_QUEUED {
            return Err(Error::control("the other process does not read"));
        }
        self.queue.push_back((packet, descriptors));
        self.flush()
    }

    /// Returns whether messages are queued.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Sends queued messages until the queue is empty or the socket accepts no more.
    ///
    /// # Errors
    /// Returns an error if the peer is gone.
    pub(crate) fn flush(&mut self) -> Result<(), Error> {
        while let Some((packet, descriptors)) = self.queue.front() {
            match send(self.socket.as_fd(), packet, descriptors) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(Errno::AGAIN | Errno::NOBUFS) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("sending to another process", errno)),
            }
        }
        Ok(())
    }

    /// Receives the next message; returns `None` if there is none yet.
    ///
    /// # Errors
    /// [`Error::PeerGone`] if the other process has ended, [`Error::Control`] if a packet is malformed.
    pub(crate) fn receive(&self) -> Result<Option<ControlMessage>, Error> {
        let mut packet = vec![0; MAX_PACKET];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [IoSliceMut::new(&mut packet)];
            match rustix::net::recvmsg(
                &self.socket,
                &mut slices,
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        let bytes = match received {
            Ok(message) => message.bytes,
            Err(Errno::AGAIN) => return Ok(None),
            Err(Errno::CONNRESET) => return Err(Error::PeerGone),
            Err(errno) => return Err(Error::system("receiving from another process", errno)),
        };
        if bytes == 0 {
            return Err(Error::PeerGone);
        }
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        ControlMessage::decode(&packet[..bytes], descriptors).map(Some)
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// See [`receive`](ControlChannel::receive).
    pub(crate) fn wait(&self) -> Result<ControlMessage, Error> {
        loop {
            if let Some(message) = self.receive()? {
                return Ok(message);
            }
            let mut readable = [rustix::event::PollFd::new(
                &self.socket,
                rustix::event::PollFlags::IN,
            )];
            match rustix::event::poll(&mut readable, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("waiting for another process", errno)),
            }
        }
    }
}

fn send(socket: BorrowedFd<'_>, packet: &[u8], descriptors: &[OwnedFd]) -> Result<(), Errno> {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(Errno::INVAL);
    }
    let slices = [IoSlice::new(packet)];
    rustix::net::sendmsg(socket, &slices, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queued_messages_keep_their_order() {
        let (mut ours, theirs) = ControlChannel::pair().unwrap();
        let mut theirs = ControlChannel::new(theirs).unwrap();
        let mut sent = 0;
        while !ours.is_blocked() {
            let reason = sent.to_string();
            ours.send(ControlMessage::Replace { reason }).unwrap();
            sent += 1;
        }
        for number in 0..sent {
            let ControlMessage::Replace { reason } = theirs.wait().unwrap() else {
                panic!("unexpected message");
            };
            assert_eq!(reason, number.to_string());
            ours.flush().unwrap();
        }
        assert!(!ours.is_blocked());
        assert!(theirs.receive().unwrap().is_none());
        drop(ours);
        assert!(matches!(theirs.receive(), Err(Error::PeerGone)));
        assert!(theirs.send(ControlMessage::Ready).is_err());
    }
}
