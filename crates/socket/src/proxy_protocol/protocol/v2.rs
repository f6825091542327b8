//! Version 2: binary (section 2.2).

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use super::v1::to_v6;
use super::{
    Command, EncodeError, Endpoints, Header, Invalid, ParseResult, Tlvs, Transport, Version,
};
use crate::{Address, UnixName};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Length of the fixed part: signature, version and command, family and transport, and length.
const PREFIX: usize = 16;

/// Length of a Unix address, in bytes.
const UNIX_ADDRESS: usize = 108;

pub(super) fn parse(input: &[u8], max_payload: usize) -> ParseResult {
    let Some(&version_command) = input.get(12) else {
        return Ok(None);
    };
    let command = match (version_command >> 4, version_command & 0xf) {
        (2, 0) => Command::Local,
        (2, 1) => Command::Proxy,
        (2, other) => return Err(Invalid::Command(other)),
        (other, _) => return Err(Invalid::Version(other)),
    };
    let Some(&family_transport) = input.get(13) else {
        return Ok(None);
    };
    let (family, transport) = match command {
        // The family of a connection that the proxy made for itself is ignored.
        Command::Local => (Family::Unspecified, Transport::Unspecified),
        Command::Proxy => family(family_transport)?,
    };
    let (Some(&high), Some(&low)) = (input.get(14), input.get(15)) else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > max_payload {
        return Err(Invalid::TooLong {
            length,
            limit: max_payload,
        });
    }
    if length < family.size() {
        return Err(Invalid::TooShort);
    }
    let consumed = PREFIX + length;
    let Some(whole) = input.get(..consumed) else {
        return Ok(None);
    };
    let mut header = Header {
        version: Version::V2,
        command,
        transport,
        endpoints: None,
        tlvs: Tlvs::default(),
    };
    let Some((addresses, tlvs)) = whole[PREFIX..].split_at_checked(family.size()) else {
        return Err(Invalid::TooShort);
    };
    header.endpoints = family.endpoints(addresses);
    // The bytes after unspecified addresses are ignored.
    if header.endpoints.is_some() {
        header.tlvs = Tlvs::parse(tlvs)?;
        verify_checksum(whole, &header.tlvs)?;
    }
    Ok(Some((header, consumed)))
}

fn family(byte: u8) -> Result<(Family, Transport), Invalid> {
    let family = match byte >> 4 {
        0 => Family::Unspecified,
        1 => Family::V4,
        2 => Family::V6,
        3 => Family::Unix,
        _ => return Err(Invalid::Family(byte)),
    };
    let transport = match byte & 0xf {
        0 => Transport::Unspecified,
        1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => return Err(Invalid::Family(byte)),
    };
    // The addresses are unknown if one of the two is unspecified.
    if family == Family::Unspecified || transport == Transport::Unspecified {
        return Ok((Family::Unspecified, Transport::Unspecified));
    }
    Ok((family, transport))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Unspecified = 0,
    V4 = 1,
    V6 = 2,
    Unix = 3,
}

impl Family {
    /// Returns the size of two addresses of the family, in bytes.
    fn size(self) -> usize {
        match self {
            Self::Unspecified => 0,
            Self::V4 => 2 * 4 + 2 * 2,
            Self::V6 => 2 * 16 + 2 * 2,
            Self::Unix => 2 * UNIX_ADDRESS,
        }
    }

    fn endpoints(self, block: &[u8]) -> Option<Endpoints> {
        let [source, destination] = match self {
            Self::Unspecified => return None,
            Self::V4 => ip_addresses::<4, Ipv4Addr>(block)?,
            Self::V6 => ip_addresses::<16, Ipv6Addr>(block)?,
            Self::Unix => {
                let (source, destination) = block.split_at_checked(UNIX_ADDRESS)?;
                [source, destination].map(unix_address)
            }
        };
        Some(Endpoints {
            source,
            destination,
        })
    }
}

fn ip_addresses<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(
    block: &[u8],
) -> Option<[Address; 2]> {
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk()?;
    let (destination_port, _) = rest.split_first_chunk()?;
    let address = |ip: &[u8; N], port: &[u8; 2]| {
        Address::from(SocketAddr::new(
            A::from(*ip).into(),
            u16::from_be_bytes(*port),
        ))
    };
    Some([
        address(source, source_port),
        address(destination, destination_port),
    ])
}

