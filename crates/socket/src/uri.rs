//! The addresses that servers listen on and connectors connect to, as text and as values.

mod authority;
mod unix;

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::str::FromStr;

use crate::{Error, UnixName};

pub use unix::{Account, UnixListenUri};

/// The address that a server listens on.
///
/// | text | meaning |
/// |---|---|
/// | `8080` | port 8080 on 127.0.0.1 |
/// | `127.0.0.1:80`, `[::1]:80`, `tcp://127.0.0.1:80` | TCP; port 0 selects a free port |
/// | `[fe80::1%eth0]:80`, `[fe80::1%2]:80` | an address of the interface `eth0`, or of the one with number 2 |
/// | `unix:///run/app.sock`, `/run/app.sock`, `unix:relative.sock` | a Unix socket |
/// | `unix:///run/app.sock?mode=0660&owner=app&group=www-data` | a Unix socket whose file has this mode and these owners |
/// | `unix:@name` | a name in Linux's abstract namespace |
/// | `fd://3` | the listening socket inherited as this file descriptor |
/// | `systemd:`, `systemd:web` | the next inherited socket, or the next one with that name |
///
/// The host is an IP address and never a name: a name can have several addresses, and the interface that a server
/// listens on should not depend on a name lookup. The name of an interface is replaced by its number when the text is
/// parsed. In the path of a Unix socket, `%` and two hexadecimal digits stand for a byte (`%25` for `%`, `%3F` for
/// `?`).
///
/// # Examples
///
/// ```
/// use uptick_socket::ListenUri;
///
/// let uri: ListenUri = "8080".parse()?;
/// assert_eq!(uri.to_string(), "tcp://127.0.0.1:8080");
///
/// let error = "localhost:80".parse::<ListenUri>().unwrap_err();
/// assert!(error.to_string().contains("must be an IP address"));
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenUri {
    /// A TCP port of an IP address.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(UnixListenUri),
    /// A listening socket inherited by this process, as the number of its file descriptor. The server takes ownership,
    /// so the descriptor must not have another owner in the process: for an owned descriptor, use
    /// [`adopt`](crate::adopt).
    Fd(RawFd),
    /// A listening socket that the service manager passed, see [`InheritedSockets`](crate::InheritedSockets): the first
    /// one with this name, or without a name the first of all, that no server has taken yet.
    Systemd(Option<String>),
}

/// The address that a connector connects to.
///
/// | text | meaning |
/// |---|---|
/// | `8080` | port 8080 on 127.0.0.1 |
/// | `127.0.0.1:80`, `[::1]:80`, `tcp://127.0.0.1:80` | TCP |
/// | `[fe80::1%eth0]:80`, `[fe80::1%2]:80` | TCP through the interface `eth0`, or the one with number 2 |
/// | `example.com:80`, `tcp://example.com:80` | TCP, after a name lookup |
/// | `unix:///run/app.sock`, `/run/app.sock`, `unix:relative.sock` | a Unix socket |
/// | `unix:@name` | a name in Linux's abstract namespace |
///
/// # Examples
///
/// ```
/// use uptick_socket::ConnectUri;
///
/// let uri: ConnectUri = "example.com:80".parse()?;
/// let ConnectUri::Host { name, port } = uri else { unreachable!() };
/// assert_eq!((&*name, port), ("example.com", 80));
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConnectUri {
    /// A TCP port of an IP address.
    Tcp(SocketAddr),
    /// A TCP port of a host that has to be looked up.
    Host {
        /// The host name.
        name: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    Unix(UnixName),
}

/// A value that can be converted to an address: a port number, text, a [`SocketAddr`], or the parsed [`ListenUri`] and
/// [`ConnectUri`] themselves.
///
/// # Examples
///
/// ```
/// use std::net::{Ipv6Addr, SocketAddr};
/// use uptick_socket::{Error, IntoUri, ListenUri};
///
/// fn show(uri: impl IntoUri<ListenUri>) -> Result<String, Error> {
///     Ok(uri.into_uri()?.to_string())
/// }
///
/// assert_eq!(show(8080)?, "tcp://127.0.0.1:8080");
/// assert_eq!(show("127.0.0.1:80")?, "tcp://127.0.0.1:80");
/// assert_eq!(show(format!("unix:{}", "x.sock"))?, "unix:x.sock");
/// assert_eq!(show(SocketAddr::from((Ipv6Addr::LOCALHOST, 80)))?, "tcp://[::1]:80");
/// # Ok::<(), Error>(())
/// ```
pub trait IntoUri<T> {
    /// Parses or converts the value.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidUri`] if the text is not a valid address.
    fn into_uri(self) -> Result<T, Error>;
}

impl<T: FromStr<Err = Error>> IntoUri<T> for &str {
    fn into_uri(self) -> Result<T, Error> {
        self.parse()
    }
}

impl<T: FromStr<Err = Error>> IntoUri<T> for String {
    fn into_uri(self) -> Result<T, Error> {
        self.parse()
    }
}

impl<T: FromStr<Err = Error>> IntoUri<T> for &String {
    fn into_uri(self) -> Result<T, Error> {
        self.parse()
    }
}

impl<T: From<SocketAddr>> IntoUri<T> for SocketAddr {
    fn into_uri(self) -> Result<T, Error> {
        Ok(self.into())
    }
}

/// Converts a port number to the address of that port on 127.0.0.1.
impl<T: From<SocketAddr>> IntoUri<T> for u16 {
    fn into_uri(self) -> Result<T, Error> {
        Ok(localhost(self).into())
    }
}

impl IntoUri<Self> for ListenUri {
    fn into_uri(self) -> Result<Self, Error> {
        Ok(self)
    }
}

impl IntoUri<Self> for ConnectUri {
    fn into_uri(self) -> Result<Self, Error> {
        Ok(self)
    }
}

impl From<SocketAddr> for ListenUri {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<SocketAddr> for ConnectUri {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl FromStr for ListenUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_listen(text).map_err(|reason| Error::invalid_uri(text, reason))
    }
}

impl FromStr for ConnectUri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        parse_connect(text).map_err(|reason| Error::invalid_uri(text, reason))
    }
}

