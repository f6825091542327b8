//! Hosts: names, IPv4 and IPv6 addresses.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{encode, invalid, no_host};
use crate::error::Failure;

/// A host without brackets. A name may be in upper case.
pub(super) struct Host<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) ip: Option<IpAddr>,
}

impl<'a> Host<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Host<'a>, Failure> {
        if let Some(rest) = bytes.strip_prefix(b"[") {
            let address = rest.strip_suffix(b"]").ok_or_else(malformed_address)?;
            let address: Ipv6Addr = std::str::from_utf8(address)
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or_else(malformed_address)?;
            return Ok(Host {
                text: address.to_string().into(),
                ip: Some(address.into()),
            });
        }
        let name = match bytes.contains(&b'%') {
            false => Cow::Borrowed(bytes),
            true => {
                let is_valid = |(position, byte): (usize, &u8)| {
                    *byte != b'%' || encode::is_encoded_byte(&bytes[position..])
                };
                if !bytes.iter().enumerate().all(is_valid) {
                    return Err(invalid("the percent-encoding of its host is malformed"));
                }
                Cow::Owned(percent_encoding::percent_decode(bytes).collect())
            }
        };
        let name = match name.is_ascii() {
            true => name,
            false => Cow::Owned(to_a_labels(&name)?.into_bytes()),
        };
        if name.is_empty() {
            return Err(no_host());
        }
        if let Some(byte) = name.iter().find(|byte| !encode::is_plain(**byte)) {
            let character = char::from(*byte);
            return Err(invalid(format!(
                "its host contains the character {character:?}"
            )));
        }
        let text = match name {
            Cow::Borrowed(name) => std::str::from_utf8(name)
                .map(Cow::Borrowed)
                .map_err(|_| not_utf8())?,
            Cow::Owned(name) => String::from_utf8(name)
                .map(Cow::Owned)
                .map_err(|_| not_utf8())?,
        };
        let may_be_address = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
        let ip = match may_be_address {
            true => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            false => None,
        };
        Ok(Host { text, ip })
    }
}

fn malformed_address() -> Failure {
    invalid("its host is not an IPv6 address in brackets")
}

fn not_utf8() -> Failure {
    invalid("its host is not UTF-8")
}

#[cfg(feature = "idna")]
fn to_a_labels(name: &[u8]) -> Result<String, Failure> {
    std::str::from_utf8(name).map_err(|_| not_utf8())?;
    match idna::domain_to_ascii_cow(name, idna::AsciiDenyList::URL) {
        Ok(name) => Ok(name.into_owned()),
        Err(_) => Err(invalid("its host is not a valid international domain name")),
    }
}

#[cfg(not(feature = "idna"))]
fn to_a_labels(_name: &[u8]) -> Result<String, Failure> {
    Err(invalid(
        "its host contains characters other than ASCII; this requires the feature `idna` of uptick-http-client",
    ))
}
