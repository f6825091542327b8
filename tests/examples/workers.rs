//! Tests of `50-workers`: several workers that share a port, and replacement of workers that die.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::http::{Client, get};
use crate::program::{Program, TIMEOUT};
use crate::websocket::WebSocket;

/// Short drain timeouts, so that a service stops soon after its test.
pub(crate) const TIMES: [(&str, &str); 2] =
    [("UPTICK_DRAIN_MS", "3000"), ("UPTICK_WS_DRAIN_MS", "200")];

/// Starts the service with `count` workers. `kind` is `--processes` or `--threads`.
pub(crate) fn serve(kind: &str, count: usize, variables: &[(&str, &str)]) -> (Program, String) {
    let count = count.to_string();
    let variables = [&TIMES, variables].concat();
    let arguments = [kind, &count, "127.0.0.1:0"];
    let service = Program::start_with("50-workers", &arguments, &variables);
    let uri = service.listening_on();
    assert!(uri.starts_with("http://127.0.0.1:"), "{uri}");
    (service, uri)
}

pub(crate) fn stats(uri: &str) -> Value {
    serde_json::from_str(get(uri, "/stats").text()).unwrap()
}

/// Returns the ready workers of the current generation, by number.
pub(crate) fn ready_workers(uri: &str) -> BTreeMap<u64, Value> {
    let stats = stats(uri);
    let workers = stats["workers"].as_array().unwrap();
    workers
        .iter()
        .filter(|worker| worker["state"] == "ready" && worker["generation"] == stats["generation"])
        .map(|worker| (worker["worker"].as_u64().unwrap(), worker.clone()))
        .collect()
}

