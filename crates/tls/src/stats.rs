//! Handshake statistics of a thread's servers.

use std::cell::Cell;

/// The numbers of handshakes of a thread's servers. Counts only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeStats {
    /// Handshakes that succeeded, including resumed ones.
    pub completed: u64,
    /// Handshakes that resumed a session.
    pub resumed: u64,
    /// Handshakes that failed, timed out, or were refused.
    pub failed: u64,
}

thread_local! {
    static STATS: Cell<HandshakeStats> = const {
        Cell::new(HandshakeStats {
            completed: 0,
            resumed: 0,
            failed: 0,
        })
    };
}

/// Returns the handshake counts of this thread's servers.
///
/// # Examples
/// ```
/// let stats = uptick_tls::handshake_stats();
/// assert_eq!(stats.completed, 0);
/// ```
pub fn handshake_stats() -> HandshakeStats {
    STATS.try_with(Cell::get).unwrap_or_default()
}

pub(crate) fn count_completed(resumed: bool) {
    update(|stats| {
        stats.completed += 1;
        stats.resumed += u64::from(resumed);
    });
}

pub(crate) fn count_failed() {
    update(|stats| stats.failed += 1);
}

fn update(f: impl FnOnce(&mut HandshakeStats)) {
    let mut stats = handshake_stats();
    f(&mut stats);
    // The counts are lost while the thread is torn down.
    let _ = STATS.try_with(|cell| cell.set(stats));
}
