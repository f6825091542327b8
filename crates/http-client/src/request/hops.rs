//! Retries and redirects.

use std::future::poll_fn;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_LENGTH;
use uptick_http::h1::client::{BodyLength, ResponseHead};

use super::Plan;
use super::attempt::{Running, send};
use super::headers::{Hop, complete, parse_length};
use super::progress::Progress;
use crate::body::RequestBody;
use crate::browser::Browser;
use crate::decoding::BodyDecoder;
use crate::error::{ErrorKind, Failure};
use crate::redirect;
use crate::timeout::within;
use crate::url::Url;

/// The final response, whose body follows.
pub(super) struct Answer {
    pub(super) head: ResponseHead,
    pub(super) running: Running,
    pub(super) decoder: Option<BodyDecoder>,
    pub(super) informational: Vec<u16>,
    pub(super) redirects: u32,
    pub(super) url: Url,
}

/// Maximum size of the body of a redirect that is read so that its connection can be used again, in bytes.
const REDIRECT_BODY: usize = 64 * 1024;

/// Maximum time for which the body of a redirect is read.
const REDIRECT_TIME: Duration = Duration::from_secs(1);

/// Sends a request, and follows redirects.
pub(super) async fn follow(
    browser: &Browser,
    mut plan: Plan,
    progress: &Progress,
) -> Result<Answer, Failure> {
    let settings = &browser.settings;
    complete(settings, &mut plan)?;
    set_length(&mut plan);
    let mut body = std::mem::take(&mut plan.body);
    let mut redirects = 0;
    loop {
        let hop = Hop::new(browser, &plan, !body.is_none())?;
        let (head, running) = try_twice(browser, &hop, &mut body, progress).await?;
        drop(hop);
        progress.set_status(head.status());
        #[cfg(feature = "cookies")]
        if let Some(store) = &settings.cookies {
            store.store(&plan.url, set_cookies(&head));
        }
        if let Some(max) = settings.max_redirects
            && head.status().is_redirection()
            && let Some(next) = redirect::next_hop(
                head.status(),
                head.field("location"),
                &plan.url,
                &plan.method,
                body.is_repeatable(),
                &mut plan.headers,
            )?
        {
            if redirects == max {
                let reason = format!("the server redirected more than {max} times");
                return Err(Failure::new(ErrorKind::TooManyRedirects, reason));
            }
            if head.keep_alive() {
                within(Some(REDIRECT_TIME), discard(running)).await;
            } else {
                drop(running);
            }
            plan.url = next.url;
            plan.method = next.method;
            if !next.keeps_body {
                body = RequestBody::default();
                plan.expect_continue = None;
            }
            redirects += 1;
            progress.begin_hop(&plan.method, &plan.url);
            continue;
        }
        let is_encoded = settings.decompresses
            && head.field("content-encoding").is_some()
            && has_body(&head, &plan.method);
        let decoder = match is_encoded {
            true => BodyDecoder::of(named(&head, "content-encoding"))?,
            false => None,
        };
        let informational = running.exchange.informational();
        return Ok(Answer {
            head,
            running,
            decoder,
            informational,
            redirects,
            url: plan.url,
        });
    }
}

/// Uses an own `Content-Length` as the length of a streamed body.
fn set_length(plan: &mut Plan) {
    if plan.body.length().is_some() {
        return;
    }
    let announced = plan.headers.iter().find(|(name, _)| name == CONTENT_LENGTH);
    let length = announced.and_then(|(_, value)| parse_length(value.to_str().ok()?));
    if let Some(length) = length {
        plan.body = std::mem::take(&mut plan.body).with_length(length);
    }
}

/// Sends a request, and sends it once more on a new connection if that is safe.
async fn try_twice(
    browser: &Browser,
    hop: &Hop<'_>,
    body: &mut RequestBody,
    progress: &Progress,
) -> Result<(ResponseHead, Running), Failure> {
    let mut is_fresh = false;
    for retries in 0.. {
        let failure = match send(browser, hop, body, is_fresh, progress).await {
            Ok(answer) => return Ok(answer),
            Err(failure) => failure,
        };
        let may_retry = match failure.kind {
            // Not one byte was sent: the connection had closed before.
            ErrorKind::ClosedBeforeResponse if failure.unprocessed => {
                let was_reused = progress.is_reused() && retries < MAX_UNSENT;
                if was_reused {
                    progress.undo_attempt();
                }
                was_reused
            }
            _ if failure.unprocessed => {
                (browser.settings.retries || progress.attempts() == 0)
                    && progress.attempts() <= 1
                    && retries < MAX_UNSENT
            }
            ErrorKind::ClosedBeforeResponse => {
                browser.settings.retries
                    && progress.is_reused()
                    && progress.attempts() == 1
                    && is_idempotent(hop.method)
            }
            _ => false,
        };
        if !may_retry || !body.is_repeatable() {
            return Err(failure);
        }
        // A server that has refused a stream keeps the connection for others.
        is_fresh = failure.kind != ErrorKind::Http2;
    }
    Err(Failure::closed_before_response())
}

/// Maximum number of repetitions of a request of which nothing was sent, or which the server has refused to process.
const MAX_UNSENT: u32 = 3;

/// Returns `true` for the methods that may be sent twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    )
}

fn has_body(head: &ResponseHead, method: &Method) -> bool {
    *method != Method::HEAD && !matches!(head.body(), BodyLength::None | BodyLength::Bytes(0))
}

/// Reads the body of a redirect, so that its connection can be used again; cancels the exchange if it is long or fails.
async fn discard(running: Running) {
    let mut length = 0;
    while let Some(Ok(piece)) = poll_fn(|context| running.exchange.poll_body(context)).await {
        length += piece.len();
        if length > REDIRECT_BODY {
            return;
        }
    }
}

/// Returns the values of the `Set-Cookie` headers.
#[cfg(feature = "cookies")]
fn set_cookies(head: &ResponseHead) -> impl Iterator<Item = &[u8]> {
    named(head, "set-cookie")
}

/// Returns the values of all headers with a name in lower case.
fn named<'a>(head: &'a ResponseHead, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let fields = head.fields();
    fields.filter_map(move |(other, value)| other.eq_ignore_ascii_case(name).then_some(value))
}
