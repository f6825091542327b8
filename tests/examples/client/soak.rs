//! Many requests over a small pool, with a server that ends connections at random.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use super::driver::ClientProgram;
use super::server::{Peer, ScriptedServer, response};

const REQUESTS: u64 = 10_000;
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"];

/// A sequence of pseudo-random numbers that is the same in each run (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Serves requests, and ends the connection at random while it is idle: at once, or after some time, with an end of stream or a reset.
fn serve(peer: &mut Peer, numbers: &mut Numbers) {
    while let Some(request) = peer.request() {
        let id = request.target.clone();
        let mut text = response("200 OK", "", &id);
        if request.method == "HEAD" {
            text.truncate(text.len() - id.len());
        }
        if !peer.send(text) {
            return;
        }
        match numbers.below(12) {
            0 => return,
            // A client that reads the response first sees the reset on the idle connection.
            1 => {
                peer.sleep(2);
                return peer.reset();
            }
            2 if peer.receives_within(numbers.below(5) + 1) => (),
            2 => return,
            _ => (),
        }
    }
}

/// The server counts each request by its identifier.
#[test]
fn requests_over_connections_that_end_at_random_succeed_and_are_sent_once() {
    let seed = Arc::new(AtomicU64::new(0x9e37_79b9_7f4a_7c15));
    let server = ScriptedServer::start(move |peer| {
        let seed = seed.fetch_add(0x1234_5678_9abc_def1, Ordering::Relaxed);
        serve(peer, &mut Numbers(seed | 1));
    });
    let mut client = ClientProgram::start_with(&["--max-per-host", "10"], &[]);
    let mut results = Vec::new();
    let mut numbers = Numbers(42);
    let mut sent = 0;
    while (results.len() as u64) < REQUESTS {
        while sent < REQUESTS && sent - (results.len() as u64) < 64 {
            let method = METHODS[numbers.below(6) as usize];
            let mut request =
                json!({"id": sent, "url": server.url(&format!("/{sent}")), "method": method});
            if ["POST", "PUT", "PATCH"].contains(&method) {
                request["body"] = json!("body");
            }
            client.send(request);
            sent += 1;
        }
        results.push(client.next());
    }
    let requests = server.requests();
    let mut counts: HashMap<String, (String, u64)> = HashMap::new();
    for request in &requests {
        counts.entry(request.target.clone()).or_default().1 += 1;
        counts
            .get_mut(&request.target)
            .unwrap()
            .0
            .clone_from(&request.method);
    }
    let mut seen = HashSet::new();
    let (mut retried, mut failed) = (0, 0);
    for result in &results {
        let id = result.0["id"].as_u64().unwrap();
        assert!(seen.insert(id));
        let target = format!("/{id}");
        let (method, count) = counts.get(&target).cloned().unwrap_or_default();
        let is_idempotent = ["GET", "PUT", "DELETE", "HEAD"].contains(&method.as_str());
        let attempts = result.0["attempts"].as_u64().unwrap();
        retried += u64::from(attempts == 2);
        assert!(
            attempts <= 2 && count <= attempts,
            "{method} {count}: {result:?}"
        );
        assert!(is_idempotent || count <= 1, "{method} {count}: {result:?}");
        if result.0["ok"] == true {
            assert_eq!(result.status(), Some(200));
            assert_eq!(result.text(), if method == "HEAD" { "" } else { &target });
            continue;
        }
        failed += 1;
        // Only a request that must not be sent again can fail: when the server closes while it is on its way.
        let is_other = method.is_empty() || !is_idempotent;
        assert!(
            is_other && result.0["reused"] == true,
            "{method}: {result:?}"
        );
        result
            .assert_kind("closed_before_response")
            .assert_attempts(1);
    }
    assert!(
        failed < REQUESTS / 50,
        "{failed} failed, {retried} were sent again"
    );
    let stats = client.stats();
    assert!(stats.open <= 10, "{stats:?}");
    assert!(stats.reused > REQUESTS / 2, "{stats:?}");
    assert!(client.descriptors() < 40);
}
