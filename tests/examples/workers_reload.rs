//! Tests of `50-workers` and `52-rolling-reload`: stops, reloads and upgrades while clients are served.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use uptick::websocket::CloseCode;

use crate::http::{Client, get};
use crate::program::{Program, TIMEOUT};
use crate::websocket::WebSocket;
use crate::workers::{TIMES, pid_of, ready_workers, serve, stats, wait_until};

/// Returns a separate path for each test and name.
fn temporary(name: &str) -> PathBuf {
    let thread = thread::current();
    let test = thread.name().unwrap_or("test").replace("::", "-");
    std::env::temp_dir().join(format!("{name}-{test}-{}", std::process::id()))
}

/// Returns the number of rounds of a test: `many` if `UPTICK_SOAK` is set.
fn rounds(few: usize, many: usize) -> usize {
    match std::env::var_os("UPTICK_SOAK") {
        Some(_) => many,
        None => few,
    }
}

/// Clients that send requests continuously, either over one connection per request or over a kept connection.
struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(uri: &str, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicUsize::new(0));
        let clients = (0..clients)
            .map(|number| {
                let (uri, stop, requests) =
                    (uri.to_owned(), Arc::clone(&stop), Arc::clone(&requests));
                thread::spawn(move || {
                    let mut failures = Vec::new();
                    let mut kept = None;
                    while !stop.load(Ordering::Relaxed) {
                        let result = request_once(&uri, &mut kept, number % 2 == 0);
                        failures.extend(result.err());
                        requests.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(2));
                    }
                    failures
                })
            })
            .collect();
        Load {
            stop,
            requests,
            clients,
        }
    }

    /// Stops the clients, and checks that none of their requests failed.
    fn expect_no_failure(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> = self
            .clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        let requests = self.requests.load(Ordering::Relaxed);
        assert!(requests > 0);
        assert!(
            failures.is_empty(),
            "{} of {requests} failed: {:?}",
            failures.len(),
            failures[0]
        );
    }
}

