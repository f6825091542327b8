//! The decisions of a master: which worker is started, drained or killed, and when.
//!
//! A state machine without processes, clocks or sockets. It takes events with the time at which they happened, and produces
//! [`Action`]s. [`next_deadline`](Supervisor::next_deadline) returns when [`tick`](Supervisor::tick) must be called.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::action::{Action, SupervisorPolicy, UnitId};
use super::backoff::RestartBackoff;
use crate::control::DrainCause;

/// A worker that dies later than this after it was ready is replaced at once.
const STABLE_AFTER: Duration = Duration::from_secs(1);

/// The time after the deadline in which workers exit after closing their connections.
const KILL_GRACE: Duration = Duration::from_millis(400);

/// The time the master waits for killed workers to exit: a blocked thread cannot be killed.
const ABANDON_GRACE: Duration = Duration::from_millis(300);

/// The wait before a start is retried after all slots were in use.
const START_RETRY: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq)]
enum UnitState {
    Starting {
        deadline: Instant,
    },
    Ready {
        since: Instant,
    },
    Draining {
        deadline: Instant,
    },
    /// Killed on purpose; its exit is awaited.
    Killed,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    place: usize,
    generation: u64,
    state: UnitState,
    /// `true` once a successor is requested: this worker drains when the successor is ready.
    retiring: bool,
    /// `true` if the worker was killed because it hung or did not become ready.
    failed: bool,
}

#[derive(Clone, Copy, Debug)]
struct PlaceState {
    backoff: RestartBackoff,
    start_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum ServicePhase {
    /// The first generation is starting.
    Starting,
    Serving,
    /// The next generation is starting while this one serves.
    Reloading {
        next: u64,
    },
    Ending {
        /// Time at which all workers are killed or, after that, at which the master ends without them.
        deadline: Instant,
        killed: bool,
        cause: DrainCause,
        in_time: bool,
    },
    Over,
}

/// The state of a master.
#[derive(Debug)]
pub(crate) struct Supervisor {
    policy: SupervisorPolicy,
    phase: ServicePhase,
    generation: u64,
    units: BTreeMap<UnitId, Unit>,
    places: Vec<PlaceState>,
    /// Starts that wait for a free slot, with their places and generations.
    delayed: Vec<(Instant, usize, u64)>,
    early_deaths: u32,
    reload_wanted: bool,
    actions: VecDeque<Action>,
}

impl Supervisor {
    /// Creates the state of a master whose first generation has the given number, and requests its workers.
    pub(crate) fn new(policy: SupervisorPolicy, generation: u64) -> Self {
        let place = PlaceState {
            backoff: RestartBackoff::new(policy.backoff_min, policy.backoff_max),
            start_at: None,
        };
        let actions = (0..policy.places)
            .map(|place| Action::Start { place, generation })
            .collect();
        Supervisor {
            places: vec![place; policy.places],
            policy,
            phase: ServicePhase::Starting,
            generation,
            units: BTreeMap::new(),
            delayed: Vec::new(),
            early_deaths: 0,
            reload_wanted: false,
            actions,
        }
    }

    /// Returns the next action.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns the generation that is serving, or is starting as the first one.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.phase, ServicePhase::Serving)
    }

    pub(crate) fn is_ending(&self) -> bool {
        matches!(self.phase, ServicePhase::Ending { .. } | ServicePhase::Over)
    }

    /// Returns whether a worker is expected to exit.
    pub(crate) fn is_draining(&self, unit: UnitId) -> bool {
        let state = self.units.get(&unit).map(|unit| unit.state);
        matches!(state, Some(UnitState::Draining { .. } | UnitState::Killed))
    }

    pub(crate) fn started(&mut self, unit: UnitId, place: usize, generation: u64, now: Instant) {
        let state = UnitState::Starting {
            deadline: now + self.policy.start_timeout,
        };
        let entry = Unit {
            place,
            generation,
            state,
            retiring: false,
            failed: false,
        };
        self.units.insert(unit, entry);
        if self.is_ending() {
            self.kill(unit);
        }
    }

    /// Handles the failure to start a worker.
    pub(crate) fn start_failed(
        &mut self,
        place: usize,
        generation: u64,
        reason: &str,
        now: Instant,
    ) {
        match self.phase {
            ServicePhase::Reloading { next } if generation == next => {
                self.abort_reload(reason, now)
            }
            ServicePhase::Ending { .. } | ServicePhase::Over => {}
            _ => self.died_early(place, now),
        }
    }

