//! The cache of certificates that a callback returned for unknown names.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;

use crate::files::FileStates;

/// The maximum number of cached certificates.
const MAX: usize = 1024;

/// A cache by name, in lower case, that drops the oldest entry when it is full.
pub(crate) struct CallbackCertificates {
    by_name: HashMap<Arc<str>, CachedCertificate>,
    by_age: VecDeque<Arc<str>>,
}

struct CachedCertificate {
    config: Arc<ServerConfig>,
    /// The state of the files when they were last checked.
    files: FileStates,
    checked: Instant,
}

/// The result of a lookup.
pub(crate) struct CachedConfig {
    pub(crate) config: Arc<ServerConfig>,
    /// `true` if the files have changed since the last check.
    pub(crate) has_changed: bool,
}

impl CallbackCertificates {
    pub(crate) fn new() -> Self {
        CallbackCertificates {
            by_name: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }

    /// Returns the cached configuration for a name. Its files are checked at most once in an interval, and each change is
    /// reported once.
    pub(crate) fn find(
        &mut self,
        name: &str,
        interval: Option<Duration>,
        now: Instant,
    ) -> Option<CachedConfig> {
        let cached = self.by_name.get_mut(name)?;
        let since = now.saturating_duration_since(cached.checked);
        let mut has_changed = false;
        if interval.is_some_and(|interval| since >= interval) {
            cached.checked = now;
            let files = cached.files.recheck();
            has_changed = files != cached.files;
            cached.files = files;
        }
        Some(CachedConfig {
            config: Arc::clone(&cached.config),
            has_changed,
        })
    }

    pub(crate) fn add(
        &mut self,
        name: String,
        config: Arc<ServerConfig>,
        files: FileStates,
        now: Instant,
    ) {
        let name: Arc<str> = name.into();
        let cached = CachedCertificate {
            config,
            files,
            checked: now,
        };
        if self.by_name.insert(Arc::clone(&name), cached).is_some() {
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
            self.by_age.retain(|cached| **cached != *name);
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::server::ResolvesServerCertUsingSni;

    use super::*;
    use crate::provider::provider;

    #[test]
    fn the_oldest_entry_is_dropped_when_the_cache_is_full() {
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        let config = Arc::new(config);
        let now = Instant::now();
        let mut cache = CallbackCertificates::new();
        let add = |cache: &mut CallbackCertificates, name: String| {
            cache.add(name, Arc::clone(&config), FileStates::default(), now);
        };
        for number in 0..MAX {
            add(&mut cache, format!("{number}.example.org"));
        }
        // Replacing an entry does not drop another one.
        add(&mut cache, "7.example.org".to_owned());
        assert!(cache.find("0.example.org", None, now).is_some());
        add(&mut cache, "new.example.org".to_owned());
        assert!(cache.find("0.example.org", None, now).is_none());
        assert!(cache.find("1.example.org", None, now).is_some());
        // Removing an entry leaves room for another one.
        cache.remove("5.example.org");
        add(&mut cache, "newer.example.org".to_owned());
        assert!(cache.find("1.example.org", None, now).is_some());
        assert_eq!(cache.by_age.len(), MAX);
        assert_eq!(cache.by_name.len(), MAX);
    }
}
