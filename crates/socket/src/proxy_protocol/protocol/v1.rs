//! Version 1: a line of text (section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Command, EncodeError, Endpoints, Header, Invalid, ParseResult, Transport, Version};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Maximum length of the line, with its line break.
const MAX_LINE: usize = 107;

pub(super) fn parse(input: &[u8], _max_payload: usize) -> ParseResult {
    let window = &input[..input.len().min(MAX_LINE)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return match window.len() {
            MAX_LINE => Err(Invalid::LineTooLong),
            _ => Ok(None),
        };
    };
    let Some(line) = window[..end].strip_suffix(b"\r") else {
        return Err(Invalid::LineEnd);
    };
    let line = line.strip_prefix(SIGNATURE).unwrap_or_default();
    let (protocol, rest) = match line.iter().position(|&byte| byte == b' ') {
        Some(space) => (&line[..space], Some(&line[space + 1..])),
        None => (line, None),
    };
    let header = match protocol {
        b"TCP4" => proxied::<Ipv4Addr>(rest)?,
        b"TCP6" => proxied::<Ipv6Addr>(rest)?,
        b"UNKNOWN" => Header::unknown(Version::V1),
        _ => return Err(Invalid::Protocol),
    };
    Ok(Some((header, end + 1)))
}

fn proxied<A: FromStr + Into<IpAddr>>(fields: Option<&[u8]>) -> Result<Header, Invalid> {
    let fields = str::from_utf8(fields.unwrap_or_default()).map_err(|_| Invalid::Fields)?;
    let mut fields = fields.split(' ');
    let mut next = || fields.next().ok_or(Invalid::Fields);
    let (source, destination) = (next()?, next()?);
    let (source_port, destination_port) = (next()?, next()?);
    if next().is_ok() {
        return Err(Invalid::Fields);
    }
    let address = |ip: &str, port: &str| {
        let ip: A = ip.parse().map_err(|_| Invalid::Address)?;
        Ok(SocketAddr::new(ip.into(), parse_port(port)?).into())
    };
    let endpoints = Endpoints {
        source: address(source, source_port)?,
        destination: address(destination, destination_port)?,
    };
    Ok(Header::proxied(Version::V1, endpoints))
}

fn parse_port(text: &str) -> Result<u16, Invalid> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(Invalid::Port);
    }
    text.parse().map_err(|_| Invalid::Port)
}

pub(super) fn encode(header: &Header) -> Result<Vec<u8>, EncodeError> {
    if header.command == Command::Local
        || header.transport == Transport::Datagram
        || !header.tlvs.is_empty()
    {
        return Err(EncodeError::NotInVersion1);
    }
    let Some(endpoints) = &header.endpoints else {
        return Ok(b"PROXY UNKNOWN\r\n".into());
    };
    let (Some(source), Some(destination)) = (
        endpoints.source.socket_addr(),
        endpoints.destination.socket_addr(),
    ) else {
        return Err(EncodeError::NotInVersion1);
    };
    let (protocol, [source_ip, destination_ip]) = match (source.ip(), destination.ip()) {
        (source @ IpAddr::V4(_), destination @ IpAddr::V4(_)) => ("TCP4", [source, destination]),
        (source, destination) => ("TCP6", [source, destination].map(|ip| to_v6(ip).into())),
    };
    let (source_port, destination_port) = (source.port(), destination.port());
    let line = format!(
        "PROXY {protocol} {source_ip} {destination_ip} {source_port} {destination_port}\r\n"
    );
    Ok(line.into_bytes())
}

pub(super) fn to_v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}
