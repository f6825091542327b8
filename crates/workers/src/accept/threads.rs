//! Offers between threads: sockets posted to the other loop.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use uptick_event_loop::LoopHandle;

use super::claims::{self, Offer, Offered, Slip};
use super::sharing::{Peers, Sharing};
use crate::memory::Memory;

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
        memory: &Arc<Memory>,
        place: usize,
        slot: usize,
        peers: ThreadPeers,
    ) -> Rc<Sharing> {
        Sharing::new(memory, place, slot, Box::new(peers))
    }
}

impl Peers for ThreadPeers {
    fn list(&self, slots: &mut Vec<usize>) {
        slots.extend(self.0.lock().keys());
    }

    fn offer(&self, target: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<Offered>) {
        let handle = self.0.lock().get(&target).cloned();
        let Some(handle) = handle else {
            return (offers, Vec::new());
        };
        let slips: Vec<(usize, Slip)> = offers
            .into_iter()
            .map(|offer| (offer.listener, Arc::new(Mutex::new(Some(offer.socket)))))
            .collect();
        let posted = slips.clone();
        let sent = handle.post(move || {
            Sharing::with_installed(|sharing| {
                for (listener, slip) in posted {
                    if sharing.takes(listener)
                        && let Some(socket) = claims::take(&slip)
                    {
                        sharing.serve_claimed(listener, socket);
                    }
                }
            });
        });
        let offered = slips.into_iter().map(|(listener, slip)| Offered::Thread {
            target,
            listener,
            slip,
        });
        match sent {
            Ok(()) => (Vec::new(), offered.collect()),
            // The loop has ended, or its queue is full.
            Err(_) => {
                let refused = offered.filter_map(|offered| match offered {
                    Offered::Thread {
                        slip,
                        listener,
                        target,
                    } => Some(Offer {
                        target,
                        listener,
                        socket: claims::take(&slip)?,
                    }),
                    Offered::Process { offer, .. } => Some(offer),
                });
                (refused.collect(), Vec::new())
            }
        }
    }
}
