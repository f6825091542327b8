//! Streams that were reset while their peer may still send frames for them.

/// Maximum number of remembered streams.
const MOST: usize = 256;

/// The identifiers of removed streams whose frames are tolerated (RFC 9113, section 5.1, closed).
#[derive(Debug, Default)]
pub(super) struct RecentResets {
    ids: Vec<u32>,
    /// Position of the oldest identifier, once there are [`MOST`].
    oldest: usize,
    /// The greatest identifier that was dropped. Smaller ones are tolerated as well.
    dropped: u32,
}

impl RecentResets {
    pub(super) fn add(&mut self, id: u32) {
        if self.ids.len() < MOST {
            self.ids.push(id);
        } else if let Some(place) = self.ids.get_mut(self.oldest) {
            self.dropped = self.dropped.max(*place);
            *place = id;
            self.oldest = (self.oldest + 1) % MOST;
        }
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        id <= self.dropped || self.ids.contains(&id)
    }

    /// Frees the memory.
    pub(super) fn shrink(&mut self) {
        let greatest = self.ids.iter().copied().max().unwrap_or(0);
        *self = RecentResets {
            dropped: self.dropped.max(greatest),
            ..RecentResets::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_remembered_streams_is_bounded() {
        let mut resets = RecentResets::default();
        assert!(!resets.contains(1));
        for id in (1..2001).step_by(2) {
            resets.add(id);
            assert!(resets.contains(id) && !resets.contains(id + 2));
        }
        assert_eq!(resets.ids.len(), MOST);
        assert!(resets.contains(1));
        resets.shrink();
        assert!(resets.ids.capacity() == 0 && resets.contains(1999) && !resets.contains(2001));
    }
}
