//! The PROXY protocol of HAProxy, versions 1 and 2, without any input or output.
//!
//! A proxy that forwards connections sends a header first that says from where and to where the
//! client connected. [`parse`] reads it from the bytes received so far, [`Header::encode`] writes
//! one. The specification is <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>; section
//! numbers refer to it.

mod tlv;
mod v1;
mod v2;

use crate::Address;

pub use tlv::Tlvs;

/// The number of bytes that a version 2 header may have after its first 16, unless told otherwise:
/// room for two Unix addresses (216 bytes) and 320 bytes of TLVs.
pub const DEFAULT_MAX_PAYLOAD: usize = 536;

/// What the bytes received so far are.
///
/// Once it is anything but `Incomplete`, more bytes do not change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header. More bytes are needed.
    Incomplete,
    /// A header, which takes up the first `consumed` bytes. What follows is the client's.
    Header {
        /// The header.
        header: Header,
        /// Its length in bytes.
        consumed: usize,
    },
    /// Not a header of this protocol. All bytes are the client's.
    NotProxy,
    /// A header that is broken, or that nobody should accept.
    Invalid(Invalid),
}

/// A header of the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the protocol that it was or will be written in.
    pub version: Version,
    /// Whether the proxy forwards a connection or made it for itself.
    pub command: Command,
    /// The kind of connection between client and proxy.
    pub transport: Transport,
    /// Where the client connected from and to, if the proxy says. Without it, the addresses
    /// of the connection itself are the best known.
    pub endpoints: Option<Endpoints>,
    /// What else the proxy says. Version 1 has none.
    pub tlvs: Tlvs,
}

/// The two ends of the connection between a client and a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The client's address.
    pub source: Address,
    /// The address that the client connected to.
    pub destination: Address,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A line of text (section 2.1).
    V1,
    /// Binary (section 2.2).
    V2,
}

/// Why a proxy connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// For itself, as for a health check. The header has no endpoints.
    Local,
    /// For a client.
    Proxy,
}

/// The kind of connection between client and proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The proxy does not say. The header has no endpoints.
    Unspecified,
    /// TCP, or a Unix stream socket.
    Stream,
    /// UDP, or a Unix datagram socket.
    Datagram,
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Version 1: the line does not end within 107 bytes.
    #[error("the PROXY line is longer than 107 bytes")]
    LineTooLong,
    /// Version 1: the line ends with a line feed that no carriage return precedes.
    #[error("the PROXY line does not end with CR LF")]
    LineEnd,
    /// Version 1: neither TCP4, TCP6 nor UNKNOWN.
    #[error("the PROXY line has an unknown protocol")]
    Protocol,
    /// Version 1: not two addresses and two ports with one space between each.
    #[error("the PROXY line has not exactly two addresses and two ports")]
    Fields,
    /// Version 1: an address that is not of the family that the line says.
    #[error("the PROXY line has an invalid address")]
    Address,
    /// Version 1: a port that is not a number up to 65535, or has leading zeros.
    #[error("the PROXY line has an invalid port")]
    Port,
    /// Version 2: the signature of version 2, but another version.
    #[error("the PROXY header has the unknown version {0}")]
    Version(u8),
    /// Version 2: neither LOCAL nor PROXY.
    #[error("the PROXY header has the unknown command {0}")]
    Command(u8),
    /// Version 2: an unknown address family or transport.
    #[error("the PROXY header has the unknown family {0:#04x}")]
    Family(u8),
    /// Version 2: a longer header than is accepted here.
    #[error("the PROXY header has a payload of {length} bytes, and at most {limit} are accepted")]
    TooLong {
        /// The bytes after the first 16.
        length: usize,
        /// How many of them are accepted.
        limit: usize,
    },
    /// Version 2: too short for the addresses of its family.
    #[error("the PROXY header is too short for its addresses")]
    TooShort,
    /// Version 2: a TLV that does not fit into the header.
    #[error("the PROXY header has a TLV that does not fit into it")]
    Tlv,
    /// Version 2: the checksum is wrong, or is there twice, or is not one.
    #[error("the PROXY header has a wrong checksum")]
    Checksum,
}

