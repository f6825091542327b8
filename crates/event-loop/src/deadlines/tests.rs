use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3600 * SECOND;

fn expire(wheel: &mut Wheel, now: u64) -> Vec<u64> {
    let mut tokens = Vec::new();
    wheel.expire(now, &mut tokens);
    tokens
}

#[test]
fn a_deadline_expires_at_the_tick_after_it_and_not_before() {
    let mut wheel = Wheel::new();
    wheel.arm(7, SECOND + 1).unwrap();
    wheel.arm(8, SECOND).unwrap();
    assert_eq!(expire(&mut wheel, SECOND - 1), []);
    assert_eq!(expire(&mut wheel, SECOND), [8]);
    assert_eq!(expire(&mut wheel, SECOND + TICK - 1), []);
    assert_eq!(expire(&mut wheel, SECOND + TICK), [7]);
    assert_eq!(wheel.next_wakeup(), None);
}

#[test]
fn a_single_deadline_wakes_the_loop_once_at_any_distance() {
    for deadline in [SECOND, 60 * SECOND, HOUR, 1000 * HOUR, 100_000 * HOUR] {
        let mut wheel = Wheel::new();
        expire(&mut wheel, 12_345 * TICK);
        let deadline = 12_345 * TICK + deadline;
        wheel.arm(u64::MAX, deadline).unwrap();
        assert_eq!(wheel.next_wakeup(), Some(deadline));
        assert_eq!(expire(&mut wheel, deadline), [u64::MAX]);
    }
}

#[test]
fn disarmed_deadlines_wake_the_loop_at_most_once_on_each_level() {
    let mut wheel = Wheel::new();
    for n in 0..1000 {
        let disarmed = wheel.arm(n, HOUR - n * SECOND).unwrap();
        wheel.arm(n, HOUR).unwrap();
        wheel.disarm(disarmed);
    }
    let mut tokens = Vec::new();
    let mut wakeups = 0;
    while let Some(now) = wheel.next_wakeup() {
        wheel.expire(now, &mut tokens);
        wakeups += 1;
    }
    assert_eq!(tokens.len(), 1000);
    assert!(wakeups <= LEVELS, "{wakeups}");
}

#[test]
fn a_disarmed_deadline_does_not_expire() {
    let mut wheel = Wheel::new();
    let first = wheel.arm(1, SECOND).unwrap();
    wheel.arm(2, SECOND).unwrap();
    let far = wheel.arm(3, HOUR).unwrap();
    wheel.disarm(first);
    wheel.disarm(first);
    assert_eq!(expire(&mut wheel, SECOND), [2]);
    wheel.disarm(far);
    assert_eq!(wheel.next_wakeup(), None);
    assert_eq!(expire(&mut wheel, 2 * HOUR), []);
}

#[test]
fn a_deadline_in_the_past_expires_with_the_next_tick() {
    let mut wheel = Wheel::new();
    assert_eq!(expire(&mut wheel, HOUR), []);
    wheel.arm(1, 0).unwrap();
    assert_eq!(expire(&mut wheel, HOUR), []);
    assert_eq!(wheel.next_wakeup(), Some(HOUR + TICK));
    assert_eq!(expire(&mut wheel, HOUR + TICK), [1]);
}

#[test]
fn disarming_an_expired_deadline_leaves_newer_deadlines_alone() {
    let mut wheel = Wheel::new();
    let expired = wheel.arm(1, SECOND).unwrap();
    assert_eq!(expire(&mut wheel, SECOND), [1]);
    let newer = wheel.arm(2, 2 * SECOND).unwrap();
    assert_ne!(expired, newer);
    wheel.disarm(expired);
    assert_eq!(expire(&mut wheel, 2 * SECOND), [2]);
}

#[test]
fn a_deadline_at_the_end_of_time_never_expires() {
    let mut wheel = Wheel::new();
    let never = wheel.arm(1, u64::MAX).unwrap();
    assert_eq!(wheel.next_wakeup(), None);
    wheel.arm(2, HOUR).unwrap();
    assert_eq!(wheel.next_wakeup(), Some(HOUR));
    assert_eq!(expire(&mut wheel, u64::MAX), [2]);
    wheel.disarm(never);
    wheel.disarm(NONE);
    assert_eq!(wheel.next_wakeup(), None);
}

