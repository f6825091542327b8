use super::*;

const DRAIN: Duration = Duration::from_secs(10);

/// A supervisor whose workers start at once, on a manual clock.
struct Scene {
    supervisor: Supervisor,
    now: Instant,
    next_unit: UnitId,
    log: Vec<String>,
}

impl Scene {
    fn new(places: usize) -> Self {
        let policy = SupervisorPolicy {
            places,
            drain: DRAIN,
            start_timeout: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            start_failures: 10,
        };
        let mut scene = Scene {
            supervisor: Supervisor::new(policy, 1),
            now: Instant::now(),
            next_unit: 1,
            log: Vec::new(),
        };
        scene.execute_actions();
        scene
    }

    /// Creates a scene in which all workers of the first generation are serving.
    fn serving(places: usize) -> Self {
        let mut scene = Scene::new(places);
        for unit in 1..=places {
            scene.ready(unit);
        }
        scene.log.clear();
        scene
    }

    fn execute_actions(&mut self) {
        while let Some(action) = self.supervisor.next_action() {
            let text = match action {
                Action::Start { place, generation } => {
                    let unit = self.next_unit;
                    self.next_unit += 1;
                    self.supervisor.started(unit, place, generation, self.now);
                    format!("start {unit}: place {place}, generation {generation}")
                }
                Action::Drain { unit, cause } => format!("drain {unit}: {cause:?}"),
                Action::Kill { unit } => format!("kill {unit}"),
                Action::Restarted { place } => format!("restarted {place}"),
                Action::Serving { generation, first } => {
                    format!("serving {generation}{}", if first { ", first" } else { "" })
                }
                Action::Reloading => "reloading".into(),
                Action::ReloadFailed { generation, .. } => format!("reload failed: {generation}"),
                Action::GiveUp { deaths } => format!("give up: {deaths}"),
                Action::Ended { in_time } => format!("ended: in time {in_time}"),
            };
            self.log.push(text);
        }
    }

    fn ready(&mut self, unit: UnitId) {
        self.supervisor.ready(unit, self.now);
        self.execute_actions();
    }

    fn ended(&mut self, unit: UnitId) {
        self.supervisor.ended(unit, false, self.now);
        self.execute_actions();
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
        self.supervisor.tick(self.now);
        self.execute_actions();
    }

    fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

#[test]
fn the_service_serves_once_all_workers_are_ready() {
    let mut scene = Scene::new(2);
    let starts = [
        "start 1: place 0, generation 1",
        "start 2: place 1, generation 1",
    ];
    assert_eq!(scene.take_log(), starts);
    scene.ready(2);
    assert!(scene.take_log().is_empty());
    scene.ready(1);
    assert_eq!(scene.take_log(), ["serving 1, first"]);
}

#[test]
fn a_worker_is_replaced_at_once_after_a_long_life_and_with_backoff_after_a_short_one() {
    let mut scene = Scene::serving(2);
    scene.wait(1000);
    scene.ended(1);
    let replaced = ["restarted 0", "start 3: place 0, generation 1"];
    assert_eq!(scene.take_log(), replaced);
    scene.ended(3);
    assert_eq!(scene.take_log(), ["restarted 0"]);
    scene.wait(99);
    assert!(scene.take_log().is_empty());
    scene.wait(1);
    assert_eq!(scene.take_log(), ["start 4: place 0, generation 1"]);
    scene.ready(4);
    scene.ended(4);
    scene.wait(199);
    assert_eq!(scene.take_log(), ["restarted 0"]);
    scene.wait(1);
    assert_eq!(scene.take_log(), ["start 5: place 0, generation 1"]);
}

#[test]
fn the_master_gives_up_when_no_worker_of_the_first_generation_starts() {
    let mut scene = Scene::new(1);
    for unit in 1..=9 {
        scene.ended(unit);
        scene.wait(1000);
    }
    scene.take_log();
    scene.ended(10);
    let expected = ["restarted 0", "give up: 10", "ended: in time false"];
    assert_eq!(scene.take_log(), expected);
}

#[test]
fn a_reload_drains_the_old_workers_when_all_new_ones_are_ready() {
    let mut scene = Scene::serving(2);
    scene.supervisor.reload();
    scene.execute_actions();
    let expected = [
        "reloading",
        "start 3: place 0, generation 2",
        "start 4: place 1, generation 2",
    ];
    assert_eq!(scene.take_log(), expected);
    scene.ready(3);
    assert!(scene.take_log().is_empty());
    scene.ready(4);
    assert_eq!(
        scene.take_log(),
        ["serving 2", "drain 1: Restart", "drain 2: Restart"]
    );
    scene.ended(1);
    assert!(scene.take_log().is_empty());
    scene.wait(DRAIN.as_millis() as u64 + 400);
    assert_eq!(scene.take_log(), ["kill 2"]);
    scene.ended(2);
    assert!(scene.take_log().is_empty());
}

#[test]
fn a_reload_whose_workers_die_is_aborted_and_can_be_retried() {
    let mut scene = Scene::serving(2);
    scene.supervisor.reload();
    scene.execute_actions();
    scene.ready(3);
    scene.take_log();
    scene.ended(4);
    assert_eq!(scene.take_log(), ["drain 3: Restart", "reload failed: 2"]);
    scene.ended(3);
    assert!(scene.take_log().is_empty());
    scene.supervisor.reload();
    scene.execute_actions();
    assert_eq!(scene.take_log()[1], "start 5: place 0, generation 2");
}

#[test]
fn reloads_during_a_reload_are_merged_into_one_further_reload() {
    let mut scene = Scene::serving(1);
    for _ in 0..3 {
        scene.supervisor.reload();
        scene.execute_actions();
    }
    scene.take_log();
    scene.ready(2);
    let expected = [
        "serving 2",
        "drain 1: Restart",
        "reloading",
        "start 3: place 0, generation 3",
    ];
    assert_eq!(scene.take_log(), expected);
    scene.ready(3);
    assert_eq!(scene.take_log(), ["serving 3", "drain 2: Restart"]);
}

#[test]
fn a_worker_that_dies_during_a_reload_is_replaced_until_the_new_generation_serves() {
    let mut scene = Scene::serving(1);
    scene.wait(1000);
    scene.supervisor.reload();
    scene.execute_actions();
    scene.take_log();
    scene.ended(1);
    assert_eq!(
        scene.take_log(),
        ["restarted 0", "start 3: place 0, generation 1"]
    );
    scene.ready(2);
    assert_eq!(scene.take_log(), ["serving 2", "drain 3: Restart"]);
}

#[test]
fn a_worker_that_requests_a_successor_drains_when_the_successor_is_ready() {
    let mut scene = Scene::serving(1);
    scene.supervisor.replace(1);
    scene.supervisor.replace(1);
    scene.execute_actions();
    assert_eq!(scene.take_log(), ["start 2: place 0, generation 1"]);
    scene.ready(2);
    assert_eq!(scene.take_log(), ["drain 1: Restart"]);
    scene.ended(1);
    assert!(scene.take_log().is_empty());
}

#[test]
fn a_worker_that_hangs_is_killed_and_replaced_at_once() {
    let mut scene = Scene::serving(1);
    scene.supervisor.hangs(1);
    scene.execute_actions();
    assert_eq!(scene.take_log(), ["kill 1"]);
    scene.ended(1);
    assert_eq!(
        scene.take_log(),
        ["restarted 0", "start 2: place 0, generation 1"]
    );
}

#[test]
fn a_worker_that_does_not_become_ready_in_time_counts_as_dead() {
    let mut scene = Scene::new(1);
    scene.take_log();
    scene.wait(60_000);
    assert_eq!(scene.take_log(), ["kill 1"]);
}

#[test]
fn a_stop_drains_all_workers_and_ends_in_time() {
    let mut scene = Scene::serving(2);
    scene.supervisor.stop(DrainCause::Stop, scene.now);
    scene.execute_actions();
    assert_eq!(scene.take_log(), ["drain 1: Stop", "drain 2: Stop"]);
    scene.ended(1);
    scene.ended(2);
    assert_eq!(scene.take_log(), ["ended: in time true"]);
}

#[test]
fn a_stop_that_closes_connections_at_the_deadline_is_not_in_time() {
    let mut scene = Scene::serving(1);
    scene.supervisor.stop(DrainCause::Stop, scene.now);
    scene.supervisor.ended(1, true, scene.now);
    scene.execute_actions();
    assert_eq!(scene.take_log(), ["drain 1: Stop", "ended: in time false"]);

    let mut scene = Scene::serving(1);
    scene.supervisor.stop(DrainCause::Stop, scene.now);
    scene.wait(DRAIN.as_millis() as u64 + 400);
    scene.ended(1);
    assert_eq!(
        scene.take_log(),
        ["drain 1: Stop", "kill 1", "ended: in time false"]
    );
}

#[test]
fn a_second_stop_kills_at_once() {
    let mut scene = Scene::serving(1);
    for _ in 0..2 {
        scene.supervisor.stop(DrainCause::Stop, scene.now);
        scene.execute_actions();
    }
    assert_eq!(scene.take_log(), ["drain 1: Stop", "kill 1"]);
    scene.ended(1);
    assert_eq!(scene.take_log(), ["ended: in time false"]);
}

#[test]
fn connections_closed_at_the_deadline_of_an_upgrade_do_not_count() {
    let mut scene = Scene::serving(1);
    scene.supervisor.stop(DrainCause::Restart, scene.now);
    scene.supervisor.ended(1, true, scene.now);
    scene.execute_actions();
    assert_eq!(
        scene.take_log(),
        ["drain 1: Restart", "ended: in time true"]
    );
}

#[test]
fn a_stop_during_a_reload_ends_both_generations() {
    let mut scene = Scene::serving(1);
    scene.supervisor.reload();
    scene.execute_actions();
    scene.take_log();
    scene.supervisor.stop(DrainCause::Stop, scene.now);
    scene.execute_actions();
    assert_eq!(scene.take_log(), ["drain 1: Stop", "drain 2: Stop"]);
    scene.ended(2);
    scene.ended(1);
    assert_eq!(scene.take_log(), ["ended: in time true"]);
}

#[test]
fn the_next_deadline_is_the_earliest() {
    let mut scene = Scene::new(1);
    let start = scene.now + Duration::from_secs(60);
    assert_eq!(scene.supervisor.next_deadline(), Some(start));
    scene.ready(1);
    assert_eq!(scene.supervisor.next_deadline(), None);
    scene.ended(1);
    let again = scene.now + Duration::from_millis(100);
    assert_eq!(scene.supervisor.next_deadline(), Some(again));
}

#[test]
fn a_successor_that_dies_during_its_start_is_started_again() {
    let mut scene = Scene::serving(1);
    scene.supervisor.replace(1);
    scene.execute_actions();
    scene.take_log();
    scene.ended(2);
    assert_eq!(scene.take_log(), ["restarted 0"]);
    scene.wait(100);
    assert_eq!(scene.take_log(), ["start 3: place 0, generation 1"]);
    scene.ready(3);
    assert_eq!(scene.take_log(), ["drain 1: Restart"]);
}

#[test]
fn the_master_ends_without_workers_that_cannot_be_killed() {
    let mut scene = Scene::serving(1);
    for _ in 0..2 {
        scene.supervisor.stop(DrainCause::Stop, scene.now);
        scene.execute_actions();
    }
    scene.take_log();
    let end = scene.now + ABANDON_GRACE;
    assert_eq!(scene.supervisor.next_deadline(), Some(end));
    scene.wait(300);
    assert_eq!(scene.take_log(), ["ended: in time false"]);
    assert_eq!(scene.supervisor.next_deadline(), None);
}

#[test]
fn a_start_without_a_free_slot_is_retried() {
    let mut scene = Scene::serving(1);
    scene.supervisor.reload();
    assert_eq!(scene.supervisor.next_action(), Some(Action::Reloading));
    let start = Action::Start {
        place: 0,
        generation: 2,
    };
    for _ in 0..3 {
        assert_eq!(scene.supervisor.next_action(), Some(start.clone()));
        scene.supervisor.delay_start(0, 2, scene.now);
        assert_eq!(scene.supervisor.next_action(), None);
        scene.now += START_RETRY;
        assert_eq!(scene.supervisor.next_deadline(), Some(scene.now));
        scene.supervisor.tick(scene.now);
    }
    scene.supervisor.stop(DrainCause::Stop, scene.now);
    scene.execute_actions();
    assert_eq!(scene.take_log(), ["drain 1: Stop"]);
}
