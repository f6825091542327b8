//! IPv6 addresses with a zone, as text: `fe80::1%eth0` (RFC 4007, section 11).
//!
//! This module is here because several crates that do not depend on each other parse addresses.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};

/// An error of [`parse_v6`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidV6 {
    /// The text is not an IPv6 address.
    #[error("it is not an IPv6 address")]
    Address,
    /// The interface after the `%` does not exist.
    #[error("there is no such interface")]
    Interface,
}

/// Parses an IPv6 address without brackets. The zone after a `%` is the number or the name of an interface; before a name, the `%` may be
/// written as `%25`, as in URIs (RFC 6874).
///
/// The name is looked up at once: the address keeps the number that the interface has now.
///
/// # Errors
/// [`InvalidV6`] if the text is not an IPv6 address or names an unknown interface.
///
/// # Examples
/// ```
/// use uptick_event_loop::address::{InvalidV6, parse_v6};
///
/// assert_eq!(parse_v6("fe80::1%2", 80)?.to_string(), "[fe80::1%2]:80");
/// assert_eq!(parse_v6("fe80::1%nowhere", 80), Err(InvalidV6::Interface));
/// # Ok::<(), InvalidV6>(())
/// ```
pub fn parse_v6(text: &str, port: u16) -> Result<SocketAddrV6, InvalidV6> {
    let (ip, zone) = match text.split_once('%') {
        Some((_, "")) => return Err(InvalidV6::Address),
        Some((ip, zone)) => (ip, Some(zone)),
        None => (text, None),
    };
    let ip: Ipv6Addr = ip.parse().map_err(|_| InvalidV6::Address)?;
    let scope = match zone {
        Some(zone) => scope_id(zone).ok_or(InvalidV6::Interface)?,
        None => 0,
    };
    Ok(SocketAddrV6::new(ip, port, 0, scope))
}

fn scope_id(zone: &str) -> Option<u32> {
    if zone.bytes().all(|byte| byte.is_ascii_digit()) {
        return zone.parse().ok();
    }
    index_of(zone).or_else(|| index_of(zone.strip_prefix("25")?))
}

/// Returns the number of an interface. `getaddrinfo` returns it without `unsafe` on every system, and sends no query for a numeric
/// address.
fn index_of(name: &str) -> Option<u32> {
    let found = (format!("fe80::%{name}"), 0).to_socket_addrs().ok()?;
    found.into_iter().find_map(|address| match address {
        SocketAddr::V6(address) => Some(address.scope_id()),
        SocketAddr::V4(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the loopback interface, and its number.
    fn loopback() -> (&'static str, u32) {
        let found = ["lo", "lo0"].map(|name| Some((name, index_of(name)?)));
        found.into_iter().flatten().next().unwrap()
    }

    #[test]
    fn a_zone_is_the_number_or_the_name_of_an_interface() {
        let (name, number) = loopback();
        assert_ne!(number, 0);
        let expected = format!("[fe80::1%{number}]:80");
        for text in [
            format!("fe80::1%{name}"),
            format!("fe80::1%25{name}"),
            format!("fe80::1%{number}"),
        ] {
            let address = parse_v6(&text, 80).unwrap();
            assert_eq!(address.to_string(), expected, "{text}");
        }
        // Any address may have a zone, not only a link-local one.
        let address = parse_v6(&format!("::1%{name}"), 80).unwrap();
        assert_eq!(address.scope_id(), number);
        assert_eq!(parse_v6("::1", 80).unwrap().scope_id(), 0);
        assert_eq!(parse_v6("fe80::1%25", 80).unwrap().scope_id(), 25);
    }

    #[test]
    fn an_invalid_address_and_an_unknown_interface_are_different_errors() {
        for text in [
            "",
            "::g",
            "127.0.0.1",
            "::1%",
            "localhost",
            "[::1]",
            "lo%lo",
        ] {
            assert_eq!(parse_v6(text, 80), Err(InvalidV6::Address), "{text}");
        }
        for text in [
            "::1%nowhere",
            "::1%25nowhere",
            "::1%4294967296",
            "::1%a\0b",
            "::1%lo%lo",
        ] {
            assert_eq!(parse_v6(text, 80), Err(InvalidV6::Interface), "{text}");
        }
    }
}
