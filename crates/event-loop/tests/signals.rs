//! Signals. Each test that raises a signal in this process uses a different one.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod child;

use std::cell::{Cell, RefCell};
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use uptick_event_loop::{
    EventLoop, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SignalId, add_shutdown_signals,
    add_signal, add_timer, handle, keep_alive, remove_signal, run, stop,
};

fn raise(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

/// Runs the loop until it is stopped, for at most a minute.
fn run_until_stopped() {
    let limit = add_timer(Duration::from_secs(60), || {
        panic!("the signal was not received")
    });
    run().unwrap();
    limit.cancel();
}

#[test]
fn all_listeners_run_in_order_with_the_signal_number() {
    let log: Rc<RefCell<Vec<(char, i32)>>> = Rc::default();
    let ids = ['a', 'b', 'c'].map(|name| {
        let log = Rc::clone(&log);
        add_signal(SIGUSR1, move |signal| {
            log.borrow_mut().push((name, signal));
            if name == 'b' {
                panic!("a listener that panics");
            }
            if name == 'c' {
                stop();
            }
        })
        .unwrap()
    });
    raise(Signal::USR1);
    run_until_stopped();
    ids.into_iter().for_each(remove_signal);
    assert_eq!(
        *log.borrow(),
        [('a', SIGUSR1), ('b', SIGUSR1), ('c', SIGUSR1)]
    );
}

#[test]
fn a_listener_removed_by_an_earlier_one_does_not_run_and_one_added_waits_for_the_next_signal() {
    let log: Rc<RefCell<Vec<&str>>> = Rc::default();
    let victim: Rc<Cell<Option<SignalId>>> = Rc::default();
    let (notes, removed) = (Rc::clone(&log), Rc::clone(&victim));
    let first = add_signal(SIGUSR2, move |_| {
        notes.borrow_mut().push("first");
        let Some(id) = removed.take() else {
            return stop();
        };
        remove_signal(id);
        let late = Rc::clone(&notes);
        let id = add_signal(SIGUSR2, move |_| late.borrow_mut().push("late")).unwrap();
        // The listener is removed when the thread ends.
        let _ = id;
        raise(Signal::USR2);
    })
    .unwrap();
    let notes = Rc::clone(&log);
    let id = add_signal(SIGUSR2, move |_| notes.borrow_mut().push("victim")).unwrap();
    victim.set(Some(id));
    raise(Signal::USR2);
    run_until_stopped();
    remove_signal(first);
    assert_eq!(*log.borrow(), ["first", "first", "late"]);
}

#[test]
fn a_listener_does_not_keep_the_loop_running() {
    let event_loop = EventLoop::current();
    let first = add_signal(SIGHUP, |_| ()).unwrap();
    let second = add_signal(SIGHUP, |_| ()).unwrap();
    assert_ne!(first, second);
    assert!(!event_loop.is_alive());
    run().unwrap();
    remove_signal(first);
    remove_signal(first);
    remove_signal(second);
    assert!(!event_loop.is_alive());
    run().unwrap();
}

#[test]
fn a_loop_that_is_kept_alive_waits_for_a_signal() {
    let event_loop = EventLoop::current();
    let mut alive = Some(keep_alive());
    let other = keep_alive();
    let id = add_signal(Signal::ALARM.as_raw(), move |_| drop(alive.take())).unwrap();
    drop(other);
    assert!(event_loop.is_alive());
    raise(Signal::ALARM);
    run().unwrap();
    assert!(!event_loop.is_alive());
    remove_signal(id);
}

#[test]
fn the_second_shutdown_signal_has_a_deadline_of_zero() {
    let log: Rc<RefCell<Vec<Duration>>> = Rc::default();
    let calls = Rc::clone(&log);
    let signals = [Signal::URG.as_raw(), Signal::IO.as_raw()];
    let ids = add_shutdown_signals(signals, Duration::from_secs(5), move |deadline| {
        calls.borrow_mut().push(deadline);
        match calls.borrow().len() {
            1 => raise(Signal::IO),
            2 => raise(Signal::URG),
            _ => stop(),
        }
    })
    .unwrap();
    raise(Signal::URG);
    run_until_stopped();
    ids.into_iter().for_each(remove_signal);
    let expected = [Duration::from_secs(5), Duration::ZERO, Duration::ZERO];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn a_refused_shutdown_signal_adds_no_listener() {
    if child::is_child() {
        let error = add_shutdown_signals([SIGTERM, 9], Duration::ZERO, |_| ()).unwrap_err();
        eprintln!("{error}");
        raise(Signal::TERM);
        unreachable!("the signal ends the process");
    }
    let (output, stderr) = child::run("a_refused_shutdown_signal_adds_no_listener");
    assert_eq!(output.status.signal(), Some(SIGTERM), "{stderr}");
    assert!(stderr.contains("listening to signal 9 failed"), "{stderr}");
}

#[test]
fn loops_in_several_threads_all_receive_a_signal() {
    let (ready, threads_ready) = mpsc::channel();
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let ready = ready.clone();
            thread::spawn(move || {
                let id = add_signal(SIGWINCH, |_| stop()).unwrap();
                ready.send(handle()).unwrap();
                run_until_stopped();
                remove_signal(id);
            })
        })
        .collect();
    for _ in &threads {
        threads_ready.recv().unwrap();
    }
    raise(Signal::WINCH);
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn signals_that_cannot_be_caught_and_invalid_numbers_are_refused() {
    for signal in [9, 19, 11, 8, 4, 0, -1, 64, 1000] {
        let error = add_signal(signal, |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("listening to signal {signal} failed: Invalid argument (EINVAL)")
        );
    }
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn the_default_action_is_restored_after_the_last_listener() {
    if child::is_child() {
        let id = add_signal(SIGTERM, |_| stop()).unwrap();
        let other = add_signal(SIGTERM, |_| eprintln!("received")).unwrap();
        raise(Signal::TERM);
        run_until_stopped();
        remove_signal(other);
        raise(Signal::TERM);
        run_until_stopped();
        remove_signal(id);
        eprintln!("removed");
        raise(Signal::TERM);
        unreachable!("the signal ends the process");
    }
    let (output, stderr) = child::run("the_default_action_is_restored_after_the_last_listener");
    assert_eq!(output.status.signal(), Some(SIGTERM), "{stderr}");
    assert!(
        stderr.contains("received\n") && stderr.contains("removed\n"),
        "{stderr}"
    );
}

#[test]
fn the_default_action_is_restored_after_the_thread_of_the_last_listener() {
    if child::is_child() {
        let listening = thread::spawn(|| add_signal(SIGTERM, |_| ()).map(|_| ()));
        listening.join().unwrap().unwrap();
        eprintln!("gone");
        raise(Signal::TERM);
        unreachable!("the signal ends the process");
    }
    let (output, stderr) =
        child::run("the_default_action_is_restored_after_the_thread_of_the_last_listener");
    assert_eq!(output.status.signal(), Some(SIGTERM), "{stderr}");
    assert!(stderr.contains("gone\n"), "{stderr}");
}

#[test]
fn a_broken_pipe_does_not_end_the_process_after_its_listener_is_removed() {
    if child::is_child() {
        let id = add_signal(Signal::PIPE.as_raw(), |_| stop()).unwrap();
        raise(Signal::PIPE);
        run_until_stopped();
        remove_signal(id);
        raise(Signal::PIPE);
        eprintln!("alive");
        return;
    }
    let (output, stderr) =
        child::run("a_broken_pipe_does_not_end_the_process_after_its_listener_is_removed");
    assert!(
        output.status.success() && stderr.contains("alive\n"),
        "{stderr}"
    );
}

/// Stopping and continuing a process interrupts the waits of all its threads.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_wait_is_resumed_and_the_next_signal_received() {
    use std::io::{BufRead, BufReader};

    if child::is_child() {
        let mut alive = Some(keep_alive());
        add_signal(SIGUSR1, move |_| drop(alive.take())).unwrap();
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        eprintln!("listening in {}", thread.display());
        run().unwrap();
        eprintln!("returned");
        return;
    }
    let mut child = child::start("an_interrupted_wait_is_resumed_and_the_next_signal_received");
    let pid = rustix::process::Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let stat = format!("/proc/{}/stat", line.strip_prefix("listening in ").unwrap());
    let wait_until = |state: &str| {
        while !std::fs::read_to_string(&stat).unwrap().contains(state) {
            thread::yield_now();
        }
    };
    for _ in 0..3 {
        wait_until(") S ");
        kill_process(pid, Signal::STOP).unwrap();
        wait_until(") T ");
        kill_process(pid, Signal::CONT).unwrap();
    }
    wait_until(") S ");
    kill_process(pid, Signal::USR1).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "returned");
    assert!(child.wait().unwrap().success());
}
