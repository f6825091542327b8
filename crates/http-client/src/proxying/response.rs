//! The response of an upstream server, as it is sent to the client.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, HeaderName, LOCATION, SEC_WEBSOCKET_ACCEPT, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use uptick_http::{BodyStream, HttpError, Request, Response};

use super::balancer::ActiveRequest;
use super::body::{ReceivedTrailers, ServerBody};
use super::failure::client_error;
use super::headers::{add_via, remove_connection_headers};
use super::proxy::version;
use super::tunnel::UpgradedServer;
use crate::browser::StreamingResponse;

/// A response, and what its conversion needs.
pub(super) struct ServerResponse<'a> {
    pub(super) response: StreamingResponse,
    pub(super) active: ActiveRequest,
    /// The base URL of the server.
    pub(super) base: &'a str,
    /// The start of the client's path that the server does not know.
    pub(super) removed: &'a str,
    pub(super) is_upgrade: bool,
    pub(super) via: Option<&'a str>,
    pub(super) tunnel_idle_timeout: Option<Duration>,
}

/// Converts the response of a server to the response for the client.
pub(super) async fn client_response(
    request: &Request,
    mut server: ServerResponse<'_>,
) -> Result<Response, HttpError> {
    let status = server.response.status();
    let mut headers = server.response.headers().clone();
    let has_length = !headers.contains_key(TRANSFER_ENCODING);
    remove_connection_headers(&mut headers);
    rewrite_location(&mut headers, &server);
    if let Some(name) = server.via {
        add_via(&mut headers, version(server.response.version()), name);
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return upgrade(request, headers, server);
    }
    if *request.method() == Method::HEAD || status == StatusCode::NOT_MODIFIED {
        // The end of a response without a body, so that its connection can be used again.
        read_end(&mut server.response).await?;
        return Ok(with_headers(Response::new(status), headers));
    }
    let length = headers.remove(CONTENT_LENGTH).filter(|_| has_length);
    let length: Option<u64> = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length == Some(0) || status == StatusCode::NO_CONTENT || status == StatusCode::RESET_CONTENT
    {
        read_end(&mut server.response).await?;
        return Ok(with_headers(Response::new(status), headers));
    }
    let trailers = ReceivedTrailers::default();
    let body = BodyStream::new(ServerBody {
        response: server.response,
        trailers: trailers.clone(),
        _active: server.active,
    });
    let body = match length {
        Some(length) => body.with_length(length),
        None => body.with_trailers(move || trailers.take().unwrap_or_default()),
    };
    Ok(with_headers(Response::new(status).with_body(body), headers))
}

/// Waits for the end of a response without a body.
async fn read_end(response: &mut StreamingResponse) -> Result<(), HttpError> {
    while let Some(_ignored) = response.chunk().await.map_err(client_error)? {}
    Ok(())
}

fn with_headers(mut response: Response, headers: HeaderMap) -> Response {
    let target = response.headers_mut();
    let mut last: Option<HeaderName> = None;
    for (name, value) in headers {
        // A name is given with its first value only.
        let Some(name) = name.or_else(|| last.clone()) else {
            continue;
        };
        target.append(name.clone(), value);
        last = Some(name);
    }
    response
}

/// Replaces a `Location` at the server by the same location at the proxy.
fn rewrite_location(headers: &mut HeaderMap, server: &ServerResponse<'_>) {
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(rest) = location.and_then(|location| location.strip_prefix(server.base)) else {
        return;
    };
    let slash = match rest.as_bytes().first() {
        Some(b'/') => "",
        None | Some(b'?' | b'#') => "/",
        // Another host or port that begins like this one.
        Some(_) => return,
    };
    let rewritten = format!("{}{slash}{rest}", server.removed);
    if let Ok(value) = HeaderValue::from_str(&rewritten) {
        headers.insert(LOCATION, value);
    }
}

/// Switches the client's connection or stream to the protocol to which the server has switched.
fn upgrade(
    request: &Request,
    mut headers: HeaderMap,
    server: ServerResponse<'_>,
) -> Result<Response, HttpError> {
    let bad_gateway = |reason: &str| {
        HttpError::from_status(StatusCode::BAD_GATEWAY).with_source(reason.to_owned())
    };
    if !server.is_upgrade {
        return Err(bad_gateway("the server has switched to another protocol"));
    }
    let protocol = server.response.header("upgrade").unwrap_or_default();
    if !protocol.eq_ignore_ascii_case("websocket") {
        return Err(bad_gateway(
            "the server has switched to a protocol that was not requested",
        ));
    }
    let Some(channel) = server.response.into_upgraded() else {
        return Err(bad_gateway(
            "the server has closed the connection after its handshake",
        ));
    };
    let tunnel = UpgradedServer::new(channel, server.tunnel_idle_timeout, server.active);
    if request.head().protocol().is_some() {
        // Handshakes over HTTP/2 have no key to confirm.
        headers.remove(SEC_WEBSOCKET_ACCEPT);
    }
    headers.remove(CONTENT_LENGTH);
    let response = Response::upgrade_channel("websocket", move |client| tunnel.connect(client));
    Ok(with_headers(response, headers))
}
