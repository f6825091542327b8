//! Lookup of host names.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use uptick_event_loop::{BlockingJob, spawn_blocking};

use super::ConnectTarget;
use crate::error::{Cause, Error};
use crate::uri::ConnectUri;

/// A resolver of host names. Clones share the same resolver.
///
/// [`system`](Resolver::system), the default, queries the operating system; [`new`](Resolver::new) takes any function.
///
/// # Examples
/// ```
/// use std::net::Ipv4Addr;
/// use uptick_socket::{Connector, Resolver};
///
/// let resolver = Resolver::new(|name: &str| {
///     let known = name == "app.test";
///     async move { Ok(known.then_some(Ipv4Addr::LOCALHOST.into()).into_iter().collect()) }
/// });
/// let connector = Connector::new().resolver(resolver);
/// ```
#[derive(Clone)]
pub struct Resolver(Rc<dyn Fn(&str) -> LookupFuture>);

type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

impl Resolver {
    /// Creates the operating system's resolver (`getaddrinfo`), which runs on a thread of the blocking pool. It reads
    /// the hosts file, queries IPv4 and IPv6 addresses, and sorts the results (RFC 6724).
    ///
    /// # Limits
    /// A cancelled lookup continues in its thread until the system completes it; the loop does not wait for it.
    pub fn system() -> Self {
        Resolver(Rc::new(|name| {
            let name = name.to_owned();
            Box::pin(PoolLookup(Some(spawn_blocking(move || lookup(&name)))))
        }))
    }

    /// Creates a resolver from a function that returns a future of the addresses, in order of preference.
    pub fn new<F>(resolve: impl Fn(&str) -> F + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + 'static,
    {
        Resolver(Rc::new(move |name| {
            let found = resolve(name);
            Box::pin(async move {
                let found = found.await?;
                Ok(found.into_iter().map(|ip| (ip, 0).into()).collect())
            })
        }))
    }

    /// Creates a resolver from a function as for [`new`](Resolver::new), whose addresses may have a scope id, as
    /// link-local addresses need. Their ports are ignored.
    ///
    /// # Examples
    /// ```
    /// use std::net::{Ipv6Addr, SocketAddrV6};
    /// use uptick_socket::Resolver;
    ///
    /// let neighbour = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), 0, 0, 2);
    /// let resolver = Resolver::with_scopes(move |_| async move { Ok(vec![neighbour.into()]) });
    /// ```
    pub fn with_scopes<F>(resolve: impl Fn(&str) -> F + 'static) -> Self
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>> + 'static,
    {
        Resolver(Rc::new(move |name| Box::pin(resolve(name))))
    }

    /// Resolves a name. The lookup starts at once.
    ///
    /// # Examples
    /// ```
    /// use uptick_socket::Resolver;
    ///
    /// let found = uptick_event_loop::block_on(async { Resolver::system().lookup("localhost").await })??;
    /// assert!(found.iter().all(|address| address.ip().is_loopback()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lookup(&self, name: &str) -> Lookup {
        Lookup {
            result: (self.0)(name),
            name: name.into(),
        }
    }
}

impl Default for Resolver {
    /// Returns the system's resolver.
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// A future of a name lookup, returned by [`Resolver::lookup`]. Dropping it cancels the lookup.
///
/// It resolves to at most 32 different addresses, in the order of the resolver, or to [`Error::Resolve`], also if the
/// name has no address (ENOENT). The ports are 0. A link-local address keeps the scope id of its interface.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Lookup {
    name: Box<str>,
    result: LookupFuture,
}

/// Maximum number of addresses of a name.
const MAX_ADDRESSES: usize = 32;

impl Future for Lookup {
    type Output = Result<Vec<SocketAddr>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.result.as_mut().poll(context));
        let source = match result {
            Ok(found) => {
                let found = deduplicate(found);
                if !found.is_empty() {
                    return Poll::Ready(Ok(found));
                }
                Cause::explained(Errno::NOENT, "the name has no IP address")
            }
            Err(error) => error.into(),
        };
        Poll::Ready(Err(Error::Resolve {
            host: (*self.name).into(),
            source,
        }))
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn deduplicate(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut unique = Vec::with_capacity(found.len().min(MAX_ADDRESSES));
    for mut address in found {
        address.set_port(0);
        if unique.len() < MAX_ADDRESSES && !unique.contains(&address) {
            unique.push(address);
        }
    }
    unique
}

/// Returns the addresses of a target's name; `None` if the target is already an address.
pub(super) async fn addresses(
    resolver: &Resolver,
    target: &ConnectTarget,
) -> Result<Option<Vec<SocketAddr>>, Error> {
    let ConnectUri::Host { name, port } = target.uri() else {
        return Ok(None);
    };
    let mut found = resolver.lookup(name).await?;
    for address in &mut found {
        address.set_port(*port);
    }
    Ok(Some(found))
}

fn lookup(name: &str) -> io::Result<Vec<SocketAddr>> {
    const PREFIX: &str = "failed to lookup address information: ";
    match (name, 0).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) if error.raw_os_error().is_none() => {
            let text = error.to_string();
            let text = text.strip_prefix(PREFIX).unwrap_or(&text);
            Err(io::Error::new(error.kind(), text))
        }
        Err(error) => Err(error),
    }
}