pub(crate) fn pid_of(worker: &Value) -> Pid {
    let pid = i32::try_from(worker["pid"].as_u64().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

/// Waits until a condition is true. `description` describes it for the panic message.
#[track_caller]
pub(crate) fn wait_until(description: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(
            Instant::now() < end,
            "timed out waiting until {description}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns the value of a metric sample; `None` if it does not exist.
fn metric(text: &str, sample: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    Some(line.parse().unwrap())
}

fn sum(text: &str, family: &str) -> f64 {
    let samples = text
        .lines()
        .filter(|line| line.starts_with(&format!("{family}{{")));
    samples
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Opens connections until there are `count`, and returns their number for each worker.
fn spread(uri: &str, connections: &mut Vec<Client>, count: usize) -> BTreeMap<u64, usize> {
    while connections.len() < count {
        let mut client = Client::connect(uri);
        client.request("GET /", &[]);
        client.response();
        connections.push(client);
    }
    let mut workers = BTreeMap::new();
    for client in connections {
        client.request("GET /", &[]);
        let response: Value = serde_json::from_str(client.response().text()).unwrap();
        *workers
            .entry(response["worker"].as_u64().unwrap())
            .or_default() += 1;
    }
    workers
}

#[test]
fn long_connections_are_spread_evenly() {
    for kind in ["--processes", "--threads"] {
        let (_service, uri) = serve(kind, 4, &[]);
        let mut connections = Vec::new();
        let workers = spread(&uri, &mut connections, 64);
        let counts: Vec<usize> = workers.values().copied().collect();
        let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        assert_eq!(counts.len(), 4, "{kind}: {workers:?}");
        assert!(most - fewest <= 6, "{kind}: {workers:?}");
        let workers = spread(&uri, &mut connections, 400);
        let most = *workers.values().max().unwrap() as f64;
        let fewest = *workers.values().min().unwrap() as f64;
        assert!(most / fewest <= 1.15, "{kind}: {workers:?}");
    }
}

#[test]
fn a_killed_worker_loses_only_its_own_connections_and_is_replaced() {
    let (service, uri) = serve("--processes", 3, &[]);
    let mut connections = Vec::new();
    spread(&uri, &mut connections, 12);
    // A worker that has run for at least a second is replaced immediately.
    thread::sleep(Duration::from_secs(1));
    let victim = ready_workers(&uri)[&2].clone();
    kill_process(pid_of(&victim), Signal::KILL).unwrap();
    service.error_line_with("worker 2 (pid");
    let killed = Instant::now();
    wait_until("the worker is back", || {
        ready_workers(&uri)
            .get(&2)
            .is_some_and(|worker| worker["pid"] != victim["pid"])
    });
    assert!(killed.elapsed() < Duration::from_secs(5));
    assert_eq!(ready_workers(&uri)[&2]["restarts"], 1);
    let mut lost = 0;
    for client in &mut connections {
        client.try_send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        match client.read_to_end() {
            bytes if bytes.is_empty() => lost += 1,
            bytes => assert!(bytes.starts_with(b"HTTP/1.1 200")),
        }
    }
    assert!(
        (2..=6).contains(&lost),
        "{lost} of 12 connections were lost"
    );
}

#[test]
fn a_worker_exits_on_request_and_the_master_logs_its_exit_code() {
    let (service, uri) = serve("--processes", 2, &[]);
    let mut client = Client::connect(&uri);
    client.request("GET /exit?code=7", &[]);
    assert_eq!(client.read_to_end(), b"");
    assert!(
        service
            .error_line_with("ended")
            .ends_with("ended: exit code 7")
    );
    service.error_line_with("ready");
    wait_until("two workers serve", || ready_workers(&uri).len() == 2);

    let (_service, uri) = serve("--threads", 2, &[]);
    assert_eq!(get(&uri, "/exit").status, 501);
}

#[test]
fn a_panic_in_a_handler_is_a_500_and_the_worker_continues() {
    for kind in ["--processes", "--threads"] {
        let (_service, uri) = serve(kind, 1, &[]);
        let mut client = Client::connect(&uri);
        let before = get(&uri, "/").text().to_owned();
        client.request("GET /panic", &[]);
        assert_eq!(client.response().status, 500);
        assert_eq!(get(&uri, "/").text(), before);
        assert_eq!(get(&uri, "/nowhere").status, 404);
    }
}

#[test]
fn a_worker_that_hangs_is_killed_and_replaced() {
    let (service, uri) = serve("--processes", 2, &[("UPTICK_HANG_MS", "400")]);
    let mut client = Client::connect(&uri);
    client.request("GET /hang?ms=20000", &[]);
    let line = service.error_line_with("hangs");
    assert!(line.starts_with("worker "), "{line}");
    assert!(
        service
            .error_line_with("ended")
            .ends_with("ended: signal 9")
    );
    wait_until("two workers serve", || ready_workers(&uri).len() == 2);
    // A worker that is blocked for a shorter time is not killed, and the other one serves requests during that time.
    let mut client = Client::connect(&uri);
    client.request("GET /hang?ms=200", &[]);
    for _ in 0..20 {
        assert_eq!(get(&uri, "/").status, 200);
    }
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_stopped_worker_does_not_delay_other_clients() {
    let (_service, uri) = serve("--processes", 3, &[("UPTICK_HANG_MS", "60000")]);
    let stopped = pid_of(&ready_workers(&uri)[&1]);
    let mut listener = WebSocket::open(&uri, "/ws", &[]);
    while listener.text().contains("\"worker\":1,") {
        listener = WebSocket::open(&uri, "/ws", &[]);
    }
    kill_process(stopped, Signal::STOP).unwrap();
    let mut connections = Vec::new();
    let workers = spread(&uri, &mut connections, 40);
    assert!(!workers.contains_key(&1), "{workers:?}");
    let mut speaker = WebSocket::open(&uri, "/ws", &[]);
    speaker.text();
    for number in 0..100 {
        speaker.send(number.to_string());
    }
    for number in 0..100 {
        let text = listener.text();
        assert!(
            text.ends_with(&format!("\"text\":\"{number}\"}}")),
            "{text}"
        );
    }
    kill_process(stopped, Signal::CONT).unwrap();
    wait_until("the worker serves again", || {
        spread(&uri, &mut Vec::new(), 20).contains_key(&1)
    });
}

#[test]
fn when_the_master_is_killed_the_workers_end_and_the_port_is_free() {
    let (service, uri) = serve("--processes", 2, &[]);
    let workers: Vec<Pid> = ready_workers(&uri).values().map(pid_of).collect();
    let mut slow = Client::connect(&uri);
    slow.request("GET /slow?ms=300", &[]);
    thread::sleep(Duration::from_millis(50));
    service.signal(Signal::KILL);
    // Requests in progress are still answered.
    assert_eq!(slow.response().status, 200);
    for worker in workers {
        wait_until("the worker has ended", || {
            test_kill_process(worker).is_err()
        });
    }
    let address = uri.strip_prefix("http://").unwrap();
    assert!(TcpStream::connect(address).is_err());
    drop(service);
}

#[test]
fn a_program_whose_workers_cannot_start_exits() {
    let file = std::env::temp_dir().join(format!("uptick-fail-{}", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let variables = [
        ("UPTICK_FAIL_FILE", file.to_str().unwrap()),
        ("UPTICK_START_FAILURES", "3"),
        ("UPTICK_BACKOFF_MIN_MS", "10"),
    ];
    let service = Program::start_with("50-workers", &["127.0.0.1:0"], &variables);
    let ended = service.wait();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.is_empty(), "{ended:?}");
    let deaths = ended
        .stderr
        .iter()
        .filter(|line| line.contains("ended: exit code 1"));
    assert!(deaths.count() >= 3, "{ended:?}");
    let last = ended.stderr.last().unwrap();
    assert!(last.contains("starting the workers failed"), "{last}");
}

#[test]
fn an_address_in_use_is_reported() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Program::start("50-workers", &[&address]).wait();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.is_empty());
    let text = ended.stderr.join("\n");
    assert!(
        text.contains(&address) && text.contains("EADDRINUSE"),
        "{text}"
    );
}

#[test]
fn a_worker_is_replaced_after_its_number_of_requests() {
    let arguments = ["--processes", "1", "--max-requests", "20", "127.0.0.1:0"];
    let service = Program::start_with("50-workers", &arguments, &TIMES);
    let uri = service.listening_on();
    let first = pid_of(&ready_workers(&uri)[&1]);
    for _ in 0..25 {
        assert_eq!(get(&uri, "/").status, 200);
    }
    wait_until("another worker serves", || {
        let workers = ready_workers(&uri);
        workers.len() == 1 && pid_of(&workers[&1]) != first
    });
    let worker = &ready_workers(&uri)[&1];
    assert_eq!(
        (&worker["restarts"], &worker["generation"]),
        (&0.into(), &1.into())
    );
}

#[test]
fn counters_never_go_down() {
    let (service, uri) = serve("--processes", 2, &[]);
    for _ in 0..50 {
        get(&uri, "/");
    }
    get(&uri, "/nowhere");
    let metrics = |uri: &str| get(uri, "/metrics").text().to_owned();
    wait_until("the requests are counted", || {
        let text = metrics(&uri);
        sum(&text, "uptick_requests_total") >= 51.0
            && sum(&text, "uptick_connections_accepted_total") >= 51.0
    });
    let before = metrics(&uri);
    for family in [
        "uptick_connections_open",
        "uptick_websockets_open",
        "uptick_bus_published_total",
        "uptick_bus_received_total",
        "uptick_bus_dropped_total",
        "uptick_worker_restarts_total",
        "uptick_loop_lag_seconds_count",
    ] {
        assert!(
            metric(&before, &format!("{family}{{worker=\"2\"}}")).is_some(),
            "{family}"
        );
    }
    assert_eq!(metric(&before, "uptick_generation"), Some(1.0));
    for worker in ready_workers(&uri).values() {
        kill_process(pid_of(worker), Signal::KILL).unwrap();
    }
    service.error_line_with("ended");
    service.error_line_with("ended");
    service.error_line_with("ready");
    let after = metrics(&uri);
    for sample in before.lines().filter(|line| line.contains("_total{")) {
        let (name, value) = sample.rsplit_once(' ').unwrap();
        let before: f64 = value.parse().unwrap();
        assert!(metric(&after, name).unwrap() >= before, "{name}");
    }
}

#[test]
fn the_service_continues_after_running_out_of_descriptors() {
    let script = "ulimit -n 64; exec \"$0\" --processes 2 127.0.0.1:0";
    let path = crate::program::path_of("50-workers");
    let arguments = ["-c", script, path.to_str().unwrap()];
    let service = Program::installed("sh", &arguments).unwrap();
    let uri = service.listening_on();
    let address = uri.strip_prefix("http://").unwrap();
    let crowd: Vec<TcpStream> = (0..150)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    thread::sleep(Duration::from_millis(300));
    drop(crowd);
    wait_until("new clients are served", || {
        let mut client = Client::connect(&uri);
        client.request("GET /", &["Connection: close"]);
        client.read_to_end().starts_with(b"HTTP/1.1 200")
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait().status.code(), Some(0));
}