/// Why a header cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Version 1 is for TCP connections of clients and has no TLVs.
    #[error("version 1 of the PROXY protocol cannot express this header")]
    NotInVersion1,
    /// One address is of a Unix socket and the other is not.
    #[error("both addresses of a PROXY header must be of the same family")]
    MixedFamilies,
    /// The path of a Unix socket has more than 108 bytes, or an abstract name more than 107.
    #[error("the Unix address is too long for a PROXY header")]
    AddressTooLong,
    /// More than 65,535 bytes in a TLV or in the whole.
    #[error("a PROXY header cannot have more than 65535 bytes")]
    TooLong,
}

/// Reads a header from the bytes received so far.
///
/// A version 2 header may have `max_payload` bytes after its first 16;
/// [`DEFAULT_MAX_PAYLOAD`] is a good value. A version 1 header has at most 107 bytes. So while the
/// result is `Incomplete` there are at most `max_payload + 15` bytes to keep, or 106 if that is
/// more.
///
/// The checksum of a version 2 header is checked if there is one.
///
/// # Examples
///
/// ```
/// use uptick_socket::proxy_protocol::protocol::{DEFAULT_MAX_PAYLOAD, Parsed, parse};
///
/// let received = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\n";
/// let parsed = parse(received, DEFAULT_MAX_PAYLOAD);
/// let Parsed::Header { header, consumed } = parsed else { unreachable!() };
/// let endpoints = header.endpoints.unwrap();
/// assert_eq!(endpoints.source.to_string(), "tcp://192.0.2.7:4711");
/// assert_eq!(&received[consumed..], b"GET / HTTP/1.1\r\n");
///
/// assert_eq!(parse(b"PRO", DEFAULT_MAX_PAYLOAD), Parsed::Incomplete);
/// assert_eq!(parse(b"PRI * HTTP/2.0", DEFAULT_MAX_PAYLOAD), Parsed::NotProxy);
/// ```
pub fn parse(input: &[u8], max_payload: usize) -> Parsed {
    for (signature, parse_version) in [
        (v1::SIGNATURE, v1::parse as fn(&[u8], usize) -> Progress),
        (v2::SIGNATURE, v2::parse),
    ] {
        if input.starts_with(signature) {
            return match parse_version(input, max_payload) {
                Ok(Some((header, consumed))) => Parsed::Header { header, consumed },
                Ok(None) => Parsed::Incomplete,
                Err(invalid) => Parsed::Invalid(invalid),
            };
        }
        if signature.starts_with(input) {
            return Parsed::Incomplete;
        }
    }
    Parsed::NotProxy
}

/// A header and its length, or `None` if more bytes are needed.
type Progress = Result<Option<(Header, usize)>, Invalid>;

impl Header {
    /// A header for a forwarded stream connection.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use uptick_socket::proxy_protocol::protocol::{Endpoints, Header, Version};
    ///
    /// let header = Header::proxied(
    ///     Version::V1,
    ///     Endpoints {
    ///         source: SocketAddr::from(([192, 0, 2, 7], 4711)).into(),
    ///         destination: SocketAddr::from(([192, 0, 2, 1], 443)).into(),
    ///     },
    /// );
    /// assert_eq!(header.encode()?, b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n");
    /// # Ok::<(), uptick_socket::proxy_protocol::protocol::EncodeError>(())
    /// ```
    pub fn proxied(version: Version, endpoints: Endpoints) -> Self {
        Self {
            version,
            command: Command::Proxy,
            transport: Transport::Stream,
            endpoints: Some(endpoints),
            tlvs: Tlvs::default(),
        }
    }

    /// A header for a forwarded connection whose endpoints are not known: UNKNOWN in version 1,
    /// UNSPEC in version 2.
    pub fn unknown(version: Version) -> Self {
        Self {
            version,
            command: Command::Proxy,
            transport: Transport::Unspecified,
            endpoints: None,
            tlvs: Tlvs::default(),
        }
    }

    /// A version 2 header for a connection that the proxy makes for itself.
    pub fn local() -> Self {
        Self {
            command: Command::Local,
            ..Self::unknown(Version::V2)
        }
    }

    /// The header as it is sent.
    ///
    /// Where one address is IPv4 and the other IPv6, the former is sent as an IPv4-mapped one.
    /// TLVs are sent only along with endpoints. If there is a TLV of the type [`Tlvs::CRC32C`], its
    /// value becomes the right checksum.
    ///
    /// # Errors
    ///
    /// If the protocol, or its version 1, cannot express the header.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        match self.version {
            Version::V1 => v1::encode(self),
            Version::V2 => v2::encode(self),
        }
    }
}

#[cfg(test)]
mod tests;
