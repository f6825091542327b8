//! Flags that decide which of two workers gets a connection that both hold.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::SharedMemory;

/// The state in the lowest bits of a flag. The number of the offer is above it, so that an old offer is never taken for a new one.
const OFFERED: u64 = 0;
const CLAIMED: u64 = 1;
const RECLAIMED: u64 = 2;

fn word(number: u64, state: u64) -> u64 {
    number << 2 | state
}

/// Marks a flag as belonging to a new offer.
pub(super) fn set_offered(flag: &AtomicU64, number: u64) {
    flag.store(word(number, OFFERED), Ordering::Release);
}

/// Claims an offer; returns `false` if the flag belongs to another offer by now.
pub(super) fn claim(flag: &AtomicU64, number: u64) -> bool {
    change(flag, number, CLAIMED)
}

/// Takes an offer back; returns `false` if it was claimed.
fn reclaim(flag: &AtomicU64, number: u64) -> bool {
    change(flag, number, RECLAIMED)
}

fn change(flag: &AtomicU64, number: u64, state: u64) -> bool {
    flag.compare_exchange(
        word(number, OFFERED),
        word(number, state),
        Ordering::AcqRel,
        Ordering::Relaxed,
    )
    .is_ok()
}

/// A connection on its way to another worker.
pub(super) struct Offer {
    pub(super) target: usize,
    pub(super) listener: usize,
    pub(super) socket: OwnedFd,
}

/// A socket that one of two threads may take.
pub(super) type SharedSocket = Arc<Mutex<Option<OwnedFd>>>;

/// Takes the socket, unless the other thread has taken it.
pub(super) fn take(shared: &SharedSocket) -> Option<OwnedFd> {
    shared.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// A connection that was offered to another worker.
pub(super) enum SentOffer {
    /// Offered to a process, which has a duplicate of the socket.
    Process {
        offer: Offer,
        flag: usize,
        number: u64,
    },
    /// Offered to a thread.
    Thread {
        target: usize,
        listener: usize,
        shared: SharedSocket,
    },
}

impl SentOffer {
    pub(super) fn target(&self) -> usize {
        match self {
            SentOffer::Process { offer, .. } => offer.target,
            SentOffer::Thread { target, .. } => *target,
        }
    }

    /// Returns whether the other worker has claimed the connection. `slot` belongs to the worker that offered it.
    pub(super) fn is_claimed(&self, memory: &SharedMemory, slot: usize) -> bool {
        match self {
            SentOffer::Process { flag, number, .. } => {
                memory.slot(slot).offer(*flag).load(Ordering::Acquire) == word(*number, CLAIMED)
            }
            SentOffer::Thread { shared, .. } => shared
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_none(),
        }
    }

    /// Takes the connection back; returns `None` if it was claimed. `slot` belongs to the worker that offered it.
    pub(super) fn reclaim(self, memory: &SharedMemory, slot: usize) -> Option<Offer> {
        match self {
            SentOffer::Process {
                offer,
                flag,
                number,
            } => reclaim(memory.slot(slot).offer(flag), number).then_some(offer),
            SentOffer::Thread {
                target,
                listener,
                shared,
            } => Some(Offer {
                target,
                listener,
                socket: take(&shared)?,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_either_claimed_or_reclaimed() {
        let flag = AtomicU64::new(0);
        set_offered(&flag, 7);
        assert!(claim(&flag, 7));
        assert!(!reclaim(&flag, 7) && !claim(&flag, 7));
        set_offered(&flag, 8);
        assert!(!claim(&flag, 7), "the offer is outdated");
        assert!(reclaim(&flag, 8));
        assert!(!claim(&flag, 8));
    }

    #[test]
    fn an_offer_is_claimed_once_the_other_worker_has_taken_it() {
        let memory = SharedMemory::create(1).unwrap();
        let socket = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let offer = Offer {
            target: 0,
            listener: 0,
            socket: socket(),
        };
        let to_process = SentOffer::Process {
            offer,
            flag: 3,
            number: 7,
        };
        set_offered(memory.slot(0).offer(3), 7);
        assert!(!to_process.is_claimed(&memory, 0));
        assert!(claim(memory.slot(0).offer(3), 7));
        assert!(to_process.is_claimed(&memory, 0));

        let shared: SharedSocket = Arc::new(Mutex::new(Some(socket())));
        let to_thread = SentOffer::Thread {
            target: 0,
            listener: 0,
            shared: Arc::clone(&shared),
        };
        assert!(!to_thread.is_claimed(&memory, 0));
        assert!(take(&shared).is_some());
        assert!(to_thread.is_claimed(&memory, 0));
    }
}
