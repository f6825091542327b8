//! The order in which pending streams are sent (RFC 9218, section 10).

use super::priority::{Priority, URGENCIES};
use super::streams::{StreamFlags, StreamKey, StreamTable};

impl<T> StreamTable<T> {
    /// Returns `true` if a stream is pending and its window is open.
    #[inline]
    pub(super) fn any_queued(&self) -> bool {
        self.queues.used != 0
    }

    /// Adds a stream to its queue, or takes it out, after its state or its window changed.
    #[inline]
    pub(super) fn update_queue(&mut self, id: u32) {
        let Some(stream) = self.get(id) else { return };
        let sends = stream.has(StreamFlags::PENDING)
            && !stream.has(StreamFlags::RESET)
            && stream.send_window.is_open();
        match (sends, stream.has(StreamFlags::QUEUED)) {
            (true, false) => self.enqueue(id),
            (false, true) => self.dequeue(id),
            _ => {}
        }
    }

    /// Returns the stream to send next. An incremental stream then moves behind the others of its urgency.
    pub(super) fn next_queued(&mut self) -> Option<StreamKey> {
        let urgency = self.queues.used.trailing_zeros() as usize;
        let id = self.queues.ends.get(urgency)?.first;
        let stream = self.get(id)?;
        let key = stream.key();
        if stream.priority.incremental && stream.next != 0 {
            self.dequeue(id);
            self.enqueue(id);
        }
        Some(key)
    }

    /// Changes the priority of a stream.
    pub(super) fn set_priority(&mut self, id: u32, priority: Priority) {
        let Some(stream) = self.get_mut(id) else {
            return;
        };
        if stream.priority == priority {
            return;
        }
        if stream.has(StreamFlags::QUEUED) {
            self.dequeue(id);
        }
        if let Some(stream) = self.get_mut(id) {
            stream.priority = priority;
        }
        self.update_queue(id);
    }

    fn enqueue(&mut self, id: u32) {
        let Some(stream) = self.get(id) else { return };
        let urgency = usize::from(stream.priority.urgency) % URGENCIES;
        let ends = &mut self.queues.ends[urgency];
        let last = std::mem::replace(&mut ends.last, id);
        if last == 0 {
            ends.first = id;
        }
        self.queues.used |= 1 << urgency;
        if let Some(previous) = self.get_mut(last) {
            previous.next = id;
        }
        if let Some(stream) = self.get_mut(id) {
            stream.flags.insert(StreamFlags::QUEUED);
            stream.previous = last;
            stream.next = 0;
        }
    }

    fn dequeue(&mut self, id: u32) {
        let Some(stream) = self.get_mut(id) else {
            return;
        };
        stream.flags.remove(StreamFlags::QUEUED);
        let (previous, next) = (stream.previous, stream.next);
        let urgency = usize::from(stream.priority.urgency) % URGENCIES;
        match self.get_mut(previous) {
            Some(previous) => previous.next = next,
            None => self.queues.ends[urgency].first = next,
        }
        match self.get_mut(next) {
            Some(next) => next.previous = previous,
            None => self.queues.ends[urgency].last = previous,
        }
        if self.queues.ends[urgency].first == 0 {
            self.queues.used &= !(1 << urgency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams::Stream;
    use super::*;
    use proptest::prelude::*;

    fn table(streams: &[(u32, &str)]) -> StreamTable<()> {
        let mut table = StreamTable::new();
        for (id, priority) in streams {
            let mut stream = Stream::new(*id, 100, 0);
            stream.priority = Priority::parse(priority.as_bytes());
            stream.flags.insert(StreamFlags::PENDING);
            table.insert(stream);
            table.update_queue(*id);
        }
        table
    }

    fn next(table: &mut StreamTable<()>, count: usize) -> Vec<u32> {
        let mut ids = || table.next_queued().map(|key| key.id);
        (0..count).map_while(|_| ids()).collect()
    }

    fn finish(table: &mut StreamTable<()>, id: u32) {
        table
            .get_mut(id)
            .unwrap()
            .flags
            .remove(StreamFlags::PENDING);
        table.update_queue(id);
    }

    #[test]
    fn urgent_streams_are_first_and_incremental_streams_alternate() {
        let mut table = table(&[
            (1, ""),
            (3, "u=1"),
            (5, "u=5,i"),
            (7, "u=5,i"),
            (9, "u=5,i"),
            (11, "u=1"),
        ]);
        assert_eq!(next(&mut table, 3), [3, 3, 3]);
        finish(&mut table, 3);
        assert_eq!(next(&mut table, 2), [11, 11]);
        finish(&mut table, 11);
        assert_eq!(next(&mut table, 2), [1, 1]);
        finish(&mut table, 1);
        assert_eq!(next(&mut table, 5), [5, 7, 9, 5, 7]);
        finish(&mut table, 9);
        assert_eq!(next(&mut table, 3), [5, 7, 5]);
        table.set_priority(7, Priority::parse(b"u=4"));
        assert_eq!(next(&mut table, 2), [7, 7]);
        finish(&mut table, 7);
        finish(&mut table, 5);
        assert!(!table.any_queued() && table.next_queued().is_none());
    }

    #[test]
    fn a_stream_without_window_does_not_block_others() {
        let mut table = table(&[(1, "u=0"), (3, "")]);
        table.get_mut(1).unwrap().send_window.take(100);
        table.update_queue(1);
        assert_eq!(next(&mut table, 2), [3, 3]);
        assert!(table.get_mut(1).unwrap().send_window.change(1));
        table.update_queue(1);
        assert_eq!(next(&mut table, 2), [1, 1]);
    }

    proptest! {
        #[test]
        fn every_pending_stream_of_the_first_urgency_has_its_turn(
            steps in prop::collection::vec((1u32..30, 0u8..8, any::<bool>(), 0u8..4), 1..200),
        ) {
            let mut table: StreamTable<()> = StreamTable::new();
            for (id, urgency, incremental, action) in steps {
                let priority = Priority { urgency, incremental };
                match action {
                    0 if table.get(id).is_none() => {
                        let mut stream = Stream::new(id, 10, 0);
                        stream.priority = priority;
                        stream.flags.insert(StreamFlags::PENDING);
                        table.insert(stream);
                        table.update_queue(id);
                    }
                    1 if table.get(id).is_some() => {
                        finish(&mut table, id);
                        table.remove(id);
                    }
                    2 => table.set_priority(id, priority),
                    _ => {
                        table.next_queued();
                    }
                }
                let queued: Vec<_> = table.iter().map(|stream| (stream.priority.urgency, stream.id)).collect();
                let first = queued.iter().min().map(|(urgency, _)| *urgency);
                let next = table.next_queued();
                prop_assert_eq!(next.is_some(), !queued.is_empty());
                if let Some(key) = next {
                    prop_assert_eq!(table.get(key.id).map(|stream| stream.priority.urgency), first);
                }
                // All are incremental in this round, so each has one turn.
                let level: Vec<_> = queued.iter().filter(|(urgency, _)| Some(*urgency) == first).map(|(_, id)| *id).collect();
                let saved: Vec<_> = level.iter().map(|id| (*id, table.get(*id).unwrap().priority)).collect();
                for id in &level {
                    table.get_mut(*id).unwrap().priority.incremental = true;
                }
                let mut turns = self::next(&mut table, level.len());
                turns.sort_unstable();
                let mut expected = level.clone();
                expected.sort_unstable();
                prop_assert_eq!(turns, expected);
                for (id, priority) in saved {
                    table.get_mut(id).unwrap().priority = priority;
                }
            }
        }
    }
}
