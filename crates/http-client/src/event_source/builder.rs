//! Event sources of a browser.

use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderName, HeaderValue};

use super::connector::{OpenedStream, Opening, StreamConnector};
use super::handle::EventSource;
use super::parser::EventLimits;
use super::settings::EventSourceSettings;
use crate::browser::{Browser, RequestBuilder};
use crate::url::Url;

/// An event source that is not started yet.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use uptick_emitter::Emitter;
/// use uptick_http_client::{Browser, MessageEvent};
///
/// let browser = Browser::new();
/// let source = browser
///     .event_source("http://127.0.0.1:8080/events")
///     .header("authorization", "Bearer secret")
///     .idle_timeout(Duration::from_secs(60))
///     .connect();
/// source.on("message", |event: MessageEvent| println!("{}", event.data));
/// ```
#[derive(Debug)]
#[must_use = "an event source does nothing until it is connected"]
pub struct EventSourceBuilder {
    browser: Browser,
    url: String,
    /// The headers, in order; an invalid one fails the source.
    headers: Vec<SourceHeader>,
    settings: EventSourceSettings,
}

/// A header, or an invalid one.
type SourceHeader = Result<(HeaderName, HeaderValue), ()>;

impl Browser {
    /// Creates an event source: a client of server-sent events. [`EventSource::connect`] starts one with the default settings.
    ///
    /// Its requests have the settings of this browser except for the total timeout, the timeout between two reads and the maximum size of a body,
    /// which do not apply to streams of events. A stream occupies a connection of the pool, or a stream of an HTTP/2 connection.
    pub fn event_source(&self, url: impl AsRef<str>) -> EventSourceBuilder {
        EventSourceBuilder {
            browser: self.clone(),
            url: url.as_ref().to_owned(),
            headers: Vec::new(),
            settings: EventSourceSettings::default(),
        }
    }
}

impl EventSource {
    /// Starts a source with the default settings, in the next iteration of the loop. [`Browser::event_source`] sets others.
    ///
    /// # Examples
    /// ```no_run
    /// use uptick_emitter::Emitter;
    /// use uptick_http_client::{Browser, Error, EventSource, MessageEvent};
    ///
    /// let source = EventSource::connect(&Browser::new(), "http://127.0.0.1:8080/events");
    /// source.on("message", |event: MessageEvent| println!("{}", event.data));
    /// source.on("error", |error: Error| eprintln!("{error}"));
    /// uptick_event_loop::run()?;
    /// # Ok::<(), uptick_event_loop::Error>(())
    /// ```
    pub fn connect(browser: &Browser, url: impl AsRef<str>) -> EventSource {
        browser.event_source(url).connect()
    }
}

impl EventSourceBuilder {
    /// Adds a header to each request. Default: `Accept: text/event-stream`, `Cache-Control: no-store`, and the headers of the browser.
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let header = match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => Ok((name, value)),
            _ => Err(()),
        };
        self.headers.push(header);
        self
    }

    /// Sets the id after which the server should continue, for the first request (`Last-Event-ID`). Default: none.
    pub fn last_event_id(mut self, id: impl Into<String>) -> Self {
        self.settings.last_event_id = id.into();
        self
    }

    /// Sets the delay before the next request, at least 10 ms, unless the server sets another one. It doubles with each consecutive request without an
    /// event. Default: 3 s.
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.settings.retry_delay = delay;
        self
    }

    /// Sets the maximum delay to which the delay grows, without the random fifth. A longer delay of the server applies nevertheless. Default: 30 s.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.settings.max_delay = delay;
        self
    }

    /// Sets the maximum delay that a server can set, with `retry` or `Retry-After`, without the random fifth. Default: 1 h.
    pub fn max_server_delay(mut self, delay: Duration) -> Self {
        self.settings.max_server_delay = delay;
        self
    }

    /// Sets the maximum number of consecutive retries without an event, after which the source fails; `None` disables the limit. Default: `None`.
    pub fn max_retries(mut self, count: impl Into<Option<u32>>) -> Self {
        self.settings.max_retries = count.into();
        self
    }

    /// Sets whether another request follows a response with status 5xx, after at least the time of its `Retry-After`. Otherwise it fails the source, as in
    /// browsers. Default: `false`.
    pub fn retry_server_errors(mut self, retries: bool) -> Self {
        self.settings.retries_server_errors = retries;
        self
    }

    /// Sets the time without a byte from the server after which the stream is replaced. The server must send something more often, such as a comment; an
    /// [`EventStream`](uptick_http::EventStream) does so every 15 s. `None` disables the limit. Default: `None`.
    pub fn idle_timeout(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.settings.idle_timeout = time.into();
        self
    }

    /// Sets the limits of lines and events. Default: [`EventLimits::new`].
    pub fn limits(mut self, limits: EventLimits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Starts the source in the next iteration of the loop.
    pub fn connect(self) -> EventSource {
        let browser = self
            .browser
            .with_timeout(None)
            .with_read_timeout(None)
            .with_max_body(None)
            .with_reject_error_response(false);
        // Without user information, as errors quote it.
        let shown = Url::parse(&self.url).map(|url| url.as_str().to_owned());
        let connector = BrowserConnector {
            browser,
            url: self.url,
            headers: self.headers,
        };
        let shown = shown.unwrap_or_else(|_| connector.url.clone());
        EventSource::start(shown, Box::new(connector), self.settings)
    }
}

/// Sends the requests of a source with a browser.
struct BrowserConnector {
    browser: Browser,
    url: String,
    headers: Vec<SourceHeader>,
}

impl BrowserConnector {
    fn request(&self, last_event_id: &str) -> RequestBuilder {
        let mut request = self.browser.get(&self.url);
        let has = |name: &HeaderName| {
            let mut names = self.headers.iter().flatten().map(|(name, _)| name);
            names.any(|other| other == name)
        };
        if !has(&ACCEPT) {
            request = request.header(ACCEPT, "text/event-stream");
        }
        if !has(&CACHE_CONTROL) {
            request = request.header(CACHE_CONTROL, "no-store");
        }
        for header in &self.headers {
            request = match header {
                Ok((name, value)) => request.header(name, value),
                // The request fails as it is sent.
                Err(()) => request.header("", ""),
            };
        }
        // An id with control characters cannot be sent.
        match HeaderValue::from_bytes(last_event_id.as_bytes()) {
            Ok(id) if !id.is_empty() => request.header("last-event-id", id),
            _ => request,
        }
    }
}

impl StreamConnector for BrowserConnector {
    fn open(&self, last_event_id: &str) -> Opening {
        let response = self.request(last_event_id).streaming();
        Box::pin(async move {
            let response = response.await?;
            let retry_after = response.header("retry-after");
            Ok(OpenedStream {
                status: response.status(),
                content_type: response.header("content-type").map(str::to_owned),
                retry_after: retry_after.and_then(|seconds| {
                    let seconds = seconds.trim().parse().ok()?;
                    Some(Duration::from_secs(seconds))
                }),
                url: response.url().to_owned(),
                body: Box::pin(response),
            })
        })
    }
}
