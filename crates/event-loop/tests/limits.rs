//! Limits of the system and of the loop.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod child;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uptick_event_loop::{
    Error, EventLoop, JOB_LIMIT, POST_LIMIT, SIGUSR1, add_read_stream, add_signal, add_timer,
    block_on, future_tick, handle, run, spawn_blocking,
};

/// epoll refuses regular files, which are always ready.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn a_regular_file_cannot_be_watched() {
    let file = Rc::new(File::open("Cargo.toml").unwrap());
    let fd = file.as_raw_fd();
    let error = add_read_stream(Rc::clone(&file), || ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("watching file descriptor {fd} failed: Operation not permitted (EPERM)")
    );
    assert_eq!(
        Rc::strong_count(&file),
        1,
        "the loop does not keep the file"
    );
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn run_returns_an_error_when_no_file_descriptor_is_left() {
    if child::is_child() {
        let (_peer, stream) = UnixStream::pair().unwrap();
        let next = File::open("/dev/null").unwrap().as_raw_fd();
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(u64::try_from(next).unwrap()),
                maximum: getrlimit(Resource::Nofile).maximum,
            },
        )
        .unwrap();
        let fd = stream.as_raw_fd();
        eprintln!("{}", add_read_stream(stream, || ()).unwrap_err());
        eprintln!("{}", add_signal(SIGUSR1, |_| ()).unwrap_err());
        run().unwrap();
        future_tick(|| eprintln!("tick"));
        let timer = add_timer(Duration::from_millis(1), || ());
        eprintln!("{}", run().unwrap_err());
        eprintln!("{}", EventLoop::current().descriptor().unwrap_err());
        timer.cancel();
        handle().post(|| ()).unwrap();
        eprintln!("{}", block_on(async { 1 }).unwrap_err());
        eprintln!("end {fd}");
        return;
    }
    let (output, stderr) = child::run("run_returns_an_error_when_no_file_descriptor_is_left");
    assert!(output.status.success(), "{stderr}");
    let reason = "Too many open files (EMFILE)";
    let fd = stderr.trim_end().rsplit(' ').next().unwrap();
    assert_eq!(
        stderr.lines().collect::<Vec<_>>(),
        [
            &format!("watching file descriptor {fd} failed: {reason}"),
            &format!("listening to signal {SIGUSR1} failed: {reason}"),
            "tick",
            &format!("waiting for events failed: {reason}"),
            "sharing the poller failed: unsupported",
            &format!("waiting for events failed: {reason}"),
            &format!("end {fd}"),
        ]
    );
}

#[test]
fn a_full_post_queue_refuses_posts_until_the_loop_has_run() {
    let handle = handle();
    let ran = Arc::new(AtomicUsize::new(0));
    let post = || {
        let ran = Arc::clone(&ran);
        handle.post(move || {
            ran.fetch_add(1, Ordering::Relaxed);
        })
    };
    for _ in 0..POST_LIMIT {
        post().unwrap();
    }
    let error = post().unwrap_err();
    assert_eq!(
        error.to_string(),
        "posting to an event loop failed: 65536 callbacks are already queued"
    );
    assert_eq!(
        Arc::strong_count(&ran),
        POST_LIMIT + 1,
        "the refused callback is dropped"
    );
    run().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), POST_LIMIT);
    post().unwrap();
    run().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), POST_LIMIT + 1);
}

#[test]
fn the_number_of_pending_jobs_is_limited() {
    let taken: Vec<_> = (0..JOB_LIMIT).map(|n| spawn_blocking(move || n)).collect();
    let refused = block_on(spawn_blocking(|| ())).unwrap();
    assert!(matches!(
        refused,
        Err(Error::TooManyJobs { limit: JOB_LIMIT })
    ));
    let sum = block_on(async move {
        let mut sum = 0;
        for job in taken {
            sum += job.await.unwrap();
        }
        sum
    });
    assert_eq!(sum.unwrap(), JOB_LIMIT * (JOB_LIMIT - 1) / 2);
    assert_eq!(block_on(spawn_blocking(|| 1)).unwrap().unwrap(), 1);
}
