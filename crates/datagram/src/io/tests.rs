//! The contract of receiving and sending, tested for both implementations.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};

use super::{BATCH, ReceiveOutcome};
use crate::queue::QueuedDatagram;

fn bind(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let local = socket.local_addr().unwrap();
    (socket, local)
}

fn queue(count: usize, peer: SocketAddr) -> VecDeque<QueuedDatagram> {
    let outgoing = |n: usize| QueuedDatagram {
        data: n.to_string().into(),
        peer,
    };
    (0..count).map(outgoing).collect()
}

/// The tests of the contract for one implementation.
macro_rules! contract {
    ($system:ident) => {
        mod $system {
            use super::super::$system::{ReceiveBuffers, send_batch};
            use super::*;

            /// Receives one batch, and returns the senders and texts.
            fn receive(
                socket: &UdpSocket,
                limit: usize,
            ) -> (ReceiveOutcome, Vec<(SocketAddr, String)>) {
                let mut inbox = Vec::new();
                let is_v6 = socket.local_addr().unwrap().is_ipv6();
                let received = ReceiveBuffers::new().receive(socket, is_v6, limit, |peer, data| {
                    inbox.push((peer, String::from_utf8_lossy(data).into_owned()));
                });
                (received, inbox)
            }

            fn send_all(
                socket: &UdpSocket,
                mut queue: VecDeque<QueuedDatagram>,
                is_connected: bool,
            ) {
                while !queue.is_empty() {
                    let sent = send_batch(socket, &queue, is_connected).unwrap();
                    assert!((1..=BATCH).contains(&sent));
                    queue.drain(..sent);
                }
            }

            #[test]
            fn an_empty_socket_is_reported_as_drained() {
                let (socket, _) = bind("127.0.0.1:0");
                let (received, inbox) = receive(&socket, 100);
                assert!(matches!(received, ReceiveOutcome::Drained), "{received:?}");
                assert_eq!(inbox, []);
            }

            #[test]
            fn datagrams_arrive_in_order_with_their_sender_in_both_families() {
                for any in ["127.0.0.1:0", "[::1]:0"] {
                    let (receiver, to) = bind(any);
                    let (sender, from) = bind(any);
                    send_all(&sender, queue(BATCH + 3, to), false);
                    let (received, mut inbox) = receive(&receiver, 100);
                    assert!(matches!(received, ReceiveOutcome::More), "{received:?}");
                    assert_eq!(inbox.len(), BATCH);
                    let (received, rest) = receive(&receiver, 100);
                    assert!(matches!(received, ReceiveOutcome::Drained), "{received:?}");
                    inbox.extend(rest);
                    let expected: Vec<_> = (0..BATCH + 3).map(|n| (from, n.to_string())).collect();
                    assert_eq!(inbox, expected);
                }
            }

            #[test]
            fn a_datagram_over_the_limit_is_truncated_to_one_byte_more() {
                let (receiver, to) = bind("127.0.0.1:0");
                for data in ["", "123", "1234", "1234567"] {
                    receiver.send_to(data.as_bytes(), to).unwrap();
                }
                let (_, inbox) = receive(&receiver, 3);
                let texts: Vec<_> = inbox.into_iter().map(|(_, text)| text).collect();
                assert_eq!(texts, ["", "123", "1234", "1234"]);
            }

            #[test]
            fn a_connected_socket_sends_to_its_peer() {
                let (receiver, to) = bind("127.0.0.1:0");
                let (sender, from) = bind("127.0.0.1:0");
                sender.connect(to).unwrap();
                send_all(&sender, queue(2, to), true);
                let (_, inbox) = receive(&receiver, 3);
                assert_eq!(inbox, [(from, "0".to_owned()), (from, "1".to_owned())]);
            }

            #[test]
            fn a_datagram_that_cannot_be_sent_is_an_error_when_it_comes_first() {
                let (_receiver, to) = bind("127.0.0.1:0");
                let (sender, _) = bind("127.0.0.1:0");
                let mut queue = queue(3, to);
                queue[1].peer.set_port(0);
                assert_eq!(send_batch(&sender, &queue, false).unwrap(), 1);
                queue.pop_front();
                assert!(send_batch(&sender, &queue, false).is_err());
                queue.pop_front();
                assert_eq!(send_batch(&sender, &queue, false).unwrap(), 1);
            }

            #[test]
            fn a_refusal_is_reported_once() {
                let (gone, to) = bind("127.0.0.1:0");
                let (socket, _) = bind("127.0.0.1:0");
                socket.connect(to).unwrap();
                drop(gone);
                socket.send(b"hello").unwrap();
                let (received, inbox) = receive(&socket, 100);
                assert!(
                    matches!(received, ReceiveOutcome::Failed(_)),
                    "{received:?}"
                );
                assert_eq!(inbox, []);
                let (received, _) = receive(&socket, 100);
                assert!(matches!(received, ReceiveOutcome::Drained), "{received:?}");
            }
        }
    };
}

#[cfg(target_os = "linux")]
contract!(batched);
contract!(single);
