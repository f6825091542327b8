//! The decision which worker serves a connection, and the offers under way.

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

use super::claims::{Offer, Offered};
use crate::memory::{Counter, Gauge, Memory, OFFERS, State};

/// How long another worker has to claim a connection.
const CLAIM_TIME: Duration = Duration::from_millis(10);

/// The interval at which claims are looked at. As long as this process has a duplicate of a socket that another one has closed, its
/// peer sees no end of the connection.
const CHECK_INTERVAL: Duration = Duration::from_millis(1);

/// For how long a worker that did not claim a connection is offered none: at first, and at most, doubled each time. It may only
/// have waited for a processor.
const FIRST_DISTRUST: Duration = Duration::from_millis(10);
const LONGEST_DISTRUST: Duration = Duration::from_secs(1);

/// The connections by which workers may differ: this many, or a share of the lesser number.
const SLACK: u64 = 2;
const SLACK_SHARE: u64 = 64;

/// How often a count of connections is looked at before it is corrected.
const LOOKS: u32 = 4;

/// A worker that did not claim its last offer.
#[derive(Clone, Copy, Debug)]
struct Distrust {
    slot: usize,
    /// When it is offered the next one.
    until: Instant,
    /// The time for which it is offered none if it does not claim that one either.
    next: Duration,
}

/// The other workers, however they are reached.
pub(super) trait Peers {
    /// Adds the slots of the workers that can be offered connections to a list.
    fn list(&self, slots: &mut Vec<usize>);

    /// Passes offers on to one worker; returns those that could not be, and what was offered.
    fn offer(&self, target: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<Offered>);
}

/// Shares out the connections of one worker.
pub(crate) struct Sharing {
    pub(super) memory: Arc<Memory>,
    place: usize,
    slot: usize,
    peers: Box<dyn Peers>,
    servers: RefCell<Vec<Option<Server>>>,
    /// Not yet passed on: the batch goes on.
    pending: RefCell<Vec<Offer>>,
    /// Passed on, when, and not known to be claimed: at most [`OFFERS`], so that no flag is used twice.
    offered: RefCell<VecDeque<(Instant, Offered)>>,
    distrusted: RefCell<Vec<Distrust>>,
    candidates: RefCell<Vec<usize>>,
    random: Cell<u64>,
    /// The connection that is served now was counted by the worker that offered it.
    counted: Cell<bool>,
    /// The connections that are open here, and what the shared count has had beyond them at each look, with the number of looks.
    open: Cell<u64>,
    excess: Cell<(u64, u32)>,
    armed: Cell<bool>,
}

thread_local! {
    static SHARING: RefCell<Option<Rc<Sharing>>> = const { RefCell::new(None) };
}