impl Display for ListenUri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(unix) => Display::fmt(unix, f),
            Self::Fd(fd) => write!(f, "fd://{fd}"),
            Self::Systemd(name) => write!(f, "systemd:{}", name.as_deref().unwrap_or_default()),
        }
    }
}

impl Display for ConnectUri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Host { name, port } => write!(f, "tcp://{name}:{port}"),
            Self::Unix(name) => Display::fmt(name, f),
        }
    }
}

/// The reason why a text is invalid, for [`Error::InvalidUri`].
type Reason = String;

fn localhost(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn parse_listen(text: &str) -> Result<ListenUri, Reason> {
    let (scheme, rest) = split_scheme(text)?;
    match scheme {
        UriScheme::Port => Ok(localhost(authority::parse_port(rest)?).into()),
        UriScheme::Tcp => authority::parse_listen(rest).map(ListenUri::Tcp),
        UriScheme::Unix => unix::listen(rest).map(ListenUri::Unix),
        UriScheme::Fd => parse_fd(rest).map(ListenUri::Fd),
        UriScheme::Systemd => parse_systemd(rest).map(ListenUri::Systemd),
        UriScheme::Tls => Err(
            "TLS is a layer above the socket: listen on tcp:// and wrap the server \
                            in a SecureServer"
                .into(),
        ),
    }
}

fn parse_connect(text: &str) -> Result<ConnectUri, Reason> {
    let (scheme, rest) = split_scheme(text)?;
    let uri = match scheme {
        UriScheme::Port => localhost(authority::parse_port(rest)?).into(),
        UriScheme::Tcp => authority::parse_connect(rest)?,
        UriScheme::Unix => ConnectUri::Unix(unix::connect(rest)?),
        UriScheme::Fd | UriScheme::Systemd => {
            return Err("an inherited socket can be listened on, not connected to".into());
        }
        UriScheme::Tls => {
            return Err(
                "TLS is a layer above the socket: connect to tcp:// through a \
                        SecureConnector"
                    .into(),
            );
        }
    };
    match uri {
        ConnectUri::Tcp(address) if address.port() == 0 => Err(NO_PORT_ZERO.into()),
        ConnectUri::Host { port: 0, .. } => Err(NO_PORT_ZERO.into()),
        uri => Ok(uri),
    }
}

const NO_PORT_ZERO: &str =
    "port 0 can be listened on (it selects a free port), but not connected to";

enum UriScheme {
    /// No scheme: the text consists of digits.
    Port,
    Tcp,
    Unix,
    Fd,
    Systemd,
    Tls,
}

fn split_scheme(text: &str) -> Result<(UriScheme, &str), Reason> {
    const SCHEMES: &str = "the supported schemes are tcp://, unix:, fd:// and systemd:";
    if text.is_empty() {
        return Err("the address is empty".into());
    }
    if text.starts_with('/') {
        return Ok((UriScheme::Unix, text));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((UriScheme::Port, text));
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok((UriScheme::Tcp, text));
    };
    let known = match &*scheme.to_ascii_lowercase() {
        "tcp" => Some(UriScheme::Tcp),
        "unix" => Some(UriScheme::Unix),
        "fd" => Some(UriScheme::Fd),
        "systemd" => Some(UriScheme::Systemd),
        "tls" => Some(UriScheme::Tls),
        _ => None,
    };
    match (known, rest.strip_prefix("//")) {
        (Some(known), Some(rest)) => Ok((known, rest)),
        (Some(known @ (UriScheme::Unix | UriScheme::Systemd)), None) => Ok((known, rest)),
        (None, Some(_)) if scheme.is_empty() => Err(format!("the scheme is missing; {SCHEMES}")),
        (None, Some(_)) => Err(format!("the scheme {scheme:?} is unknown; {SCHEMES}")),
        // A known scheme without `//`, or an unknown one, is a host followed by its port.
        (_, None) => Ok((UriScheme::Tcp, text)),
    }
}

fn parse_fd(rest: &str) -> Result<RawFd, Reason> {
    if rest.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("the file descriptor {rest:?} is not a number"));
    }
    rest.parse()
        .map_err(|_| format!("there is no file descriptor {rest}"))
}

fn parse_systemd(rest: &str) -> Result<Option<String>, Reason> {
    // systemd.socket(5), FileDescriptorName=: up to 255 printable ASCII characters but no colon.
    const LONGEST: usize = 255;
    if rest.is_empty() {
        return Ok(None);
    }
    if rest.len() > LONGEST {
        return Err(format!("the socket's name is longer than {LONGEST} bytes"));
    }
    if let Some(char) = rest
        .chars()
        .find(|&char| char == ':' || !(char == ' ' || char.is_ascii_graphic()))
    {
        return Err(format!("the name of a socket must not contain {char:?}"));
    }
    Ok(Some(rest.into()))
}

/// Decodes percent-encoded bytes.
fn unescape(text: &str) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let hex = |byte: u8| char::from(byte).to_digit(16);
        let byte = match rest {
            [high, low, after @ ..] => {
                rest = after;
                hex(*high).zip(hex(*low))
            }
            _ => None,
        };
        let Some((high, low)) = byte else {
            return Err("a % must be followed by two hexadecimal digits (%25 is a %)".into());
        };
        bytes.push((high << 4 | low) as u8);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
