//! Tests of `06-signals`.

use rustix::process::Signal;

use crate::peer::Peer;
use crate::program::Program;

fn serve() -> (Program, String, Peer) {
    let (server, uri) = Program::serve("06-signals", &[]);
    let mut peer = Peer::connect(&uri);
    peer.expect("Say something, or `exit`.");
    (server, uri, peer)
}

#[test]
fn a_signal_without_clients_ends_it_immediately() {
    for signal in [Signal::TERM, Signal::INT] {
        let (server, _) = Program::serve("06-signals", &[]);
        server.signal(signal);
        let ended = server.wait();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stdout, ["closed"]);
    }
}

#[test]
fn after_a_signal_clients_are_served_and_no_new_ones_accepted() {
    let (server, uri, mut peer) = serve();
    server.signal(Signal::USR1);
    assert_eq!(server.line(), "clients: 1");
    server.signal(Signal::TERM);
    let address = uri.strip_prefix("tcp://").unwrap();
    while let Ok(accepted) = std::net::TcpStream::connect(address) {
        drop(accepted);
    }
    let refused = std::net::TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    peer.send("still here\n");
    peer.expect("still here");
    peer.send("exit\n");
    peer.expect("Bye!");
    peer.expect_end();
    drop(peer);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, ["closed"]);
}

#[test]
fn a_second_signal_closes_the_remaining_clients() {
    let (server, uri, mut peer) = serve();
    server.signal(Signal::INT);
    let address = uri.strip_prefix("tcp://").unwrap();
    while let Ok(accepted) = std::net::TcpStream::connect(address) {
        drop(accepted);
    }
    server.signal(Signal::USR1);
    while server.line() != "clients: 1" {
        server.signal(Signal::USR1);
    }
    server.signal(Signal::INT);
    peer.expect_end();
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout.last().map(String::as_str), Some("closed"));
}
