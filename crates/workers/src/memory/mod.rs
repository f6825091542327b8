//! Counters and gauges of all workers, in shared memory.
//!
//! A *place* is a worker's number, which its replacements keep; its counters never decrease. A *slot* belongs to one worker
//! process or thread for its lifetime. The master assigns the slots. Only their owner writes to them, except for the flags of
//! offered connections.

mod mapping;

use std::fmt;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Relaxed},
};
use std::time::Duration;

use mapping::Mapping;
use uptick_event_loop::Histogram;

/// The layout version. A new program does not use the memory of an old one with a different layout.
const LAYOUT: u64 = 0x7570_7469_636b_0002;

const HEADER_WORDS: usize = 8;
const PLACE_WORDS: usize = 80;
const SLOT_WORDS: usize = 96;

/// The owner of a slot while a master assigns or frees it.
const CHANGING: u64 = u64::MAX;

/// The maximum number of workers.
pub(crate) const MAX_PLACES: usize = 1024;

/// The maximum number of connections that a worker has offered to others at the same time.
pub(crate) const OFFERS: usize = 64;

/// The number of words of a [`Histogram`]: its buckets, and its sum in nanoseconds.
const HISTOGRAM_WORDS: usize = 17;

/// The counters of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Counter {
    Restarts,
    Accepted,
    Requests2xx,
    Requests3xx,
    Requests4xx,
    Requests5xx,
    BusPublished,
    BusReceived,
    BusDropped,
    MessagesDropped,
    Handshakes,
    Resumptions,
    HandshakeFailures,
    /// The first word of the histograms.
    Histograms,
}

/// The histograms of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum HistogramKind {
    LoopLag,
    Handlers,
    Pings,
}

/// The gauges of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Gauge {
    /// The process id of the owner; 0 if the slot is free.
    Pid,
    Place,
    Generation,
    WorkerState,
    /// Time of the last heartbeat, in milliseconds of the system's monotonic clock.
    Beat,
    Connections,
    WebSockets,
    Requests,
    /// The first word of the flags of offered connections.
    Offers,
}

/// The state of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkerState {
    Starting,
    Ready,
    Draining,
}

impl WorkerState {
    fn from_word(word: u64) -> WorkerState {
        match word {
            1 => WorkerState::Ready,
            2 => WorkerState::Draining,
            _ => WorkerState::Starting,
        }
    }
}

/// The memory shared by a master and its workers.
pub(crate) struct SharedMemory {
    mapping: Mapping,
    places: usize,
    slots: usize,
}

impl SharedMemory {
    /// Creates memory for `places` places.
    pub(crate) fn create(places: usize) -> io::Result<SharedMemory> {
        let slots = places * 8 + 8;
        let mapping = Mapping::create(HEADER_WORDS + places * PLACE_WORDS + slots * SLOT_WORDS)?;
        let words = mapping.words();
        words[0].store(LAYOUT, Relaxed);
        words[1].store(places as u64, Relaxed);
        words[2].store(slots as u64, Relaxed);
        words[5].store(crate::bus::new_group(), Relaxed);
        Ok(SharedMemory {
            mapping,
            places,
            slots,
        })
    }

