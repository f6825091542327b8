//! Flow-control windows (RFC 9113, section 5.2).

/// Maximum size of a window.
pub(super) const MAX_WINDOW: u32 = i32::MAX as u32;

/// Initial size of every window (RFC 9113, section 6.9.2).
pub(super) const INITIAL_WINDOW: u32 = 65_535;

/// A window for sending: the number of bytes that the peer accepts. It is negative after the peer reduced its initial size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SendWindow(i32);

impl SendWindow {
    pub(super) fn new(size: u32) -> SendWindow {
        SendWindow(size.min(MAX_WINDOW) as i32)
    }

    /// Returns the number of bytes that may be sent.
    #[inline]
    pub(super) fn available(self) -> usize {
        self.0.max(0) as usize
    }

    #[inline]
    pub(super) fn is_open(self) -> bool {
        self.0 > 0
    }

    /// Takes sent bytes, at most the available ones.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) {
        self.0 -= bytes.min(self.available()) as i32;
    }

    /// Changes the window. Returns `false` if it would exceed its maximum.
    pub(super) fn change(&mut self, by: i64) -> bool {
        match i32::try_from(i64::from(self.0) + by) {
            Ok(window) => {
                self.0 = window;
                true
            }
            Err(_) => false,
        }
    }
}

/// A window for receiving. Every byte of it is in one of three states: announced to the peer, received and not consumed, or consumed
/// and not announced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiveWindow {
    /// Bytes that the peer may send. Negative after the initial size was reduced.
    announced: i32,
    /// Received bytes that were not consumed.
    unconsumed: u32,
    /// Consumed bytes that were not announced again.
    consumed: u32,
}

impl ReceiveWindow {
    pub(super) fn new(size: u32) -> ReceiveWindow {
        ReceiveWindow {
            announced: size.min(MAX_WINDOW) as i32,
            unconsumed: 0,
            consumed: 0,
        }
    }

    /// Takes received bytes out of the window. Returns `false` if there are too many.
    #[inline]
    pub(super) fn receive(&mut self, bytes: u32) -> bool {
        if i64::from(bytes) > i64::from(self.announced) {
            return false;
        }
        self.announced -= bytes as i32;
        self.unconsumed += bytes;
        true
    }

    /// Records consumed bytes, at most the received ones, and returns their number.
    #[inline]
    pub(super) fn consume(&mut self, bytes: u32) -> u32 {
        let bytes = bytes.min(self.unconsumed);
        self.unconsumed -= bytes;
        self.consumed += bytes;
        bytes
    }

    /// Returns the increment to announce if at least half of a window of `size` bytes was consumed.
    #[inline]
    pub(super) fn increment(&mut self, size: u32) -> Option<u32> {
        if self.consumed == 0 || self.consumed < size / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.consumed);
        self.announced += increment as i32;
        Some(increment)
    }

    /// Returns the number of received bytes that were not consumed.
    pub(super) fn unconsumed(&self) -> u32 {
        self.unconsumed
    }

    /// Reduces the window after the peer acknowledged a smaller initial size.
    pub(super) fn reduce(&mut self, by: u32) {
        self.announced = self.announced.saturating_sub_unsigned(by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_be_negative_but_not_above_its_maximum() {
        let mut window = SendWindow::new(100);
        window.take(60);
        assert!(window.change(-100));
        assert_eq!((window.available(), window.is_open()), (0, false));
        assert!(window.change(61) && window.is_open());
        assert_eq!(window.available(), 1);
        assert!(!window.change(i64::from(MAX_WINDOW)));
        assert!(window.change(i64::from(MAX_WINDOW) - 1));
        assert_eq!(window.available(), MAX_WINDOW as usize);
    }

    #[test]
    fn received_bytes_are_announced_again_after_half_the_window_was_consumed() {
        let mut window = ReceiveWindow::new(100);
        assert!(window.receive(70) && !window.receive(31));
        assert_eq!(window.consume(49), 49);
        assert_eq!(window.increment(100), None);
        assert_eq!((window.consume(100), window.unconsumed()), (21, 0));
        assert_eq!(window.increment(100), Some(70));
        assert!(window.receive(100) && !window.receive(1) && window.receive(0));
    }

    #[test]
    fn a_reduced_window_is_negative_until_enough_is_announced() {
        let mut window = ReceiveWindow::new(100);
        assert!(window.receive(80));
        window.reduce(60);
        assert!(!window.receive(1));
        window.consume(80);
        assert_eq!(window.increment(40), Some(80));
        assert!(!window.receive(41) && window.receive(40));
    }
}
