//! Looking host names up.

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

/// Finds the IP addresses of a host name. Clones are the same resolver.
///
/// [`system`](Resolver::system), the default, asks the operating system; [`new`](Resolver::new) takes any function.
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
pub struct Resolver(Rc<dyn Fn(&str) -> Answer>);

type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>>;

impl Resolver {
    /// The operating system's resolver (`getaddrinfo`), on a thread of the blocking pool: it knows the hosts file, asks
    /// for IPv4 and IPv6, and sorts what it finds (RFC 6724).
    ///
    /// # Limits
    /// A look-up that was given up goes on in its thread until the system gives up too; the loop does not wait for it.
    pub fn system() -> Self {
        Resolver(Rc::new(|name| {
            let name = name.to_owned();
            Box::pin(ByPool(Some(spawn_blocking(move || lookup(&name)))))
        }))
    }

    /// Makes a resolver of a function that returns a future of the addresses, best first.
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

    /// Makes a resolver as [`new`](Resolver::new), of addresses that may have a scope id: link-local ones are of an interface. Their ports
    /// are ignored.
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

    /// Looks a name up; begins at once.
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
            answer: (self.0)(name),
            name: name.into(),
        }
    }
}

impl Default for Resolver {
    /// The system's.
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

/// A look-up, to be awaited; made by [`Resolver::lookup`]. Dropping it gives it up.
///
/// It returns at most 32 different addresses, in the order of the resolver, or [`Error::Resolve`]: also when the name has
/// no address (ENOENT). Their ports are 0. A link-local address keeps the scope id of its interface.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Lookup {
    name: Box<str>,
    answer: Answer,
}

/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 32;

impl Future for Lookup {
    type Output = Result<Vec<SocketAddr>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.answer.as_mut().poll(context));
        let source = match answer {
            Ok(found) => {
                let found = first_of_each(found);
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

fn first_of_each(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut firsts = Vec::with_capacity(found.len().min(MOST_ADDRESSES));
    for mut address in found {
        address.set_port(0);
        if firsts.len() < MOST_ADDRESSES && !firsts.contains(&address) {
            firsts.push(address);
        }
    }
    firsts
}

/// The addresses of a target's name; `None` when it is an address already.
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

/// A look-up on the blocking pool, which is given up when it is dropped.
struct ByPool(Option<BlockingJob<io::Result<Vec<SocketAddr>>>>);

impl Future for ByPool {
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

impl Drop for ByPool {
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
    fn at_most_32_different_addresses_are_given() {
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
    fn an_error_of_the_resolver_is_told_with_the_name() {
        let resolver = Resolver::new(|_| std::future::ready(Err(io::Error::from(Errno::TIMEDOUT))));
        let result = block_on(async move { resolver.lookup("app.test").await }).unwrap();
        let text = "looking up app.test failed: Connection timed out (ETIMEDOUT)";
        assert_eq!(result.unwrap_err().to_string(), text);
    }

    #[test]
    fn the_system_knows_localhost() {
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