    /// Maps the memory that another process created.
    ///
    /// # Errors
    /// `EINVAL` if it has a different layout, because it belongs to another version.
    pub(crate) fn open(file: OwnedFd) -> io::Result<SharedMemory> {
        let mapping = Mapping::open(file)?;
        let words = mapping.words();
        let word = |at: usize| words.get(at).map_or(0, |word| word.load(Relaxed));
        let (places, slots) = (word(1) as usize, word(2) as usize);
        let fits = places <= MAX_PLACES
            && slots == places * 8 + 8
            && words.len() >= HEADER_WORDS + places * PLACE_WORDS + slots * SLOT_WORDS;
        if word(0) != LAYOUT || !fits {
            return Err(rustix::io::Errno::INVAL.into());
        }
        Ok(SharedMemory {
            mapping,
            places,
            slots,
        })
    }

    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.mapping.file()
    }

    /// Returns the number of the serving generation.
    pub(crate) fn generation(&self) -> &'static AtomicU64 {
        &self.mapping.words()[3]
    }

    /// Returns the process id of the master.
    pub(crate) fn master(&self) -> &'static AtomicU64 {
        &self.mapping.words()[4]
    }

    /// Returns the id of the service: the group of its workers on the bus. It survives upgrades of the program.
    pub(crate) fn group(&self) -> u64 {
        self.mapping.words()[5].load(Relaxed)
    }

    pub(crate) fn places(&self) -> usize {
        self.places
    }

    /// Returns the counters of a place; places are counted from 0.
    pub(crate) fn place(&self, index: usize) -> PlaceCounters {
        let start = HEADER_WORDS + index.min(self.places.saturating_sub(1)) * PLACE_WORDS;
        PlaceCounters(&self.mapping.words()[start..start + PLACE_WORDS])
    }

    pub(crate) fn slot(&self, index: usize) -> WorkerSlot {
        let start =
            HEADER_WORDS + self.places * PLACE_WORDS + index.min(self.slots - 1) * SLOT_WORDS;
        WorkerSlot(&self.mapping.words()[start..start + SLOT_WORDS])
    }

    /// Returns the slots that have an owner, with their indices.
    pub(crate) fn owned_slots(&self) -> impl Iterator<Item = (usize, WorkerSlot)> + '_ {
        (0..self.slots)
            .map(|index| (index, self.slot(index)))
            .filter(|(_, slot)| !matches!(slot.get(Gauge::Pid), 0 | CHANGING))
    }

    /// Assigns a free slot to a worker that is about to start; returns `None` if there is none. Only masters call it; during an
    /// upgrade there are several masters.
    pub(crate) fn assign(&self, place: usize, generation: u64, owner: u32) -> Option<usize> {
        let index = (0..self.slots).find(|index| self.slot(*index).change_owner(0, CHANGING))?;
        let slot = self.slot(index);
        slot.clear();
        slot.set(Gauge::Place, place as u64);
        slot.set(Gauge::Generation, generation);
        slot.set(Gauge::Beat, monotonic_milliseconds());
        slot.set(Gauge::Pid, u64::from(owner));
        Some(index)
    }

    /// Frees the slot of a worker that has ended, unless it has another owner by now.
    pub(crate) fn free(&self, index: usize, owner: u32) {
        let slot = self.slot(index);
        if slot.change_owner(u64::from(owner), CHANGING) {
            slot.clear();
            slot.set(Gauge::Pid, 0);
        }
    }
}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMemory")
            .field("places", &self.places)
            .field("slots", &self.slots)
            .finish_non_exhaustive()
    }
}

/// The counters of a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlaceCounters(&'static [AtomicU64]);

impl PlaceCounters {
    pub(crate) fn get(self, counter: Counter) -> u64 {
        self.0[counter as usize].load(Relaxed)
    }

    pub(crate) fn add(self, counter: Counter, count: u64) {
        if count > 0 {
            self.0[counter as usize].fetch_add(count, Relaxed);
        }
    }

    fn times(self, times: HistogramKind) -> &'static [AtomicU64] {
        let start = Counter::Histograms as usize + times as usize * HISTOGRAM_WORDS;
        &self.0[start..start + HISTOGRAM_WORDS]
    }

    /// Adds the counts of a histogram since `last`.
    pub(crate) fn add_times(self, times: HistogramKind, now: &Histogram, last: &Histogram) {
        let words = self.times(times);
        for ((word, now), last) in words.iter().zip(now.counts()).zip(last.counts()) {
            if now > last {
                word.fetch_add(now - last, Relaxed);
            }
        }
        let sum = now.sum().saturating_sub(last.sum()).as_nanos();
        words[HISTOGRAM_WORDS - 1].fetch_add(u64::try_from(sum).unwrap_or(u64::MAX), Relaxed);
    }

    /// Returns the histogram of all workers that had the place.
    pub(crate) fn histogram(self, times: HistogramKind) -> Histogram {
        let words: [u64; HISTOGRAM_WORDS] = {
            let words = self.times(times);
            std::array::from_fn(|at| words[at].load(Relaxed))
        };
        let sum = Duration::from_nanos(words[HISTOGRAM_WORDS - 1]);
        Histogram::from_parts(&words[..HISTOGRAM_WORDS - 1], sum)
    }
}