    /// Delays the start of a worker, because too many others have not ended.
    pub(crate) fn delay_start(&mut self, place: usize, generation: u64, now: Instant) {
        if !self.is_ending() {
            self.delayed.push((now + START_RETRY, place, generation));
        }
    }

    /// Handles a worker that is ready.
    pub(crate) fn ready(&mut self, id: UnitId, now: Instant) {
        let Some(unit) = self.units.get_mut(&id) else {
            return;
        };
        if !matches!(unit.state, UnitState::Starting { .. }) {
            return;
        }
        unit.state = UnitState::Ready { since: now };
        let unit = *unit;
        match self.phase {
            ServicePhase::Starting => {
                self.early_deaths = 0;
                if self.is_complete(self.generation) {
                    self.phase = ServicePhase::Serving;
                    let generation = self.generation;
                    self.actions.push_back(Action::Serving {
                        generation,
                        first: true,
                    });
                    self.reload_if_wanted();
                }
            }
            ServicePhase::Reloading { next }
                if unit.generation == next && self.is_complete(next) =>
            {
                self.switch(next, now);
            }
            _ => {}
        }
        self.drain_retiring(unit.place, unit.generation, id, now);
    }

    /// Starts a successor of a worker that has reached one of its limits, or was asked to end.
    pub(crate) fn replace(&mut self, id: UnitId) {
        let Some(unit) = self.units.get_mut(&id) else {
            return;
        };
        let ready = matches!(unit.state, UnitState::Ready { .. });
        if !ready || unit.retiring || unit.generation != self.generation {
            return;
        }
        unit.retiring = true;
        let (place, generation) = (unit.place, unit.generation);
        if !self.is_ending() {
            self.actions.push_back(Action::Start { place, generation });
        }
    }

    /// Kills a worker that has not responded for too long.
    pub(crate) fn hangs(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id) {
            unit.failed = true;
        }
        self.kill(id);
    }

    /// Handles the exit of a worker. `closed_at_deadline` is set if it closed connections at its deadline.
    pub(crate) fn ended(&mut self, id: UnitId, closed_at_deadline: bool, now: Instant) {
        let Some(unit) = self.units.remove(&id) else {
            return;
        };
        match self.phase {
            ServicePhase::Ending {
                ref mut in_time, ..
            } => {
                let expected =
                    matches!(unit.state, UnitState::Draining { .. }) && !closed_at_deadline;
                *in_time &= expected || unit.generation != self.generation;
                self.end_if_empty();
                return;
            }
            ServicePhase::Over => return,
            ServicePhase::Reloading { next } if unit.generation == next => {
                let reason = match unit.state {
                    UnitState::Starting { .. } => "a worker ended before it was ready",
                    _ => "a worker ended before the others were ready",
                };
                self.abort_reload(reason, now);
                return;
            }
            ServicePhase::Starting | ServicePhase::Serving | ServicePhase::Reloading { .. } => {}
        }
        let expected = matches!(unit.state, UnitState::Draining { .. }) && !unit.failed;
        if expected || unit.generation != self.generation || self.has_successor(&unit) {
            return;
        }
        self.actions
            .push_back(Action::Restarted { place: unit.place });
        let place = &mut self.places[unit.place];
        match unit.state {
            UnitState::Ready { since } if now.saturating_duration_since(since) >= STABLE_AFTER => {
                place.backoff.reset();
                let (place, generation) = (unit.place, unit.generation);
                self.actions.push_back(Action::Start { place, generation });
            }
            UnitState::Killed if unit.failed => {
                place.backoff.reset();
                let (place, generation) = (unit.place, unit.generation);
                self.actions.push_back(Action::Start { place, generation });
            }
            _ => self.died_early(unit.place, now),
        }
    }

    /// Starts a new generation that takes over when it is complete. During a reload, one further reload follows it.
    pub(crate) fn reload(&mut self) {
        self.reload_wanted |= !self.is_ending();
        self.reload_if_wanted();
    }

    /// Stops the service: all workers drain. A second call kills them.
    pub(crate) fn stop(&mut self, cause: DrainCause, now: Instant) {
        if self.is_ending() {
            self.kill_all(now);
            return;
        }
        let deadline = now + self.policy.drain;
        self.phase = ServicePhase::Ending {
            deadline: deadline + KILL_GRACE,
            killed: false,
            cause,
            in_time: true,
        };
        self.actions
            .retain(|action| !matches!(action, Action::Start { .. }));
        self.delayed.clear();
        for place in &mut self.places {
            place.start_at = None;
        }
        for id in self.unit_ids() {
            match self.units[&id].state {
                UnitState::Ready { .. } => self.drain(id, cause, now),
                UnitState::Starting { .. } => self.discard(id, cause, now),
                UnitState::Draining { .. } | UnitState::Killed => {}
            }
        }
        self.end_if_empty();
    }

    /// Performs everything that is due.
    pub(crate) fn tick(&mut self, now: Instant) {
        if let ServicePhase::Ending {
            deadline, killed, ..
        } = self.phase
            && now >= deadline
        {
            if killed {
                self.abandon();
            } else {
                self.kill_all(now);
            }
        }
        for id in self.unit_ids() {
            match self.units[&id].state {
                UnitState::Starting { deadline } if now >= deadline => self.hangs(id),
                UnitState::Draining { deadline } if now >= deadline => self.kill(id),
                _ => {}
            }
        }
        let generation = self.generation;
        for (place, state) in self.places.iter_mut().enumerate() {
            if state.start_at.is_some_and(|at| now >= at) {
                state.start_at = None;
                self.actions.push_back(Action::Start { place, generation });
            }
        }
        let due = self.delayed.extract_if(.., |(at, ..)| now >= *at);
        self.actions
            .extend(due.map(|(_, place, generation)| Action::Start { place, generation }));
    }

    /// Returns the time at which [`tick`](Supervisor::tick) must be called.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let units = self.units.values().filter_map(|unit| match unit.state {
            UnitState::Starting { deadline } | UnitState::Draining { deadline } => Some(deadline),
            UnitState::Ready { .. } | UnitState::Killed => None,
        });
        let places = self.places.iter().filter_map(|place| place.start_at);
        let end = match self.phase {
            ServicePhase::Ending { deadline, .. } => Some(deadline),
            _ => None,
        };
        let delayed = self.delayed.iter().map(|(at, ..)| *at);
        units.chain(places).chain(delayed).chain(end).min()
    }
}

