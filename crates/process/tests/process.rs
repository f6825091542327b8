//! Child processes: their streams, their exit, signals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use uptick_event_loop::EventLoop;
use uptick_process::prelude::*;
use uptick_stream::{CompositeStream, Error as StreamError, ThroughStream};

/// The events, in order.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn push(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    fn take(&self) -> String {
        self.0.borrow_mut().drain(..).collect::<Vec<_>>().join(",")
    }

    fn without_output(child: Process) -> Log {
        let log = Log::default();
        let exit = log.clone();
        child.on("exit", move |end: Exit| exit.push(end.to_string()));
        let close = log.clone();
        child.on("close", move |()| close.push("close"));
        let error = log.clone();
        child.on("error", move |e: Error| error.push(e.to_string()));
        log
    }

    fn of(child: Process) -> Log {
        let log = Log::without_output(child);
        for (name, output) in [("out", child.stdout()), ("err", child.stderr())] {
            let log = log.clone();
            LineStream::new(output).on("data", move |line: Bytes| {
                log.push(format!("{name} {}", String::from_utf8_lossy(&line)));
            });
        }
        log
    }
}

fn shell(script: &str) -> Process {
    Process::spawn(Command::new("sh").args(["-c", script])).unwrap()
}

/// Runs the loop until `done`, for 20 s at most.
#[track_caller]
fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "timed out after 20 s"
        );
        EventLoop::current()
            .run_once(Some(Duration::from_millis(20)))
            .unwrap();
    }
}

