//! The choice of the worker that serves a connection, and the pending offers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use uptick_event_loop::{add_timer, now};
use uptick_socket::{Balancer, Server};

use super::claims::{Offer, SentOffer};
use crate::memory::{Counter, Gauge, OFFERS, SharedMemory, WorkerState};

/// The time in which another worker must claim a connection.
const CLAIM_TIME: Duration = Duration::from_millis(10);

/// The interval at which claims are checked. While this process holds a duplicate of a socket that another worker has closed, the peer
/// does not see the end of the connection.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// The time for which a worker that did not claim a connection gets no further offers: the first value and the maximum, doubled each
/// time. The worker may only have waited for a processor.
const FIRST_PENALTY: Duration = Duration::from_millis(10);
const MAX_PENALTY: Duration = Duration::from_secs(1);

/// The tolerated difference in connections between two workers: an absolute number, or a fraction of the lower count.
const TOLERANCE: u64 = 2;
const TOLERANCE_DIVISOR: u64 = 64;

/// The number of samples that are taken before the count of connections is corrected.
const EXCESS_SAMPLES: u32 = 4;

/// A worker that did not claim its last offer.
#[derive(Clone, Copy, Debug)]
struct Penalty {
    slot: usize,
    /// Time from which the worker gets offers again.
    until: Instant,
    /// The length of the next penalty, if the worker does not claim the next offer either.
    next: Duration,
}

/// The other workers, reached through sockets or through posted calls.
pub(super) trait PeerTransport {
    /// Appends the slots of the workers that can be offered connections.
    fn list(&self, slots: &mut Vec<usize>);

    /// Sends offers to one worker; returns the offers that could not be sent, and the sent ones.
    fn offer(&self, target: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<SentOffer>);
}

/// The distribution of the connections of one worker.
pub(crate) struct Sharing {
    pub(super) memory: Arc<SharedMemory>,
    place: usize,
    slot: usize,
    peers: Box<dyn PeerTransport>,
    servers: RefCell<Vec<Option<Server>>>,
    /// Offers that are not sent yet, because the accept batch is not complete.
    pending: RefCell<Vec<Offer>>,
    /// Offers that were sent and are not known to be claimed, with the time of sending. At most [`OFFERS`], so that no flag is used
    /// twice.
    offered: RefCell<VecDeque<(Instant, SentOffer)>>,
    penalties: RefCell<Vec<Penalty>>,
    candidates: RefCell<Vec<usize>>,
    random: Cell<u64>,
    /// Set while a connection is opened that was counted by the worker that offered it.
    counted: Cell<bool>,
    /// The connections that are open here.
    open: Cell<u64>,
    /// The lowest excess of the shared count over `open` so far, and the number of samples.
    excess: Cell<(u64, u32)>,
    check_scheduled: Cell<bool>,
}

thread_local! {
    static SHARING: RefCell<Option<Rc<Sharing>>> = const { RefCell::new(None) };
}

impl Sharing {
    pub(super) fn new(
        memory: &Arc<SharedMemory>,
        place: usize,
        slot: usize,
        peers: Box<dyn PeerTransport>,
    ) -> Rc<Sharing> {
        let seed =
            crate::memory::monotonic_milliseconds() ^ (slot as u64).wrapping_mul(0x9E37_79B9);
        Rc::new(Sharing {
            memory: Arc::clone(memory),
            place,
            slot,
            peers,
            servers: RefCell::default(),
            pending: RefCell::default(),
            offered: RefCell::default(),
            penalties: RefCell::default(),
            candidates: RefCell::default(),
            random: Cell::new(seed | 1),
            counted: Cell::new(false),
            open: Cell::new(0),
            excess: Cell::new((u64::MAX, 0)),
            check_scheduled: Cell::new(false),
        })
    }

    /// Makes this the distribution of the thread, for the offers of other threads.
    pub(crate) fn install(self: &Rc<Self>) {
        SHARING.with_borrow_mut(|place| *place = Some(Rc::clone(self)));
    }

    pub(super) fn with_installed(f: impl FnOnce(&Rc<Sharing>)) {
        if let Some(sharing) = SHARING.with_borrow(Option::clone) {
            f(&sharing);
        }
    }

    /// Returns the balancer of a listener, whose server is set with [`set_server`](Sharing::set_server).
    pub(crate) fn balancer(self: &Rc<Self>, listener: usize) -> Rc<dyn Balancer> {
        Rc::new(ListenerBalancer {
            sharing: Rc::clone(self),
            listener,
        })
    }

    pub(crate) fn set_server(&self, listener: usize, server: Server) {
        let mut servers = self.servers.borrow_mut();
        if servers.len() <= listener {
            servers.resize(listener + 1, None);
        }
        servers[listener] = Some(server);
    }

    pub(crate) fn server(&self, listener: usize) -> Option<Server> {
        self.servers.borrow().get(listener).copied().flatten()
    }

    pub(crate) fn servers(&self) -> Vec<Server> {
        self.servers.borrow().iter().flatten().copied().collect()
    }

