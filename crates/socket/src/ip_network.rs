//! A range of IP addresses, for lists of allowed or trusted peers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;

use crate::Error;

/// A range of IP addresses with a common prefix: `10.0.0.0/8`, `2001:db8::/32`, or a single address.
///
/// An IPv4-mapped address (`::ffff:192.0.2.1`) is treated as the embedded IPv4 address. This differs from [`IpNet`] of
/// the crate `ipnet`, from which an `IpNetwork` can be created.
///
/// # Examples
/// ```
/// use uptick_socket::IpNetwork;
///
/// let network: IpNetwork = "10.0.0.0/8".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()));
/// assert!(!network.contains([11, 0, 0, 1].into()));
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpNetwork(
    /// Never an IPv4-mapped network; the host bits are zero.
    IpNet,
);

impl IpNetwork {
    /// Creates the network of an address and the length of its prefix in bits. The host bits of the address are
    /// ignored.
    ///
    /// # Errors
    /// [`Error::InvalidUri`] if the address has fewer bits.
    pub fn new(address: impl Into<IpAddr>, prefix: u8) -> Result<Self, Error> {
        let given = address.into();
        let address = given.to_canonical();
        // The prefix of a mapped address counts the 96 bits before the IPv4 address.
        let mapped = given.is_ipv6() && address.is_ipv4();
        let cut = if mapped {
            prefix.checked_sub(96)
        } else {
            Some(prefix)
        };
        match cut.map(|cut| IpNet::new(address, cut)) {
            Some(Ok(network)) => Ok(IpNetwork(network.trunc())),
            _ => {
                let least = if mapped { 96 } else { 0 };
                let bits = if given.is_ipv4() { 32 } else { 128 };
                Err(Error::invalid_uri(
                    &format!("{given}/{prefix}"),
                    format!("the prefix of this address has {least} to {bits} bits"),
                ))
            }
        }
    }

    /// Returns `true` if the address is in the network.
    pub fn contains(self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// Converts the network. If all of its addresses are IPv4-mapped, the result is the network of the embedded IPv4
/// addresses.
impl From<IpNet> for IpNetwork {
    fn from(network: IpNet) -> Self {
        IpNetwork::new(network.addr(), network.prefix_len())
            .unwrap_or_else(|_| IpNetwork(network.trunc()))
    }
}

impl From<IpNetwork> for IpNet {
    fn from(network: IpNetwork) -> Self {
        network.0
    }
}

impl From<IpAddr> for IpNetwork {
    fn from(address: IpAddr) -> Self {
        IpNetwork(address.to_canonical().into())
    }
}

impl From<Ipv4Addr> for IpNetwork {
    fn from(address: Ipv4Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl From<Ipv6Addr> for IpNetwork {
    fn from(address: Ipv6Addr) -> Self {
        IpAddr::from(address).into()
    }
}

impl FromStr for IpNetwork {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::invalid_uri(text, reason);
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| invalid("expected an IP address, as in 10.0.0.0/8 or ::1"))?;
        match prefix {
            None => Ok(address.into()),
            Some(prefix) => {
                let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = prefix.parse().ok().filter(|_| digits);
                let prefix = prefix.ok_or_else(|| {
                    invalid("expected a number of bits after the slash, as in 10.0.0.0/8")
                })?;
                IpNetwork::new(address, prefix)
            }
        }
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn it_contains_the_addresses_with_its_prefix() {
        let cases = [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1/32", "192.0.2.2", false),
            ("192.0.2.0/31", "192.0.2.1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("::/0", "10.0.0.1", false),
            ("::1", "::2", false),
        ];
        for (network_text, address, expected) in cases {
            let contained = network(network_text).contains(address.parse().unwrap());
            assert_eq!(contained, expected, "{address} in {network_text}");
        }
    }

    #[test]
    fn a_mapped_address_is_treated_as_the_embedded_address() {
        assert!(network("10.0.0.0/8").contains("::ffff:10.0.0.1".parse().unwrap()));
        assert_eq!(network("::ffff:10.0.0.1"), network("10.0.0.1/32"));
        assert_eq!(network("::ffff:10.0.0.1/104"), network("10.0.0.0/8"));
    }

    #[test]
    fn an_invalid_network_is_an_error_with_the_reason() {
        for text in [
            "",
            "/",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::1/129",
            "localhost",
            "10.0.0.0/8/8",
            "::ffff:10.0.0.1/95",
        ] {
            let error = text.parse::<IpNetwork>().unwrap_err().to_string();
            assert!(
                error.contains("bits") || error.contains("IP address"),
                "{text}: {error}"
            );
        }
        let error = "10.0.0.0/33".parse::<IpNetwork>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid address \"10.0.0.0/33\": the prefix of this address has 0 to 32 bits (EINVAL)"
        );
    }

    #[test]
    fn it_converts_from_and_to_a_network_of_ipnet() {
        let of = |text: &str| IpNetwork::from(text.parse::<IpNet>().unwrap());
        assert_eq!(of("10.1.2.3/8"), network("10.0.0.0/8"));
        assert_eq!(of("::ffff:10.0.0.1/104"), network("10.0.0.0/8"));
        assert_eq!(of("2001:db8::1/32").to_string(), "2001:db8::/32");
        // Not all of its addresses are mapped.
        assert!(of("::/64").contains("::1".parse().unwrap()));
        assert!(!of("::/64").contains("10.0.0.1".parse().unwrap()));
        assert_eq!(IpNet::from(network("10.1.2.3/8")).to_string(), "10.0.0.0/8");
    }

    #[test]
    fn it_displays_as_it_is_written() {
        assert_eq!(network("10.1.2.3/8").to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").to_string(), "::1/128");
    }
}
