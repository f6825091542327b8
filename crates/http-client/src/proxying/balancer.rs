//! The servers of an upstream, and the choice of one for a request.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::driver::elapsed;

/// The choice of a server for a request, among the servers that are available.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadBalancing {
    /// One server after another.
    #[default]
    RoundRobin,
    /// The server with the fewest requests and tunnels in progress; one after another if they have the same number.
    LeastConnections,
}

/// A server of an upstream.
pub(super) struct UpstreamServer {
    /// The URL without a slash at its end.
    pub(super) base: String,
    /// Number of requests and tunnels in progress.
    active: Cell<usize>,
    /// Number of consecutive failures to connect.
    failures: Cell<u32>,
    /// The time until which the server is out after failures, on the loop's clock.
    out_until: Cell<Duration>,
    /// `true` if the last health check has failed.
    pub(super) is_unhealthy: Cell<bool>,
}

impl UpstreamServer {
    pub(super) fn new(base: String) -> Self {
        UpstreamServer {
            base,
            active: Cell::new(0),
            failures: Cell::new(0),
            out_until: Cell::new(Duration::ZERO),
            is_unhealthy: Cell::new(false),
        }
    }

    pub(super) fn active(&self) -> usize {
        self.active.get()
    }

    /// Returns `true` if the server is neither out after failures nor unhealthy.
    pub(super) fn is_available(&self) -> bool {
        !self.is_unhealthy.get() && self.out_until.get() <= elapsed()
    }

    /// Counts a request until the guard is dropped.
    pub(super) fn begin(self: &Rc<Self>) -> ActiveRequest {
        self.active.set(self.active.get() + 1);
        ActiveRequest(Rc::clone(self))
    }

    /// Records a connection.
    pub(super) fn connected(&self) {
        self.failures.set(0);
        self.out_until.set(Duration::ZERO);
    }

    /// Records a failure to connect. After `max` consecutive failures, the server is out for a time, and then again after each further failure.
    pub(super) fn failed(&self, max: Option<u32>, recovery: Duration) {
        let failures = self.failures.get().saturating_add(1);
        self.failures.set(failures);
        if max.is_some_and(|max| failures >= max) {
            if self.is_available() {
                tracing::warn!(
                    "the upstream server {} is out for {recovery:?} after {failures} failures",
                    self.base
                );
            }
            self.out_until.set(elapsed().saturating_add(recovery));
        }
    }
}

/// A request in progress.
pub(super) struct ActiveRequest(Rc<UpstreamServer>);

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.active.set(self.0.active.get().saturating_sub(1));
    }
}

/// The servers of an upstream. Clones share their state.
#[derive(Clone, Default)]
pub(super) struct Balancer {
    pub(super) servers: Vec<Rc<UpstreamServer>>,
    pub(super) balancing: LoadBalancing,
    /// The index of the next server in turn.
    next: Rc<Cell<usize>>,
}

impl Balancer {
    /// Returns a server for a request, which is none of `tried`. If no server is available, it returns the one that has been out longest.
    pub(super) fn pick(&self, tried: &[usize]) -> Option<(usize, &Rc<UpstreamServer>)> {
        let count = self.servers.len();
        let start = self.next.get();
        let in_turn = || {
            let indices = (0..count).map(move |offset| (start + offset) % count);
            indices
                .filter(|index| !tried.contains(index))
                .filter_map(|index| Some((index, self.servers.get(index)?)))
        };
        let mut available = in_turn().filter(|(_, server)| server.is_available());
        let chosen = match self.balancing {
            LoadBalancing::RoundRobin => available.next(),
            // The first one of those with the minimum.
            LoadBalancing::LeastConnections => available.min_by_key(|(_, server)| server.active()),
        };
        let (index, server) =
            chosen.or_else(|| in_turn().min_by_key(|(_, server)| server.out_until.get()))?;
        self.next.set((index + 1) % count);
        Some((index, server))
    }
}

impl fmt::Debug for Balancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.servers.iter().map(|server| &server.base);
        f.debug_list().entries(servers).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balancer(balancing: LoadBalancing) -> Balancer {
        let servers = ["a", "b", "c"].map(|base| Rc::new(UpstreamServer::new(base.to_owned())));
        Balancer {
            servers: servers.into(),
            balancing,
            ..Balancer::default()
        }
    }

    fn picks(balancer: &Balancer, count: usize) -> String {
        let pick = |_| balancer.pick(&[]).unwrap().1.base.clone();
        (0..count).map(pick).collect()
    }

    #[test]
    fn servers_are_chosen_in_turn() {
        let balancer = balancer(LoadBalancing::RoundRobin);
        assert_eq!(picks(&balancer, 4), "abca");
        // Clones share the turn.
        assert_eq!(picks(&balancer.clone(), 2), "bc");
        assert_eq!(balancer.pick(&[0, 1]).unwrap().1.base, "c");
        assert!(balancer.pick(&[0, 1, 2]).is_none());
        assert!(Balancer::default().pick(&[]).is_none());
    }

    #[test]
    fn the_server_with_the_fewest_requests_is_chosen() {
        let balancer = balancer(LoadBalancing::LeastConnections);
        let a = balancer.servers[0].begin();
        let _b = balancer.servers[1].begin();
        let _more = balancer.servers[1].begin();
        assert_eq!(picks(&balancer, 2), "cc");
        let _c = [balancer.servers[2].begin(), balancer.servers[2].begin()];
        assert_eq!(picks(&balancer, 2), "aa");
        drop(a);
        assert_eq!(balancer.servers[0].active(), 0);
        let _all = [balancer.servers[0].begin(), balancer.servers[0].begin()];
        assert_eq!(picks(&balancer, 4), "bcab");
    }

    #[test]
    fn a_server_is_out_after_consecutive_failures() {
        let balancer = balancer(LoadBalancing::RoundRobin);
        let server = &balancer.servers[1];
        let minute = Duration::from_secs(60);
        server.failed(Some(2), minute);
        server.connected();
        server.failed(Some(2), minute);
        assert_eq!(picks(&balancer, 3), "abc");
        server.failed(Some(2), minute);
        assert_eq!(picks(&balancer, 4), "acac");
        server.connected();
        server.failed(None, minute);
        assert_eq!(picks(&balancer, 3), "abc");
        // An expired time makes the server available again, and the next failure puts it out again.
        server.failed(Some(1), Duration::ZERO);
        assert_eq!(picks(&balancer, 3), "abc");
    }

    #[test]
    fn without_an_available_server_the_one_that_was_out_longest_is_chosen() {
        let balancer = balancer(LoadBalancing::RoundRobin);
        for (server, seconds) in balancer.servers.iter().zip([60, 20, 40]) {
            server.failed(Some(1), Duration::from_secs(seconds));
        }
        assert_eq!(picks(&balancer, 2), "bb");
        assert_eq!(balancer.pick(&[1]).unwrap().1.base, "c");
        balancer.servers[1].is_unhealthy.set(true);
        balancer.servers[0].connected();
        assert_eq!(picks(&balancer, 2), "aa");
    }
}
