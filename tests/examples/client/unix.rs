//! Requests over Unix sockets.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::json;

use super::driver::ClientProgram;
use super::server::{OK, ScriptedServer};
use crate::tls::Directory;

/// A Unix socket in front of a TCP server.
pub(crate) struct UnixRelay {
    directory: Directory,
    connections: Arc<AtomicUsize>,
}

impl UnixRelay {
    /// Starts a relay. `test` is part of the name of its directory.
    pub(crate) fn start(test: &str, to: SocketAddr) -> UnixRelay {
        let directory = Directory::new(&format!("client-unix-{test}"));
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                let server = TcpStream::connect(to).unwrap();
                let (mut from, mut into) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (mut client, mut server) = (client, server);
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut into);
                    let _ = into.shutdown(Shutdown::Write);
                });
                thread::spawn(move || {
                    let _ = io::copy(&mut server, &mut client);
                    let _ = client.shutdown(Shutdown::Write);
                });
            }
        });
        UnixRelay {
            directory,
            connections,
        }
    }

    pub(crate) fn path(&self) -> String {
        self.directory.path().join("socket").display().to_string()
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

#[test]
fn a_request_is_sent_over_a_unix_socket_with_the_host_of_the_url() {
    let server = ScriptedServer::answering(OK);
    let relay = UnixRelay::start("host", server.address);
    let mut client = ClientProgram::start();
    let request = json!({"url": "http://service.example/v1/info?a", "unix": relay.path()});
    let result = client.run(request.clone());
    assert_eq!(result.assert_ok().assert_reused(false).text(), "ok");
    let request_line = server.last();
    assert_eq!(request_line.target, "/v1/info?a");
    assert_eq!(request_line.field("host"), Some("service.example"));
    client.run(request).assert_ok().assert_reused(true);
    assert_eq!(relay.connections(), 1);
}

#[test]
fn a_unix_socket_is_a_destination_of_its_own() {
    let server = ScriptedServer::answering(OK);
    let (one, two) = (
        UnixRelay::start("one", server.address),
        UnixRelay::start("two", server.address),
    );
    let mut client = ClientProgram::start();
    let url = server.url("/");
    client.get(&url).assert_ok();
    for relay in [&one, &two] {
        let result = client.run(json!({"url": url, "unix": relay.path()}));
        result.assert_ok().assert_reused(false);
        assert_eq!(relay.connections(), 1);
    }
    client.get(&url).assert_ok().assert_reused(true);
    assert_eq!(client.stats().open, 3);
}

#[test]
fn a_missing_unix_socket_is_a_connect_error() {
    let directory = Directory::new("client-unix-missing");
    let path = directory.path().join("nothing").display().to_string();
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": "http://a.example/", "unix": path}));
    result
        .assert_kind("connect")
        .assert_message(&[&path, "ENOENT"]);
}
