//! One request over its hops: redirects, retries, and the time of the whole.
//!
//! Cost of a buffered request over an idle HTTP/1 connection: a box for the future, the exchange, the list of headers, and the body.

mod attempt;
mod body;
mod deadline;
mod headers;
mod hops;
mod progress;
mod shared_deadlines;

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::OnceLock;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use crate::body::RequestBody;
use crate::browser::{Browser, HeadParts, Response, StreamingResponse};
use crate::error::{Error, ErrorKind};
use crate::url::Url;
use deadline::Deadline;
use hops::Answer;
use progress::Progress;
use uptick_http::h1::client::BodyLength;

pub(crate) use body::ResponseBody;

/// A request as the program has described it.
pub(crate) struct Plan {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: RequestBody,
    pub(crate) expect_continue: Option<Duration>,
    pub(crate) upgrade: bool,
}

/// Sends a request, and buffers the response.
pub(crate) async fn buffered(browser: Browser, plan: Plan) -> Result<Response, Error> {
    let limit = browser.settings.response_buffer;
    let rejects = browser.settings.rejects_errors;
    let (head, mut body) = perform(browser, plan, limit).await?;
    let status = head.head.status();
    let bytes = poll_fn(|context| body.poll_collected(context)).await?;
    let trailers = body.take_trailers();
    let response = Response::new(head, bytes, trailers);
    match rejects && (status.is_client_error() || status.is_server_error()) {
        true => Err(Error::of_status(body.progress(), response)),
        false => Ok(response),
    }
}

/// Sends a request, and returns the response as soon as its head has arrived.
pub(crate) async fn streaming(browser: Browser, plan: Plan) -> Result<StreamingResponse, Error> {
    let limit = browser.settings.max_body;
    let rejects = browser.settings.rejects_errors;
    let buffer = browser.settings.response_buffer;
    let (head, mut body) = perform(browser, plan, limit).await?;
    let status = head.head.status();
    if !rejects || !(status.is_client_error() || status.is_server_error()) {
        return Ok(StreamingResponse::new(head, body));
    }
    // The error has the response with its body.
    body.set_limit(buffer);
    let bytes = poll_fn(|context| body.poll_collected(context)).await?;
    let trailers = body.take_trailers();
    let response = Response::new(head, bytes, trailers);
    Err(Error::of_status(body.progress(), response))
}

/// Sends a request, follows redirects, and returns the response without its body.
async fn perform(
    browser: Browser,
    plan: Plan,
    limit: Option<u64>,
) -> Result<(HeadParts, ResponseBody), Error> {
    let progress = Progress::new(&plan);
    let mut deadline = Deadline::new(browser.settings.total_timeout);
    let answer = {
        let mut following = pin!(hops::follow(&browser, plan, &progress));
        poll_fn(|context| match following.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => deadline.poll(context).map(|()| None),
        })
        .await
    };
    let answer = match answer {
        Some(Ok(answer)) => answer,
        Some(Err(failure)) => return Err(progress.error(failure)),
        None => return Err(progress.error(deadline.failure())),
    };
    let Answer {
        head,
        running,
        decoder,
        informational,
        redirects,
        url,
    } = answer;
    if decoder.is_none()
        && let BodyLength::Bytes(length) = head.body()
        && limit.is_some_and(|limit| length > limit)
    {
        let reason = format!(
            "a body of {length} bytes is announced, which exceeds the limit of {} bytes",
            limit.unwrap_or_default()
        );
        return Err(progress.error(crate::error::Failure::new(ErrorKind::TooLarge, reason)));
    }
    let parts = HeadParts {
        head,
        headers: OnceLock::new(),
        url,
        redirects,
        informational,
        is_reused: progress.is_reused(),
        attempts: progress.attempts(),
    };
    let body = ResponseBody::new(running, decoder, limit, deadline, progress);
    Ok((parts, body))
}
