//! Counts of the WebSockets of a server.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::Histogram;
use uptick_rate_limit::Client;

/// Counts of the WebSockets of a server. All but [`open`](WebSocketStats::open) only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketStats {
    /// Number of open WebSockets, including those that are closing.
    pub open: usize,
    /// Number of WebSockets that were opened.
    pub opened: u64,
    /// Number of messages that were dropped because of a slow peer.
    pub dropped: u64,
    /// Histogram of the times from an automatic ping to its pong. Only peers that send nothing for most of the
    /// [idle timeout](crate::WebSocketOptions::idle_timeout) are pinged.
    pub ping_time: Histogram,
}

/// The counts shared by the WebSockets of a server, which also identify them as its own.
#[derive(Debug, Default)]
pub(crate) struct SocketCounts {
    open: Cell<usize>,
    opened: Cell<u64>,
    dropped: Cell<u64>,
    ping_time: RefCell<Histogram>,
    /// The number of WebSockets of each client, on routes that limit it.
    clients: RefCell<HashMap<Client, usize>>,
}

/// One of the WebSockets of a client; it stops counting when it is dropped.
#[derive(Debug)]
pub(crate) struct ClientSlot {
    counts: Rc<SocketCounts>,
    client: Client,
}

impl ClientSlot {
    /// Counts a WebSocket of a client; `None` if the client has reached the limit.
    pub(crate) fn take(counts: &Rc<SocketCounts>, client: Client, limit: usize) -> Option<Self> {
        let mut clients = counts.clients.borrow_mut();
        let open = clients.get(&client).copied().unwrap_or(0);
        if open >= limit {
            return None;
        }
        clients.insert(client, open + 1);
        Some(ClientSlot {
            counts: Rc::clone(counts),
            client,
        })
    }
}

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let mut clients = self.counts.clients.borrow_mut();
        if let Some(open) = clients.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

impl SocketCounts {
    /// Counts an opened WebSocket.
    pub(crate) fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.opened.set(self.opened.get() + 1);
    }

    /// Counts a closed WebSocket.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    /// Counts a dropped message.
    pub(crate) fn dropped(&self) {
        self.dropped.set(self.dropped.get() + 1);
    }

    /// Records the time from a ping to its pong.
    pub(crate) fn pong_after(&self, time: Duration) {
        self.ping_time.borrow_mut().observe(time);
    }

    /// Returns the current counts.
    pub(crate) fn stats(&self) -> WebSocketStats {
        WebSocketStats {
            open: self.open.get(),
            opened: self.opened.get(),
            dropped: self.dropped.get(),
            ping_time: *self.ping_time.borrow(),
        }
    }
}
