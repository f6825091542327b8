//! Numbers for messages that no other worker gives, and that are in the order of time.

/// The lowest bits of a number: the worker. Up to 4096 workers give different numbers.
const WORKER_BITS: u32 = 12;
/// The beginning of 2020, in milliseconds since 1970. From there on, a number is exact in JavaScript (53 bits) for 69 years.
const BEGINNING: u64 = 1_577_836_800_000;

/// The distance of numbers that are so many milliseconds apart.
pub(crate) const fn milliseconds(count: u64) -> u64 {
    count << WORKER_BITS
}

/// A hybrid clock: it shows the time, but never one at or before that of a number that this worker has given or learned of. So an
/// answer has a higher number than what it answers.
#[derive(Debug)]
pub(crate) struct Clock {
    worker: u64,
    last: u64,
}

impl Clock {
    pub(crate) fn new(worker: u64) -> Clock {
        let worker = of(worker);
        Clock { worker, last: 0 }
    }

    /// Gives a number, at a time in milliseconds since 1970.
    pub(crate) fn next(&mut self, unix: u64) -> u64 {
        self.last = unix.saturating_sub(BEGINNING).max(self.last + 1);
        milliseconds(self.last) | self.worker
    }

    /// Learns of the number of another worker.
    pub(crate) fn observe(&mut self, number: u64) {
        self.last = self.last.max(number >> WORKER_BITS);
    }
}

/// What the numbers of a worker have in common.
fn of(worker: u64) -> u64 {
    worker % (1 << WORKER_BITS)
}

/// Whether a number may be one of a worker.
pub(crate) fn is_of(number: u64, worker: u64) -> bool {
    of(number) == of(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_while_the_time_stands_or_goes_back() {
        let mut clock = Clock::new(3);
        let numbers = [5, 5, 4, 9].map(|time| clock.next(BEGINNING + time));
        assert_eq!(numbers.map(|number| number >> WORKER_BITS), [5, 6, 7, 9]);
        assert!(numbers.iter().all(|number| is_of(*number, 3)));
    }

    #[test]
    fn an_answer_has_a_higher_number_than_what_it_answers() {
        let (mut early, mut late) = (Clock::new(1), Clock::new(0));
        let question = early.next(BEGINNING + 100);
        late.observe(question);
        assert!(late.next(BEGINNING + 50) > question);
    }

    #[test]
    fn workers_give_different_numbers_at_the_same_time() {
        let numbers = [0, 1, 4095].map(|worker| Clock::new(worker).next(BEGINNING + 7));
        assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
    }
}
