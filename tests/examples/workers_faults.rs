//! Tests of `50-workers` and `52-rolling-reload` under faults: blocked loops, full disks and moved programs.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::http::{Client, get};
use crate::program::{Program, path_of};
use crate::tls::Directory;
use crate::websocket::WebSocket;
use crate::workers::{TIMES, pid_of, ready_workers, serve, stats, wait_until};

/// Creates a separate directory for each name, with a space in its path.
fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("uptick {name} {}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn read_pid(path: &std::path::Path) -> i32 {
    let text = std::fs::read_to_string(path).unwrap();
    text.trim().parse().unwrap()
}

/// Sends the upgrade signal, and waits until the new program serves. Returns its process id.
fn upgrade(pid_file: &std::path::Path) -> i32 {
    let before = read_pid(pid_file);
    kill_process(Pid::from_raw(before).unwrap(), Signal::USR2).unwrap();
    wait_until("the new program serves", || read_pid(pid_file) != before);
    read_pid(pid_file)
}

fn end(pid: i32) {
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    wait_until("the program has ended", || test_kill_process(pid).is_err());
}

#[test]
fn a_full_disk_for_the_log_does_not_stop_the_service() {
    let script = "exec \"$0\" --processes 1 127.0.0.1:0 2>/dev/full";
    let path = path_of("50-workers");
    let service = Program::installed("sh", &["-c", script, path.to_str().unwrap()]).unwrap();
    let uri = service.listening_on();
    let first = pid_of(&ready_workers(&uri)[&1]);
    kill_process(first, Signal::KILL).unwrap();
    wait_until("the worker is replaced", || {
        let workers = ready_workers(&uri);
        workers.len() == 1 && pid_of(&workers[&1]) != first
    });
    service.signal(Signal::HUP);
    wait_until("the next generation serves", || {
        stats(&uri)["generation"] == 2
    });
    service.signal(Signal::TERM);
    assert_eq!(service.wait().status.code(), Some(0));
}

#[test]
fn a_blocked_thread_does_not_delay_a_second_signal() {
    let (service, uri) = serve("--threads", 2, &[("UPTICK_DRAIN_MS", "60000")]);
    let mut client = Client::connect(&uri);
    client.request("GET /hang?ms=60000", &[]);
    thread::sleep(Duration::from_millis(100));
    service.signal(Signal::TERM);
    service.error_line_with("stopping");
    service.signal(Signal::TERM);
    let begun = Instant::now();
    assert_eq!(service.wait().status.code(), Some(1));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_blocked_worker_does_not_outlive_its_master() {
    let (service, uri) = serve("--processes", 1, &[("UPTICK_DRAIN_MS", "200")]);
    let worker = pid_of(&ready_workers(&uri)[&1]);
    let mut client = Client::connect(&uri);
    client.request("GET /hang?ms=60000", &[]);
    thread::sleep(Duration::from_millis(100));
    service.signal(Signal::KILL);
    wait_until("the worker has ended", || {
        test_kill_process(worker).is_err()
    });
}

#[test]
fn a_websocket_that_never_answers_the_close_does_not_prevent_a_clean_stop() {
    let variables = [("UPTICK_DRAIN_MS", "4000"), ("UPTICK_WS_DRAIN_MS", "100")];
    let (service, uri) = serve("--processes", 1, &variables);
    let mut ws = WebSocket::open(&uri, "/ws", &[]);
    ws.text();
    service.signal(Signal::TERM);
    assert_eq!(service.wait().status.code(), Some(0));
    drop(ws);
}

#[test]
fn a_client_that_never_starts_its_handshake_does_not_prevent_a_clean_stop() {
    let directory = Directory::new("silent");
    let (cert, key) = directory.certificate("localhost");
    let arguments = ["--cert", &cert, "--key", &key, "tls://127.0.0.1:0"];
    let variables = [("UPTICK_DRAIN_MS", "4000")];
    let service = Program::start_with("50-workers", &arguments, &variables);
    let uri = service.listening_on();
    let address = uri.strip_prefix("https://").unwrap();
    let silent = std::net::TcpStream::connect(address).unwrap();
    thread::sleep(Duration::from_millis(300));
    service.signal(Signal::TERM);
    assert_eq!(service.wait().status.code(), Some(0));
    drop(silent);
}

#[test]
fn messages_reach_websockets_of_all_programs_after_several_upgrades() {
    let directory = directory("chain");
    let pid_file = directory.join("pid");
    let arguments = ["--pid-file", pid_file.to_str().unwrap(), "127.0.0.1:0"];
    let variables = [
        ("UPTICK_DRAIN_MS", "60000"),
        ("UPTICK_WS_DRAIN_MS", "50000"),
    ];
    let service = Program::start_with("52-rolling-reload", &arguments, &variables);
    let uri = service.listening_on();
    wait_until("the pid file exists", || pid_file.exists());
    let mut sockets = Vec::new();
    let open = |sockets: &mut Vec<WebSocket>| {
        let mut ws = WebSocket::open_despite_shutdown(&uri, "/ws");
        ws.text();
        sockets.push(ws);
    };
    open(&mut sockets);
    let mut masters = vec![service.pid()];
    for _ in 0..2 {
        masters.push(upgrade(&pid_file));
        open(&mut sockets);
    }
    for number in 0..sockets.len() {
        sockets[number].send(number.to_string());
        for ws in &mut sockets {
            let text = ws.text();
            assert!(text.contains(&format!("\"text\":\"{number}\"")), "{text}");
        }
    }
    drop(sockets);
    end(masters[2]);
    assert_eq!(service.wait().status.code(), Some(0));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_upgrade_follows_the_symbolic_link_used_to_start_the_program() {
    let directory = directory("releases");
    let link = directory.join("current release");
    let copy = directory.join("next");
    let pid_file = directory.join("pid");
    let program = path_of("52-rolling-reload");
    std::fs::copy(&program, &copy).unwrap();
    std::os::unix::fs::symlink(&program, &link).unwrap();
    let arguments = ["--pid-file", pid_file.to_str().unwrap(), "127.0.0.1:0"];
    let service = Program::installed(link.to_str().unwrap(), &arguments).unwrap();
    let uri = service.listening_on();
    wait_until("the pid file exists", || pid_file.exists());
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&copy, &link).unwrap();
    let next = upgrade(&pid_file);
    let running = std::fs::read_link(format!("/proc/{next}/exe")).unwrap();
    assert_eq!(running, copy);
    assert_eq!(get(&uri, "/").status, 200);
    end(next);
    assert_eq!(service.wait().status.code(), Some(0));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_failed_upgrade_counts_no_restart_and_leaves_no_worker() {
    let directory = directory("failing");
    let file = directory.join("fail");
    let variables = [
        ("UPTICK_FAIL_FILE", file.to_str().unwrap()),
        ("UPTICK_START_FAILURES", "1"),
        TIMES[0],
    ];
    let (service, uri) = serve("--processes", 1, &variables);
    std::fs::write(&file, "").unwrap();
    // More attempts than there are slots for workers.
    for _ in 0..20 {
        service.signal(Signal::USR2);
        service.error_line_with("upgrade failed");
    }
    std::fs::remove_file(&file).unwrap();
    let workers = stats(&uri)["workers"].clone();
    assert_eq!(workers.as_array().unwrap().len(), 1, "{workers}");
    assert_eq!(workers[0]["restarts"], 0);
    service.signal(Signal::HUP);
    wait_until("the next generation serves", || {
        stats(&uri)["generation"] == 2
    });
    std::fs::remove_dir_all(&directory).unwrap();
}
