//! Origin rules: exact origins, patterns, regular expressions and callbacks.

use std::fmt;
use std::net::Ipv6Addr;
use std::rc::Rc;

use super::CorsError;
use crate::Request;
#[cfg(feature = "regex")]
use crate::routing::Expression;

/// A rule that allows origins.
#[derive(Clone)]
pub(super) enum OriginRule {
    Exact(Box<str>),
    OriginPattern(OriginPattern),
    #[cfg(feature = "regex")]
    Regex(Expression),
    Callback(Rc<AllowsOrigin>),
}

/// A callback that returns `true` if the origin of a request is allowed.
type AllowsOrigin = dyn Fn(&str, &Request) -> bool;

/// A pattern of origins with the same scheme and the same domain or host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OriginPattern {
    scheme: Box<str>,
    /// The host, or, if `any_subdomain` is set, the suffix of the hosts: `.example.com`.
    host: Box<str>,
    any_subdomain: bool,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PortPattern {
    Any,
    /// A port; `None` for the default of the scheme.
    Some(Option<u16>),
}

impl OriginRule {
    /// Parses an origin or a pattern, ignoring case.
    pub(super) fn parse(text: &str) -> Result<Self, CorsError> {
        let error = |why: &str| CorsError::new("origin", text, why);
        let lower = text.to_ascii_lowercase();
        if lower == "null" {
            return Ok(OriginRule::Exact("null".into()));
        }
        if lower == "*" {
            return Err(error("allow_any_origin allows all"));
        }
        let pattern = OriginPattern::parse(&lower).map_err(error)?;
        Ok(match pattern.exact() {
            Some(origin) => OriginRule::Exact(origin.into()),
            None => OriginRule::OriginPattern(pattern),
        })
    }

    /// Compiles a regular expression that matches complete origins.
    #[cfg(feature = "regex")]
    pub(super) fn regex(expression: &str) -> Result<Self, CorsError> {
        let error = |why: String| CorsError::new("origin", expression, why);
        Expression::new(expression)
            .map(OriginRule::Regex)
            .map_err(error)
    }

    /// Returns whether the origin of a request is allowed.
    pub(super) fn allows(&self, origin: &str, request: &Request) -> bool {
        match self {
            OriginRule::Exact(exact) => **exact == *origin,
            OriginRule::OriginPattern(pattern) => pattern.matches(origin),
            #[cfg(feature = "regex")]
            OriginRule::Regex(regex) => regex.is_match(origin),
            OriginRule::Callback(allows) => allows(origin, request),
        }
    }
}

impl OriginPattern {
    /// Parses a pattern in lower case. The error is the reason why it is malformed.
    fn parse(text: &str) -> Result<OriginPattern, &'static str> {
        if !text.is_ascii() {
            return Err("it is not ASCII: write international names in their \"xn--\" form");
        }
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("it has no scheme, unlike \"https://example.com\"")?;
        let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.bytes().all(is_scheme)
        {
            return Err("its scheme is malformed");
        }
        if rest.contains(['/', '?', '#']) {
            return Err("it has a path: an origin is a scheme, a host and perhaps a port");
        }
        if rest.contains('@') {
            return Err("it has a user name: an origin is a scheme, a host and perhaps a port");
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = match port {
            None => PortPattern::Some(None),
            Some("*") => PortPattern::Any,
            Some(port) => {
                let is_number = port.bytes().all(|b| b.is_ascii_digit());
                let port = is_number.then(|| port.parse().ok()).flatten();
                let port = port.ok_or("its port is not a number from 0 to 65535, or \"*\"")?;
                PortPattern::Some((Some(port) != default_port(scheme)).then_some(port))
            }
        };
        let (host, any_subdomain) = match host.strip_prefix("*.") {
            Some(host) => (format!(".{host}"), true),
            None => (canonical(host), false),
        };
        if host.contains('*') {
            return Err("\"*\" is allowed only for the first labels of a host and for the port");
        }
        let is_valid = match any_subdomain {
            true => is_host(&host[1..]),
            false => is_host(&host) || address_in(&host).is_some(),
        };
        if !is_valid {
            return Err("its host is malformed");
        }
        Ok(OriginPattern {
            scheme: scheme.into(),
            host: host.into(),
            any_subdomain,
            port,
        })
    }