fn turn() {
    for _ in 0..8 {
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn input_is_written_and_output_is_read_before_close() {
    let child = shell("read name; echo hello $name; echo careful >&2; exit 3");
    let log = Log::of(child);
    assert!(child.is_running() && child.pid().is_some());
    child.stdin().end_with("Ann\n");
    run().unwrap();
    let events = log.take();
    assert!(events.ends_with(",close"), "{events}");
    let mut all: Vec<&str> = events.split(',').collect();
    all.sort_unstable();
    assert_eq!(
        all,
        ["close", "err careful", "exit code 3", "out hello Ann"]
    );
    assert!(!child.is_running());
    assert_eq!((child.pid(), child.exit()), (None, None));
    assert!(!child.stdin().write("x") && !child.stdout().is_open());
}

#[test]
fn the_exit_is_a_code_or_a_signal() {
    for (script, code, signal) in [
        ("exit 0", Some(0), None),
        ("exit 255", Some(255), None),
        ("kill -TERM $$", None, Some(SIGTERM)),
    ] {
        let child = shell(script);
        let seen = Rc::new(Cell::new(None));
        let exit = Rc::clone(&seen);
        child.on("exit", move |end: Exit| {
            assert_eq!(child.exit(), Some(end));
            exit.set(Some(end));
        });
        run().unwrap();
        assert_eq!(seen.get(), Some(Exit { code, signal }));
        assert_eq!(seen.get().unwrap().success(), code == Some(0));
    }
}

#[test]
fn a_program_that_does_not_exist_is_an_error_of_spawn() {
    let error = Process::spawn(Command::new("/no/such/program")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "starting /no/such/program failed: No such file or directory (ENOENT)"
    );
    run().unwrap();
}

#[test]
fn output_without_a_listener_is_discarded_at_the_exit() {
    let child = shell("echo one; echo two >&2");
    let log = Log::without_output(child);
    run().unwrap();
    assert_eq!(log.take(), "exit code 0,close");
}

#[test]
fn a_listener_added_at_the_exit_receives_all_output() {
    let child = shell("echo one; echo two");
    let log = Log::without_output(child);
    let lines = log.clone();
    child.on("exit", move |_: Exit| {
        let lines = lines.clone();
        LineStream::new(child.stdout()).on("data", move |line: Bytes| {
            lines.push(String::from_utf8_lossy(&line));
        });
    });
    run().unwrap();
    assert_eq!(log.take(), "exit code 0,one,two,close");
}

#[test]
fn a_grandchild_with_the_output_delays_close_but_not_exit() {
    // The grandchild inherits the standard output only.
    let child = shell("sleep 1000 2>/dev/null & echo $!; exit 3");
    let log = Log::without_output(child);
    let pid = Rc::new(RefCell::new(String::new()));
    let line = Rc::clone(&pid);
    LineStream::new(child.stdout()).on("data", move |text: Bytes| {
        *line.borrow_mut() = String::from_utf8_lossy(&text).into_owned();
    });
    run_until(|| child.exit().is_some() && !pid.borrow().is_empty());
    turn();
    assert_eq!(log.take(), "exit code 3");
    assert!(!child.is_running() && child.stdout().is_open());
    let mut kill = Command::new("kill");
    assert!(kill.arg(&*pid.borrow()).status().unwrap().success());
    run().unwrap();
    assert_eq!(log.take(), "close");
}

#[test]
fn a_slow_reader_blocks_the_process() {
    const SIZE: usize = 10_000_000;
    let child = shell(&format!("exec head -c {SIZE} /dev/zero"));
    let slow = ThroughStream::new();
    slow.pause();
    child.stdout().pipe(slow);
    run_until(|| slow.buffered() > 0);
    for _ in 0..20 {
        turn();
    }
    assert!(child.is_running());
    assert!(slow.buffered() <= 2 * 64 * 1024, "{}", slow.buffered());
    let received = Rc::new(Cell::new(0));
    let count = Rc::clone(&received);
    slow.on("data", move |chunk: Bytes| {
        count.set(count.get() + chunk.len())
    });
    slow.resume();
    run().unwrap();
    assert_eq!(received.get(), SIZE);
}

#[test]
fn a_large_input_is_queued_and_echoed_completely() {
    let child = Process::spawn(Command::new("cat")).unwrap();
    let both = CompositeStream::new(child.stdout(), child.stdin());
    both.set_allow_half_open(true);
    let input: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    assert!(!both.write(&input), "more than a pipe holds");
    both.shutdown_write();
    let output = Rc::<RefCell<Vec<u8>>>::default();
    let all = Rc::clone(&output);
    both.on("data", move |chunk: Bytes| {
        all.borrow_mut().extend_from_slice(&chunk)
    });
    run().unwrap();
    assert!(*output.borrow() == input);
}

#[test]
fn a_write_to_a_process_that_closed_its_input_emits_an_error() {
    let child = shell("exec <&-; echo closed; exec sleep 1000");
    let log = Log::without_output(child);
    let error = log.clone();
    child.stdin().on("error", move |e: StreamError| {
        error.push(e.io_error().unwrap().kind().to_string());
        child.kill(SIGKILL).unwrap();
    });
    LineStream::new(child.stdout()).on("data", move |_: Bytes| child.stdin().write("x"));
    run().unwrap();
    assert_eq!(log.take(), "broken pipe,signal 9,close");
}

#[test]
fn only_a_running_process_can_be_signalled() {
    let child = shell("exec sleep 1000");
    let log = Log::of(child);
    let error = child.kill(12_345).unwrap_err().to_string();
    assert_eq!(
        error,
        "sending signal 12345 failed: Invalid argument (EINVAL)"
    );
    child.kill(SIGTERM).unwrap();
    let late = log.clone();
    child.on("exit", move |_: Exit| {
        late.push(child.kill(SIGTERM).unwrap_err().to_string());
    });
    run().unwrap();
    assert_eq!(
        log.take(),
        "signal 15,sending signal 15 failed: No such process (ESRCH),close"
    );
    assert!(child.kill(SIGTERM).is_err());
}

#[test]
fn terminate_kills_a_process_that_ignores_sigterm_after_the_grace_period() {
    let child = shell("trap '' TERM; echo ready; exec sleep 1000");
    let log = Log::without_output(child);
    LineStream::new(child.stdout()).on("data", move |_: Bytes| {
        child.terminate(Duration::from_millis(50));
    });
    run().unwrap();
    assert_eq!(log.take(), "signal 9,close");
}

#[test]
fn terminate_does_not_wait_after_the_process_has_exited() {
    let child = shell("exec sleep 1000");
    let log = Log::of(child);
    child.terminate(Duration::from_secs(1000));
    child.terminate(Duration::from_secs(2000));
    // Neither timer keeps the loop running.
    run().unwrap();
    assert_eq!(log.take(), "signal 15,close");
}

#[test]
fn a_standard_stream_that_is_not_a_pipe_is_closed() {
    let path = std::env::temp_dir().join(format!("uptick-process-{}", std::process::id()));
    let mut command = Command::new("sh");
    command.args(["-c", "cat; echo to the file; echo discarded >&2"]);
    command.stdout(std::fs::File::create(&path).unwrap());
    let options = ProcessOptions::new()
        .stdin(Stdio::Null)
        .stdout(Stdio::Command)
        .stderr(Stdio::Null);
    let child = Process::spawn_with(command, options).unwrap();
    let log = Log::of(child);
    assert!(!child.stdin().is_writable() && !child.stdout().is_readable());
    assert!(!child.stderr().is_open());
    run().unwrap();
    assert_eq!(log.take(), "exit code 0,close");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "to the file\n");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_panic_in_a_listener_is_an_error_and_close_follows() {
    let child = shell("exit 0");
    child.on("exit", |_: Exit| panic!("oops"));
    let log = Log::without_output(child);
    run().unwrap();
    assert_eq!(log.take(), "a callback panicked: oops,close");
}

#[test]
fn many_processes_run_at_the_same_time() {
    let closed = Rc::new(Cell::new(0));
    for number in 0..50 {
        let child = shell(&format!("read x; exit {number}"));
        let count = Rc::clone(&closed);
        child.on("exit", move |exit: Exit| {
            assert_eq!(exit.code, Some(number))
        });
        child.on("close", move |()| count.set(count.get() + 1));
        child.stdin().end_with("x\n");
    }
    run().unwrap();
    assert_eq!(closed.get(), 50);
}

#[test]
fn an_exit_status_collected_elsewhere_is_an_error() {
    let child = shell("exec sleep 1000");
    let log = Log::of(child);
    let pid = i32::try_from(child.pid().unwrap()).ok();
    let pid = pid.and_then(rustix::process::Pid::from_raw);
    child.kill(SIGKILL).unwrap();
    rustix::process::waitpid(pid, rustix::process::WaitOptions::empty()).unwrap();
    run().unwrap();
    let events = log.take();
    assert!(events.starts_with("waiting for process "), "{events}");
    assert!(
        events.ends_with("failed: No child processes (ECHILD),close"),
        "{events}"
    );
}