impl Supervisor {
    fn unit_ids(&self) -> Vec<UnitId> {
        self.units.keys().copied().collect()
    }

    fn is_complete(&self, generation: u64) -> bool {
        (0..self.policy.places).all(|place| {
            self.units.values().any(|unit| {
                unit.place == place
                    && unit.generation == generation
                    && matches!(unit.state, UnitState::Ready { .. })
            })
        })
    }

    /// Returns whether another worker has the place of `unit`, or is about to be started there.
    fn has_successor(&self, unit: &Unit) -> bool {
        let started = self.units.values().any(|other| {
            let lives = matches!(
                other.state,
                UnitState::Starting { .. } | UnitState::Ready { .. }
            );
            // A worker that waits for a successor itself does not count.
            lives
                && !other.retiring
                && other.place == unit.place
                && other.generation == unit.generation
        });
        let delayed = self
            .delayed
            .iter()
            .any(|(_, place, generation)| (*place, *generation) == (unit.place, unit.generation));
        let asked = self.actions.iter().any(|action| {
            *action
                == Action::Start {
                    place: unit.place,
                    generation: unit.generation,
                }
        });
        started || asked || delayed || self.places[unit.place].start_at.is_some()
    }

    fn died_early(&mut self, place: usize, now: Instant) {
        if self.phase == ServicePhase::Starting {
            self.early_deaths += 1;
            let none_ready = !self
                .units
                .values()
                .any(|unit| matches!(unit.state, UnitState::Ready { .. }));
            if none_ready && self.early_deaths >= self.policy.start_failures {
                self.actions.push_back(Action::GiveUp {
                    deaths: self.early_deaths,
                });
                self.phase = ServicePhase::Ending {
                    deadline: now,
                    killed: false,
                    cause: DrainCause::Stop,
                    in_time: false,
                };
                self.kill_all(now);
                self.end_if_empty();
                return;
            }
        }
        let place = &mut self.places[place];
        place.start_at = Some(now + place.backoff.wait());
    }

