//! A session store in memory.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::future::ready;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::driver;

use super::{SessionStore, StoreError};
use crate::LocalFuture;

/// A session store in the memory of this thread. A clone refers to the same store. Sessions are valid only on this thread and in this process.
///
/// # Limits
/// [65,536 sessions](MemoryStore::max_sessions) and [64 MiB](MemoryStore::max_bytes) of records. Beyond these limits, the session with the
/// earliest expiry is removed.
///
/// If pages that need no login set values, such as a CSRF token, clients without cookies can fill the store and displace the sessions of other
/// clients. Limit such requests ([`RateLimiting`](crate::RateLimiting)), or set values only after a login.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, MemoryStore, Sessions};
///
/// let store = MemoryStore::new().max_sessions(10_000);
/// let http = HttpServer::new().wrap(Sessions::stored(store));
/// # let _ = http;
/// ```
#[derive(Clone)]
pub struct MemoryStore(Rc<RefCell<SessionTable>>);

struct SessionTable {
    records: HashMap<Rc<str>, StoredRecord>,
    /// The ids, ordered by expiry.
    ends: BTreeSet<(Duration, Rc<str>)>,
    bytes: usize,
    max_sessions: usize,
    max_bytes: usize,
}

struct StoredRecord {
    record: String,
    end: Duration,
}

/// Approximate memory of a session in addition to its record, in bytes.
const OVERHEAD: usize = 256;

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore(Rc::new(RefCell::new(SessionTable {
            records: HashMap::new(),
            ends: BTreeSet::new(),
            bytes: 0,
            max_sessions: 65_536,
            max_bytes: 64 * 1024 * 1024,
        })))
    }
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        MemoryStore::default()
    }

    /// Sets the maximum number of sessions; 0 counts as 1. Default: 65,536.
    pub fn max_sessions(self, max: usize) -> Self {
        self.0.borrow_mut().max_sessions = max.max(1);
        self
    }

    /// Sets the maximum size of all records, in bytes. Each record counts 256 bytes more than its length. A session that exceeds the limit alone is
    /// not stored. Default: 64 MiB.
    pub fn max_bytes(self, max: usize) -> Self {
        self.0.borrow_mut().max_bytes = max;
        self
    }

    /// Returns the number of sessions. Expired sessions count until the next session is saved.
    pub fn len(&self) -> usize {
        self.0.borrow().records.len()
    }

    /// Returns `true` if there are no sessions.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl SessionStore for MemoryStore {
    fn load(&self, id: &str) -> LocalFuture<Result<Option<String>, StoreError>> {
        let record = self.0.borrow_mut().load(id, driver::current_time());
        Box::pin(ready(Ok(record)))
    }

    fn save(
        &self,
        id: &str,
        record: String,
        lifetime: Duration,
    ) -> LocalFuture<Result<(), StoreError>> {
        let now = driver::current_time();
        let end = now.saturating_add(lifetime);
        self.0.borrow_mut().save(id, record, now, end);
        Box::pin(ready(Ok(())))
    }

    fn delete(&self, id: &str) -> LocalFuture<Result<(), StoreError>> {
        self.0.borrow_mut().delete(id);
        Box::pin(ready(Ok(())))
    }
}

impl SessionTable {
    fn load(&mut self, id: &str, now: Duration) -> Option<String> {
        let entry = self.records.get(id)?;
        if entry.end > now {
            return Some(entry.record.clone());
        }
        self.delete(id);
        None
    }

    fn save(&mut self, id: &str, record: String, now: Duration, end: Duration) {
        self.delete(id);
        if record.len().saturating_add(OVERHEAD) > self.max_bytes {
            // Storing it would remove all other sessions first.
            tracing::warn!(
                "a session of {} bytes exceeds the limit of the store",
                record.len()
            );
            return;
        }
        self.bytes += record.len() + OVERHEAD;
        let id: Rc<str> = id.into();
        self.ends.insert((end, Rc::clone(&id)));
        self.records.insert(id, StoredRecord { record, end });
        while let Some((first, _)) = self.ends.first() {
            let is_full = self.records.len() > self.max_sessions || self.bytes > self.max_bytes;
            if *first > now && !is_full {
                return;
            }
            let Some((_, id)) = self.ends.pop_first() else {
                return;
            };
            self.remove(&id);
        }
    }

    fn delete(&mut self, id: &str) {
        if let Some(end) = self.remove(id) {
            self.ends.remove(&(end, id.into()));
        }
    }

    /// Removes a record, but not its entry in `ends`. Returns its expiry.
    fn remove(&mut self, id: &str) -> Option<Duration> {
        let entry = self.records.remove(id)?;
        self.bytes -= entry.record.len() + OVERHEAD;
        Some(entry.end)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sessions", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ids(store: &MemoryStore) -> Vec<String> {
        let table = store.0.borrow();
        assert_eq!(table.records.len(), table.ends.len());
        let bytes = table.records.values();
        let bytes: usize = bytes.map(|entry| entry.record.len() + OVERHEAD).sum();
        assert_eq!(bytes, table.bytes);
        table.ends.iter().map(|(_, id)| id.to_string()).collect()
    }

    #[test]
    fn the_session_with_the_earliest_expiry_is_removed_for_another() {
        let store = MemoryStore::new().max_sessions(2);
        let save = |id: &str, end: u32| {
            let mut table = store.0.borrow_mut();
            table.save(id, "record".to_owned(), Duration::ZERO, SECOND * end);
        };
        save("a", 3);
        save("b", 1);
        save("a", 4);
        save("c", 2);
        assert_eq!(ids(&store), ["c", "a"]);
        store.0.borrow_mut().delete("a");
        assert_eq!(ids(&store), ["c"]);
    }

    #[test]
    fn records_over_the_byte_limit_are_removed_and_a_larger_record_is_not_stored() {
        let store = MemoryStore::new().max_bytes(3 * OVERHEAD + 200);
        for (id, end) in [("a", 1), ("b", 2), ("c", 3)] {
            let mut table = store.0.borrow_mut();
            table.save(id, "x".repeat(100), Duration::ZERO, SECOND * end);
        }
        assert_eq!(ids(&store), ["b", "c"]);
        let huge = "x".repeat(4 * OVERHEAD);
        store
            .0
            .borrow_mut()
            .save("d", huge, Duration::ZERO, SECOND * 9);
        assert_eq!(ids(&store), ["b", "c"]);
    }

    #[test]
    fn expired_sessions_are_removed() {
        let store = MemoryStore::new();
        let save = |id: &str, now: u32, end: u32| {
            let mut table = store.0.borrow_mut();
            table.save(id, id.to_owned(), SECOND * now, SECOND * end);
        };
        save("a", 0, 1);
        save("b", 0, 5);
        assert_eq!(store.0.borrow_mut().load("a", SECOND), None);
        assert_eq!(ids(&store), ["b"]);
        save("c", 5, 6);
        assert_eq!(ids(&store), ["c"]);
    }
}
