//! Descriptors of closed sockets are released. This test has its own process, because it counts all descriptors of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

use common::{Message, pair, run, run_once};
use uptick_datagram::DatagramSocket;
use uptick_emitter::Emitter;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn descriptors_are_back_at_the_baseline_after_a_thousand_sockets() {
    let (server, client) = pair();
    server.close();
    client.close();
    run();
    let before = descriptors();
    for round in 0..500 {
        let (server, client) = pair();
        server.on("message", move |(data, peer): Message| {
            server.send_to(data, peer)
        });
        client.on("message", move |_: Message| {
            client.end();
            server.close();
        });
        client.send("x");
        match round % 3 {
            0 => run(),
            1 => {
                client.close();
                server.end();
                run_once();
            }
            _ => {
                run_once();
                server.close();
                client.close();
            }
        }
    }
    assert!(DatagramSocket::bind("999.1.1.1:1").is_err());
    let taken = DatagramSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        DatagramSocket::bind(taken.local_address().unwrap()).unwrap_err();
    }
    taken.close();
    run();
    assert_eq!(descriptors(), before);
}