/// Sends one request. If a kept connection was closed in the meantime, the request is repeated; this is not a failure.
fn request_once(
    uri: &str,
    kept: &mut Option<std::net::TcpStream>,
    keep: bool,
) -> Result<(), String> {
    use std::io::{Read as _, Write as _};
    let address = uri.strip_prefix("http://").unwrap();
    let was_kept = kept.is_some();
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => {
            std::net::TcpStream::connect(address).map_err(|error| format!("connecting: {error}"))?
        }
    };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let close = if keep { "" } else { "Connection: close\r\n" };
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{close}\r\n");
    let mut response = Vec::new();
    let mut exchange = || {
        stream.write_all(request.as_bytes())?;
        let mut buffer = [0; 4096];
        while !response.ends_with(b"}") {
            match stream.read(&mut buffer)? {
                0 => break,
                count => response.extend_from_slice(&buffer[..count]),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    let failure = exchange().err();
    let text = String::from_utf8_lossy(&response).into_owned();
    if text.starts_with("HTTP/1.1 200") && text.ends_with('}') {
        if keep && !text.to_ascii_lowercase().contains("connection: close") {
            *kept = Some(stream);
        }
        return Ok(());
    }
    if was_kept && response.is_empty() {
        return request_once(uri, kept, keep);
    }
    Err(format!("{failure:?} after {text:?}"))
}

#[test]
fn reloads_lose_no_request() {
    let (service, uri) = serve("--processes", 2, &[]);
    let load = Load::start(&uri, 16);
    for round in 0..rounds(5, 100) {
        service.signal(Signal::HUP);
        wait_until("the next generation serves", || {
            stats(&uri)["generation"] == round + 2
        });
    }
    load.expect_no_failure();
    wait_until("the old workers have ended", || {
        stats(&uri)["workers"].as_array().unwrap().len() == 2
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait().status.code(), Some(0));
}

#[test]
fn threads_are_reloaded_as_well() {
    let (service, uri) = serve("--threads", 2, &[]);
    let load = Load::start(&uri, 8);
    for generation in 2..5 {
        service.signal(Signal::HUP);
        wait_until("the next generation serves", || {
            stats(&uri)["generation"] == generation
        });
    }
    load.expect_no_failure();
    service.signal(Signal::TERM);
    assert_eq!(service.wait().status.code(), Some(0));
}

#[test]
fn upgrades_lose_no_request() {
    let pid_file = temporary("uptick-upgrade");
    let path = pid_file.to_str().unwrap();
    let arguments = ["--pid-file", path, "127.0.0.1:0"];
    let service = Program::start_with("52-rolling-reload", &arguments, &TIMES);
    let uri = service.listening_on();
    let master = || -> i32 {
        std::fs::read_to_string(path)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    wait_until("the pid file exists", || pid_file.exists());
    assert_eq!(master(), service.pid());
    let load = Load::start(&uri, 16);
    let mut last = master();
    for round in 0..rounds(3, 20) {
        kill_process(Pid::from_raw(last).unwrap(), Signal::USR2).unwrap();
        wait_until("the new program serves", || master() != last);
        last = master();
        wait_until("the new generation serves", || {
            stats(&uri)["generation"] == round + 2
        });
        wait_until("the old workers have ended", || {
            stats(&uri)["workers"].as_array().unwrap().len() == 2
        });
    }
    load.expect_no_failure();
    assert_eq!(stats(&uri)["master"], last);
    kill_process(Pid::from_raw(last).unwrap(), Signal::TERM).unwrap();
    wait_until("the last program has ended", || {
        test_kill_process(Pid::from_raw(last).unwrap()).is_err()
    });
    // All programs share the output of the first, so its end can only be observed now.
    assert_eq!(service.wait().status.code(), Some(0));
    assert!(!pid_file.exists());
}

#[test]
fn a_generation_that_cannot_start_leaves_the_old_one_in_place() {
    let file = temporary("uptick-fail");
    let variables = [("UPTICK_FAIL_FILE", file.to_str().unwrap())];
    let (service, uri) = serve("--processes", 2, &variables);
    std::fs::write(&file, "").unwrap();
    service.signal(Signal::HUP);
    service.error_line_with("reload failed");
    assert_eq!(stats(&uri)["generation"], 1);
    service.signal(Signal::USR2);
    service.error_line_with("upgrade failed");
    assert_eq!(ready_workers(&uri).len(), 2);
    std::fs::remove_file(&file).unwrap();
    service.signal(Signal::HUP);
    wait_until("the next generation serves", || {
        stats(&uri)["generation"] == 2
    });
}

#[test]
fn a_stop_answers_requests_in_progress_and_closes_idle_connections() {
    for kind in ["--processes", "--threads"] {
        let (service, uri) = serve(kind, 2, &[]);
        let mut idle = Client::connect(&uri);
        idle.request("GET /", &[]);
        idle.response();
        let mut silent = Client::connect(&uri);
        let mut busy = Client::connect(&uri);
        busy.request("GET /slow?ms=400", &[]);
        let mut ws = WebSocket::open(&uri, "/ws", &[]);
        ws.text();
        thread::sleep(Duration::from_millis(100));
        service.signal(Signal::TERM);
        let response = busy.response();
        assert_eq!(response.status, 200, "{kind}");
        assert_eq!(response.field("connection").as_deref(), Some("close"));
        idle.expect_end();
        silent.expect_end();
        ws.expect_close(CloseCode::GOING_AWAY);
        assert_eq!(service.wait().status.code(), Some(0), "{kind}");
    }
}

#[test]
fn unfinished_requests_are_aborted_at_the_deadline() {
    let (service, uri) = serve("--processes", 1, &[("UPTICK_DRAIN_MS", "300")]);
    let mut busy = Client::connect(&uri);
    busy.request("GET /slow?ms=60000", &[]);
    thread::sleep(Duration::from_millis(100));
    service.signal(Signal::TERM);
    busy.read_to_end();
    assert_eq!(service.wait().status.code(), Some(1));
}

#[test]
fn a_second_signal_aborts_immediately() {
    let (service, uri) = serve("--processes", 1, &[("UPTICK_DRAIN_MS", "60000")]);
    let mut busy = Client::connect(&uri);
    busy.request("GET /slow?ms=60000", &[]);
    thread::sleep(Duration::from_millis(100));
    service.signal(Signal::TERM);
    service.error_line_with("stopping");
    service.signal(Signal::INT);
    let begun = Instant::now();
    assert_eq!(service.wait().status.code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_reload_closes_websockets_with_1012_and_event_streams_with_retry() {
    let (service, uri) = serve("--processes", 2, &[]);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    ws.text();
    let mut events = Client::connect(&uri);
    events.request("GET /events", &[]);
    assert_eq!(events.head().status, 200);
    service.signal(Signal::HUP);
    ws.expect_close(CloseCode::RESTART);
    let rest = String::from_utf8(events.read_to_end()).unwrap();
    assert!(rest.contains("retry: "), "{rest}");
    assert!(rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[test]
fn the_service_manager_is_notified() {
    let path = temporary("uptick-notify");
    // An earlier process with the same id may have left the file.
    let _ = std::fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(TIMEOUT)).unwrap();
    let receive = || {
        let mut buffer = [0; 512];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    };
    let wait_for = |text: &str| loop {
        let state = receive();
        if state.lines().any(|line| line.starts_with(text)) {
            return state;
        }
        assert!(state == "WATCHDOG=1", "{state:?} before {text}");
    };
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let (service, uri) = serve("--processes", 2, &variables);
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    service.signal(Signal::HUP);
    assert!(wait_for("RELOADING=1").contains("\nMONOTONIC_USEC="));
    wait_for("READY=1");
    let environment = |worker: &serde_json::Value| {
        let pid = pid_of(worker).as_raw_nonzero();
        std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap()
    };
    for worker in ready_workers(&uri).values() {
        assert!(!environment(worker).contains("NOTIFY_SOCKET"));
    }
    service.signal(Signal::TERM);
    wait_for("STOPPING=1");
    assert_eq!(service.wait().status.code(), Some(0));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn reloads_leak_no_descriptors_of_the_master() {
    let (service, uri) = serve("--processes", 2, &[]);
    let count = || {
        let path = format!("/proc/{}/fd", service.pid());
        std::fs::read_dir(path).unwrap().count()
    };
    let settled = || {
        wait_until("the old workers have ended", || {
            stats(&uri)["workers"].as_array().unwrap().len() == 2
        });
        count()
    };
    let before = settled();
    for round in 0..rounds(5, 20) {
        service.signal(Signal::HUP);
        wait_until("the next generation serves", || {
            stats(&uri)["generation"] == round + 2
        });
        settled();
    }
    assert_eq!(settled(), before);
    get(&uri, "/");
}
