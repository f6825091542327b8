//! Tests of the browser against servers of other projects. A test is skipped if its server is not installed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod nginx;
mod node;
mod others;
mod support;

use std::future::Future;

use futures::future::join_all;
use uptick_http_client::{Browser, Error, Response};

/// Runs a test on a new loop.
fn run<T: 'static>(test: impl Future<Output = T> + 'static) -> T {
    uptick_event_loop::block_on(test).unwrap()
}

/// Sends GET requests at the same time, and returns the texts of the responses.
async fn get_many(browser: &Browser, path: &str, count: usize) -> Vec<String> {
    let requests = (0..count).map(|_| browser.get(path).into_future());
    let responses: Vec<Result<Response, Error>> = join_all(requests).await;
    let text = |response: Result<Response, Error>| response.unwrap().text().into_owned();
    responses.into_iter().map(text).collect()
}
