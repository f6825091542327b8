//! The certificates that a program gave for names which were not in its context.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use rustls::ServerConfig;

/// How many are kept.
const MAX: usize = 1024;

/// A table by name, in lower case, that forgets the oldest when it is full.
pub(crate) struct Unknown {
    by_name: HashMap<Arc<str>, Arc<ServerConfig>>,
    by_age: VecDeque<Arc<str>>,
}

impl Unknown {
    pub(crate) fn new() -> Self {
        Unknown {
            by_name: HashMap::new(),
            by_age: VecDeque::new(),
        }
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<ServerConfig>> {
        self.by_name.get(name).cloned()
    }

    pub(crate) fn add(&mut self, name: String, config: Arc<ServerConfig>) {
        let name: Arc<str> = name.into();
        if self.by_name.insert(Arc::clone(&name), config).is_some() {
            return;
        }
        self.by_age.push_back(name);
        if self.by_age.len() > MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.by_name.remove(&oldest);
        }
    }
}
