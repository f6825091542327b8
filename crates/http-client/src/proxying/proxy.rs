//! One proxied request.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{HOST, HeaderValue, SEC_WEBSOCKET_KEY};
use http::{HeaderMap, Method, StatusCode};
use uptick_http::h1::Version;
use uptick_http::{HttpError, Request, Response};

use super::body::{ClientBodyState, request_body};
use super::failure::{client_error, is_connect_failure, is_retriable};
use super::headers::{ProxiedClient, add_via, prepare_request};
use super::health::UpstreamChecks;
use super::response::{ServerResponse, client_response};
use super::target::PathMapping;
use super::upstream::Upstream;
use crate::browser::StreamingResponse;
use crate::error::Error;

/// The time for which a body waits for the server's `100 Continue` if the client waits for one: 1 s.
const CONTINUE_LIMIT: Duration = Duration::from_secs(1);
const WEBSOCKET: &str = "websocket";

/// A reverse proxy below one prefix.
pub(super) struct ReverseProxy {
    upstream: Upstream,
    mapping: PathMapping,
    _checks: Option<Rc<UpstreamChecks>>,
}

/// The parts of a request that are the same for each server.
struct ProxiedRequest {
    request: Rc<Request>,
    headers: HeaderMap,
    has_body: bool,
    /// `true` for a WebSocket handshake.
    is_upgrade: bool,
}

impl ReverseProxy {
    pub(super) fn new(prefix: &str, upstream: Upstream) -> Self {
        let checks = upstream.health_check.as_ref().map(|(path, interval)| {
            let servers = upstream.balancer.servers.clone();
            UpstreamChecks::start(servers, &upstream.browser, path, *interval)
        });
        ReverseProxy {
            mapping: PathMapping::new(prefix, upstream.strips_prefix),
            upstream,
            _checks: checks,
        }
    }

    /// Passes a request to a server, and to another one if that fails before the server has processed it.
    pub(super) async fn handle(self: Rc<Self>, request: Request) -> Result<Response, HttpError> {
        let proxied = self.prepare(request)?;
        let request = &proxied.request;
        let upstream = &self.upstream;
        let mut tried = Vec::new();
        loop {
            let Some((index, server)) = upstream.balancer.pick(&tried) else {
                return Err(HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE));
            };
            let active = server.begin();
            let path = request.head().raw_path();
            let url = self.mapping.url(&server.base, path, request.query_string());
            let url = url.map_err(|_| HttpError::bad_request("the path has dot segments"))?;
            let body = Rc::new(ClientBodyState::default());
            let error = match self.send(&proxied, &url, &body).await {
                Ok(response) => {
                    server.connected();
                    let response = ServerResponse {
                        response,
                        active,
                        base: &server.base,
                        removed: self.mapping.removed(path),
                        is_upgrade: proxied.is_upgrade,
                        via: upstream.via.as_deref(),
                        tunnel_idle_timeout: upstream.tunnel_idle_timeout,
                    };
                    return client_response(request, response).await;
                }
                Err(error) => error,
            };
            if let Some(error) = body.error.take() {
                // The client's own fault.
                return Err(error.into());
            }
            if is_connect_failure(error.kind()) {
                server.failed(upstream.max_failures, upstream.recovery_time);
            }
            let is_started = body.is_started.get();
            let retries =
                is_retriable(error.kind(), request.method(), proxied.has_body, is_started);
            tried.push(index);
            let is_last = tried.len() >= upstream.balancer.servers.len();
            if !retries || is_last || tried.len() > upstream.retries {
                return Err(client_error(error));
            }
            tracing::debug!("{error}; another server is tried");
        }
    }

    /// Converts the headers of a client's request.
    fn prepare(&self, request: Request) -> Result<ProxiedRequest, HttpError> {
        let upstream = &self.upstream;
        let has_body = request.content_length() != Some(0);
        let head = request.head();
        let is_upgrade = !has_body
            && *request.method() == Method::GET
            && head.lists_upgrades(WEBSOCKET.as_bytes());
        let mut headers = request.headers();
        let client = ProxiedClient::of(&request);
        let kinds = upstream.forwarded_headers;
        prepare_request(&mut headers, &client, upstream.forwarded, kinds);
        if upstream.keeps_host
            && let Some(host) = head.host()
            && let Ok(host) = HeaderValue::from_str(host)
        {
            headers.insert(HOST, host);
        }
        if let Some(name) = &upstream.via {
            add_via(&mut headers, version(head.version()), name);
        }
        for (name, value) in &upstream.headers {
            headers.insert(name, value.clone());
        }
        if is_upgrade && head.protocol().is_some() {
            // A handshake over HTTP/2 has no key.
            headers.insert(SEC_WEBSOCKET_KEY, websocket_key()?);
        }
        if head.accepts_trailers() {
            headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        }
        Ok(ProxiedRequest {
            request: Rc::new(request),
            headers,
            has_body,
            is_upgrade,
        })
    }

    async fn send(
        &self,
        proxied: &ProxiedRequest,
        url: &str,
        state: &Rc<ClientBodyState>,
    ) -> Result<StreamingResponse, Error> {
        let request = &proxied.request;
        let browser = &self.upstream.browser;
        let mut builder = browser
            .request(request.method().clone(), url)
            .headers(&proxied.headers);
        if proxied.is_upgrade {
            builder = builder.upgrade(WEBSOCKET);
        } else if proxied.has_body {
            builder = builder.body(request_body(request, self.upstream.body_limit, state));
            if request.head().expects_continue() {
                builder = builder.expect_continue(CONTINUE_LIMIT);
            }
        }
        builder.streaming().await
    }
}

/// Returns the version of a message for `Via`.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
        Version::Http2 => "2",
    }
}

/// Returns a random key for a WebSocket handshake.
fn websocket_key() -> Result<HeaderValue, HttpError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| HttpError::internal(error.to_string()))?;
    HeaderValue::from_str(&BASE64_STANDARD.encode(random)).map_err(HttpError::from)
}
