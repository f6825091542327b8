//! Addresses as text: `udp://127.0.0.1:9000`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use uptick_event_loop::address::{InvalidV6, parse_v6};

use crate::Error;

/// A UDP address: a port number, text or a [`SocketAddr`].
///
/// | text | meaning |
/// |---|---|
/// | `9000` | port 9000 on 127.0.0.1 |
/// | `127.0.0.1:9000`, `udp://127.0.0.1:9000` | IPv4 |
/// | `[::1]:9000`, `udp://[::1]:9000` | IPv6 |
/// | `[fe80::1%eth0]:9000`, `[fe80::1%2]:9000` | IPv6 on the interface `eth0`, or on the one with number 2 |
///
/// The host is an IP address and never a name; [`connect_host`](crate::DatagramSocket::connect_host) resolves host names.
///
/// # Examples
/// ```
/// use uptick_datagram::IntoAddress;
///
/// assert_eq!(9000.into_address()?.to_string(), "127.0.0.1:9000");
/// assert_eq!("udp://[::1]:9000".into_address()?.to_string(), "[::1]:9000");
///
/// let error = "localhost:9000".into_address().unwrap_err();
/// assert!(error.to_string().contains("must be an IP address"));
/// # Ok::<(), uptick_datagram::Error>(())
/// ```
pub trait IntoAddress {
    /// Converts this value to a socket address.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`] if the text is not an address.
    fn into_address(self) -> Result<SocketAddr, Error>;
}

impl IntoAddress for SocketAddr {
    fn into_address(self) -> Result<SocketAddr, Error> {
        Ok(self)
    }
}

impl IntoAddress for u16 {
    fn into_address(self) -> Result<SocketAddr, Error> {
        Ok((Ipv4Addr::LOCALHOST, self).into())
    }
}

impl IntoAddress for &str {
    fn into_address(self) -> Result<SocketAddr, Error> {
        match ParsedAddress::parse(self)? {
            ParsedAddress::Address(address) => Ok(address),
            ParsedAddress::Host { .. } => Err(Error::invalid_address(
                self,
                "the host must be an IP address; `DatagramSocket::connect_host` looks up names",
            )),
        }
    }
}

impl IntoAddress for String {
    fn into_address(self) -> Result<SocketAddr, Error> {
        self.as_str().into_address()
    }
}

impl IntoAddress for &String {
    fn into_address(self) -> Result<SocketAddr, Error> {
        self.as_str().into_address()
    }
}

/// The address or host that a text names.
#[derive(Debug, PartialEq)]
pub(crate) enum ParsedAddress {
    Address(SocketAddr),
    Host { name: String, port: u16 },
}

impl ParsedAddress {
    pub(crate) fn parse(text: &str) -> Result<ParsedAddress, Error> {
        let invalid = |reason| Error::invalid_address(text, reason);
        let authority = match text.split_once("://") {
            None => text,
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("udp") => rest,
            Some(_) => return Err(invalid("the scheme must be udp")),
        };
        if let Ok(address) = authority.parse() {
            return Ok(ParsedAddress::Address(address));
        }
        let in_brackets = authority
            .strip_prefix('[')
            .and_then(|rest| rest.rsplit_once("]:"));
        if let Some((inside, port)) = in_brackets
            && is_port(port)
        {
            let port = port.parse().map_err(|_| invalid(BAD_PORT))?;
            return match parse_v6(inside, port) {
                Ok(address) => Ok(ParsedAddress::Address(address.into())),
                Err(InvalidV6::Address) => {
                    Err(invalid("the text in brackets is not an IPv6 address"))
                }
                Err(InvalidV6::Interface) => Err(invalid("there is no such network interface")),
            };
        }
        if is_port(authority) {
            let port = authority.parse().map_err(|_| invalid(BAD_PORT))?;
            return Ok(ParsedAddress::Address((Ipv4Addr::LOCALHOST, port).into()));
        }
        if authority.contains(['/', '?', '#', '@']) {
            return Err(invalid("only a host and a port are expected"));
        }
        if authority.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6()) {
            return Err(invalid(
                "an IPv6 address goes in brackets, and a port follows: [::1]:9000",
            ));
        }
        let Some((host, port)) = authority.rsplit_once(':') else {
            return Err(invalid("the port is missing"));
        };
        if !is_port(port) {
            return Err(invalid(BAD_PORT));
        }
        let port = port.parse().map_err(|_| invalid(BAD_PORT))?;
        if host.is_empty() {
            return Err(invalid("the host is missing"));
        }
        if host.contains(['[', ']', ':']) {
            return Err(invalid("the text in brackets is not an IPv6 address"));
        }
        if host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(invalid("a host must not contain white space"));
        }
        let name = host.to_owned();
        Ok(ParsedAddress::Host { name, port })
    }
}

const BAD_PORT: &str = "the port must be a number from 0 to 65535";

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_all_forms() {
        for (text, expected) in [
            ("9000", "127.0.0.1:9000"),
            ("0", "127.0.0.1:0"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("udp://127.0.0.1:80", "127.0.0.1:80"),
            ("UDP://0.0.0.0:80", "0.0.0.0:80"),
            ("udp://9000", "127.0.0.1:9000"),
            ("[::1]:80", "[::1]:80"),
            ("udp://[fe80::1%2]:80", "[fe80::1%2]:80"),
        ] {
            assert_eq!(text.into_address().unwrap().to_string(), expected, "{text}");
        }
        assert_eq!(String::from("1").into_address().unwrap().port(), 1);
        assert_eq!((&String::from("2")).into_address().unwrap().port(), 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_name_of_an_interface_stands_for_its_number() {
        for text in ["[fe80::1%lo]:80", "udp://[fe80::1%25lo]:80"] {
            let address = text.into_address().unwrap();
            assert_eq!(address.to_string(), "[fe80::1%1]:80", "{text}");
        }
    }

    #[test]
    fn an_invalid_address_is_reported_with_the_reason() {
        for (text, reason) in [
            ("", "the port is missing"),
            ("127.0.0.1", "the port is missing"),
            ("::1", "goes in brackets"),
            ("[::1]", "the port must be a number"),
            ("[x]:1", "not an IPv6 address"),
            ("[::1]:65536", "from 0 to 65535"),
            ("[fe80::1%nowhere]:1", "no such network interface"),
            (":80", "the host is missing"),
            ("127.0.0.1:65536", "from 0 to 65535"),
            ("65536", "from 0 to 65535"),
            ("127.0.0.1:", "from 0 to 65535"),
            ("127.0.0.1:+1", "from 0 to 65535"),
            ("tcp://127.0.0.1:1", "the scheme must be udp"),
            ("127.0.0.1:1/x", "only a host and a port"),
            ("a host:1", "white space"),
            ("localhost:1", "must be an IP address"),
        ] {
            let error = text.into_address().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.ends_with("(EINVAL)"), "{error}");
        }
    }

    #[test]
    fn a_host_name_is_parsed_with_its_port() {
        let host = ParsedAddress::parse("udp://example.com:53").unwrap();
        let name = "example.com".to_owned();
        assert_eq!(host, ParsedAddress::Host { name, port: 53 });
    }
}
