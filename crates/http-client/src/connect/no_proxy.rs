//! Hosts that are connected to without a proxy: the variable `no_proxy`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::url::Url;

/// A list of hosts.
#[derive(Debug, Default)]
pub(super) struct NoProxy(Vec<ExcludedHost>);

#[derive(Debug)]
struct ExcludedHost {
    pattern: HostPattern,
    /// `None` for all ports.
    port: Option<u16>,
}

#[derive(Debug)]
enum HostPattern {
    All,
    Network(IpNet),
    /// A name in lower case without dots around it, which includes its subdomains.
    Name(String),
}

impl NoProxy {
    /// Parses a list separated by commas. Entries that are not valid match no host.
    pub(super) fn parse(list: &str) -> NoProxy {
        let entries = list.split(',').map(str::trim);
        NoProxy(entries.filter_map(parse_entry).collect())
    }

    /// Returns `true` if the list includes a host, which is a name in lower case or an IP address without brackets.
    pub(super) fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let ip = parse_ip(host);
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|only| only == port) && entry.pattern.matches(host, ip)
        })
    }
}

impl HostPattern {
    fn matches(&self, host: &str, ip: Option<IpAddr>) -> bool {
        match self {
            HostPattern::All => true,
            HostPattern::Network(network) => ip.is_some_and(|ip| network.contains(&ip)),
            HostPattern::Name(name) => {
                let prefix = host.strip_suffix(name.as_str());
                ip.is_none() && prefix.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        }
    }
}

/// Parses an IP address, without its scope id. An IPv4-mapped address is an IPv4 address.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let text = text.split_once('%').map_or(text, |(ip, _)| ip);
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

fn parse_entry(text: &str) -> Option<ExcludedHost> {
    // An IPv6 address or network without brackets, whose colons do not begin a port.
    if let Some(pattern) = parse_network(text) {
        return Some(ExcludedHost {
            pattern,
            port: None,
        });
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let pattern = parse_network(host).or_else(|| parse_name(host))?;
    Some(ExcludedHost { pattern, port })
}

/// Parses an IP address or a network. An IPv6 address may have brackets.
fn parse_network(text: &str) -> Option<HostPattern> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let is_bracketed = address.starts_with('[');
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?,
        None => address,
    };
    let ip = address.parse::<IpAddr>().ok()?;
    if is_bracketed && ip.is_ipv4() {
        return None;
    }
    let network = match length {
        Some(length) => IpNet::new(ip, length).ok()?,
        None => IpNet::from(ip.to_canonical()),
    };
    Some(HostPattern::Network(network))
}

fn parse_name(text: &str) -> Option<HostPattern> {
    if text == "*" {
        return Some(HostPattern::All);
    }
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.trim_matches('.');
    if name.contains(['/', '?', '#', '@']) {
        return None;
    }
    // The names of URLs are A-labels.
    let url = Url::parse(&format!("http://{name}/")).ok()?;
    Some(HostPattern::Name(url.host().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, host: &str, port: u16, expected: bool) {
        let matches = NoProxy::parse(list).matches(host, port);
        assert_eq!(matches, expected, "{list} {host}:{port}");
    }

    #[test]
    fn a_name_includes_its_subdomains() {
        for list in [
            "example.com",
            ".example.com",
            "*.example.com",
            "EXAMPLE.com",
            " x , example.com ",
        ] {
            check(list, "example.com", 80, true);
            check(list, "example.com.", 80, true);
            check(list, "a.b.example.com", 80, true);
            check(list, "notexample.com", 80, false);
            check(list, "example.com.evil", 80, false);
            check(list, "com", 80, false);
        }
    }

    #[test]
    fn an_address_matches_in_any_notation() {
        check("127.0.0.1", "127.0.0.1", 80, true);
        check("127.0.0.1", "127.0.0.10", 80, false);
        check("127.0.0.1", "::ffff:127.0.0.1", 80, true);
        check("0:0::1", "::1", 80, true);
        check("[::1]", "::1", 80, true);
        check("::1", "::2", 80, false);
        check("fe80::1", "fe80::1%25eth0", 80, true);
        check("0.1", "127.0.0.1", 80, false);
    }

    #[test]
    fn a_network_includes_its_addresses() {
        check("127.0.0.0/8", "127.1.2.3", 80, true);
        check("127.0.0.0/8", "128.0.0.1", 80, false);
        check("127.0.0.0/8", "localhost", 80, false);
        check("fd00::/8", "fd12::1", 80, true);
        check("[fd00::]/8", "fd12::1", 80, true);
        check("fd00::/8", "fe80::1", 80, false);
        check("0.0.0.0/0", "1.2.3.4", 80, true);
        check("0.0.0.0/0", "::1", 80, false);
        check("127.0.0.0/33", "127.0.0.1", 80, false);
    }

    #[test]
    fn a_port_limits_an_entry() {
        for (list, host) in [
            ("example.com:8080", "a.example.com"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("[::1]:8080", "::1"),
            ("127.0.0.0/8:8080", "127.1.1.1"),
            ("[fd00::]/8:8080", "fd00::1"),
            ("*:8080", "x"),
        ] {
            check(list, host, 8080, true);
            check(list, host, 80, false);
        }
        check("example.com:x", "example.com", 80, false);
    }

    #[cfg(feature = "idna")]
    #[test]
    fn an_international_name_is_compared_as_a_labels() {
        check("b\u{fc}cher.example", "www.xn--bcher-kva.example", 80, true);
    }

    #[test]
    fn a_star_matches_all_hosts() {
        check("*", "example.com", 80, true);
        check("a,*", "::1", 80, true);
        check("", "example.com", 80, false);
        check(",,", "example.com", 80, false);
    }
}
