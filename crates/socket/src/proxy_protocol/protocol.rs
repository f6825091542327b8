//! Sans-IO implementation of HAProxy's PROXY protocol, versions 1 and 2.
//!
//! A proxy that forwards connections first sends a header with the addresses of the client's connection. [`parse`]
//! reads it from the bytes received so far, [`Header::encode`] writes one. The specification is
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>; section numbers refer to it.

mod tlv;
mod v1;
mod v2;

use crate::Address;

pub use tlv::Tlvs;

/// Default maximum number of bytes of a version 2 header after its first 16: two Unix addresses (216 bytes) and 320
/// bytes of TLVs.
pub const DEFAULT_MAX_PAYLOAD: usize = 536;

/// The result of [`parse`].
///
/// More bytes change the result only if it is `Incomplete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header. More bytes are needed.
    Incomplete,
    /// A header in the first `consumed` bytes. The bytes after it belong to the client's data.
    Header {
        /// The header.
        header: Header,
        /// Its length in bytes.
        consumed: usize,
    },
    /// Not a header of this protocol. All bytes belong to the client's data.
    NotProxy,
    /// A header that is malformed, or that must not be accepted.
    Invalid(Invalid),
}

/// A header of the PROXY protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the protocol.
    pub version: Version,
    /// The purpose of the connection: forwarded for a client, or made by the proxy for itself.
    pub command: Command,
    /// The kind of connection between client and proxy.
    pub transport: Transport,
    /// The addresses of the client's connection to the proxy, if they are in the header. Without them, the addresses of
    /// the socket are the best available.
    pub endpoints: Option<Endpoints>,
    /// The further fields. Version 1 has none.
    pub tlvs: Tlvs,
}

/// The source and destination of the connection between a client and a proxy.
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

/// The purpose of a proxy's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The proxy connects for itself, as for a health check. The header has no endpoints.
    Local,
    /// The proxy forwards the connection of a client.
    Proxy,
}

/// The kind of connection between client and proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// The header does not specify the transport. It has no endpoints.
    Unspecified,
    /// TCP, or a Unix stream socket.
    Stream,
    /// UDP, or a Unix datagram socket.
    Datagram,
}

/// The reason why a header is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Version 1: the line does not end within 107 bytes.
    #[error("the PROXY line is longer than 107 bytes")]
    LineTooLong,
    /// Version 1: the line ends with a line feed that no carriage return precedes.
    #[error("the PROXY line does not end with CR LF")]
    LineEnd,
    /// Version 1: the protocol is not TCP4, TCP6 or UNKNOWN.
    #[error("the PROXY line has an unknown protocol")]
    Protocol,
    /// Version 1: the line does not have two addresses and two ports separated by single spaces.
    #[error("the PROXY line must have exactly two addresses and two ports")]
    Fields,
    /// Version 1: an address is not of the family named in the line.
    #[error("the PROXY line has an invalid address")]
    Address,
    /// Version 1: a port is not a number up to 65535, or has leading zeros.
    #[error("the PROXY line has an invalid port")]
    Port,
    /// Version 2: the header has the signature of version 2, but another version number.
    #[error("the PROXY header has the unknown version {0}")]
    Version(u8),
    /// Version 2: the command is not LOCAL or PROXY.
    #[error("the PROXY header has the unknown command {0}")]
    Command(u8),
    /// Version 2: the address family or transport is unknown.
    #[error("the PROXY header has the unknown family {0:#04x}")]
    Family(u8),
    /// Version 2: the header is longer than the accepted maximum.
    #[error("the PROXY header has a payload of {length} bytes, and at most {limit} are accepted")]
    TooLong {
        /// The number of bytes after the first 16.
        length: usize,
        /// The maximum number of these bytes.
        limit: usize,
    },
    /// Version 2: the header is too short for the addresses of its family.
    #[error("the PROXY header is too short for its addresses")]
    TooShort,
    /// Version 2: a TLV extends beyond the header.
    #[error("the PROXY header has a TLV that does not fit into it")]
    Tlv,
    /// Version 2: the checksum is wrong, duplicated, or not four bytes long.
    #[error("the PROXY header has a wrong checksum")]
    Checksum,
}

/// The reason why a header cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// Version 1 supports only TCP connections of clients, and no TLVs.
    #[error("version 1 of the PROXY protocol cannot express this header")]
    NotInVersion1,
    /// One address is that of a Unix socket, the other is not.
    #[error("both addresses of a PROXY header must be of the same family")]
    MixedFamilies,
    /// The path of a Unix socket has more than 108 bytes, or an abstract name more than 107.
    #[error("the Unix address is too long for a PROXY header")]
    AddressTooLong,
    /// A TLV or the header has more than 65,535 bytes.
    #[error("a PROXY header cannot have more than 65535 bytes")]
    TooLong,
}

/// Parses a header from the bytes received so far.
///
/// A version 2 header may have `max_payload` bytes after its first 16; [`DEFAULT_MAX_PAYLOAD`] is a good value. A
/// version 1 header has at most 107 bytes. While the result is `Incomplete`, the caller therefore has to buffer at most
/// `max_payload + 15` bytes, or 106 if that is more.
///
/// The checksum of a version 2 header is verified if there is one.
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
        (v1::SIGNATURE, v1::parse as fn(&[u8], usize) -> ParseResult),
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
type ParseResult = Result<Option<(Header, usize)>, Invalid>;

impl Header {
    /// Creates a header for a forwarded stream connection.
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

    /// Creates a header for a forwarded connection with unknown endpoints: UNKNOWN in version 1, UNSPEC in version 2.
    pub fn unknown(version: Version) -> Self {
        Self {
            version,
            command: Command::Proxy,
            transport: Transport::Unspecified,
            endpoints: None,
            tlvs: Tlvs::default(),
        }
    }

    /// Creates a version 2 header for a connection that the proxy makes for itself.
    pub fn local() -> Self {
        Self {
            command: Command::Local,
            ..Self::unknown(Version::V2)
        }
    }

    /// Encodes the header.
    ///
    /// If one address is IPv4 and the other IPv6, the former is encoded as an IPv4-mapped address. TLVs are encoded
    /// only together with endpoints. The value of a TLV of the type [`Tlvs::CRC32C`] is replaced by the computed
    /// checksum.
    ///
    /// # Errors
    ///
    /// An [`EncodeError`] if the protocol, or its version 1, cannot express the header.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        match self.version {
            Version::V1 => v1::encode(self),
            Version::V2 => v2::encode(self),
        }
    }
}

#[cfg(test)]
mod tests;