impl Sharing {
    pub(super) fn new(
        memory: &Arc<Memory>,
        place: usize,
        slot: usize,
        peers: Box<dyn Peers>,
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
            distrusted: RefCell::default(),
            candidates: RefCell::default(),
            random: Cell::new(seed | 1),
            counted: Cell::new(false),
            open: Cell::new(0),
            excess: Cell::new((u64::MAX, 0)),
            armed: Cell::new(false),
        })
    }

    /// Makes this the sharing of the thread, for the offers of other threads.
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
        Rc::new(OfListener {
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

    /// Whether a connection that another worker offers can be served.
    pub(super) fn takes(&self, listener: usize) -> bool {
        self.memory.slot(self.slot).state() == State::Ready && self.server(listener).is_some()
    }

    /// Serves a connection that another worker offered, and has counted for this one.
    pub(super) fn serve_claimed(&self, listener: usize, socket: OwnedFd) {
        let Some(server) = self.server(listener) else {
            return self.count_closed(self.slot);
        };
        self.counted.set(true);
        if let Err(error) = server.serve_accepted(socket) {
            tracing::debug!("a connection that another worker accepted is gone: {error}");
        }
        // It was gone before it could be opened.
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

    /// Accepts the connections that wait now.
    pub(crate) fn accept_waiting(&self) {
        for server in self.servers() {
            server.accept_waiting();
        }
    }

    /// Corrects the shared count of this worker's connections, once in a while.
    ///
    /// It includes those that others have offered. Where a worker dies meanwhile, nobody takes those back.
    pub(crate) fn correct_count(&self) {
        let word = self.memory.slot(self.slot).word(Gauge::Connections);
        let (count, open) = (word.load(Relaxed), self.open.get());
        if count < open {
            word.fetch_add(open - count, Relaxed);
        }
        let (least, looks) = self.excess.get();
        let least = least.min(count.saturating_sub(open));
        if looks + 1 < LOOKS {
            return self.excess.set((least, looks + 1));
        }
        // What was there at each look is no offer, which is claimed or taken back soon.
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

    /// Returns the worker that should serve the next connection, if it is not this one.
    fn choose(&self) -> Option<usize> {
        self.forget_claimed();
        let own = self.connections(self.slot);
        let on_the_way = self.offered.borrow().len() + self.pending.borrow().len();
        let slot = self.memory.slot(self.slot);
        if own < SLACK || on_the_way >= OFFERS || slot.state() != State::Ready {
            return None;
        }
        let generation = slot.get(Gauge::Generation);
        let mut candidates = self.candidates.borrow_mut();
        candidates.clear();
        self.peers.list(&mut candidates);
        let now = now();
        let distrusted = self.distrusted.borrow();
        candidates.retain(|slot| {
            let peer = self.memory.slot(*slot);
            *slot != self.slot
                && peer.state() == State::Ready
                && peer.get(Gauge::Generation) == generation
                && !distrusted
                    .iter()
                    .any(|known| known.slot == *slot && now < known.until)
        });
        let count = candidates.len() as u64;
        if count == 0 {
            return None;
        }
        // Two that differ, unless there is one only.
        let first = self.next_random() % count;
        let step = 1 + self.next_random() % (count - 1).max(1);
        let one = candidates[first as usize];
        let other = candidates[((first + step) % count) as usize];
        let lesser = match self.connections(one) <= self.connections(other) {
            true => one,
            false => other,
        };
        let least = self.connections(lesser);
        let slack = SLACK.max(least / SLACK_SHARE);
        (own >= least + slack).then_some(lesser)
    }

    /// Closes the duplicates of claimed connections, and makes room for further offers. Those behind one that is not claimed yet stay,
    /// as their flags are in use in turn.
    fn forget_claimed(&self) {
        loop {
            let mut offered = self.offered.borrow_mut();
            match offered.front() {
                Some((_, first)) if first.is_claimed(&self.memory, self.slot) => {}
                _ => break,
            }
            if let Some((_, claimed)) = offered.pop_front() {
                drop(offered);
                self.trust(claimed.target());
            }
        }
    }

    /// Notes that a worker did not claim an offer.
    fn distrust(&self, slot: usize) {
        let mut distrusted = self.distrusted.borrow_mut();
        let known = distrusted.iter().position(|known| known.slot == slot);
        let wait = known.map_or(FIRST_DISTRUST, |at| distrusted.swap_remove(at).next);
        distrusted.push(Distrust {
            slot,
            until: now() + wait,
            next: (wait * 2).min(LONGEST_DISTRUST),
        });
    }

    /// Notes that a worker claimed an offer.
    fn trust(&self, slot: usize) {
        let mut distrusted = self.distrusted.borrow_mut();
        distrusted.retain(|known| known.slot != slot);
    }

    fn pass_on(self: &Rc<Self>) {
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
        self.arm();
    }

    fn arm(self: &Rc<Self>) {
        if !self.offered.borrow().is_empty() && !self.armed.replace(true) {
            let sharing = Rc::clone(self);
            add_timer(CHECK_INTERVAL, move || sharing.check_claims());
        }
    }

    /// Serves a connection here that another worker was to serve.
    fn take_back(&self, offer: Offer) {
        let Offer {
            target,
            listener,
            socket,
        } = offer;
        self.count_closed(target);
        self.distrust(target);
        let Some(server) = self.server(listener) else {
            return;
        };
        if let Err(error) = server.serve_accepted(socket) {
            tracing::debug!("a connection that no other worker claimed is gone: {error}");
        }
    }

    /// Takes back all that is not claimed: the worker is about to stop serving new connections.
    pub(crate) fn withdraw(&self) {
        let offered = self.offered.take();
        for (_, offered) in offered {
            if let Some(offer) = offered.reclaim(&self.memory, self.slot) {
                self.take_back(offer);
            }
        }
    }

    /// Closes the duplicates of claimed connections, and takes back those not claimed in time.
    fn check_claims(self: &Rc<Self>) {
        self.armed.set(false);
        self.forget_claimed();
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
                None => self.trust(target),
            }
        }
        self.arm();
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
struct OfListener {
    sharing: Rc<Sharing>,
    listener: usize,
}

impl Balancer for OfListener {
    fn place(&self, _server: Server, socket: OwnedFd) -> Option<OwnedFd> {
        let sharing = &self.sharing;
        sharing
            .memory
            .place(sharing.place)
            .add(Counter::Accepted, 1);
        let Some(target) = sharing.choose() else {
            return Some(socket);
        };
        // Counted for the other worker at once, so that the next decision sees it.
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
            self.sharing.pass_on();
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

    impl Peers for Alone {
        fn list(&self, _: &mut Vec<usize>) {}

        fn offer(&self, _: usize, offers: Vec<Offer>) -> (Vec<Offer>, Vec<Offered>) {
            (offers, Vec::new())
        }
    }

    #[test]
    fn the_count_of_connections_is_corrected_when_offers_were_lost() {
        let memory = Arc::new(Memory::create(1).unwrap());
        let slot = memory.assign(0, 1, 4711).unwrap();
        let sharing = Sharing::new(&memory, 0, slot, Box::new(Alone));
        let balancer = sharing.balancer(0);
        let count = memory.slot(slot).word(Gauge::Connections);
        for _ in 0..3 {
            balancer.opened();
        }
        assert_eq!(count.load(Relaxed), 3);
        // Three that are never claimed, and some that are on the way at each look.
        for on_the_way in 0..u64::from(LOOKS) {
            count.store(6 + on_the_way, Relaxed);
            sharing.correct_count();
        }
        assert_eq!(
            count.load(Relaxed),
            6 + 3 - 3,
            "those on the way still count"
        );
        count.store(1, Relaxed);
        sharing.correct_count();
        assert_eq!(count.load(Relaxed), 3);
        balancer.closed();
        assert_eq!(count.load(Relaxed), 2);
    }
}
