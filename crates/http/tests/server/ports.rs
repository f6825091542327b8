//! Processes that hold a port, and the release of stuck ports.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uptick_http::HttpServer;

use crate::support::{server, settle, socket_address};

/// Another process that listens on a port. It is killed on drop.
struct OtherProcess(Child);

impl OtherProcess {
    /// Starts a process that owns a listener as its standard input.
    fn new() -> (OtherProcess, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = Command::new("sleep");
        command
            .arg("60")
            .stdin(Stdio::from(OwnedFd::from(listener)));
        (OtherProcess(command.spawn().unwrap()), port)
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serializes the tests: between fork and exec, a child process has all descriptors of this process, including listeners.
fn serialize() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_port_without_a_listener_is_free() {
    let _guard = serialize();
    assert!(!HttpServer::new().is_connected());
    let http = server();
    assert!(http.is_connected());
    let port = socket_address(http).port();
    assert!(!HttpServer::is_port_free(port));
    http.close();
    assert!(!http.is_connected());
    assert!(HttpServer::is_port_free(port));
}

#[test]
fn a_port_of_a_server_on_this_thread_is_freed() {
    let _guard = serialize();
    let (http, other) = (server(), server());
    let port = socket_address(http).port();
    assert_eq!(HttpServer::free_port_if_stuck(port), Ok(true));
    settle();
    assert!(!http.is_connected() && other.is_connected());
    assert!(HttpServer::is_port_free(port));
    assert_eq!(HttpServer::free_port_if_stuck(port), Ok(false));
}

#[test]
fn a_port_of_another_process_is_not_freed_and_the_error_names_the_process() {
    let _guard = serialize();
    let (mut other, port) = OtherProcess::new();
    let error = HttpServer::free_port_if_stuck(port).unwrap_err();
    let pid = other.0.id();
    let text = format!("port {port} is in use (EADDRINUSE), by sleep (process {pid})");
    assert_eq!(error.to_string(), text);
    assert!(other.0.try_wait().unwrap().is_none());
    assert!(!HttpServer::is_port_free(port));
}

#[test]
fn a_process_that_owns_a_port_is_terminated_only_on_request() {
    let _guard = serialize();
    let (mut other, port) = OtherProcess::new();
    let holders = HttpServer::port_holders(port);
    let [holder] = holders.as_slice() else {
        panic!("{holders:?}")
    };
    assert_eq!((holder.pid(), holder.name()), (other.0.id(), "sleep"));
    holder.terminate().unwrap();
    assert!(!other.0.wait().unwrap().success());
    assert!(HttpServer::is_port_free(port));
    assert!(holder.terminate().is_err());
}

#[test]
fn this_process_is_not_terminated() {
    let _guard = serialize();
    let http = server();
    let port = socket_address(http).port();
    let holders = HttpServer::port_holders(port);
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].pid(), std::process::id());
    assert!(holders[0].terminate().is_err());
    assert!(http.is_connected());
}
