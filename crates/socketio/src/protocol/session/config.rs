//! Options of sessions.

use std::time::Duration;

use serde::Serialize;
use uptick_websocket::{Message, Text};

use super::Transport;

/// Options of sessions: heartbeat, limits and transports. All sessions of a server share them.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) upgrade_timeout: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) max_payload: usize,
    pub(crate) queue_packets: usize,
    pub(crate) queue_bytes: usize,
    pub(crate) upgrades: bool,
}

impl Default for SessionOptions {
    fn default() -> SessionOptions {
        SessionOptions {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(30),
            max_payload: 1_000_000,
            queue_packets: 65_536,
            queue_bytes: 16 << 20,
            upgrades: true,
        }
    }
}

impl SessionOptions {
    /// Creates options with the default values.
    pub fn new() -> SessionOptions {
        SessionOptions::default()
    }

    /// Sets the time between the handshake, or the client's last pong, and the next ping. Default: 25 s.
    pub fn ping_interval(mut self, interval: Duration) -> SessionOptions {
        self.ping_interval = interval;
        self
    }

    /// Sets the time within which the client must answer a ping. The first other packet that is received in the meantime extends it once. Default: 20 s.
    pub fn ping_timeout(mut self, timeout: Duration) -> SessionOptions {
        self.ping_timeout = timeout;
        self
    }

    /// Sets the time within which an upgrade to WebSocket must complete. Default: 10 s.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> SessionOptions {
        self.upgrade_timeout = timeout;
        self
    }

    /// Sets the maximum time for which a closing session waits for its client to receive queued packets. Default: 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> SessionOptions {
        self.close_timeout = timeout;
        self
    }

    /// Sets the maximum size of the body of a POST request and of a WebSocket message, in bytes. The handshake announces it. Default: 1,000,000.
    pub fn max_payload(mut self, bytes: usize) -> SessionOptions {
        self.max_payload = bytes;
        self
    }

    /// Sets the maximum number of frames that are queued for a client. A packet is accepted while fewer frames are queued. Default: 65,536.
    pub fn queue_packets(mut self, packets: usize) -> SessionOptions {
        self.queue_packets = packets;
        self
    }

    /// Sets the maximum number of bytes that are queued for a client. A packet is accepted while fewer bytes are queued. Default: 16 MiB.
    pub fn queue_bytes(mut self, bytes: usize) -> SessionOptions {
        self.queue_bytes = bytes;
        self
    }

    /// Sets whether a polling session may be upgraded to WebSocket. Default: `true`.
    pub fn upgrades(mut self, upgrades: bool) -> SessionOptions {
        self.upgrades = upgrades;
        self
    }

    /// Returns the open packet, which is the handshake response.
    pub(crate) fn open_packet(&self, id: &str, transport: Transport) -> Message {
        let upgrades: &[&str] = match transport {
            Transport::Polling if self.upgrades => &["websocket"],
            _ => &[],
        };
        let data = OpenData {
            sid: id,
            upgrades,
            ping_interval: self.ping_interval.as_millis(),
            ping_timeout: self.ping_timeout.as_millis(),
            max_payload: self.max_payload,
        };
        // Serializing strings and numbers does not fail.
        let json = serde_json::to_string(&data).unwrap_or_default();
        Message::Text(Text::from(format!("0{json}")))
    }
}

/// The data of the open packet.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OpenData<'a> {
    sid: &'a str,
    upgrades: &'a [&'a str],
    ping_interval: u128,
    ping_timeout: u128,
    max_payload: usize,
}