    fn reload_if_wanted(&mut self) {
        if self.reload_wanted && self.phase == ServicePhase::Serving {
            self.reload_wanted = false;
            let next = self.generation + 1;
            self.phase = ServicePhase::Reloading { next };
            self.actions.push_back(Action::Reloading);
            let places = 0..self.policy.places;
            self.actions.extend(places.map(|place| Action::Start {
                place,
                generation: next,
            }));
        }
    }

    /// Switches to the next generation, which is complete: it serves, and the old one drains.
    fn switch(&mut self, next: u64, now: Instant) {
        self.generation = next;
        self.phase = ServicePhase::Serving;
        self.actions
            .retain(|action| !matches!(action, Action::Start { .. }));
        self.delayed.clear();
        for place in &mut self.places {
            place.start_at = None;
            place.backoff.reset();
        }
        self.actions.push_back(Action::Serving {
            generation: next,
            first: false,
        });
        for id in self.unit_ids() {
            let unit = self.units[&id];
            match unit.state {
                _ if unit.generation == next => {}
                UnitState::Ready { .. } => self.drain(id, DrainCause::Restart, now),
                UnitState::Starting { .. } => self.discard(id, DrainCause::Restart, now),
                UnitState::Draining { .. } | UnitState::Killed => {}
            }
        }
        self.reload_if_wanted();
    }

    fn abort_reload(&mut self, reason: &str, now: Instant) {
        let ServicePhase::Reloading { next } = self.phase else {
            return;
        };
        self.phase = ServicePhase::Serving;
        self.actions.retain(
            |action| !matches!(action, Action::Start { generation, .. } if *generation == next),
        );
        self.delayed.retain(|(.., generation)| *generation != next);
        for id in self.unit_ids() {
            if self.units[&id].generation == next {
                self.discard(id, DrainCause::Restart, now);
            }
        }
        self.actions.push_back(Action::ReloadFailed {
            generation: next,
            reason: reason.to_owned(),
        });
        self.reload_if_wanted();
    }

    /// Drains the workers that waited for this successor.
    fn drain_retiring(&mut self, place: usize, generation: u64, successor: UnitId, now: Instant) {
        for id in self.unit_ids() {
            let unit = self.units[&id];
            let waits = unit.retiring && unit.place == place && unit.generation == generation;
            if waits && id != successor && matches!(unit.state, UnitState::Ready { .. }) {
                self.drain(id, DrainCause::Restart, now);
            }
        }
    }

    fn drain(&mut self, id: UnitId, cause: DrainCause, now: Instant) {
        if let Some(unit) = self.units.get_mut(&id) {
            unit.state = UnitState::Draining {
                deadline: now + self.policy.drain + KILL_GRACE,
            };
            self.actions.push_back(Action::Drain { unit: id, cause });
        }
    }

    /// Ends a worker that is no longer needed, which is no failure. It drains, because it may have accepted connections already.
    fn discard(&mut self, id: UnitId, cause: DrainCause, now: Instant) {
        let Some(unit) = self.units.get_mut(&id) else {
            return;
        };
        // A worker of generation 0 always counts as ended in time.
        unit.generation = 0;
        if matches!(
            unit.state,
            UnitState::Starting { .. } | UnitState::Ready { .. }
        ) {
            self.drain(id, cause, now);
        }
    }

    fn kill(&mut self, id: UnitId) {
        if let Some(unit) = self.units.get_mut(&id)
            && unit.state != UnitState::Killed
        {
            unit.state = UnitState::Killed;
            self.actions.push_back(Action::Kill { unit: id });
        }
    }

    fn kill_all(&mut self, now: Instant) {
        if let ServicePhase::Ending {
            deadline, killed, ..
        } = &mut self.phase
            && !*killed
        {
            *killed = true;
            *deadline = now + ABANDON_GRACE;
        }
        for id in self.unit_ids() {
            self.kill(id);
        }
    }

    /// Ends without the workers that cannot be killed.
    fn abandon(&mut self) {
        self.units.clear();
        if let ServicePhase::Ending { in_time, .. } = &mut self.phase {
            *in_time = false;
        }
        self.end_if_empty();
    }

    fn end_if_empty(&mut self) {
        if let ServicePhase::Ending { cause, in_time, .. } = self.phase
            && self.units.is_empty()
        {
            self.phase = ServicePhase::Over;
            // After an upgrade the new program is serving, so connections closed by this one do not count.
            let in_time = in_time || cause == DrainCause::Restart;
            self.actions.push_back(Action::Ended { in_time });
        }
    }
}

#[cfg(test)]
mod tests;
