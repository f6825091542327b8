//! Parsers for `Forwarded` (RFC 7239, section 4) and `X-Forwarded-*`.

use std::net::{IpAddr, Ipv6Addr};

use http::uri::Authority;

/// The values that a proxy added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// The client from which the proxy received the request.
    pub(super) client: Option<ForwardedNode>,
    pub(super) secure: Option<bool>,
    pub(super) host: Option<String>,
    /// The port of the host, if it is in a separate header.
    pub(super) host_port: Option<u16>,
}

/// A node identifier (RFC 7239, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ForwardedNode {
    Address(IpAddr, Option<u16>),
    /// `unknown`, or an identifier that only the proxy understands.
    Hidden,
}

/// Parses the elements of a `Forwarded` field; `None` if it is malformed, because then no part of it can be attributed to a proxy.
pub(super) fn forwarded(value: &[u8]) -> Option<Vec<Hop>> {
    let mut rest = value;
    let mut hops = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        // Empty elements are ignored (RFC 9110, section 5.6.1).
        if !matches!(rest.first(), None | Some(b',')) {
            hops.push(element(&mut rest)?);
        }
        match rest.trim_ascii_start().split_first() {
            None => return Some(hops),
            Some((b',', after)) => rest = after,
            Some(_) => return None,
        }
    }
}

/// Parses one element, up to its comma.
fn element(rest: &mut &[u8]) -> Option<Hop> {
    let mut hop = Hop::default();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    loop {
        let name = take_while(rest, is_token).to_ascii_lowercase();
        // A parameter must not occur twice, so values cannot contradict each other.
        if name.is_empty() || seen.contains(&name) {
            return None;
        }
        *rest = rest.strip_prefix(b"=")?;
        let value = parameter_value(rest)?;
        match name.as_slice() {
            b"for" => hop.client = Some(node(&value)?),
            b"proto" => hop.secure = scheme(&value),
            b"host" => hop.host = host(&value),
            _ => {}
        }
        seen.push(name);
        let after = rest.trim_ascii_start();
        match after.strip_prefix(b";") {
            Some(after) => *rest = after.trim_ascii_start(),
            None => {
                // An element without `for` hides the client.
                hop.client.get_or_insert(ForwardedNode::Hidden);
                return Some(hop);
            }
        }
    }
}

/// Parses a token or a quoted string. Addresses with a port or in brackets should be quoted, but some proxies do not quote them.
fn parameter_value(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let Some(mut quoted) = rest.strip_prefix(b"\"") else {
        let value = take_while(rest, |byte| is_token(byte) || b":[]".contains(&byte));
        return Some(value.to_vec()).filter(|value| !value.is_empty());
    };
    let mut value = Vec::new();
    loop {
        let (mut byte, mut after) = quoted.split_first()?;
        match byte {
            b'"' => {
                *rest = after;
                return Some(value);
            }
            b'\\' => (byte, after) = after.split_first()?,
            _ => {}
        }
        if byte.is_ascii_control() && *byte != b'\t' {
            return None;
        }
        value.push(*byte);
        quoted = after;
    }
}

fn take_while<'a>(rest: &mut &'a [u8], accept: impl Fn(u8) -> bool) -> &'a [u8] {
    let end = rest.iter().position(|byte| !accept(*byte));
    let (taken, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    taken
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Parses a node of `Forwarded` with its port; `None` if it is malformed.
fn node(value: &[u8]) -> Option<ForwardedNode> {
    let text = str::from_utf8(value).ok()?;
    let (name, port) = split_port(text)?;
    let port = match port {
        Some(port) => parse_port(port)?,
        None => None,
    };
    if let Some(inner) = name.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(ForwardedNode::Address(
            IpAddr::from(ip).to_canonical(),
            port,
        ));
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(ForwardedNode::Hidden);
    }
    let ip = name.parse().ok().map(IpAddr::V4)?;
    Some(ForwardedNode::Address(ip, port))
}

/// Parses a member of `X-Forwarded-For`, which is not standardized: IPv6 addresses may have no brackets.
pub(super) fn lenient_node(value: &[u8]) -> ForwardedNode {
    let bare = str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok());
    match bare {
        Some(IpAddr::V6(ip)) => ForwardedNode::Address(IpAddr::from(ip).to_canonical(), None),
        _ => node(value).unwrap_or(ForwardedNode::Hidden),
    }
}

/// Splits a node into its name and its port. A colon inside brackets does not start a port.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let host_end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at(host_end);
    match rest {
        "" => Some((name, None)),
        _ => Some((name, Some(rest.strip_prefix(':')?))),
    }
}

/// Parses a port; `Some(None)` for an obfuscated port.
fn parse_port(port: &str) -> Option<Option<u16>> {
    if is_obfuscated(port) {
        return Some(None);
    }
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| digits).map(Some)
}

fn is_obfuscated(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.strip_prefix('_')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(allowed))
}

