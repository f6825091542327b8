//! Name resolution: overrides, and a cache of the answers of DNS.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{LocalBoxFuture, Shared, WeakShared};
use uptick_event_loop::driver;
use uptick_socket::{Error as SocketError, Resolver};

/// Addresses of names that are used instead of DNS queries. Cloning does not allocate.
#[derive(Clone, Default)]
pub(crate) struct Resolve(Option<Rc<Overrides>>);

/// The addresses of each name, with port 0.
type Overrides = BTreeMap<Box<str>, Rc<[SocketAddr]>>;

impl Resolve {
    /// Sets the addresses of a name, in order of preference. A name without addresses does not exist.
    pub(crate) fn insert(&mut self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
        let names = Rc::make_mut(self.0.get_or_insert_default());
        names.insert(key(name), addresses.collect());
    }

    /// Returns the addresses of a name, if they are set.
    pub(super) fn get(&self, name: &str) -> Option<Rc<[SocketAddr]>> {
        let names = self.0.as_ref()?;
        names.get(&*key(name)).cloned()
    }
}

impl fmt::Debug for Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().flat_map(|names| names.iter());
        f.debug_map().entries(names).finish()
    }
}

/// Returns the form in which names are compared: lower case without a final dot.
fn key(name: &str) -> Box<str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase().into()
}

/// The time for which the addresses of a name are used. The system's resolver does not report the time to live.
const LIFETIME: Duration = Duration::from_secs(30);
/// Maximum number of cached names.
const MAX_NAMES: usize = 1024;

type Lookup = LocalBoxFuture<'static, Result<Rc<[SocketAddr]>, SocketError>>;

/// A cache of resolved names. Concurrent lookups of a name share one query.
pub(super) struct ResolveCache {
    resolver: Resolver,
    names: RefCell<HashMap<Box<str>, CachedName>>,
}

enum CachedName {
    /// A query, as long as a request waits for it.
    Pending(WeakShared<Lookup>),
    Known {
        addresses: Rc<[SocketAddr]>,
        until: Duration,
    },
}

impl CachedName {
    fn is_current(&self) -> bool {
        match self {
            CachedName::Pending(lookup) => lookup.upgrade().is_some(),
            CachedName::Known { until, .. } => driver::elapsed() < *until,
        }
    }
}

impl Default for ResolveCache {
    fn default() -> Self {
        ResolveCache::new(Resolver::system())
    }
}

impl ResolveCache {
    pub(super) fn new(resolver: Resolver) -> ResolveCache {
        ResolveCache {
            resolver,
            names: RefCell::default(),
        }
    }

    pub(super) fn resolver(&self) -> Resolver {
        self.resolver.clone()
    }

    /// Returns the addresses of a name, with port 0.
    pub(super) async fn lookup(&self, name: &str) -> Result<Rc<[SocketAddr]>, SocketError> {
        let name = key(name);
        let lookup = match self.names.borrow().get(&name) {
            Some(CachedName::Known { addresses, until }) if driver::elapsed() < *until => {
                return Ok(Rc::clone(addresses));
            }
            Some(CachedName::Pending(lookup)) => lookup.upgrade(),
            _ => None,
        };
        let lookup = lookup.unwrap_or_else(|| self.begin(&name));
        let result = lookup.clone().await;
        self.finish(name, &result);
        result
    }

    /// Forgets the addresses of a name, none of which could be connected to.
    pub(super) fn forget(&self, name: &str) {
        self.names.borrow_mut().remove(&key(name));
    }

    fn begin(&self, name: &str) -> Shared<Lookup> {
        let found = self.resolver.lookup(name);
        let lookup: Lookup = async move { found.await.map(Rc::from) }.boxed_local();
        let lookup = lookup.shared();
        if let Some(weak) = lookup.downgrade() {
            self.store(name.into(), CachedName::Pending(weak));
        }
        lookup
    }

    fn finish(&self, name: Box<str>, result: &Result<Rc<[SocketAddr]>, SocketError>) {
        match result {
            Ok(addresses) => {
                let known = CachedName::Known {
                    addresses: Rc::clone(addresses),
                    until: driver::elapsed() + LIFETIME,
                };
                self.store(name, known);
            }
            Err(_) => drop(self.names.borrow_mut().remove(&name)),
        }
    }

    fn store(&self, name: Box<str>, cached: CachedName) {
        let mut names = self.names.borrow_mut();
        if names.len() >= MAX_NAMES && !names.contains_key(&name) {
            names.retain(|_, cached| cached.is_current());
            if names.len() >= MAX_NAMES {
                names.clear();
            }
        }
        names.insert(name, cached);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use uptick_event_loop::block_on;

    use super::*;

    #[test]
    fn the_number_of_cached_names_is_limited() {
        let resolver = Resolver::new(|_| async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) });
        let cache = Rc::new(ResolveCache::new(resolver));
        let filled = Rc::clone(&cache);
        block_on(async move {
            for number in 0..MAX_NAMES + 100 {
                filled.lookup(&format!("{number}.test")).await.unwrap();
                assert!(filled.names.borrow().len() <= MAX_NAMES);
            }
        })
        .unwrap();
        assert!(!cache.names.borrow().is_empty());
    }

    #[test]
    fn an_abandoned_query_does_not_count() {
        let resolver = Resolver::new(|_| std::future::pending());
        let cache = Rc::new(ResolveCache::new(resolver));
        let queried = Rc::clone(&cache);
        block_on(async move {
            for number in 0..=MAX_NAMES {
                let name = format!("{number}.test");
                assert!(queried.lookup(&name).now_or_never().is_none());
            }
            assert_eq!(queried.names.borrow().len(), 1);
        })
        .unwrap();
    }
}
