//! The headers of proxied messages.

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, TE, TRANSFER_ENCODING, UPGRADE,
    VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use uptick_http::{ForwardedHeaders, Request};

/// The headers that apply to one connection even if `Connection` does not name them (RFC 9110, section 7.6.1), and the headers for the proxy itself.
const CONNECTION_HEADERS: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    http::header::PROXY_AUTHENTICATE,
    http::header::PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// The headers `Forwarded` and `X-Forwarded-*` of proxied requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ForwardedMode {
    /// The headers of [trusted proxies](uptick_http::HttpServer::trusted_proxies) are extended, and the headers of other clients are replaced.
    #[default]
    ExtendTrusted,
    /// The headers of all clients are extended. The upstream server must not trust the extended part.
    Extend,
    /// The headers of all clients are replaced.
    Replace,
    /// The headers of all clients are removed, and none are added.
    Remove,
}

/// The client of a proxied request.
#[derive(Clone, Debug)]
pub(super) struct ProxiedClient {
    /// The address of the peer; `None` on a Unix socket.
    pub(super) peer: Option<IpAddr>,
    /// The address of the client. Behind a trusted proxy it differs from the address of the peer.
    pub(super) client: Option<IpAddr>,
    pub(super) is_trusted: bool,
    pub(super) scheme: &'static str,
    pub(super) host: Option<String>,
}

impl ProxiedClient {
    pub(super) fn of(request: &Request) -> Self {
        let peer = match request.connection() {
            Some(conn) => conn.remote_ip(),
            None => request.peer().and_then(|peer| peer.ip()),
        };
        ProxiedClient {
            peer: peer.map(|ip| ip.to_canonical()),
            client: request.client(),
            is_trusted: request.is_forwarded(),
            scheme: request.scheme(),
            host: request.host().map(str::to_owned),
        }
    }
}

/// Removes the headers that apply to one connection only.
pub(super) fn remove_connection_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in named.iter().chain(&CONNECTION_HEADERS) {
        headers.remove(name);
    }
}

/// Converts the headers of a client's request to the headers of the upstream request.
pub(super) fn prepare_request(
    headers: &mut HeaderMap,
    client: &ProxiedClient,
    mode: ForwardedMode,
    kinds: ForwardedHeaders,
) {
    remove_connection_headers(headers);
    headers.remove(CONTENT_LENGTH);
    headers.remove(EXPECT);
    headers.remove(HOST);
    join_cookies(headers);
    set_forwarded(headers, client, mode, kinds);
}

/// Joins the `Cookie` headers of an HTTP/2 request, because HTTP/1 allows only one (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some() {
        let cookies: Vec<&[u8]> = headers
            .get_all(COOKIE)
            .iter()
            .map(HeaderValue::as_bytes)
            .collect();
        if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
            headers.insert(COOKIE, joined);
        }
    }
}

fn set_forwarded(
    headers: &mut HeaderMap,
    client: &ProxiedClient,
    mode: ForwardedMode,
    kinds: ForwardedHeaders,
) {
    let extends = match mode {
        ForwardedMode::ExtendTrusted => client.is_trusted,
        ForwardedMode::Extend => true,
        ForwardedMode::Replace | ForwardedMode::Remove => false,
    };
    let all = [
        FORWARDED,
        X_FORWARDED_FOR,
        X_FORWARDED_PROTO,
        X_FORWARDED_HOST,
        X_FORWARDED_PORT,
    ];
    let before_for = joined(headers, &X_FORWARDED_FOR);
    let before_forwarded = joined(headers, &FORWARDED);
    if !extends {
        for name in all {
            headers.remove(name);
        }
    }
    if mode == ForwardedMode::Remove {
        return;
    }
    // The client behind a trusted proxy that has set the other kind of header.
    let hidden = client
        .client
        .filter(|ip| extends && client.is_trusted && Some(*ip) != client.peer);
    if kinds != ForwardedHeaders::Forwarded {
        let mut chain = before_for.filter(|_| extends).unwrap_or_default();
        if chain.is_empty()
            && let Some(ip) = hidden
        {
            chain = ip.to_string();
        }
        if let Some(peer) = client.peer {
            let separator = if chain.is_empty() { "" } else { ", " };
            let _ = write!(chain, "{separator}{peer}");
        }
        insert(headers, X_FORWARDED_FOR, &chain);
        if !headers.contains_key(X_FORWARDED_PROTO) {
            insert(headers, X_FORWARDED_PROTO, client.scheme);
        }
        if let Some(host) = &client.host
            && !headers.contains_key(X_FORWARDED_HOST)
        {
            insert(headers, X_FORWARDED_HOST, host);
        }
    }
    let is_extended = extends && before_forwarded.is_some();
    if is_extended || kinds != ForwardedHeaders::XForwarded {
        let mut chain = before_forwarded.filter(|_| extends).unwrap_or_default();
        if chain.is_empty()
            && let Some(ip) = hidden
        {
            chain = element(Some(ip), client);
        }
        let separator = if chain.is_empty() { "" } else { ", " };
        let _ = write!(chain, "{separator}{}", element(client.peer, client));
        insert(headers, FORWARDED, &chain);
    }
}

/// Returns an element of `Forwarded` (RFC 7239, section 4).
fn element(ip: Option<IpAddr>, client: &ProxiedClient) -> String {
    let mut element = match ip {
        Some(IpAddr::V4(ip)) => format!("for={ip}"),
        Some(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
        None => "for=unknown".to_owned(),
    };
    if let Some(host) = &client.host {
        let escaped = host.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = write!(element, ";host=\"{escaped}\"");
    }
    let _ = write!(element, ";proto={}", client.scheme);
    element
}

/// Returns the values of a header as one list; `None` if it is missing or not text.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Result<Vec<&str>, _> = headers.get_all(name).iter().map(|v| v.to_str()).collect();
    values
        .ok()
        .filter(|values| !values.is_empty())
        .map(|values| values.join(", "))
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) if !value.is_empty() => drop(headers.insert(name, value)),
        _ => drop(headers.remove(name)),
    }
}

/// Appends this proxy to `Via` (RFC 9110, section 7.6.3).
pub(super) fn add_via(headers: &mut HeaderMap, version: &str, pseudonym: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("{version} {pseudonym}")) {
        headers.append(VIA, value);
    }
}

#[cfg(test)]
mod tests;
