//! Parser of `host:port`.

use std::net::{Ipv4Addr, SocketAddr};

use uptick_event_loop::address::{InvalidV6, parse_v6};

use super::{ConnectUri, Reason};

/// Maximum length of a host name, in characters (RFC 1035, 2.3.4).
const MAX_NAME: usize = 253;
/// Maximum length of a label of a host name, in characters.
const MAX_LABEL: usize = 63;

/// Parses the address of a listener, whose host is an IP address.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, Reason> {
    let (host, port) = split_host_and_port(text)?;
    match host {
        HostText::V6(inside) => socket_addr_v6(inside, port),
        HostText::Plain("*") => Err(format!(
            "the host must be an IP address: 0.0.0.0:{port} accepts IPv4 connections on all \
             interfaces, [::]:{port} IPv6 ones"
        )),
        HostText::Plain(host) => match host.parse::<Ipv4Addr>() {
            Ok(ip) => Ok((ip, port).into()),
            Err(_) => Err(format!(
                "the host must be an IP address, not {host:?}; use 127.0.0.1:{port} for this \
                 machine only, 0.0.0.0:{port} for all of its interfaces"
            )),
        },
    }
}

/// Parses the address of a connection, whose host is an IP address or a name.
pub(super) fn parse_connect(text: &str) -> Result<ConnectUri, Reason> {
    let (host, port) = split_host_and_port(text)?;
    match host {
        HostText::V6(inside) => socket_addr_v6(inside, port).map(ConnectUri::Tcp),
        HostText::Plain(host) => match host.parse::<Ipv4Addr>() {
            Ok(ip) => Ok(ConnectUri::Tcp((ip, port).into())),
            Err(_) => {
                check_name(host)?;
                let name = host.into();
                Ok(ConnectUri::Host { name, port })
            }
        },
    }
}

pub(super) fn parse_port(text: &str) -> Result<u16, Reason> {
    if text.is_empty() {
        return Err(NO_PORT.into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("the port {text:?} is not a number"));
    }
    text.parse()
        .map_err(|_| format!("the port {text} is greater than 65535"))
}

const NO_PORT: &str = "the port is missing; an example is 127.0.0.1:80";

enum HostText<'a> {
    /// The text between brackets.
    V6(&'a str),
    Plain(&'a str),
}

fn split_host_and_port(text: &str) -> Result<(HostText<'_>, u16), Reason> {
    if text.is_empty() {
        return Err("host and port are missing".into());
    }
    if let Some(at) = text.find(['/', '?', '#']) {
        return Err(format!(
            "the text {:?} after the port is not allowed",
            &text[at..]
        ));
    }
    if text.contains('@') {
        return Err("a TCP address must not contain a user name".into());
    }
    if let Some(after_bracket) = text.strip_prefix('[') {
        let Some((inside, rest)) = after_bracket.split_once(']') else {
            return Err("the ] that closes the IPv6 address is missing".into());
        };
        return match rest.strip_prefix(':') {
            Some(digits) => Ok((HostText::V6(inside), parse_port(digits)?)),
            None if rest.is_empty() => Err(NO_PORT.into()),
            None => Err(format!("the ] must be followed by :PORT, not by {rest:?}")),
        };
    }
    match text.split_once(':') {
        None => Err(NO_PORT.into()),
        Some((_, rest)) if rest.contains(':') => {
            Err("an IPv6 address must be in brackets, as in [::1]:80".into())
        }
        Some(("", _)) => Err(
            "the host is missing; use 127.0.0.1 for this machine only, 0.0.0.0 \
                              for all of its interfaces"
                .into(),
        ),
        Some((host, digits)) => Ok((HostText::Plain(host), parse_port(digits)?)),
    }
}

fn socket_addr_v6(inside: &str, port: u16) -> Result<SocketAddr, Reason> {
    match parse_v6(inside, port) {
        Ok(address) => Ok(address.into()),
        Err(InvalidV6::Address) => Err(format!("{inside:?} is not an IPv6 address")),
        Err(InvalidV6::Interface) => {
            let zone = inside.split_once('%').map_or("", |(_, zone)| zone);
            Err(format!("there is no network interface {zone:?}"))
        }
    }
}

/// Checks that a name is syntactically valid for a lookup.
fn check_name(name: &str) -> Result<(), Reason> {
    if !name.is_ascii() {
        return Err(format!(
            "the host name {name:?} must be in its ASCII form (xn--…)"
        ));
    }
    if name.len() > MAX_NAME {
        return Err(format!("the host name is longer than {MAX_NAME} bytes"));
    }
    let labels = name.strip_suffix('.').unwrap_or(name);
    for label in labels.split('.') {
        if label.is_empty() {
            return Err(format!("the host name {name:?} has an empty part"));
        }
        if label.len() > MAX_LABEL {
            return Err(format!(
                "the host name has a part longer than {MAX_LABEL} bytes"
            ));
        }
        if let Some(char) = label
            .chars()
            .find(|&char| !char.is_ascii_alphanumeric() && char != '-' && char != '_')
        {
            return Err(format!("a host name must not contain {char:?}"));
        }
    }
    // System resolvers read 127.1 and 0x7f000001 as 127.0.0.1, and no host name ends in a number.
    let last = labels.rsplit('.').next().unwrap_or(labels);
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hex_digits = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    if last.bytes().all(|byte| byte.is_ascii_digit()) || hex_digits.is_some_and(is_hex) {
        return Err(format!("{name:?} is not an IPv4 address"));
    }
    Ok(())
}