    /// Returns whether a connection that another worker offers can be served.
    pub(super) fn can_serve(&self, listener: usize) -> bool {
        self.memory.slot(self.slot).state() == WorkerState::Ready && self.server(listener).is_some()
    }

    /// Serves a connection that another worker offered. That worker has counted it for this one already.
    pub(super) fn serve_claimed(&self, listener: usize, socket: OwnedFd) {
        let Some(server) = self.server(listener) else {
            return self.count_closed(self.slot);
        };
        self.counted.set(true);
        if let Err(error) = server.serve_accepted(socket) {
            tracing::debug!("a connection that another worker accepted is gone: {error}");
        }
        // The connection was gone before it could be opened.
        if self.counted.take() {
            self.count_closed(self.slot);
        }
    }

    fn connections(&self, slot: usize) -> u64 {
        self.memory
            .slot(slot)
            .word(Gauge::Connections)
            .load(Relaxed)
    }

    fn count_closed(&self, slot: usize) {
        let word = self.memory.slot(slot).word(Gauge::Connections);
        // The slot may have another owner by now, which has counted from 0.
        let _ = word.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
    }

    /// Accepts the pending connections.
    pub(crate) fn accept_backlog(&self) {
        for server in self.servers() {
            server.accept_backlog();
        }
    }

    /// Corrects the shared count of this worker's connections, once per [`EXCESS_SAMPLES`] calls.
    ///
    /// The count includes connections that others have offered. If the offering worker dies, its offers stay in the count.
    pub(crate) fn correct_count(&self) {
        let word = self.memory.slot(self.slot).word(Gauge::Connections);
        let (count, open) = (word.load(Relaxed), self.open.get());
        if count < open {
            word.fetch_add(open - count, Relaxed);
        }
        let (least, samples) = self.excess.get();
        let least = least.min(count.saturating_sub(open));
        if samples + 1 < EXCESS_SAMPLES {
            return self.excess.set((least, samples + 1));
        }
        // The excess of every sample is no pending offer: offers are claimed or taken back soon.
        let _ = word.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(least));
        self.excess.set((u64::MAX, 0));
    }

    fn next_random(&self) -> u64 {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        random
    }

    /// Returns the worker that should serve the next connection, unless that is this one.
    fn choose(&self) -> Option<usize> {
        self.drop_claimed();
        let own = self.connections(self.slot);
        let in_transit = self.offered.borrow().len() + self.pending.borrow().len();
        let slot = self.memory.slot(self.slot);
        if own < TOLERANCE || in_transit >= OFFERS || slot.state() != WorkerState::Ready {
            return None;
        }
        let generation = slot.get(Gauge::Generation);
        let mut candidates = self.candidates.borrow_mut();
        candidates.clear();
        self.peers.list(&mut candidates);
        let now = now();
        let penalties = self.penalties.borrow();
        candidates.retain(|slot| {
            let peer = self.memory.slot(*slot);
            *slot != self.slot
                && peer.state() == WorkerState::Ready
                && peer.get(Gauge::Generation) == generation
                && !penalties
                    .iter()
                    .any(|known| known.slot == *slot && now < known.until)
        });
        let count = candidates.len() as u64;
        if count == 0 {
            return None;
        }
        // Two different workers, unless there is only one.
        let first = self.next_random() % count;
        let step = 1 + self.next_random() % (count - 1).max(1);
        let one = candidates[first as usize];
        let other = candidates[((first + step) % count) as usize];
        let lesser = match self.connections(one) <= self.connections(other) {
            true => one,
            false => other,
        };
        let least = self.connections(lesser);
        let tolerance = TOLERANCE.max(least / TOLERANCE_DIVISOR);
        (own >= least + tolerance).then_some(lesser)
    }

    /// Closes the duplicates of claimed connections, and makes room for further offers. Flags are used in turn, so offers after an
    /// unclaimed one stay.
    fn drop_claimed(&self) {
        loop {
            let mut offered = self.offered.borrow_mut();
            match offered.front() {
                Some((_, first)) if first.is_claimed(&self.memory, self.slot) => {}
                _ => break,
            }
            if let Some((_, claimed)) = offered.pop_front() {
                drop(offered);
                self.clear_penalty(claimed.target());
            }
        }
    }

    /// Stops offers to a worker for some time, because it did not claim an offer.
    fn penalize(&self, slot: usize) {
        let mut penalties = self.penalties.borrow_mut();
        let known = penalties.iter().position(|known| known.slot == slot);
        let wait = known.map_or(FIRST_PENALTY, |at| penalties.swap_remove(at).next);
        penalties.push(Penalty {
            slot,
            until: now() + wait,
            next: (wait * 2).min(MAX_PENALTY),
        });
    }

    /// Resumes offers to a worker, because it claimed an offer.
    fn clear_penalty(&self, slot: usize) {
        let mut penalties = self.penalties.borrow_mut();
        penalties.retain(|known| known.slot != slot);
    }

    fn send_offers(self: &Rc<Self>) {
        let mut pending = self.pending.take();
        pending.sort_by_key(|offer| offer.target);
        while let Some(last) = pending.last() {
            let target = last.target;
            let start = pending.partition_point(|offer| offer.target < target);
            let (refused, offered) = self.peers.offer(target, pending.split_off(start));
            let at = Instant::now();
            let offered = offered.into_iter().map(|offered| (at, offered));
            self.offered.borrow_mut().extend(offered);
            for offer in refused {
                self.take_back(offer);
            }
        }
        self.schedule_check();
    }

    fn schedule_check(self: &Rc<Self>) {
        if !self.offered.borrow().is_empty() && !self.check_scheduled.replace(true) {
            let sharing = Rc::clone(self);
            add_timer(CHECK_INTERVAL, move || sharing.check_claims());
        }
    }

    /// Serves a connection here that was offered to another worker.
    fn take_back(&self, offer: Offer) {
        let Offer {
            target,
            listener,
            socket,
        } = offer;
        self.count_closed(target);
        self.penalize(target);
        let Some(server) = self.server(listener) else {
            return;
        };
        if let Err(error) = server.serve_accepted(socket) {
            tracing::debug!("a connection that no other worker claimed is gone: {error}");
        }
    }

    /// Takes all unclaimed connections back, before the worker stops serving new connections.
    pub(crate) fn reclaim_all(&self) {
        let offered = self.offered.take();
        for (_, offered) in offered {
            if let Some(offer) = offered.reclaim(&self.memory, self.slot) {
                self.take_back(offer);
            }
        }
    }

    /// Closes the duplicates of claimed connections, and takes back connections that were not claimed in time.
    fn check_claims(self: &Rc<Self>) {
        self.check_scheduled.set(false);
        self.drop_claimed();
        let now = Instant::now();
        loop {
            let due = self
                .offered
                .borrow()
                .front()
                .is_some_and(|(at, _)| now.saturating_duration_since(*at) >= CLAIM_TIME);
            let next = match due {
                true => self.offered.borrow_mut().pop_front(),
                false => None,
            };
            let Some((_, offered)) = next else { break };
            let target = offered.target();
            match offered.reclaim(&self.memory, self.slot) {
                Some(offer) => self.take_back(offer),
                None => self.clear_penalty(target),
            }
        }
        self.schedule_check();
    }
}