/// The state of one worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WorkerSlot(&'static [AtomicU64]);

impl WorkerSlot {
    pub(crate) fn get(self, gauge: Gauge) -> u64 {
        self.0[gauge as usize].load(Relaxed)
    }

    pub(crate) fn set(self, gauge: Gauge, value: u64) {
        self.0[gauge as usize].store(value, Relaxed);
    }

    fn change_owner(self, from: u64, to: u64) -> bool {
        let owner = self.word(Gauge::Pid);
        owner.compare_exchange(from, to, AcqRel, Relaxed).is_ok()
    }

    fn clear(self) {
        for word in &self.0[Gauge::Pid as usize + 1..] {
            word.store(0, Relaxed);
        }
    }

    /// Returns the word of a frequently changed gauge.
    pub(crate) fn word(self, gauge: Gauge) -> &'static AtomicU64 {
        &self.0[gauge as usize]
    }

    pub(crate) fn state(self) -> WorkerState {
        WorkerState::from_word(self.get(Gauge::WorkerState))
    }

    pub(crate) fn set_state(self, state: WorkerState) {
        let word = match state {
            WorkerState::Starting => 0,
            WorkerState::Ready => 1,
            WorkerState::Draining => 2,
        };
        self.set(Gauge::WorkerState, word);
    }

    /// Returns the flag of an offered connection.
    pub(crate) fn offer(self, index: usize) -> &'static AtomicU64 {
        &self.0[Gauge::Offers as usize + index % OFFERS]
    }
}

/// Returns the time of the system's monotonic clock, which is the same in all processes.
pub(crate) fn monotonic_milliseconds() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds * 1000 + nanoseconds / 1_000_000
}

const _: () = assert!(Counter::Histograms as usize + 3 * HISTOGRAM_WORDS <= PLACE_WORDS);
const _: () = assert!(Gauge::Offers as usize + OFFERS <= SLOT_WORDS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_free_again_after_its_worker_has_ended() {
        let memory = SharedMemory::create(2).unwrap();
        let first = memory.assign(0, 1, 4711).unwrap();
        let second = memory.assign(1, 1, 4711).unwrap();
        assert_ne!(first, second);
        assert_eq!(memory.owned_slots().count(), 2);
        memory.free(first, 4712);
        assert_eq!(
            memory.owned_slots().count(),
            2,
            "the slot has another owner"
        );
        memory.free(first, 4711);
        assert_eq!(memory.assign(0, 2, 4712), Some(first));
        assert_eq!(memory.slot(first).get(Gauge::Generation), 2);
    }

    #[test]
    fn slots_are_limited() {
        let memory = SharedMemory::create(1).unwrap();
        let assigned = std::iter::from_fn(|| memory.assign(0, 1, 1)).count();
        assert_eq!(assigned, 16);
    }

    #[test]
    fn the_difference_of_two_histograms_is_added() {
        let memory = SharedMemory::create(1).unwrap();
        let place = memory.place(0);
        let mut times = Histogram::new();
        assert_eq!(times.counts().len() + 1, HISTOGRAM_WORDS);
        times.observe(Duration::from_millis(3));
        place.add_times(HistogramKind::Pings, &times, &Histogram::new());
        let before = times;
        times.observe(Duration::from_secs(60));
        place.add_times(HistogramKind::Pings, &times, &before);
        assert_eq!(place.histogram(HistogramKind::Pings), times);
        assert_eq!(place.histogram(HistogramKind::LoopLag).count(), 0);
    }

    #[test]
    fn memory_of_another_layout_is_refused() {
        let memory = SharedMemory::create(1).unwrap();
        memory.mapping.words()[0].store(LAYOUT + 1, Relaxed);
        let file = memory.file().try_clone_to_owned().unwrap();
        assert!(SharedMemory::open(file).is_err());
    }
}
