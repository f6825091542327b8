//! Tests of `50-workers`: messages between the WebSockets of several workers.

use serde_json::Value;

use crate::websocket::WebSocket;
use crate::workers::serve;

/// Opens a WebSocket. Returns it with the number of its worker.
fn open(uri: &str) -> (WebSocket, u64) {
    let mut ws = WebSocket::open(uri, "/ws", &[]);
    let hello: Value = serde_json::from_str(&ws.text()).unwrap();
    (ws, hello["worker"].as_u64().unwrap())
}

#[test]
fn every_message_reaches_every_websocket_once_and_in_order() {
    const SOCKETS: usize = 8;
    const MESSAGES: usize = 50;
    for kind in ["--processes", "--threads"] {
        let (_service, uri) = serve(kind, 3, &[]);
        let mut sockets: Vec<(WebSocket, u64)> = (0..SOCKETS).map(|_| open(&uri)).collect();
        let workers: std::collections::BTreeSet<u64> =
            sockets.iter().map(|(_, worker)| *worker).collect();
        assert_eq!(workers.len(), 3, "{kind}: not all workers have a WebSocket");
        for number in 0..MESSAGES {
            for (index, (ws, _)) in sockets.iter_mut().enumerate() {
                ws.send(format!("{index} {number}"));
            }
        }
        let workers: Vec<u64> = sockets.iter().map(|(_, worker)| *worker).collect();
        for (ws, _) in &mut sockets {
            let mut next = [0; SOCKETS];
            for _ in 0..SOCKETS * MESSAGES {
                let message: Value = serde_json::from_str(&ws.text()).unwrap();
                let text = message["text"].as_str().unwrap();
                let (index, number) = text.split_once(' ').unwrap();
                let index: usize = index.parse().unwrap();
                assert_eq!(number.parse(), Ok(next[index]), "{kind}: {message}");
                next[index] += 1;
                assert_eq!(message["from"], workers[index]);
            }
        }
    }
}

#[test]
fn long_and_unusual_texts_arrive_unchanged() {
    let (_service, uri) = serve("--processes", 2, &[]);
    let (mut one, first) = open(&uri);
    let (mut other, mut second) = open(&uri);
    while first == second {
        (other, second) = open(&uri);
    }
    for text in ["x".repeat(65_536), "é \" \\ \n \u{1}".into(), String::new()] {
        one.send(text.clone());
        let message: Value = serde_json::from_str(&other.text()).unwrap();
        assert_eq!(message["text"], text);
        assert_eq!(message["from"], first);
    }
}

#[test]
fn a_fast_sender_is_slowed_down_and_no_message_is_lost() {
    const MESSAGES: usize = 200;
    let (_service, uri) = serve("--processes", 3, &[]);
    let mut receivers = Vec::new();
    while receivers.len() < 4 {
        let (mut ws, _) = open(&uri);
        receivers.push(std::thread::spawn(move || {
            for number in 0..MESSAGES {
                let message: Value = serde_json::from_str(&ws.text()).unwrap();
                let text = message["text"].as_str().unwrap();
                let start = format!("{number} ");
                assert!(text.starts_with(&start), "{} before {start}", &text[..10]);
            }
        }));
    }
    let (mut sender, _) = open(&uri);
    for number in 0..MESSAGES {
        sender.send(format!("{number} {}", "x".repeat(60_000)));
    }
    for receiver in receivers {
        receiver.join().unwrap();
    }
}
