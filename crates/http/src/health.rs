//! Health checks, for load balancers and orchestrators.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, join_all, select};
use serde_json::{Map, Value};
use uptick_emitter::Excerpt;
use uptick_event_loop::{driver, sleep, spawn};

use crate::{IntoResponse, Json, LocalFuture, Response, StatusCode};

/// The checks of [`HttpServer::ready`](crate::HttpServer::ready), such as a check of a database connection.
///
/// All checks run concurrently. If a check fails, panics or times out, the server is not ready. The error is logged; clients see only the
/// name of the check.
///
/// # Limits
/// The checks run once for all requests that wait for them, and their result is reused for [1 s](HealthChecks::reuse). Each check has [5
/// s](HealthChecks::timeout).
///
/// # Examples
/// ```
/// use uptick_http::{HealthChecks, HttpServer};
///
/// async fn ping_database() -> Result<(), std::io::Error> {
///     Ok(())
/// }
///
/// let http = HttpServer::new();
/// http.ready("/readyz", HealthChecks::new().check("database", ping_database));
/// # let response = http.test().get("/readyz").send()?;
/// # assert_eq!(response.text(), r#"{"checks":{"database":"ok"},"status":"ok"}"#);
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
pub struct HealthChecks {
    checks: Vec<(String, Check)>,
    timeout: Duration,
    reuse: Duration,
}

type Check = Box<dyn Fn() -> LocalFuture<Result<(), Box<dyn Error>>>>;

impl Default for HealthChecks {
    fn default() -> Self {
        HealthChecks {
            checks: Vec::new(),
            timeout: Duration::from_secs(5),
            reuse: Duration::from_secs(1),
        }
    }
}

impl HealthChecks {
    /// Creates an empty list: the server is ready until a shutdown starts.
    pub fn new() -> Self {
        HealthChecks::default()
    }

    /// Adds a check. If another check has the same name, both run, and the response contains the result of the later one.
    pub fn check<F, E>(mut self, name: impl Into<String>, check: impl Fn() -> F + 'static) -> Self
    where
        F: Future<Output = Result<(), E>> + 'static,
        E: Into<Box<dyn Error>> + 'static,
    {
        let check: Check = Box::new(move || {
            let result = check();
            Box::pin(async move { result.await.map_err(Into::into) })
        });
        self.checks.push((name.into(), check));
        self
    }

    /// Sets the timeout of a check. When it expires, the check has failed and its future is dropped. Default: 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how long a result is reused for further requests. Default: 1 s.
    pub fn reuse(mut self, time: Duration) -> Self {
        self.reuse = time;
        self
    }
}

const OK: &str = "ok";

/// The results of the checks by name.
#[derive(Clone, Default)]
struct CheckReport(Rc<[(Rc<str>, &'static str)]>);

impl CheckReport {
    fn is_ok(&self) -> bool {
        self.0.iter().all(|(_, result)| *result == OK)
    }

    fn into_response(self) -> Response {
        let status = match self.is_ok() {
            true => OK,
            false => "unavailable",
        };
        let results = self.0.iter();
        let results = results.map(|(name, result)| (name.to_string(), Value::from(*result)));
        response(status, results.collect())
    }
}

/// Returns a response with a status and the results of checks.
fn response(status: &str, checks: Map<String, Value>) -> Response {
    let code = match status {
        OK => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut members = Map::new();
    members.insert("status".to_owned(), status.into());
    if !checks.is_empty() {
        members.insert("checks".to_owned(), checks.into());
    }
    Json(members)
        .into_response()
        .with_status(code)
        .header("cache-control", "no-store")
}

/// Returns the response to a health request: 503 if the server is shutting down.
pub(crate) fn health(is_draining: bool) -> Response {
    let status = match is_draining {
        true => "shutting down",
        false => OK,
    };
    response(status, Map::new())
}

/// The state of the checks. They run once for all waiting requests, and their result is reused for some time.
pub(crate) struct ReadinessChecks {
    checks: Rc<[(Rc<str>, Check)]>,
    timeout: Duration,
    reuse: Duration,
    /// Requests that wait for the running checks.
    waiting: RefCell<Vec<oneshot::Sender<CheckReport>>>,
    last: RefCell<Option<(Duration, CheckReport)>>,
    /// `true` if the last result was good. Changes are logged.
    was_ready: Cell<bool>,
}

impl ReadinessChecks {
    pub(crate) fn new(checks: HealthChecks) -> Self {
        let HealthChecks {
            checks,
            timeout,
            reuse,
        } = checks;
        let checks = checks.into_iter();
        ReadinessChecks {
            checks: checks.map(|(name, check)| (name.into(), check)).collect(),
            timeout,
            reuse,
            waiting: RefCell::default(),
            last: RefCell::default(),
            was_ready: Cell::new(true),
        }
    }

    /// Runs the checks unless their last result is recent, and returns the response to a request.
    pub(crate) async fn response(self: &Rc<Self>) -> Response {
        let now = driver::current_time();
        let last = self.last.borrow().clone();
        if let Some((at, report)) = last
            && now.saturating_sub(at) < self.reuse
        {
            return report.into_response();
        }
        let (sender, receiver) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.borrow_mut();
            waiting.push(sender);
            waiting.len() == 1
        };
        if is_first {
            // The checks continue if the client of this request disconnects.
            let this = Rc::clone(self);
            drop(spawn(async move { this.run().await }));
        }
        match receiver.await {
            Ok(report) => report.into_response(),
            Err(oneshot::Canceled) => response("unavailable", Map::new()),
        }
    }

    /// Runs all checks, and sends the results to the waiting requests.
    async fn run(&self) {
        let checks = self.checks.iter();
        let results = checks.map(|(name, check)| run_check(name, check, self.timeout));
        let report = CheckReport(join_all(results).await.into());
        let is_ready = report.is_ok();
        if is_ready && !self.was_ready.replace(is_ready) {
            tracing::info!("all health checks succeed again");
        }
        self.was_ready.set(is_ready);
        self.last
            .replace(Some((driver::current_time(), report.clone())));
        for waiting in self.waiting.take() {
            // The client may have disconnected.
            let _ = waiting.send(report.clone());
        }
    }
}

/// Runs a check, and logs a failure.
async fn run_check(name: &Rc<str>, check: &Check, timeout: Duration) -> (Rc<str>, &'static str) {
    let run = std::panic::AssertUnwindSafe(async { check().await }).catch_unwind();
    let run = std::pin::pin!(run);
    let result = match select(run, sleep(timeout)).await {
        Either::Left((Ok(Ok(())), _)) => OK,
        Either::Left((Ok(Err(error)), _)) => {
            tracing::warn!(
                "the health check \"{name}\" failed: {}",
                Excerpt::new(error)
            );
            "failed"
        }
        Either::Left((Err(_), _)) => {
            tracing::error!("the health check \"{name}\" panicked");
            "failed"
        }
        Either::Right(_) => {
            tracing::warn!("the health check \"{name}\" took longer than {timeout:?}");
            "timeout"
        }
    };
    (Rc::clone(name), result)
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.checks.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("HealthChecks")
            .field("checks", &names)
            .field("timeout", &self.timeout)
            .field("reuse", &self.reuse)
            .finish()
    }
}