impl fmt::Debug for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sharing")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

/// The balancer of one listener of a worker.
#[derive(Debug)]
struct ListenerBalancer {
    sharing: Rc<Sharing>,
    listener: usize,
}

impl Balancer for ListenerBalancer {
    fn place(&self, _server: Server, socket: OwnedFd) -> Option<OwnedFd> {
        let sharing = &self.sharing;
        sharing
            .memory
            .place(sharing.place)
            .add(Counter::Accepted, 1);
        let Some(target) = sharing.choose() else {
            return Some(socket);
        };
        // The connection is counted for the other worker at once, so that the next choice sees it.
        let word = sharing.memory.slot(target).word(Gauge::Connections);
        word.fetch_add(1, Relaxed);
        sharing.pending.borrow_mut().push(Offer {
            target,
            listener: self.listener,
            socket,
        });
        None
    }

    fn batch_accepted(&self, _server: Server) {
        if !self.sharing.pending.borrow().is_empty() {
            self.sharing.send_offers();
        }
    }

    fn opened(&self) {
        self.sharing.open.set(self.sharing.open.get() + 1);
        if !self.sharing.counted.take() {
            let slot = self.sharing.memory.slot(self.sharing.slot);
            slot.word(Gauge::Connections).fetch_add(1, Relaxed);
        }
    }

    fn closed(&self) {
        let open = self.sharing.open.get();
        self.sharing.open.set(open.saturating_sub(1));
        self.sharing.count_closed(self.sharing.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No other workers.
    struct Alone;

    impl PeerTransport for Alone {
        fn list(&self, _: &mut Vec<usize>) {}

        fn offer(&self, _: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<SentOffer>) {
            (offers, Vec::new())
        }
    }

    #[test]
    fn the_count_of_connections_is_corrected_after_offers_were_lost() {
        let memory = Arc::new(SharedMemory::create(1).unwrap());
        let slot = memory.assign(0, 1, 4711).unwrap();
        let sharing = Sharing::new(&memory, 0, slot, Box::new(Alone));
        let balancer = sharing.balancer(0);
        let count = memory.slot(slot).word(Gauge::Connections);
        for _ in 0..3 {
            balancer.opened();
        }
        assert_eq!(count.load(Relaxed), 3);
        // Three connections that are never claimed, and some pending ones at each sample.
        for in_transit in 0..u64::from(EXCESS_SAMPLES) {
            count.store(6 + in_transit, Relaxed);
            sharing.correct_count();
        }
        assert_eq!(count.load(Relaxed), 6 + 3 - 3, "pending offers still count");
        count.store(1, Relaxed);
        sharing.correct_count();
        assert_eq!(count.load(Relaxed), 3);
        balancer.closed();
        assert_eq!(count.load(Relaxed), 2);
    }
}
