//! A guard that closes a connection.

use uptick_socket::Connection;

/// A connection that is closed on drop, unless it is [released](ConnectionGuard::release).
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    conn: Connection,
    is_released: bool,
}

impl ConnectionGuard {
    pub(super) fn new(conn: Connection) -> ConnectionGuard {
        ConnectionGuard {
            conn,
            is_released: false,
        }
    }

    /// Returns the connection, which stays guarded.
    pub(super) fn get(&self) -> Connection {
        self.conn
    }

    /// Returns the connection, which then stays open.
    pub(super) fn release(mut self) -> Connection {
        self.is_released = true;
        self.conn
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if !self.is_released {
            self.conn.close();
        }
    }
}
