//! Offers between threads: sockets posted to the other loop.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uptick_event_loop::LoopHandle;

use super::claims::{self, Offer, SentOffer, SharedSocket};
use super::sharing::{PeerTransport, Sharing};
use crate::memory::SharedMemory;

/// The loops of the worker threads, by their slots.
#[derive(Debug, Default)]
pub(crate) struct ThreadRegistry {
    loops: Mutex<BTreeMap<usize, LoopHandle>>,
}

impl ThreadRegistry {
    pub(crate) fn add(&self, slot: usize, handle: LoopHandle) {
        self.lock().insert(slot, handle);
    }

    pub(crate) fn remove(&self, slot: usize) {
        self.lock().remove(&slot);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, LoopHandle>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other threads.
pub(crate) struct ThreadPeers(pub(crate) Arc<ThreadRegistry>);

impl Sharing {
    /// Creates the distribution of a worker thread.
    pub(crate) fn with_threads(
        memory: &Arc<SharedMemory>,
        place: usize,
        slot: usize,
        peers: ThreadPeers,
    ) -> Rc<Sharing> {
        Sharing::new(memory, place, slot, Box::new(peers))
    }
}

impl PeerTransport for ThreadPeers {
    fn list(&self, slots: &mut Vec<usize>) {
        slots.extend(self.0.lock().keys());
    }

    fn offer(&self, target: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<SentOffer>) {
        let handle = self.0.lock().get(&target).cloned();
        let Some(handle) = handle else {
            return (offers, Vec::new());
        };
        let shared_sockets: Vec<(usize, SharedSocket)> = offers
            .into_iter()
            .map(|offer| (offer.listener, Arc::new(Mutex::new(Some(offer.socket)))))
            .collect();
        let posted = shared_sockets.clone();
        let sent = handle.post(move || {
            Sharing::with_installed(|sharing| {
                for (listener, shared) in posted {
                    if sharing.can_serve(listener)
                        && let Some(socket) = claims::take(&shared)
                    {
                        sharing.serve_claimed(listener, socket);
                    }
                }
            });
        });
        let offered = shared_sockets
            .into_iter()
            .map(|(listener, shared)| SentOffer::Thread {
                target,
                listener,
                shared,
            });
        match sent {
            Ok(()) => (Vec::new(), offered.collect()),
            // The loop has ended, or its queue is full.
            Err(_) => {
                let refused = offered.filter_map(|offered| match offered {
                    SentOffer::Thread {
                        shared,
                        listener,
                        target,
                    } => Some(Offer {
                        target,
                        listener,
                        socket: claims::take(&shared)?,
                    }),
                    SentOffer::Process { offer, .. } => Some(offer),
                });
                (refused.collect(), Vec::new())
            }
        }
    }
}