/// Returns `true` for `https`, `false` for `http`, and `None` for other schemes.
pub(super) fn scheme(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else {
        value.eq_ignore_ascii_case(b"http").then_some(false)
    }
}

/// Parses a decimal port; `None` if it is malformed.
pub(super) fn port(value: &[u8]) -> Option<u16> {
    parse_port(str::from_utf8(value).ok()?)?
}

/// Parses a host with an optional port; `None` if it is malformed.
pub(super) fn host(value: &[u8]) -> Option<String> {
    let authority = Authority::try_from(value).ok()?;
    let no_user = !authority.as_str().contains('@');
    no_user.then(|| authority.as_str().to_owned())
}

/// Returns the members of a comma-separated list.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(value: &str) -> Option<Vec<Option<ForwardedNode>>> {
        let hops = forwarded(value.as_bytes())?;
        Some(hops.into_iter().map(|hop| hop.client).collect())
    }

    fn address(ip: &str, port: impl Into<Option<u16>>) -> Option<ForwardedNode> {
        Some(ForwardedNode::Address(ip.parse().unwrap(), port.into()))
    }

    #[test]
    fn nodes_are_addresses_with_ports_or_hidden() {
        let cases = [
            ("for=192.0.2.43", address("192.0.2.43", None)),
            ("FOR=192.0.2.43", address("192.0.2.43", None)),
            (r#"for="192.0.2.43:4711""#, address("192.0.2.43", 4711)),
            ("for=192.0.2.43:4711", address("192.0.2.43", 4711)),
            (r#"for="192.0.2.43:_p""#, address("192.0.2.43", None)),
            (r#"for="[2001:db8::1]""#, address("2001:db8::1", None)),
            (r#"for="[2001:db8::1]:80""#, address("2001:db8::1", 80)),
            (r#"for="[::ffff:192.0.2.1]""#, address("192.0.2.1", None)),
            (r#"for="192.0\.2.43""#, address("192.0.2.43", None)),
            ("for=unknown", Some(ForwardedNode::Hidden)),
            ("for=_SEVKISEK", Some(ForwardedNode::Hidden)),
            (r#"for="_gazonk:80""#, Some(ForwardedNode::Hidden)),
            ("proto=https", Some(ForwardedNode::Hidden)),
        ];
        for (value, node) in cases {
            assert_eq!(clients(value), Some(vec![node]), "{value}");
        }
    }

    #[test]
    fn commas_and_semicolons_in_quotes_are_not_separators() {
        let value = r#"for=192.0.2.1;by="a,b;c\"d" , ,for=192.0.2.2; proto=HTTPS"#;
        let hops = forwarded(value.as_bytes()).unwrap();
        assert_eq!(hops.len(), 2);
        assert_eq!(hops[1].client, address("192.0.2.2", None));
        assert_eq!(hops[1].secure, Some(true));
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for value in [
            "for",
            "for=",
            "=1",
            "for=192.0.2.1;",
            "for=192.0.2.1 proto=http",
            "for = 192.0.2.1",
            "for=192.0.2.1;for=192.0.2.2",
            r#"for="192.0.2.1"#,
            r#"for="192.0.2.1\"#,
            r#"for=injected;by=", for=192.0.2.1"#,
            "for=2001:db8::1",
            "for=[::1",
            "for=[192.0.2.1]",
            "for=192.0.2.1:",
            "for=192.0.2.1:+80",
            "for=192.0.2.1:65536",
            "for=_",
            "for=name.example",
            "for=192.0.2.256",
            "for=\"a\u{0}\"",
        ] {
            assert_eq!(clients(value), None, "{value}");
        }
    }

    #[test]
    fn an_empty_field_has_no_elements() {
        assert_eq!(clients(""), Some(vec![]));
        assert_eq!(clients(" , ,"), Some(vec![]));
    }

    #[test]
    fn lenient_nodes_accept_ports_and_bare_addresses() {
        let node = |text: &str| Some(lenient_node(text.as_bytes()));
        assert_eq!(node("192.0.2.1"), address("192.0.2.1", None));
        assert_eq!(node("192.0.2.1:80"), address("192.0.2.1", 80));
        assert_eq!(node("2001:db8::1"), address("2001:db8::1", None));
        assert_eq!(node("[2001:db8::1]:80"), address("2001:db8::1", 80));
        assert_eq!(node("::ffff:192.0.2.1"), address("192.0.2.1", None));
        assert_eq!(node("unknown"), Some(ForwardedNode::Hidden));
        assert_eq!(node("what is this"), Some(ForwardedNode::Hidden));
    }

    #[test]
    fn hosts_have_no_user_and_no_path() {
        assert_eq!(host(b"a.example:8080"), Some("a.example:8080".into()));
        assert_eq!(host(b"[::1]:80"), Some("[::1]:80".into()));
        for bad in ["", "user@a.example", "a.example/path", "a b", "a\r\nb"] {
            assert_eq!(host(bad.as_bytes()), None, "{bad}");
        }
    }
}