    /// Returns the origin, if the pattern matches only one.
    fn exact(&self) -> Option<String> {
        let OriginPattern { scheme, host, .. } = self;
        match self.port {
            PortPattern::Any => None,
            _ if self.any_subdomain => None,
            PortPattern::Some(None) => Some(format!("{scheme}://{host}")),
            PortPattern::Some(Some(port)) => Some(format!("{scheme}://{host}:{port}")),
        }
    }

    /// Returns whether an origin matches. The origin is not normalized, because browsers send it in its normal form.
    fn matches(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else {
            return false;
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let is_port = match (port, &self.port) {
            (None, PortPattern::Any | PortPattern::Some(None)) => true,
            (Some(port), PortPattern::Any) => is_port(port),
            (Some(port), PortPattern::Some(Some(wanted))) => *port == wanted.to_string(),
            (Some(_), PortPattern::Some(None)) | (None, PortPattern::Some(Some(_))) => false,
        };
        let is_host = match self.any_subdomain {
            true => host.strip_suffix(&*self.host).is_some_and(is_host),
            false => *host == *self.host,
        };
        *scheme == *self.scheme && is_host && is_port
    }
}

/// Returns the default port of a scheme, which origins omit.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Returns whether a text is a host name in lower case.
fn is_host(text: &str) -> bool {
    let is_byte = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_byte);
    text.split('.').all(is_label)
}

