//! Message numbers that are unique among workers and grow with time.

/// The number of low bits that name the worker. Numbers are unique among the workers of one machine, and with a high probability among those of
/// several.
const WORKER_BITS: u32 = 12;
/// The start of 2020, in milliseconds since 1970. For 69 years from then, JavaScript represents the numbers exactly (53 bits).
const EPOCH_START: u64 = 1_577_836_800_000;

/// Returns the difference of two numbers that are `count` milliseconds apart.
pub(crate) const fn milliseconds(count: u64) -> u64 {
    count << WORKER_BITS
}

/// A hybrid logical clock: it follows the wall clock, and is always later than every number that it has returned or observed. So a
/// reply has a higher number than the message it replies to.
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

    /// Returns the next number. `unix` is the time in milliseconds since 1970.
    pub(crate) fn next(&mut self, unix: u64) -> u64 {
        self.last = unix.saturating_sub(EPOCH_START).max(self.last + 1);
        milliseconds(self.last) | self.worker
    }

    /// Takes a number of another worker into account.
    pub(crate) fn observe(&mut self, number: u64) {
        self.last = self.last.max(number >> WORKER_BITS);
    }
}

/// Returns the low bits of the numbers of a worker.
fn of(worker: u64) -> u64 {
    // The ids of workers on one machine differ in their low bits, those on different machines also in the high ones.
    let folded = (0..64).step_by(16).map(|bits| worker >> bits);
    folded.fold(0, std::ops::BitXor::bitxor) % (1 << WORKER_BITS)
}

/// Returns whether the low bits of a number identify a worker.
pub(crate) fn is_of(number: u64, worker: u64) -> bool {
    number % (1 << WORKER_BITS) == of(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_while_the_wall_clock_stands_or_goes_back() {
        let mut clock = Clock::new(3);
        let numbers = [5, 5, 4, 9].map(|time| clock.next(EPOCH_START + time));
        assert_eq!(numbers.map(|number| number >> WORKER_BITS), [5, 6, 7, 9]);
        assert!(numbers.iter().all(|number| is_of(*number, 3)));
    }

    #[test]
    fn a_reply_has_a_higher_number_than_the_message_it_replies_to() {
        let (mut early, mut late) = (Clock::new(1), Clock::new(0));
        let question = early.next(EPOCH_START + 100);
        late.observe(question);
        assert!(late.next(EPOCH_START + 50) > question);
    }

    #[test]
    fn workers_with_the_same_place_on_different_machines_return_different_numbers() {
        let numbers =
            [0x1234_0000, 0x1235_0000].map(|group| Clock::new(group + 1).next(EPOCH_START));
        assert_ne!(numbers[0], numbers[1]);
        assert!(is_of(numbers[0], 0x1234_0001) && !is_of(numbers[0], 0x1235_0001));
    }

    #[test]
    fn workers_return_different_numbers_at_the_same_time() {
        let numbers = [0, 1, 4095].map(|worker| Clock::new(worker).next(EPOCH_START + 7));
        assert!(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
    }
}
