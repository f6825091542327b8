//! Shutdown by signals.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use uptick_event_loop::{Error, SIGUSR1, SIGUSR2, add_timer, run};
use uptick_http::{HttpServer, Request};

/// Signals concern the whole process, so all steps are in one test.
#[test]
fn a_signal_shuts_the_server_down_and_a_second_signal_does_so_immediately() {
    let send = |signal| kill_process(getpid(), signal).unwrap();

    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    http.shutdown_on([SIGUSR1, SIGUSR2], Duration::from_secs(60))
        .unwrap();
    add_timer(Duration::from_millis(1), move || send(Signal::USR1));
    run().unwrap();
    assert!(!http.is_connected());

    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    http.get("/", |_: Request| async {
        std::future::pending::<()>().await;
    });
    http.shutdown_on([SIGUSR1, SIGUSR2], Duration::from_secs(60))
        .unwrap();
    let address = http.address().unwrap();
    let mut client = TcpStream::connect(address.strip_prefix("tcp://").unwrap()).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        .unwrap();
    let start = Instant::now();
    add_timer(Duration::from_millis(50), move || send(Signal::USR1));
    add_timer(Duration::from_millis(100), move || send(Signal::USR2));
    run().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30));

    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    let refused = http.shutdown_on([SIGUSR1, 9], Duration::ZERO);
    assert!(matches!(refused, Err(Error::Signal { signal: 9, .. })));
    http.close();
    run().unwrap();
}
