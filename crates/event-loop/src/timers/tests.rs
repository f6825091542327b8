use std::collections::BTreeMap;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

fn once<T>(_: &T) -> bool {
    false
}

fn periodic<T>(_: &T) -> bool {
    true
}

/// Runs a pass over the due timers, and returns their values.
fn fire<T>(timers: &mut Timers<T>, now: u64) -> Vec<T> {
    let cut = timers.cut();
    std::iter::from_fn(|| timers.pop_due(now, cut, once))
        .map(|(_, value)| value)
        .collect()
}

/// Returns the number of entries for which the queue has memory.
fn capacity<T>(timers: &Timers<T>) -> usize {
    timers.queue.measure().1
}

#[test]
fn timers_fire_by_deadline_and_equal_ones_in_the_order_of_arming() {
    let mut timers = Timers::new();
    for (deadline, value) in [(20, 'c'), (10, 'a'), (20, 'd'), (10, 'b'), (30, 'e')] {
        timers.insert(deadline, value).unwrap();
    }
    assert_eq!(timers.next_deadline(), Some(10));
    assert_eq!(fire(&mut timers, 9), []);
    assert_eq!(fire(&mut timers, 20), ['a', 'b', 'c', 'd']);
    assert_eq!(timers.next_deadline(), Some(30));
    assert_eq!(timers.len(), 1);
}

