//! URLs of WebSockets (RFC 6455, section 3).

use std::sync::Arc;

use uptick_socket::ConnectTarget;

use crate::Error;

/// The parsed URL of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// Address of the server: `tcp://` or `tls://`.
    pub(crate) server: ConnectTarget,
    /// The `Host` header of the request: without the port if it is the default port of the scheme.
    pub(crate) host: String,
    /// The path and the query.
    pub(crate) target: String,
    /// `true` for `wss://`.
    pub(crate) is_secure: bool,
    /// The URL for errors: without the query, which may contain secrets.
    pub(crate) redacted: Arc<str>,
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Url, Error> {
        let before_query = text.split(['?', '#']).next().unwrap_or_default();
        // Passwords must not appear in logs.
        let (scheme_end, authority_start) = match before_query.find("://") {
            Some(index) => (index, index + 3),
            None => (0, 0),
        };
        let scheme = before_query[..scheme_end].to_ascii_lowercase();
        let rest = &text[authority_start..];
        let authority_len = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(authority_len);
        let redacted: String = match authority.rsplit_once('@') {
            Some((_, host)) => {
                let path = &before_query[authority_start + authority_len..];
                format!("{scheme}://…@{host}{path}")
            }
            None => before_query.to_owned(),
        };
        let invalid = |reason: &str| Error::InvalidUrl {
            url: redacted.as_str().into(),
            reason: reason.into(),
        };
        let (transport, port) = match &*scheme {
            "ws" => ("tcp", 80),
            "wss" => ("tls", 443),
            _ => return Err(invalid("the scheme must be ws:// or wss://")),
        };
        if authority.contains('@') {
            return Err(invalid(
                "it must not contain a user or a password; send them in an `authorization` header",
            ));
        }
        if text.contains('#') {
            return Err(invalid("a WebSocket URL has no fragment"));
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(
                "characters other than visible ASCII must be written as %XX",
            ));
        }
        let (host, has_port) = split_port(authority);
        if host.is_empty() {
            return Err(invalid("it has no host"));
        }
        let address = match has_port {
            Some(port) => format!("{transport}://{host}:{port}"),
            None => format!("{transport}://{host}:{port}"),
        };
        let server: ConnectTarget = address.parse().map_err(|error| match error {
            uptick_socket::Error::InvalidUri { reason, .. } => invalid(&reason),
            error => Error::Connection(error),
        })?;
        let is_default_port = has_port.is_none_or(|text| text.parse() == Ok(port));
        let target = match target.starts_with('/') {
            true => target.to_owned(),
            false => format!("/{target}"),
        };
        Ok(Url {
            server,
            host: without_zone(if is_default_port { host } else { authority }).to_ascii_lowercase(),
            target,
            is_secure: transport == "tls",
            redacted: redacted.into(),
        })
    }
}

/// Splits the port from a host, which may be an IPv6 address in brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Removes the zone of an IPv6 address, which has a meaning on this machine only (RFC 6874, section 4).
fn without_zone(authority: &str) -> String {
    match authority.split_once('%').zip(authority.rsplit_once(']')) {
        Some(((ip, _), (_, port))) => format!("{ip}]{port}"),
        None => authority.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_zone_of_an_address_is_not_sent_to_the_server() {
        for text in ["ws://[fe80::1%25lo]:81/", "ws://[fe80::1%lo]:81/"] {
            let (server, host, _) = parts(text);
            assert_eq!((&*server, &*host), ("tcp://[fe80::1%1]:81", "[fe80::1]:81"));
        }
        let (server, host, _) = parts("wss://[fe80::1%lo]/chat");
        assert_eq!((&*server, &*host), ("tls://[fe80::1%1]:443", "[fe80::1]"));
    }

    fn parts(text: &str) -> (String, String, String) {
        let url = Url::parse(text).unwrap();
        (url.server.to_string(), url.host, url.target)
    }

    #[test]
    fn a_url_is_split_into_server_host_and_target() {
        for (text, server, host, target) in [
            (
                "ws://example.com",
                "tcp://example.com:80",
                "example.com",
                "/",
            ),
            (
                "ws://Example.com:80/",
                "tcp://example.com:80",
                "example.com",
                "/",
            ),
            (
                "WSS://example.com/a/b?c=d",
                "tls://example.com:443",
                "example.com",
                "/a/b?c=d",
            ),
            (
                "wss://example.com:80?x",
                "tls://example.com:80",
                "example.com:80",
                "/?x",
            ),
            (
                "ws://127.0.0.1:8080/a:b",
                "tcp://127.0.0.1:8080",
                "127.0.0.1:8080",
                "/a:b",
            ),
            ("ws://[::1]/", "tcp://[::1]:80", "[::1]", "/"),
            ("ws://[::1]:443/", "tcp://[::1]:443", "[::1]:443", "/"),
            ("ws://a/b?at=x@y", "tcp://a:80", "a", "/b?at=x@y"),
        ] {
            let (is_server, is_host, is_target) = parts(text);
            assert_eq!(is_server.to_ascii_lowercase(), server);
            assert_eq!((&*is_host, &*is_target), (host, target));
        }
    }

    #[test]
    fn invalid_urls_are_refused_with_a_reason() {
        for (text, reason) in [
            ("", "ws:// or wss://"),
            ("example.com/chat", "ws:// or wss://"),
            ("http://example.com/", "ws:// or wss://"),
            ("ws://", "no host"),
            ("ws://:80/", "no host"),
            ("ws:///chat", "no host"),
            ("ws://example.com/#part", "fragment"),
            ("ws://example.com/a b", "%XX"),
            ("ws://example.com/\r\nX: y", "%XX"),
            ("ws://example.com/ä", "%XX"),
            ("ws://example.com:99999/", "port"),
            ("ws://example.com:/", "port"),
            ("ws://exa mple/", ""),
            ("ws://::1/", ""),
        ] {
            let error = Url::parse(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.ends_with("(EINVAL)"), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_and_queries_are_not_shown() {
        let error = Url::parse("ws://me:secret@example.com/a?token=secret").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
        let url = Url::parse("ws://example.com/a?token=secret").unwrap();
        assert_eq!(&*url.redacted, "ws://example.com/a");
    }
}