#[test]
fn memory_is_released_when_the_deadlines_are_gone() {
    assert_eq!(size_of::<DeadlineNode>(), 20);
    let mut wheel = Wheel::new();
    let survivor = wheel.arm(0, HOUR).unwrap();
    let slots: Vec<u32> = (1..100_000)
        .map(|n| wheel.arm(n, n * TICK / 7).unwrap())
        .collect();
    for slot in &slots[50_000..] {
        wheel.disarm(*slot);
    }
    assert!(
        wheel.nodes.capacity() < 200_100,
        "{}",
        wheel.nodes.capacity()
    );
    assert_eq!(expire(&mut wheel, HOUR - 1).len(), 50_000);
    assert_eq!(expire(&mut wheel, HOUR - 1).len(), 0);
    assert!(
        wheel.nodes.capacity() <= 4 * SPARE,
        "{}",
        wheel.nodes.capacity()
    );
    wheel.disarm(survivor);
    assert_eq!(
        (wheel.nodes.len(), wheel.vacant.0, wheel.expired.0),
        (0, NONE, NONE)
    );
}

#[derive(Clone, Debug)]
enum Step {
    /// Arms a deadline this long after the current time.
    Arm(u64),
    /// Disarms an armed deadline or one of those that expired last.
    Disarm(prop::sample::Index),
    /// Advances the time.
    Advance(u64),
    /// Advances the time to the next wake-up of the wheel.
    Sleep,
}

fn step() -> impl Strategy<Value = Step> {
    let span = prop_oneof![
        3 => 0..3 * TICK,
        4 => 0..20 * SECOND,
        3 => 0..20 * 60 * SECOND,
        2 => 0..20 * HOUR,
        1 => any::<u64>(),
    ];
    prop_oneof![
        5 => span.prop_map(Step::Arm),
        3 => any::<prop::sample::Index>().prop_map(Step::Disarm),
        1 => prop_oneof![4 => 0..3 * TICK, 4 => 0..30 * SECOND, 1 => 0..10 * HOUR].prop_map(Step::Advance),
        1 => Just(Step::Sleep),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    slot: u32,
    token: u64,
    deadline: u64,
    /// Time of the last `expire` before the deadline was armed.
    since: u64,
}

impl Armed {
    /// Returns the tick at which the deadline expires; `None` if it is too far away.
    fn tick(&self) -> Option<u64> {
        let tick = self.deadline.div_ceil(TICK).max(self.since / TICK + 1);
        (tick < u64::from(NEVER)).then_some(tick)
    }
}

proptest! {
    #[test]
    fn deadlines_expire_in_order_never_early_and_at_most_one_tick_late(
        start in prop_oneof![Just(0), 0..1_000_000 * HOUR / 10],
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut wheel = Wheel::new();
        let mut armed: Vec<Armed> = Vec::new();
        let mut expired: Vec<Armed> = Vec::new();
        let mut now = start;
        let mut disarmed = false;
        prop_assert_eq!(expire(&mut wheel, now), []);
        for (step, token) in steps.into_iter().zip(u64::MAX / 2..) {
            let target = match step {
                Step::Arm(span) => {
                    let deadline = now.saturating_add(span);
                    let slot = wheel.arm(token, deadline).unwrap();
                    armed.push(Armed { slot, token, deadline, since: now });
                    None
                }
                Step::Disarm(at) => {
                    let all = armed.len() + expired.len();
                    let at = if all == 0 { continue } else { at.index(all) };
                    if at < armed.len() {
                        wheel.disarm(armed.remove(at).slot);
                        disarmed = true;
                    } else {
                        wheel.disarm(expired[at - armed.len()].slot);
                    }
                    None
                }
                Step::Advance(span) => Some(now + span),
                Step::Sleep => wheel.next_wakeup(),
            };
            if let Some(target) = target {
                now = target;
                let tokens = expire(&mut wheel, now);
                let is_due = |one: &Armed| one.tick().is_some_and(|tick| tick <= now / TICK);
                (expired, armed) = armed.into_iter().partition(is_due);
                expired.sort_by_key(Armed::tick);
                prop_assert_eq!(tokens, expired.iter().map(|one| one.token).collect::<Vec<_>>());
                prop_assert!(expired.iter().all(|one| one.deadline <= now));
                let late = |one: &Armed| one.deadline.max(one.since).saturating_add(TICK) <= now;
                prop_assert!(!armed.iter().any(late));
            }
            let next = armed.iter().filter_map(Armed::tick).min().map(|tick| tick * TICK);
            let wakeup = wheel.next_wakeup();
            prop_assert!(wakeup.is_none_or(|at| at > now));
            if disarmed {
                prop_assert!(next.is_none_or(|next| wakeup.is_some_and(|at| at <= next)));
            } else {
                prop_assert_eq!(wakeup, next);
            }
        }
    }
}
