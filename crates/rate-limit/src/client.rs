//! Client addresses as keys.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address of a client, or the network that counts as one client; the key for limits per client.
///
/// An IPv4 address is one client. For an IPv6 address, the first 64 bits are the client, because a host usually owns its whole /64 network.
/// An IPv4-mapped address (`::ffff:192.0.2.1`) and a NAT64 address (`64:ff9b::192.0.2.1`) count as the IPv4 address that they contain.
///
/// # Examples
/// ```
/// use std::net::IpAddr;
/// use uptick_rate_limit::Client;
///
/// let client = |address: &str| address.parse().map(|ip: IpAddr| Client::from(ip));
/// assert_ne!(client("192.0.2.1")?, client("192.0.2.2")?);
/// assert_eq!(client("2001:db8::1")?, client("2001:db8::2")?);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Client {
    /// The address with the host bits set to zero.
    network: IpAddr,
}

impl Client {
    /// Returns the client for the first `v4_bits` of an IPv4 address or the first `v6_bits` of an IPv6 address. Larger numbers mean the
    /// whole address. [`From`] uses 32 and 64.
    ///
    /// # Examples
    /// ```
    /// use std::net::Ipv6Addr;
    /// use uptick_rate_limit::Client;
    ///
    /// // Many providers assign 56 bits to each customer.
    /// let client = |address: Ipv6Addr| Client::with_prefixes(address, 32, 56);
    /// assert_eq!(client("2001:db8:0:1::1".parse()?), client("2001:db8:0:2::1".parse()?));
    /// # Ok::<(), std::net::AddrParseError>(())
    /// ```
    pub fn with_prefixes(address: impl Into<IpAddr>, v4_bits: u8, v6_bits: u8) -> Client {
        let network = match without_translation(address.into()) {
            IpAddr::V4(v4) => {
                let host = u32::MAX.checked_shr(v4_bits.into()).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !host))
            }
            IpAddr::V6(v6) => {
                let host = u128::MAX.checked_shr(v6_bits.into()).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !host))
            }
        };
        Client { network }
    }
}

impl<A: Into<IpAddr>> From<A> for Client {
    fn from(address: A) -> Client {
        Client::with_prefixes(address, 32, 64)
    }
}

/// Returns the IPv4 address contained in an IPv4-mapped address or in one with the well-known NAT64 prefix (RFC 6052, section 2.1), which
/// all clients behind translators share. Returns any other address unchanged.
fn without_translation(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => Ipv4Addr::from_bits(v6.to_bits() as u32).into(),
            _ => v6.into(),
        },
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        let client = |text| Client::from(address(text));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:1"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    }

    #[test]
    fn a_client_behind_nat64_is_its_ipv4_address() {
        let client = |text| Client::from(address(text));
        assert_eq!(client("64:ff9b::192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("64:ff9b::192.0.2.1"), client("64:ff9b::192.0.2.2"));
        // Other prefixes contain no IPv4 address.
        assert_eq!(
            client("64:ff9b:1::192.0.2.1"),
            client("64:ff9b:1::192.0.2.2")
        );
        assert_eq!(client("64:ff9b::1:0:0"), client("64:ff9b::2:0:0"));
        let wide = |text| Client::with_prefixes(address(text), 24, 64);
        assert_eq!(wide("64:ff9b::192.0.2.1"), wide("192.0.2.2"));
    }

    #[test]
    fn prefixes_set_the_number_of_significant_bits() {
        let client = |text, v4, v6| Client::with_prefixes(address(text), v4, v6);
        assert_eq!(client("10.1.2.3", 24, 64), client("10.1.2.4", 24, 64));
        assert_ne!(client("10.1.2.3", 24, 64), client("10.1.3.3", 24, 64));
        assert_eq!(client("10.1.2.3", 0, 64), client("11.0.0.1", 0, 64));
        assert_eq!(client("::1", 32, 0), client("2001:db8::1", 32, 0));
        assert_ne!(client("::1", 32, 128), client("::2", 32, 128));
        assert_ne!(client("::1", 32, 255), client("::2", 32, 255));
        assert_ne!(client("10.1.2.3", 0, 0), client("::1", 0, 0));
    }
}
