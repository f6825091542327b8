//! The Socket.IO servers. All of them acknowledge the event `echo` with its argument. When the namespace `/control` receives
//! `burst` with the first number and a count, they broadcast `message` to `/` with each of the numbers, in 20 digits.

pub(super) mod node;
pub(super) mod socketioxide;
pub(super) mod uptick;

/// The interval of pings, long enough that none is sent during a measurement.
pub(super) const PING_INTERVAL: std::time::Duration = std::time::Duration::from_secs(3600);
