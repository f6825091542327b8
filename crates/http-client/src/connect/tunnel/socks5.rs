//! Tunnels through SOCKS5 proxies (RFC 1928, RFC 1929).

use std::net::IpAddr;

use super::byte_channel::ByteChannel;
use crate::connect::{Destination, Proxy};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;
/// The version of the exchange of user name and password (RFC 1929).
const USER_PASSWORD_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;

/// Authenticates, requests a connection and waits for the reply.
///
/// # Errors
/// A text, if the proxy refuses the connection or sends an invalid reply.
pub(super) async fn open(
    channel: &mut ByteChannel,
    proxy: &Proxy,
    destination: &Destination,
) -> Result<(), String> {
    let request = request(&destination.host, destination.port)?;
    let credentials = match proxy.credentials() {
        Some(credentials) => Some(user_password(credentials)?),
        None => None,
    };
    channel.write(match credentials {
        Some(_) => vec![VERSION, 2, NO_AUTHENTICATION, USER_PASSWORD],
        None => vec![VERSION, 1, NO_AUTHENTICATION],
    });
    let selected = channel.read_exact(2).await?;
    match (selected[0], selected[1], credentials) {
        (VERSION, NO_AUTHENTICATION, _) => {}
        (VERSION, USER_PASSWORD, Some(credentials)) => authenticate(channel, credentials).await?,
        (VERSION, NO_ACCEPTABLE_METHOD, None) => {
            return Err("the proxy requires authentication".into());
        }
        (VERSION, NO_ACCEPTABLE_METHOD, Some(_)) => {
            return Err("the proxy does not accept user name and password".into());
        }
        (VERSION, method, _) => {
            return Err(format!(
                "the proxy selected the authentication method {method}, which was not offered"
            ));
        }
        (version, ..) => return Err(not_socks(version)),
    }
    channel.write(request);
    read_reply(channel).await
}

/// Sends user name and password, and waits for the result.
async fn authenticate(channel: &mut ByteChannel, credentials: Vec<u8>) -> Result<(), String> {
    channel.write(credentials);
    let result = channel.read_exact(2).await?;
    match (result[0], result[1]) {
        (USER_PASSWORD_VERSION, 0) => Ok(()),
        (USER_PASSWORD_VERSION, status) => Err(format!(
            "the proxy refused user name and password with status {status}"
        )),
        (version, _) => Err(format!(
            "the proxy sent an invalid reply: version {version} of the authentication"
        )),
    }
}

/// Reads the reply to the request, with the bound address, which is ignored.
async fn read_reply(channel: &mut ByteChannel) -> Result<(), String> {
    let head = channel.read_exact(4).await?;
    let (version, reply, address_type) = (head[0], head[1], head[3]);
    if version != VERSION {
        return Err(not_socks(version));
    }
    if reply != 0 {
        // Some proxies send no address with an error.
        return Err(format!("the proxy refused it: {}", reply_text(reply)));
    }
    let length = match address_type {
        IPV4 => 4,
        IPV6 => 16,
        DOMAIN_NAME => usize::from(channel.read_exact(1).await?[0]),
        other => {
            return Err(format!(
                "the proxy sent an invalid reply: address type {other}"
            ));
        }
    };
    channel.read_exact(length + 2).await?;
    Ok(())
}

fn request(host: &str, port: u16) -> Result<Vec<u8>, String> {
    let mut out = vec![VERSION, CONNECT, 0];
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => {
            out.push(IPV4);
            out.extend(ip.octets());
        }
        Ok(IpAddr::V6(ip)) => {
            out.push(IPV6);
            out.extend(ip.octets());
        }
        Err(_) => {
            out.push(DOMAIN_NAME);
            push_counted(&mut out, host.as_bytes(), "host name")?;
        }
    }
    out.extend(port.to_be_bytes());
    Ok(out)
}

fn user_password((user, password): (&[u8], &[u8])) -> Result<Vec<u8>, String> {
    let mut out = vec![USER_PASSWORD_VERSION];
    push_counted(&mut out, user, "user name")?;
    push_counted(&mut out, password, "password")?;
    Ok(out)
}

/// Appends a text after its length.
fn push_counted(out: &mut Vec<u8>, text: &[u8], what: &str) -> Result<(), String> {
    let Ok(length) = u8::try_from(text.len()) else {
        return Err(format!("SOCKS5 limits a {what} to 255 bytes"));
    };
    out.push(length);
    out.extend_from_slice(text);
    Ok(())
}

fn not_socks(version: u8) -> String {
    format!("the proxy does not use SOCKS5: it sent version {version}")
}

/// Returns the meaning of a reply (RFC 1928, section 6).
fn reply_text(reply: u8) -> String {
    let text = match reply {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unassigned reply",
    };
    format!("{text} (reply {reply})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_passed_as_a_name_and_an_address_as_an_address() {
        let expected = b"\x05\x01\x00\x03\x0bexample.com\x01\xbb";
        assert_eq!(request("example.com", 443).unwrap(), expected);
        let expected = b"\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50";
        assert_eq!(request("127.0.0.1", 80).unwrap(), expected);
        let ipv6 = request("::1", 80).unwrap();
        assert_eq!((ipv6.len(), ipv6[3], ipv6[19]), (22, 4, 1));
    }

    #[test]
    fn a_name_or_a_password_that_is_too_long_is_an_error() {
        assert!(request(&"a".repeat(255), 80).is_ok());
        let error = request(&"a".repeat(256), 80).unwrap_err();
        assert_eq!(error, "SOCKS5 limits a host name to 255 bytes");
        assert!(user_password((&[b'a'; 255], b"")).is_ok());
        let error = user_password((b"a", &[b'a'; 256])).unwrap_err();
        assert_eq!(error, "SOCKS5 limits a password to 255 bytes");
    }
}