/// Parses an IPv6 address in brackets.
fn address_in(host: &str) -> Option<Ipv6Addr> {
    host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Returns a host in the form that browsers send.
fn canonical(host: &str) -> String {
    match address_in(host) {
        // Browsers write the last four bytes of an IPv4-mapped address in hexadecimal.
        Some(address) if address.to_ipv4_mapped().is_some() => {
            let [.., high, low] = address.segments();
            format!("[::ffff:{high:x}:{low:x}]")
        }
        Some(address) => format!("[{address}]"),
        None => host.to_owned(),
    }
}

impl fmt::Debug for OriginRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OriginRule::Exact(origin) => f.debug_tuple("Exact").field(origin).finish(),
            OriginRule::OriginPattern(pattern) => pattern.fmt(f),
            #[cfg(feature = "regex")]
            OriginRule::Regex(regex) => f.debug_tuple("Regex").field(&regex.as_str()).finish(),
            OriginRule::Callback(_) => f.debug_tuple("Callback").finish_non_exhaustive(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, origin: &str) -> bool {
        let request = Request::for_test(crate::Method::GET, "/");
        OriginRule::parse(rule).unwrap().allows(origin, &request)
    }

    fn error(rule: &str) -> String {
        OriginRule::parse(rule).unwrap_err().to_string()
    }

    #[test]
    fn an_exact_origin_allows_only_itself() {
        let rule = "https://example.com";
        assert!(allows(rule, "https://example.com"));
        for other in [
            "http://example.com",
            "https://example.com:8443",
            "https://example.com.evil.test",
            "https://evilexample.com",
            "https://a.example.com",
            "https://example.com/",
            "https://EXAMPLE.com",
            "example.com",
            "null",
            "",
        ] {
            assert!(!allows(rule, other), "{other}");
        }
        assert!(allows("http://localhost:3000", "http://localhost:3000"));
        assert!(!allows("http://localhost:3000", "http://localhost"));
    }

    #[test]
    fn an_origin_is_normalized_to_the_form_that_browsers_send() {
        for (rule, origin) in [
            ("HTTPS://Example.COM", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:80", "http://example.com"),
            ("http://example.com:443", "http://example.com:443"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[0:0::1]", "http://[::1]"),
            ("http://[::FFFF:192.0.2.1]", "http://[::ffff:c000:201]"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdef", "chrome-extension://abcdef"),
            ("NULL", "null"),
        ] {
            assert!(allows(rule, origin), "{rule}");
        }
    }

    #[test]
    fn a_host_pattern_allows_subdomains() {
        let rule = "https://*.example.com";
        for origin in ["https://a.example.com", "https://a.b-c.example.com"] {
            assert!(allows(rule, origin), "{origin}");
        }
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://evilexample.com",
            "https://a.example.com.evil.test",
            "https://a.example.com:8443",
            "http://a.example.com",
            "https://evil.test/.example.com",
            "https://evil.test#.example.com",
            "https://user@.example.com",
            "https://evil.test:80.example.com",
            "https://A.example.com",
            "null",
            "",
        ] {
            assert!(!allows(rule, origin), "{origin}");
        }
        assert!(allows(
            "https://*.example.com:8443",
            "https://a.example.com:8443"
        ));
        assert!(allows("https://*.example.com:443", "https://a.example.com"));
    }

    #[test]
    fn a_port_pattern_allows_every_port() {
        let rule = "http://localhost:*";
        for origin in ["http://localhost", "http://localhost:3000"] {
            assert!(allows(rule, origin), "{origin}");
        }
        for origin in [
            "http://localhost:",
            "http://localhost:x",
            "http://localhost:65536",
            "http://localhost:80:90",
            "http://localhost.evil.test",
            "https://localhost",
        ] {
            assert!(!allows(rule, origin), "{origin}");
        }
        assert!(allows("http://[::1]:*", "http://[::1]:3000"));
        assert!(allows("http://[::1]:*", "http://[::1]"));
        assert!(allows("http://*.localhost:*", "http://a.localhost:1"));
    }

    #[test]
    fn a_malformed_origin_is_refused_with_the_reason() {
        for (rule, why) in [
            ("*", "allow_any_origin"),
            ("example.com", "no scheme"),
            ("", "no scheme"),
            ("://example.com", "its scheme is malformed"),
            ("1http://example.com", "its scheme is malformed"),
            ("https://example.com/", "it has a path"),
            ("https://example.com/app", "it has a path"),
            ("https://example.com?x", "it has a path"),
            ("https://user@example.com", "it has a user name"),
            ("https://example.com:x", "its port"),
            ("https://example.com:+80", "its port"),
            ("https://example.com:65536", "its port"),
            ("https://example.com:", "its port"),
            ("https://", "its host is malformed"),
            ("https://a..example.com", "its host is malformed"),
            ("https://exa mple.com", "its host is malformed"),
            ("https://example.com\r\n", "its host is malformed"),
            ("https://[::1", "its host is malformed"),
            ("https://[::x]", "its host is malformed"),
            ("https://*.", "its host is malformed"),
            ("https://*", "\"*\" is allowed only"),
            ("https://a.*.example.com", "\"*\" is allowed only"),
            ("https://*example.com", "\"*\" is allowed only"),
            ("https://*.*.example.com", "\"*\" is allowed only"),
            ("https://bücher.example", "\"xn--\""),
        ] {
            let text = error(rule);
            assert!(text.contains(why), "{text}");
            assert!(text.contains(&format!("{rule:?}")), "{text}");
        }
        assert_eq!(
            error("https://example.com/"),
            "allowing the origin \"https://example.com/\" for CORS failed: it has a path: an origin is a scheme, a host and perhaps \
             a port"
        );
    }

    #[test]
    fn a_regular_expression_matches_the_whole_origin() {
        let rule = OriginRule::regex(r"https://(a|b)\.example\.com").unwrap();
        let request = Request::for_test(crate::Method::GET, "/");
        assert!(rule.allows("https://a.example.com", &request));
        assert!(!rule.allows("https://a.example.com.evil.test", &request));
        assert!(!rule.allows("xhttps://a.example.com", &request));
        assert!(!rule.allows("https://a.example.com\n", &request));
        assert!(OriginRule::regex("(").is_err());
        let big = OriginRule::regex("(a{1000}){1000}")
            .unwrap_err()
            .to_string();
        assert!(big.contains("more than 1048576 bytes"), "{big}");
    }

    proptest::proptest! {
        #[test]
        fn a_pattern_never_allows_another_registered_name(
            prefix in "[ -~]{0,12}", suffix in "[ -~]{0,6}",
        ) {
            let origin = format!("https://{prefix}.example.com{suffix}");
            if allows("https://*.example.com", &origin) {
                proptest::prop_assert_eq!(&*suffix, "");
                proptest::prop_assert!(is_host(&prefix));
            }
        }
    }
}
