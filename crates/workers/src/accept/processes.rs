//! Offers between processes: sockets sent over sockets, up to 64 in a packet.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use uptick_event_loop::{add_read_stream, remove_read_stream};

use super::claims::{self, Offer, SentOffer};
use super::packets::{self, WireOffer};
use super::sharing::{PeerTransport, Sharing};
use crate::memory::{OFFERS, SharedMemory, monotonic_milliseconds};

/// The number of packets that are received from one worker in an iteration of the loop.
const PACKET_BUDGET: usize = 16;

/// The other processes, by slot.
pub(crate) struct ProcessPeers {
    memory: Arc<SharedMemory>,
    slot: usize,
    peers: RefCell<BTreeMap<usize, Rc<OwnedFd>>>,
    /// The number of the last offer. The index of its flag is this number modulo [`OFFERS`].
    last: Cell<u64>,
}

impl ProcessPeers {
    pub(crate) fn new(memory: &Arc<SharedMemory>, slot: usize) -> Rc<ProcessPeers> {
        Rc::new(ProcessPeers {
            memory: Arc::clone(memory),
            slot,
            peers: RefCell::default(),
            // Start above the numbers of earlier workers of the slot: one of their packets may still be in transit.
            last: Cell::new(first_number(monotonic_milliseconds())),
        })
    }

    /// Adds the socket to another worker, and serves the offers that arrive on it.
    pub(crate) fn add(self: &Rc<Self>, slot: usize, socket: OwnedFd, sharing: &Rc<Sharing>) {
        if let Err(errno) = rustix::io::ioctl_fionbio(&socket, true) {
            return tracing::error!("setting up a socket pair failed: {errno}");
        }
        let socket = Rc::new(socket);
        let before = self.peers.borrow_mut().insert(slot, Rc::clone(&socket));
        if let Some(before) = before {
            remove_read_stream(&before);
        }
        let peers = Rc::clone(self);
        let sharing = Rc::clone(sharing);
        let watched = Rc::clone(&socket);
        let added = add_read_stream(watched, move || {
            if !receive(&socket, slot, &sharing) {
                remove_read_stream(&socket);
                peers.peers.borrow_mut().remove(&slot);
            }
        });
        if let Err(error) = added {
            tracing::error!("watching a socket pair failed: {error}");
        }
    }
}

impl Sharing {
    /// Creates the sharing of a worker among processes.
    pub(crate) fn with_processes(
        memory: &Arc<SharedMemory>,
        place: usize,
        slot: usize,
        peers: Rc<ProcessPeers>,
    ) -> Rc<Sharing> {
        Sharing::new(memory, place, slot, Box::new(peers))
    }
}

impl PeerTransport for Rc<ProcessPeers> {
    fn list(&self, slots: &mut Vec<usize>) {
        slots.extend(self.peers.borrow().keys());
    }

    fn offer(&self, target: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<SentOffer>) {
        let Some(socket) = self.peers.borrow().get(&target).cloned() else {
            return (offers, Vec::new());
        };
        let own = self.memory.slot(self.slot);
        let last = self.last.get();
        let mut offers = offers;
        let surplus = offers.split_off(offers.len().min(OFFERS));
        let items: Vec<WireOffer> = offers
            .iter()
            .map(|offer| {
                let number = self.last.get() + 1;
                self.last.set(number);
                let flag = (number % OFFERS as u64) as u32;
                claims::set_offered(own.offer(flag as usize), number);
                WireOffer {
                    listener: offer.listener as u32,
                    flag,
                    number,
                }
            })
            .collect();
        let sockets: Vec<BorrowedFd<'_>> =
            offers.iter().map(|offer| offer.socket.as_fd()).collect();
        if let Err(errno) = send(socket.as_fd(), &packets::encode(&items), &sockets) {
            tracing::debug!("offering connections to another worker failed: {errno}");
            // The packet was not sent, so these numbers are unused.
            self.last.set(last);
            offers.extend(surplus);
            return (offers, Vec::new());
        }
        let offered = offers
            .into_iter()
            .zip(items)
            .map(|(offer, item)| SentOffer::Process {
                offer,
                flag: item.flag as usize,
                number: item.number,
            })
            .collect();
        (surplus, offered)
    }
}

fn send(socket: BorrowedFd<'_>, packet: &[u8], sockets: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OFFERS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(Errno::INVAL);
    }
    let slices = [IoSlice::new(packet)];
    rustix::net::sendmsg(socket, &slices, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Returns the number from which a worker that starts at this time counts its offers. No worker makes 65,536 offers in a
/// millisecond.
fn first_number(milliseconds: u64) -> u64 {
    // The two highest bits are left for the state of a claim.
    (milliseconds << 16) & (u64::MAX >> 2)
}

/// Receives the offers of another worker; returns `false` once that worker is gone.
fn receive(socket: &OwnedFd, from: usize, sharing: &Sharing) -> bool {
    for _ in 0..PACKET_BUDGET {
        let mut packet = [0; packets::MAX_PACKET];
        let mut slices = [IoSliceMut::new(&mut packet)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(OFFERS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(socket, &mut slices, &mut ancillary, flags);
        let length = match received {
            Ok(message) if message.bytes == 0 => return false,
            Ok(message) => message.bytes,
            Err(Errno::AGAIN | Errno::INTR) => return true,
            Err(_) => return false,
        };
        // If no descriptor was free, some sockets are missing. The other worker takes unclaimed connections back.
        let mut sockets = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                sockets.extend(rights);
            }
        }
        let offering = sharing.memory.slot(from);
        for (item, socket) in packets::decode(&packet[..length]).zip(sockets) {
            let listener = item.listener as usize;
            let flag = offering.offer(item.flag as usize);
            if sharing.can_serve(listener) && claims::claim(flag, item.number) {
                sharing.serve_claimed(listener, socket);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_worker_of_a_slot_does_not_reuse_offer_numbers() {
        let memory = Arc::new(SharedMemory::create(1).unwrap());
        let number = ProcessPeers::new(&memory, 0).last.get();
        assert!(number > 0);
        let day = 24 * 60 * 60 * 1000;
        for age in [0, day, 365 * day] {
            let offers = 60_000;
            assert!(first_number(age) + offers < first_number(age + 1));
        }
    }
}