/// A lookup on the blocking pool, which is cancelled when it is dropped.
struct PoolLookup(Option<BlockingJob<io::Result<Vec<SocketAddr>>>>);

impl Future for PoolLookup {
    type Output = io::Result<Vec<SocketAddr>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Some(job) => Pin::new(job)
                .poll(context)
                .map(|result| result.unwrap_or_else(|error| Err(io::Error::other(error)))),
            None => Poll::Pending,
        }
    }
}

impl Drop for PoolLookup {
    fn drop(&mut self) {
        if let Some(job) = self.0.take() {
            job.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV6};

    use uptick_event_loop::block_on;

    use super::*;

    fn found(ips: Vec<IpAddr>) -> Result<Vec<IpAddr>, Error> {
        let resolver = Resolver::new(move |_| std::future::ready(Ok(ips.clone())));
        let found = block_on(async move { resolver.lookup("app.test").await }).unwrap();
        found.map(|found| found.iter().map(SocketAddr::ip).collect())
    }

    #[test]
    fn at_most_32_different_addresses_are_returned() {
        let ips = |count: u8| (0..count).map(|last| IpAddr::from([192, 0, 2, last]));
        let many: Vec<IpAddr> = ips(3).chain(ips(3)).chain(ips(200)).collect();
        assert_eq!(found(many).unwrap(), ips(32).collect::<Vec<_>>());
    }

    #[test]
    fn a_name_without_an_address_is_an_error() {
        let error = found(vec![]).unwrap_err();
        let text = "looking up app.test failed: the name has no IP address (ENOENT)";
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn an_error_of_the_resolver_is_reported_with_the_name() {
        let resolver = Resolver::new(|_| std::future::ready(Err(io::Error::from(Errno::TIMEDOUT))));
        let result = block_on(async move { resolver.lookup("app.test").await }).unwrap();
        let text = "looking up app.test failed: Connection timed out (ETIMEDOUT)";
        assert_eq!(result.unwrap_err().to_string(), text);
    }

    #[test]
    fn the_system_resolves_localhost() {
        let result = block_on(async { Resolver::system().lookup("localhost").await }).unwrap();
        let localhost = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        assert!(result.unwrap().contains(&localhost));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_scope_id_of_an_address_is_kept() {
        let target = ConnectTarget::from(ConnectUri::Host {
            name: "fe80::1%lo".into(),
            port: 80,
        });
        let expected: SocketAddr = "[fe80::1%1]:80".parse().unwrap();
        let system = block_on(async move { addresses(&Resolver::system(), &target).await });
        assert_eq!(system.unwrap().unwrap(), Some(vec![expected]));

        let of = |scope| SocketAddrV6::new("fe80::1".parse().unwrap(), 7, 0, scope).into();
        let two: Vec<SocketAddr> = vec![of(1), of(2), of(1)];
        let resolver = Resolver::with_scopes(move |_| std::future::ready(Ok(two.clone())));
        let found = block_on(async move { resolver.lookup("app.test").await }).unwrap();
        let texts: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["[fe80::1%1]:0", "[fe80::1%2]:0"]);
    }
}
