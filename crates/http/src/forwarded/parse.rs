//! The syntax of `Forwarded` (RFC 7239, section 4) and of `X-Forwarded-For`.

use std::net::{IpAddr, Ipv6Addr};

use http::uri::Authority;

/// What a proxy has added.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hop {
    /// The client that it has the request from.
    pub(super) client: Option<Node>,
    pub(super) secure: Option<bool>,
    pub(super) host: Option<String>,
    /// The port of the host, where it is told apart from it.
    pub(super) host_port: Option<u16>,
}

/// Who is named by a proxy (RFC 7239, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Address(IpAddr, Option<u16>),
    /// `unknown`, or an identifier that only the proxy understands.
    Hidden,
}

/// The elements of a `Forwarded` field, or `None` when it is malformed: then no part of it can be told from what somebody else
/// has written.
pub(super) fn forwarded(value: &[u8]) -> Option<Vec<Hop>> {
    let mut rest = value;
    let mut hops = Vec::new();
    loop {
        rest = rest.trim_ascii_start();
        // An empty element is none (RFC 9110, section 5.6.1).
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

/// One element, up to its comma.
fn element(rest: &mut &[u8]) -> Option<Hop> {
    let mut hop = Hop::default();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    loop {
        let name = take_while(rest, is_token).to_ascii_lowercase();
        // Each parameter at most once; so two of them never contradict each other.
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
                // A proxy that describes a request without its client hides it.
                hop.client.get_or_insert(Node::Hidden);
                return Some(hop);
            }
        }
    }
}

/// A token or a quoted string. Addresses with a port or in brackets should be quoted, but not all proxies do.
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

/// A node with its port, as `Forwarded` has them; `None` when it is none.
fn node(value: &[u8]) -> Option<Node> {
    let text = str::from_utf8(value).ok()?;
    let (name, port) = split_port(text)?;
    let port = match port {
        Some(port) => parse_port(port)?,
        None => None,
    };
    if let Some(inner) = name.strip_prefix('[') {
        let ip: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(Node::Address(IpAddr::from(ip).to_canonical(), port));
    }
    if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
        return Some(Node::Hidden);
    }
    let ip = name.parse().ok().map(IpAddr::V4)?;
    Some(Node::Address(ip, port))
}

/// A member of `X-Forwarded-For`, which no standard describes: IPv6 addresses also come without brackets.
pub(super) fn loose_node(value: &[u8]) -> Node {
    let bare = str::from_utf8(value)
        .ok()
        .and_then(|text| text.parse().ok());
    match bare {
        Some(IpAddr::V6(ip)) => Node::Address(IpAddr::from(ip).to_canonical(), None),
        _ => node(value).unwrap_or(Node::Hidden),
    }
}

/// What is in front of the port, and the port. A colon inside brackets is not that of a port.
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

/// `Some(None)` for a port that only the proxy understands.
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

/// Whether a scheme is the secure one; `None` when it is neither.
pub(super) fn scheme(value: &[u8]) -> Option<bool> {
    if value.eq_ignore_ascii_case(b"https") {
        Some(true)
    } else {
        value.eq_ignore_ascii_case(b"http").then_some(false)
    }
}

/// A port as a number of digits only; `None` when it is none.
pub(super) fn port(value: &[u8]) -> Option<u16> {
    parse_port(str::from_utf8(value).ok()?)?
}

/// A host with or without a port; `None` when it is none.
pub(super) fn host(value: &[u8]) -> Option<String> {
    let authority = Authority::try_from(value).ok()?;
    let no_user = !authority.as_str().contains('@');
    no_user.then(|| authority.as_str().to_owned())
}

/// The members of a list with commas.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(value: &str) -> Option<Vec<Option<Node>>> {
        let hops = forwarded(value.as_bytes())?;
        Some(hops.into_iter().map(|hop| hop.client).collect())
    }

    fn address(ip: &str, port: impl Into<Option<u16>>) -> Option<Node> {
        Some(Node::Address(ip.parse().unwrap(), port.into()))
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
            ("for=unknown", Some(Node::Hidden)),
            ("for=_SEVKISEK", Some(Node::Hidden)),
            (r#"for="_gazonk:80""#, Some(Node::Hidden)),
            ("proto=https", Some(Node::Hidden)),
        ];
        for (value, node) in cases {
            assert_eq!(clients(value), Some(vec![node]), "{value}");
        }
    }

    #[test]
    fn commas_and_semicolons_inside_quotes_divide_nothing() {
        let value = r#"for=192.0.2.1;by="a,b;c\"d" , ,for=192.0.2.2; proto=HTTPS"#;
        let hops = forwarded(value.as_bytes()).unwrap();
        assert_eq!(hops.len(), 2);
        assert_eq!(hops[1].client, address("192.0.2.2", None));
        assert_eq!(hops[1].secure, Some(true));
    }

    #[test]
    fn malformed_fields_say_nothing() {
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
    fn loose_nodes_have_ports_and_bare_addresses() {
        let node = |text: &str| Some(loose_node(text.as_bytes()));
        assert_eq!(node("192.0.2.1"), address("192.0.2.1", None));
        assert_eq!(node("192.0.2.1:80"), address("192.0.2.1", 80));
        assert_eq!(node("2001:db8::1"), address("2001:db8::1", None));
        assert_eq!(node("[2001:db8::1]:80"), address("2001:db8::1", 80));
        assert_eq!(node("::ffff:192.0.2.1"), address("192.0.2.1", None));
        assert_eq!(node("unknown"), Some(Node::Hidden));
        assert_eq!(node("what is this"), Some(Node::Hidden));
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
