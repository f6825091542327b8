//! `05-timers-and-ticks`.

use crate::program::Program;

#[test]
fn everything_runs_in_its_order_and_the_loop_ends_by_itself() {
    let ended = Program::start("05-timers-and-ticks", &[]).wait();
    assert!(ended.status.success());
    assert_eq!(ended.stderr, [""; 0]);
    let mut lines = ended.stdout;
    // Both are due about half a second after the start, in either order when the machine is busy.
    let future = lines.iter().position(|line| line == "future: 500 ms");
    lines.remove(future.expect("the future should end"));
    assert_eq!(
        lines,
        [
            "before the loop",
            "tick",
            "timer: at once",
            "tick: in the next iteration",
            "timer: 50 ms",
            "timer: 50 ms, added later",
            "timer: 100 ms",
            "every 100 ms: 1",
            "every 100 ms: 2",
            "every 100 ms: 3",
            "every 100 ms: 4",
            "after the loop",
        ]
    );
}
