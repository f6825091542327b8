//! The certificates that a callback returned for names which are not in the context.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::files::Files;

/// The number of certificates that are kept.
const MAX: usize = 1024;

/// A table by name, in lower case, that drops the oldest entry when it is full.
pub(crate) struct Unknown {
    by_name: HashMap<Arc<str>, Kept>,
    by_age: VecDeque<Arc<str>>,
}

struct Kept {
    config: Arc<ServerConfig>,
    /// The files as they were when they were last checked.
    seen: Files,
    looked: Instant,
}

/// The result of a lookup.
pub(crate) struct Found {
    pub(crate) config: Arc<ServerConfig>,
    /// Whether the files have changed.
    pub(crate) has_changed: bool,
}

impl Unknown {
    pub(crate) fn new() -> Self {
        Unknown {
            by_name: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }

    /// Returns the configuration that is kept for a name. Its files are checked at most once in an interval; each change is
    /// found once.
    pub(crate) fn find(
        &mut self,
        name: &str,
        interval: Option<Duration>,
        now: Instant,
    ) -> Option<Found> {
        let kept = self.by_name.get_mut(name)?;
        let since = now.saturating_duration_since(kept.looked);
        let mut has_changed = false;
        if interval.is_some_and(|interval| since >= interval) {
            kept.looked = now;
            let seen = kept.seen.look_again();
            has_changed = seen != kept.seen;
            kept.seen = seen;
        }
        Some(Found {
            config: Arc::clone(&kept.config),
            has_changed,
        })
    }

    pub(crate) fn add(
        &mut self,
        name: String,
        config: Arc<ServerConfig>,
        seen: Files,
        now: Instant,
    ) {
        let name: Arc<str> = name.into();
        let kept = Kept {
            config,
            seen,
            looked: now,
        };
        if self.by_name.insert(Arc::clone(&name), kept).is_some() {
            return;
        }
        self.by_age.push_back(name);
        if self.by_age.len() > MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.by_name.remove(&oldest);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if self.by_name.remove(name).is_some() {
            self.by_age.retain(|kept| **kept != *name);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::server::ResolvesServerCertUsingSni;

    use super::*;
    use crate::provider::provider;

    #[test]
    fn the_oldest_is_forgotten_when_the_table_is_full() {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let config = Arc::new(config);
        let now = Instant::now();
        let mut unknown = Unknown::new();
        let add = |unknown: &mut Unknown, name: String| {
            unknown.add(name, Arc::clone(&config), Files::default(), now);
        };
        for number in 0..MAX {
            add(&mut unknown, format!("{number}.example.org"));
        }
        // One that is there already takes no more room.
        add(&mut unknown, "7.example.org".to_owned());
        assert!(unknown.find("0.example.org", None, now).is_some());
        add(&mut unknown, "new.example.org".to_owned());
        assert!(unknown.find("0.example.org", None, now).is_none());
        assert!(unknown.find("1.example.org", None, now).is_some());
        // One that was removed makes room.
        unknown.remove("5.example.org");
        add(&mut unknown, "newer.example.org".to_owned());
        assert!(unknown.find("1.example.org", None, now).is_some());
        assert_eq!(unknown.by_age.len(), MAX);
        assert_eq!(unknown.by_name.len(), MAX);
    }
}
