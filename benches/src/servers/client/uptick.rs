//! Uptick's HTTP client, as shown in its documentation.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use uptick::http_client::{Http2Mode, PoolLimits};
use uptick::prelude::*;

use super::super::announce;
use super::{
    Case, DONE, HOSTS, IDLE_TIMEOUT, OPEN, POOL, SMALL, allocated, held_url, host, upstream_url,
};

pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let client = Rc::new(Client::new(upstream_url(argument)?));
    let http = HttpServer::new();
    // Many requests are one request to this server.
    http.response_timeout(None);
    http.get("/allocated", |_| allocated());
    http.get("/{case}/{count}", move |request: Request| {
        let case = request.param("case").unwrap_or_default().to_owned();
        let count = request.param("count").and_then(|count| count.parse().ok());
        let client = Rc::clone(&client);
        async move {
            let done = match (case.as_str(), Case::by_path(&case), count) {
                (OPEN, _, Some(count)) => client.open(count).await,
                (_, Some(case), Some(count)) => client.send(case, count).await,
                _ => return "not a request for requests".to_owned(),
            };
            done.map_or_else(|error| format!("{error:#}"), |()| DONE.to_owned())
        }
    });
    let server = Server::bind("127.0.0.1:0")?;
    announce(server.address().context("the server has no address")?)?;
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}

struct Client {
    upstream: String,
    http1: Browser,
    http2: Browser,
    /// A client without a limit of connections, which resolves the names of the server.
    unlimited: Browser,
}

impl Client {
    fn new(upstream: &str) -> Self {
        let limits = PoolLimits::new().idle_timeout(IDLE_TIMEOUT);
        let unlimited = limits.max_per_host(usize::MAX).max_total(usize::MAX);
        let http1 = Browser::new().with_limits(limits.max_per_host(POOL));
        let resolving = (0..HOSTS).fold(http1.with_limits(unlimited), |browser, number| {
            browser.with_resolve(&host(number), [Ipv4Addr::LOCALHOST.into()])
        });
        Self {
            upstream: upstream.to_owned(),
            http2: http1.with_http2(Http2Mode::Only),
            unlimited: resolving,
            http1,
        }
    }

    async fn send(&self, case: Case, count: u64) -> Result<()> {
        let browser = match case {
            Case::Http2 => &self.http2,
            _ => &self.http1,
        };
        let url = case.url(&self.upstream);
        if case.in_flight() == 1 {
            return sequence(browser, &url, case, count).await;
        }
        let each = count / case.in_flight();
        let task = |_| {
            let (browser, url) = (browser.clone(), url.clone());
            uptick::spawn(async move { sequence(&browser, &url, case, each).await })
        };
        let tasks: Vec<_> = (0..case.in_flight()).map(task).collect();
        for task in tasks {
            task.await.context("a task has panicked")??;
        }
        Ok(())
    }

    async fn open(&self, count: u64) -> Result<()> {
        for number in 0..HOSTS {
            let task = |_| {
                let browser = self.unlimited.clone();
                let url = held_url(&self.upstream, number, count);
                uptick::spawn(async move { sequence(&browser, &url, Case::Small, 1).await })
            };
            let tasks: Vec<_> = (0..count).map(task).collect();
            for task in tasks {
                task.await.context("a task has panicked")??;
            }
        }
        Ok(())
    }
}

/// Sends requests, each after the response to the previous one.
async fn sequence(browser: &Browser, url: &str, case: Case, count: u64) -> Result<()> {
    static UPLOAD: [u8; SMALL] = [b'x'; SMALL];
    for _ in 0..count {
        let request = match case {
            Case::Upload => browser.post(url).body(Bytes::from_static(&UPLOAD)),
            _ => browser.get(url),
        };
        let response = request.await?;
        case.check(response.status().as_u16(), response.body())?;
    }
    Ok(())
}
