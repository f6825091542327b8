use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use uptick_http::HttpServer;

use crate::support::{server, settle, socket_address};

/// Another program that listens on a port; it is killed when it is dropped.
struct Other(Child);

impl Other {
    /// A program has what it gets as its standard input.
    fn new() -> (Other, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut command = Command::new("sleep");
        command
            .arg("60")
            .stdin(Stdio::from(OwnedFd::from(listener)));
        (Other(command.spawn().unwrap()), port)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that a test starts has all descriptors of this one until it begins its program, ports among them: the tests
/// wait for one another.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_port_is_free_when_nobody_listens_there() {
    let _alone = alone();
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
fn a_port_that_a_server_of_this_thread_has_is_freed() {
    let _alone = alone();
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
    let _alone = alone();
    let (mut other, port) = Other::new();
    let error = HttpServer::free_port_if_stuck(port).unwrap_err();
    let pid = other.0.id();
    let text = format!("port {port} is in use (EADDRINUSE), by sleep (process {pid})");
    assert_eq!(error.to_string(), text);
    assert!(other.0.try_wait().unwrap().is_none());
    assert!(!HttpServer::is_port_free(port));
}

#[test]
fn a_process_that_has_a_port_ends_only_when_it_is_asked_to() {
    let _alone = alone();
    let (mut other, port) = Other::new();
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
fn this_process_is_not_asked_to_end() {
    let _alone = alone();
    let http = server();
    let port = socket_address(http).port();
    let holders = HttpServer::port_holders(port);
    assert_eq!(holders.len(), 1);
    assert_eq!(holders[0].pid(), std::process::id());
    assert!(holders[0].terminate().is_err());
    assert!(http.is_connected());
}
