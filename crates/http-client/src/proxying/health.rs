//! Active health checks of upstream servers.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use uptick_event_loop::driver::{self, DeadlineId, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, spawn};

use super::balancer::UpstreamServer;
use crate::browser::Browser;

/// Maximum time of a check: 5 s, or the interval if it is shorter.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Minimum interval, to prevent a busy loop: 100 ms.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Checks the servers of an upstream at an interval, until it is dropped. It does not keep the loop running.
pub(super) struct UpstreamChecks {
    servers: Vec<Rc<UpstreamServer>>,
    browser: Browser,
    path: String,
    interval: Duration,
    id: Cell<Option<Id>>,
    deadline: Cell<Option<DeadlineId>>,
    /// `true` while a round of checks is running.
    is_checking: Cell<bool>,
}

thread_local! {
    static CHECKS: RefCell<Table<Weak<UpstreamChecks>>> = const { RefCell::new(Table::new()) };
    static DRIVER: Cell<Option<DriverId>> = const { Cell::new(None) };
}

impl UpstreamChecks {
    /// Starts with a check of each server.
    pub(super) fn start(
        servers: Vec<Rc<UpstreamServer>>,
        browser: &Browser,
        path: &str,
        interval: Duration,
    ) -> Rc<Self> {
        let interval = interval.max(MIN_INTERVAL);
        let checks = Rc::new(UpstreamChecks {
            servers,
            browser: browser.with_timeout(CHECK_TIMEOUT.min(interval)),
            path: path.to_owned(),
            interval,
            id: Cell::new(None),
            deadline: Cell::new(None),
            is_checking: Cell::new(false),
        });
        let entry = Rc::downgrade(&checks);
        let id = CHECKS.try_with(|all| all.borrow_mut().insert(entry));
        checks.id.set(id.ok().flatten());
        checks.check();
        checks
    }

    fn token(&self) -> Option<Token> {
        let driver = DRIVER.try_with(|place| match place.get() {
            Some(driver) => driver,
            None => {
                let driver = driver::register(&CheckDriver);
                place.set(Some(driver));
                driver
            }
        });
        Some(self.id.get()?.token(driver.ok()?))
    }

    /// Starts a round of checks, and arms the deadline of the next one.
    fn check(self: &Rc<Self>) {
        if let Some(token) = self.token() {
            let at = driver::elapsed().saturating_add(self.interval);
            self.deadline.set(driver::arm_deadline(token, at));
        }
        if self.is_checking.replace(true) {
            return;
        }
        let requests: Vec<_> = self
            .servers
            .iter()
            .map(|server| {
                let url = format!("{}{}", server.base, self.path);
                let request = self
                    .browser
                    .get(url)
                    .header("user-agent", "uptick-health-check");
                let server = Rc::clone(server);
                async move { record(&server, request.await) }
            })
            .collect();
        let checks = Rc::downgrade(self);
        spawn(async move {
            futures::future::join_all(requests).await;
            if let Some(checks) = checks.upgrade() {
                checks.is_checking.set(false);
            }
        });
    }
}

/// Records the result of a check: a response with a status below 400 is a success.
fn record(
    server: &UpstreamServer,
    response: Result<crate::browser::Response, crate::error::Error>,
) {
    let failure = match response {
        Ok(response) if response.status().as_u16() < 400 => None,
        Ok(response) => Some(format!("status {}", response.status().as_u16())),
        Err(error) => Some(error.to_string()),
    };
    match (server.is_unhealthy.replace(failure.is_some()), failure) {
        (false, Some(reason)) => {
            tracing::warn!("the upstream server {} is unhealthy: {reason}", server.base);
        }
        (true, None) => {
            tracing::info!("the upstream server {} is healthy again", server.base);
            server.connected();
        }
        _ => {}
    }
}

impl Drop for UpstreamChecks {
    fn drop(&mut self) {
        if let Some(deadline) = self.deadline.take() {
            driver::disarm_deadline(deadline);
        }
        let removed = CHECKS.try_with(|all| all.borrow_mut().remove(self.id.take()?));
        drop(removed);
    }
}

struct CheckDriver;

impl Driver for CheckDriver {
    fn ready(&self, _: Token, _: Readiness) {}

    fn expired(&self, token: Token) {
        let checks = CHECKS.try_with(|all| {
            let all = all.borrow();
            all.get(all.find(token)?)?.upgrade()
        });
        if let Ok(Some(checks)) = checks {
            checks.deadline.set(None);
            checks.check();
        }
    }

    fn panicked(&self, _: Token, message: &str) {
        tracing::error!("a health check panicked: {message}");
    }
}
