//! One request with the browser.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use uptick::http_client::{
    Browser, CookieStore, Error, Http2Mode, Proxy, ProxyMode, RequestBody, RequestBuilder,
    TlsOptions,
};
use uptick::prelude::Bytes;

use crate::request::{Base64, Chunk, ClientRequestLine, Http2};
use crate::results::Completed;

/// Size of the pieces of a body of zeros, in bytes.
const PIECE: usize = 64 * 1024;
const ZEROS: &[u8; PIECE] = &[b'0'; PIECE];

/// The last hop of a request that was cancelled, as far as its response shows it.
#[derive(Default)]
pub(crate) struct Attempts {
    pub(crate) attempts: Cell<u32>,
    pub(crate) is_reused: Cell<bool>,
}

/// Sends a request and waits for its response.
pub(crate) async fn perform(
    browser: &Browser,
    cookies: &CookieStore,
    mut line: ClientRequestLine,
    attempts: Rc<Attempts>,
) -> Result<Completed, Error> {
    let start = Instant::now();
    let browser = configure(browser, cookies, &line)?;
    let mut request = browser.request(line.method.as_str(), &line.url);
    for (name, value) in &line.headers {
        request = request.header(name.as_str(), value.as_bytes());
    }
    request = set_body(request, &mut line);
    if line.expect_continue {
        request = request.expect_continue(millis(line.continue_timeout_ms));
    }
    if !line.digest {
        return request.await.map(Completed::of);
    }
    let mut response = request.streaming().await?;
    attempts.attempts.set(response.attempts());
    attempts.is_reused.set(response.is_reused());
    if line.pause_ms > 0 {
        // The end of the total time is reported by the body.
        let left = millis(line.total_timeout_ms).saturating_sub(start.elapsed());
        uptick::sleep(millis(line.pause_ms).min(left)).await;
    }
    let (mut length, mut digest) = (0, Sha256::new());
    while let Some(piece) = response.chunk().await? {
        length += piece.len() as u64;
        digest.update(&piece);
    }
    Ok(Completed::of_stream(&response, length, &digest.finalize()))
}

/// Returns the browser with the settings of a request.
fn configure(
    browser: &Browser,
    cookies: &CookieStore,
    line: &ClientRequestLine,
) -> Result<Browser, Error> {
    let mut tls = TlsOptions::new();
    if let Some(path) = &line.ca {
        tls = tls.cafile(path);
    }
    if line.insecure {
        tls = tls.dangerous_accept_any_certificate();
    }
    let proxy = match line.proxy.as_deref() {
        None => ProxyMode::None,
        Some("env") => ProxyMode::Environment,
        Some(url) => ProxyMode::Always(Proxy::parse(url)?),
    };
    let mut browser = browser
        .with_timeout(millis(line.total_timeout_ms))
        .with_connect_timeout(millis(line.connect_timeout_ms))
        .with_tls_timeout(millis(line.tls_timeout_ms))
        .with_write_timeout(millis(line.write_timeout_ms))
        .with_first_byte_timeout(millis(line.first_byte_timeout_ms))
        .with_read_timeout(millis(line.read_timeout_ms))
        .with_follow_redirects(line.follow.then_some(line.max_redirects))
        .with_response_buffer(line.max_body)
        .with_max_body(line.max_body)
        .with_max_head(line.max_head)
        .with_proxy(proxy)
        .with_tls(tls)
        .with_http2(match line.http2 {
            Http2::Auto => Http2Mode::Auto,
            Http2::Never => Http2Mode::Never,
            Http2::Only => Http2Mode::Only,
        })
        .with_decompression(line.decompress)
        .with_retry(line.retry);
    if let Some(path) = &line.unix {
        browser = browser.with_unix_socket(path);
    }
    if line.cookies {
        browser = browser.with_cookies(cookies.clone());
    }
    for (name, addresses) in &line.resolve {
        browser = browser.with_resolve(name, addresses.iter().copied());
    }
    Ok(browser)
}

fn set_body(request: RequestBuilder, line: &mut ClientRequestLine) -> RequestBuilder {
    if let Some(text) = line.body.take() {
        return request.body(text);
    }
    if let Some(Base64(bytes)) = line.body_base64.take() {
        return request.body(bytes);
    }
    if let Some(count) = line.body_zeros {
        return request.body(zeros(count));
    }
    match line.chunks.take() {
        Some(chunks) => request.body(streaming(chunks, announced_length(line))),
        None => request,
    }
}

/// Returns a body of zeros, which is produced while it is sent.
fn zeros(count: u64) -> RequestBody {
    let pieces = move || {
        stream::unfold(count, |left| async move {
            let length = left.min(PIECE as u64);
            let piece = Bytes::from_static(&ZEROS[..length as usize]);
            (length > 0).then_some((Ok::<_, Infallible>(piece), left - length))
        })
    };
    RequestBody::repeatable(pieces).with_length(count)
}

/// Returns a body whose pieces follow after their delays.
fn streaming(chunks: Vec<Chunk>, length: Option<u64>) -> RequestBody {
    let pieces = stream::iter(chunks).then(|chunk| async move {
        if chunk.delay_ms > 0 {
            uptick::sleep(millis(chunk.delay_ms)).await;
        }
        Ok::<_, Infallible>(Bytes::from(chunk.into_bytes()))
    });
    let body = RequestBody::stream(pieces);
    match length {
        Some(length) => body.with_length(length),
        None => body,
    }
}

/// Returns the length of the body in an own `Content-Length`. One that is no number is refused by the browser.
fn announced_length(line: &ClientRequestLine) -> Option<u64> {
    let mut headers = line.headers.iter();
    let (_, value) = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"))?;
    value.parse().ok()
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}