#[test]
fn a_cancelled_timer_does_not_fire_and_no_longer_counts_as_next() {
    let mut timers = Timers::new();
    let first = timers.insert(1, "first").unwrap();
    timers.insert(2, "second").unwrap();
    assert_eq!(timers.remove(first), Some("first"));
    assert_eq!(timers.remove(first), None);
    assert_eq!(timers.next_deadline(), Some(2));
    assert_eq!(fire(&mut timers, 5), ["second"]);
    assert!(timers.is_empty());
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn a_timer_that_has_fired_is_unknown() {
    let mut timers = Timers::new();
    let id = timers.insert(1, ()).unwrap();
    assert_eq!(fire(&mut timers, 1).len(), 1);
    assert!(!timers.contains(id));
    assert_eq!(timers.remove(id), None);
    assert_eq!(timers.rearm(id, 7, ()), Err(()));
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn a_timer_armed_during_a_pass_waits_for_the_next_one_even_if_it_is_overdue() {
    let mut timers = Timers::new();
    timers.insert(10, 'a').unwrap();
    timers.insert(30, 'b').unwrap();
    let cut = timers.cut();
    assert_eq!(
        timers.pop_due(40, cut, once).map(|(_, value)| value),
        Some('a')
    );
    timers.insert(20, 'c').unwrap();
    let cancelled = timers.insert(25, 'd').unwrap();
    assert_eq!(
        timers.pop_due(40, cut, once).map(|(_, value)| value),
        Some('b')
    );
    timers.remove(cancelled);
    assert_eq!(timers.next_deadline(), Some(20));
    assert_eq!(timers.pop_due(40, cut, once), None);
    assert_eq!(fire(&mut timers, 40), ['c']);
}

#[test]
fn a_timer_cancelled_earlier_in_the_pass_does_not_fire() {
    let mut timers = Timers::new();
    timers.insert(1, 'a').unwrap();
    let second = timers.insert(1, 'b').unwrap();
    timers.insert(1, 'c').unwrap();
    let cut = timers.cut();
    assert_eq!(
        timers.pop_due(1, cut, once).map(|(_, value)| value),
        Some('a')
    );
    timers.remove(second);
    assert_eq!(
        timers.pop_due(1, cut, once).map(|(_, value)| value),
        Some('c')
    );
    assert_eq!(timers.pop_due(1, cut, once), None);
}

#[test]
fn a_periodic_timer_keeps_its_id_and_queues_behind_those_with_the_same_deadline() {
    let mut timers = Timers::new();
    let id = timers.insert(10, "periodic").unwrap();
    timers.insert(20, "once").unwrap();
    let cut = timers.cut();
    assert_eq!(timers.pop_due(10, cut, periodic), Some((id, "periodic")));
    assert!(timers.contains(id));
    assert_eq!(timers.len(), 2);
    assert_eq!(timers.rearm(id, 20, "periodic again"), Ok(()));
    assert_eq!(timers.pop_due(10, cut, periodic), None);
    assert_eq!(fire(&mut timers, 20), ["once", "periodic again"]);
}

#[test]
fn a_periodic_timer_cancelled_while_it_runs_is_not_armed_again() {
    let mut timers = Timers::new();
    let id = timers.insert(10, 'p').unwrap();
    let cut = timers.cut();
    let (_, value) = timers.pop_due(10, cut, periodic).unwrap();
    assert_eq!(timers.remove(id), None);
    assert!(!timers.contains(id));
    assert_eq!(timers.rearm(id, 20, value), Err('p'));
    assert!(timers.is_empty());
    assert_eq!(timers.next_deadline(), None);
}

#[test]
fn the_end_of_time_is_a_deadline_like_any_other() {
    let mut timers = Timers::with_queue(Ladder::with_max_bucket(4));
    for value in 0..100 {
        timers.insert(u64::MAX - value % 3, value).unwrap();
    }
    assert_eq!(fire(&mut timers, u64::MAX - 3), []);
    assert_eq!(timers.next_deadline(), Some(u64::MAX - 2));
    let expected: Vec<u64> = [2, 1, 0]
        .iter()
        .flat_map(|least| (0..100).filter(move |n| n % 3 == *least))
        .collect();
    assert_eq!(fire(&mut timers, u64::MAX), expected);
}

#[test]
fn a_cancelled_timers_value_is_dropped_at_once() {
    let mut timers = Timers::new();
    let value = Rc::new(());
    let id = timers.insert(1000, Rc::clone(&value)).unwrap();
    timers.insert(1, Rc::clone(&value)).unwrap();
    drop(timers.remove(id));
    assert_eq!(Rc::strong_count(&value), 2);
    drop(timers);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn repeated_arming_and_cancelling_does_not_grow_the_memory() {
    let mut timers = Timers::new();
    timers.insert(1, 0).unwrap();
    for n in 0..100_000 {
        let id = timers.insert(1_000_000 + n, n).unwrap();
        timers.remove(id);
        assert!(timers.queue.len() <= 2 * timers.len() + SPARE);
    }
    assert!(capacity(&timers) < 1000, "{}", capacity(&timers));
}

#[test]
fn memory_is_released_when_most_timers_are_cancelled() {
    let mut timers = Timers::new();
    let ids: Vec<Id> = (0..50_000)
        .map(|n| timers.insert(n % 7919, n).unwrap())
        .collect();
    assert!(capacity(&timers) >= 50_000);
    for id in &ids[10..] {
        timers.remove(*id);
    }
    assert_eq!(timers.len(), 10);
    assert!(capacity(&timers) < 2000, "{}", capacity(&timers));
    assert_eq!(fire(&mut timers, 8000), (0..10).collect::<Vec<u64>>());
}

#[test]
fn many_timers_fire_sorted_with_any_distribution() {
    type Spread = fn(u64) -> u64;
    let spreads: [Spread; 5] = [
        |random| random % 3_600_000_000_000,
        |random| random % 100,
        |random| 1 << (random % 64),
        |_| 7,
        |random| random,
    ];
    for spread in spreads {
        let mut timers = Timers::new();
        let mut random = 88_172_645_463_325_252_u64;
        let mut expected = Vec::new();
        for n in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            expected.push((spread(random), n));
            timers.insert(spread(random), (spread(random), n)).unwrap();
        }
        expected.sort_unstable();
        assert_eq!(fire(&mut timers, u64::MAX), expected);
    }
}

#[test]
fn timers_armed_from_the_latest_to_the_earliest_fire_sorted() {
    let mut timers = Timers::new();
    for n in (0..20_000_u64).rev() {
        timers.insert(n * 1000, n).unwrap();
        assert_eq!(timers.next_deadline(), Some(n * 1000));
    }
    assert_eq!(
        fire(&mut timers, u64::MAX),
        (0..20_000).collect::<Vec<u64>>()
    );
}

/// An operation on the store. A timer is identified by its index among all timers ever armed.
#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Remove(prop::sample::Index),
}

/// A pass over the due timers. After each timer the next of the operations runs, as in a callback. The
/// timers that are left after `stop_after` timers wait for a later pass.
#[derive(Clone, Debug)]
struct Pass {
    now: u64,
    periods: Vec<Option<u64>>,
    during: Vec<Step>,
    stop_after: usize,
}

fn deadline() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..20_u64,
        3 => 0..5_000_u64,
        1 => any::<u64>(),
        1 => u64::MAX - 2..=u64::MAX,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => deadline().prop_map(Step::Insert),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

fn pass() -> impl Strategy<Value = Pass> {
    let periods = prop::collection::vec(prop::option::of(deadline()), 1..4);
    let during = prop::collection::vec(step(), 0..6);
    let stop_after = prop_oneof![Just(usize::MAX), 0..4_usize];
    (deadline(), periods, during, stop_after).prop_map(|(now, periods, during, stop_after)| Pass {
        now,
        periods,
        during,
        stop_after,
    })
}

/// The store and its model: armed timers by deadline and sequence number.
struct StoreAndModel {
    timers: Timers<usize>,
    armed: BTreeMap<(u64, u64), usize>,
    /// All ids ever returned; the value of a timer is its index here.
    ids: Vec<Id>,
    running: Option<usize>,
    next_seq: u64,
}

impl StoreAndModel {
    fn arm(&mut self, deadline: u64, value: usize) {
        self.armed.insert((deadline, self.next_seq), value);
        self.next_seq += 1;
    }

    fn disarm(&mut self, value: usize) -> bool {
        let found = self
            .armed
            .iter()
            .find(|(_, armed)| **armed == value)
            .map(|(key, _)| *key);
        found.is_some_and(|key| self.armed.remove(&key).is_some())
    }

    fn apply(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Insert(deadline) => {
                let value = self.ids.len();
                self.ids.push(self.timers.insert(*deadline, value).unwrap());
                self.arm(*deadline, value);
            }
            Step::Remove(at) if !self.ids.is_empty() => {
                let value = at.index(self.ids.len());
                let removed = self.timers.remove(self.ids[value]);
                prop_assert_eq!(removed, self.disarm(value).then_some(value));
                self.running = self.running.filter(|running| *running != value);
            }
            Step::Remove(_) => {}
        }
        self.check()
    }

    fn pass(&mut self, pass: &Pass) -> Result<(), TestCaseError> {
        let (cut, cut_seq) = (self.timers.cut(), self.next_seq);
        for turn in 0..pass.stop_after {
            let period = pass.periods[turn % pass.periods.len()];
            let popped = self.timers.pop_due(pass.now, cut, |_| period.is_some());
            let due = |key: &(u64, u64)| key.0 <= pass.now && key.1 < cut_seq;
            let expected = self.armed.keys().find(|key| due(key)).copied();
            let expected = expected.and_then(|key| self.armed.remove(&key));
            prop_assert_eq!(popped, expected.map(|value| (self.ids[value], value)));
            let Some(value) = expected else { break };
            self.running = period.map(|_| value);
            self.check()?;
            if let Some(step) = pass.during.get(turn) {
                self.apply(step)?;
            }
            if let Some(deadline) = period {
                let armed = self.timers.rearm(self.ids[value], deadline, value).is_ok();
                prop_assert_eq!(armed, self.running.take().is_some());
                if armed {
                    self.arm(deadline, value);
                }
            }
            self.check()?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(
            self.timers.len(),
            self.armed.len() + usize::from(self.running.is_some())
        );
        prop_assert_eq!(
            self.timers.next_deadline(),
            self.armed.keys().next().map(|key| key.0)
        );
        prop_assert_eq!(self.timers.queue.len(), self.timers.queue.measure().0);
        let entries = self.timers.queue.len() + self.timers.aside.len();
        prop_assert!(entries >= self.armed.len() && entries <= 2 * self.armed.len() + SPARE);
        Ok(())
    }
}

proptest! {
    #[test]
    fn the_store_behaves_like_a_sorted_map(
        max_bucket in 1..20_usize,
        first in prop::collection::vec(deadline(), 0..200),
        steps in prop::collection::vec((prop::collection::vec(step(), 0..30), pass()), 0..12),
    ) {
        let timers = Timers::with_queue(Ladder::with_max_bucket(max_bucket));
        let armed = BTreeMap::new();
        let mut model = StoreAndModel { timers, armed, ids: Vec::new(), running: None, next_seq: 0 };
        for deadline in first {
            model.apply(&Step::Insert(deadline))?;
        }
        for (steps, pass) in steps {
            for step in steps {
                model.apply(&step)?;
            }
            model.pass(&pass)?;
        }
        let rest: Vec<usize> = model.armed.values().copied().collect();
        prop_assert_eq!(fire(&mut model.timers, u64::MAX), rest);
        prop_assert!(model.timers.is_empty());
    }
}