/// Parses a Unix address. A path ends at its first zero byte. An abstract name begins with a zero byte, and its length
/// is not sent: trailing zeros are removed.
fn unix_address(field: &[u8]) -> Address {
    if let Some(name) = field.strip_prefix(&[0]) {
        let length = name.iter().rposition(|&byte| byte != 0);
        return match length {
            Some(last) => UnixName::Abstract(name[..=last].into()).into(),
            None => Address::UNNAMED,
        };
    }
    let path = field.split(|&byte| byte == 0).next().unwrap_or_default();
    UnixName::Path(OsStr::from_bytes(path).into()).into()
}

/// Verifies the checksum, if the header has one.
fn verify_checksum(header: &[u8], tlvs: &Tlvs) -> Result<(), Invalid> {
    let Some((position, is_repeated)) = tlvs.checksum() else {
        return Ok(());
    };
    let position = header.len() - tlvs.as_bytes().len() + position;
    let (before, rest) = header.split_at_checked(position).ok_or(Invalid::Checksum)?;
    let (sent, after) = rest.split_first_chunk().ok_or(Invalid::Checksum)?;
    let is_valid = tlvs.get(Tlvs::CRC32C).map(<[u8]>::len) == Some(4) && !is_repeated;
    if is_valid && crc32c([before, &[0; 4], after]) == u32::from_be_bytes(*sent) {
        Ok(())
    } else {
        Err(Invalid::Checksum)
    }
}

/// Returns the CRC-32C of the concatenated parts (RFC 4960, appendix B).
pub(super) fn crc32c<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut crc = !0_u32;
    for byte in parts.into_iter().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = 0_u32.wrapping_sub(crc & 1);
            crc = (crc >> 1) ^ (POLYNOMIAL & carry);
        }
    }
    !crc
}

pub(super) fn encode(header: &Header) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = SIGNATURE.to_vec();
    let endpoints = match (header.command, header.transport) {
        (Command::Local, _) | (_, Transport::Unspecified) => None,
        _ => header.endpoints.as_ref(),
    };
    bytes.push(match header.command {
        Command::Local => 0x20,
        Command::Proxy => 0x21,
    });
    let Some(endpoints) = endpoints else {
        bytes.extend_from_slice(&[0, 0, 0]);
        return Ok(bytes);
    };
    let (family, addresses) = encode_endpoints(endpoints)?;
    bytes.push(
        (family as u8) << 4
            | if header.transport == Transport::Stream {
                1
            } else {
                2
            },
    );
    let tlvs = header.tlvs.as_bytes();
    let length = u16::try_from(addresses.len() + tlvs.len()).map_err(|_| EncodeError::TooLong)?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&addresses);
    let tlvs_begin = bytes.len();
    bytes.extend_from_slice(tlvs);
    if let Some((position, _)) = header.tlvs.checksum()
        && let Some((before, rest)) = bytes.split_at_mut_checked(tlvs_begin + position)
        && let Some((value, after)) = rest.split_first_chunk_mut::<4>()
    {
        *value = crc32c([&*before, &[0; 4], &*after]).to_be_bytes();
    }
    Ok(bytes)
}

fn encode_endpoints(endpoints: &Endpoints) -> Result<(Family, Vec<u8>), EncodeError> {
    let ends = [&endpoints.source, &endpoints.destination];
    let mut bytes = Vec::with_capacity(Family::Unix.size());
    if ends.iter().all(|end| end.is_unix()) {
        for end in ends {
            encode_unix(end, &mut bytes)?;
        }
        return Ok((Family::Unix, bytes));
    }
    let [Some(source), Some(destination)] = ends.map(Address::socket_addr) else {
        return Err(EncodeError::MixedFamilies);
    };
    let family = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes.extend_from_slice(&source.octets());
            bytes.extend_from_slice(&destination.octets());
            Family::V4
        }
        (source, destination) => {
            bytes.extend_from_slice(&to_v6(source).octets());
            bytes.extend_from_slice(&to_v6(destination).octets());
            Family::V6
        }
    };
    bytes.extend_from_slice(&source.port().to_be_bytes());
    bytes.extend_from_slice(&destination.port().to_be_bytes());
    Ok((family, bytes))
}

fn encode_unix(address: &Address, bytes: &mut Vec<u8>) -> Result<(), EncodeError> {
    let end = bytes.len() + UNIX_ADDRESS;
    match address.unix_name() {
        Some(UnixName::Path(path)) => bytes.extend_from_slice(path.as_os_str().as_bytes()),
        Some(UnixName::Abstract(name)) => {
            bytes.push(0);
            bytes.extend_from_slice(name);
        }
        None => {}
    }
    if bytes.len() > end {
        return Err(EncodeError::AddressTooLong);
    }
    bytes.resize(end, 0);
    Ok(())
}
