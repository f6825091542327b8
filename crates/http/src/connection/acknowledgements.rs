//! Clients that are still reading when the idle timeout expires.

use uptick_socket::Connection;

/// The acknowledged byte count at the last expiry of the idle timeout. Its low half is enough to detect a change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acknowledgements(u32);

impl Acknowledgements {
    /// Returns `true` if the client is still reading responses: some output is in the write queue or in the kernel's send buffer, and the
    /// client has acknowledged data since the previous call.
    pub(super) fn is_reading(&mut self, conn: Connection) -> bool {
        if conn.is_sending() {
            // The write timeout closes the connection of a client that reads nothing.
            return true;
        }
        if conn.unsent() == 0 {
            return false;
        }
        let acknowledged = conn.acknowledged() as u32;
        acknowledged != std::mem::replace(&mut self.0, acknowledged)
    }
}
