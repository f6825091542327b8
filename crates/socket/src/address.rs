//! Socket addresses, and their form as URIs.

use std::ffi::OsStr;
use std::fmt::{self, Debug, Display, Formatter, Write};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrAny, SocketAddrUnix};

/// The address of a connection or server.
///
/// It is displayed as a URI: `tcp://127.0.0.1:8080`, `tcp://[::1]:80`, `unix:///run/app.sock`, `unix:@name` for a name
/// in Linux's abstract namespace, and `unix:(unnamed)` for a Unix socket without a name, such as that of a client. An
/// address that is [`secured`](Address::secured) is displayed as `tls://127.0.0.1:8080`.
///
/// Its size is 24 bytes, because a server keeps one for each connection. The flow label of an IPv6 address is not kept.
///
/// # Examples
///
/// ```
/// use std::net::SocketAddr;
/// use uptick_socket::Address;
///
/// let address = Address::from(SocketAddr::from(([127, 0, 0, 1], 8080)));
/// assert_eq!(address.to_string(), "tcp://127.0.0.1:8080");
/// assert_eq!(address.port(), Some(8080));
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address(AddressRepr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum AddressRepr {
    V4 {
        ip: Ipv4Addr,
        port: u16,
        secure: bool,
    },
    V6 {
        ip: Ipv6Addr,
        scope: u32,
        port: u16,
        secure: bool,
    },
    Unix(Arc<UnixName>),
    Unnamed,
}

const _: () = assert!(size_of::<Address>() <= 24);

impl Address {
    /// The address of an unnamed Unix socket.
    pub const UNNAMED: Self = Self(AddressRepr::Unnamed);

    /// Returns the address that a socket is bound to.
    ///
    /// # Errors
    ///
    /// An error if the descriptor is not a socket, or neither a TCP nor a Unix socket (EAFNOSUPPORT).
    pub fn local_of(socket: impl AsFd) -> io::Result<Self> {
        rustix::net::getsockname(socket)?.try_into()
    }

    /// Returns the address that a socket is connected to.
    ///
    /// # Errors
    ///
    /// An error if the descriptor is not a socket, is not connected (ENOTCONN), or is neither a TCP nor a Unix socket
    /// (EAFNOSUPPORT).
    pub fn remote_of(socket: impl AsFd) -> io::Result<Self> {
        match rustix::net::getpeername(socket)? {
            Some(address) => address.try_into(),
            None => Ok(Self::UNNAMED),
        }
    }

    /// Returns the IP address, unless this is a Unix socket.
    ///
    /// An IPv4 peer of a server on `[::]` has an IPv4-mapped address (`::ffff:192.0.2.1`).
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0 {
            AddressRepr::V4 { ip, .. } => Some(ip.into()),
            AddressRepr::V6 { ip, .. } => Some(ip.into()),
            _ => None,
        }
    }

    /// Returns the port, unless this is a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self.0 {
            AddressRepr::V4 { port, .. } | AddressRepr::V6 { port, .. } => Some(port),
            _ => None,
        }
    }

    /// Returns the IP address and port, unless this is a Unix socket.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self.0 {
            AddressRepr::V4 { ip, port, .. } => Some(SocketAddrV4::new(ip, port).into()),
            AddressRepr::V6 {
                ip, scope, port, ..
            } => Some(SocketAddrV6::new(ip, port, 0, scope).into()),
            _ => None,
        }
    }

    /// Returns the name of a Unix socket, if it has one.
    pub fn unix_name(&self) -> Option<&UnixName> {
        match &self.0 {
            AddressRepr::Unix(name) => Some(name),
            _ => None,
        }
    }

    /// Returns `true` if this is a Unix socket, named or unnamed.
    pub fn is_unix(&self) -> bool {
        matches!(self.0, AddressRepr::Unix(_) | AddressRepr::Unnamed)
    }

    /// Returns `true` if this is an unnamed Unix socket.
    pub fn is_unnamed(&self) -> bool {
        matches!(self.0, AddressRepr::Unnamed)
    }

    /// Converts an abstract name from the system. Libraries represent an unnamed socket either by no name or by an
    /// empty one.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn abstract_name(name: &[u8]) -> Self {
        if name.is_empty() {
            return Self::UNNAMED;
        }
        UnixName::Abstract(name.into()).into()
    }

    /// Returns the address as that of an encrypted connection, which is displayed as `tls://…` and is not equal to the
    /// address of an unencrypted one. Unix addresses are returned unchanged, because no URI scheme marks them as
    /// encrypted.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use uptick_socket::Address;
    ///
    /// let address = Address::from(SocketAddr::from(([127, 0, 0, 1], 443)));
    /// assert_eq!(address.secured().to_string(), "tls://127.0.0.1:443");
    /// ```
    #[must_use]
    pub fn secured(mut self) -> Self {
        if let AddressRepr::V4 { secure, .. } | AddressRepr::V6 { secure, .. } = &mut self.0 {
            *secure = true;
        }
        self
    }

    /// Returns a value that displays the address with another scheme. Unix addresses keep theirs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::SocketAddr;
    /// use uptick_socket::Address;
    ///
    /// let address = Address::from(SocketAddr::from(([127, 0, 0, 1], 443)));
    /// assert_eq!(address.with_scheme("tls").to_string(), "tls://127.0.0.1:443");
    /// ```
    pub fn with_scheme<'a>(&'a self, scheme: &'a str) -> impl Display + 'a {
        WithScheme {
            address: self,
            scheme,
        }
    }
}

struct WithScheme<'a> {
    address: &'a Address,
    scheme: &'a str,
}

impl Display for WithScheme<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme;
        match &self.address.0 {
            AddressRepr::V4 { ip, port, .. } => write!(f, "{scheme}://{ip}:{port}"),
            AddressRepr::V6 {
                ip, scope: 0, port, ..
            } => write!(f, "{scheme}://[{ip}]:{port}"),
            AddressRepr::V6 {
                ip, scope, port, ..
            } => write!(f, "{scheme}://[{ip}%{scope}]:{port}"),
            AddressRepr::Unix(name) => Display::fmt(name, f),
            AddressRepr::Unnamed => f.write_str("unix:(unnamed)"),
        }
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scheme = match self.0 {
            AddressRepr::V4 { secure: true, .. } | AddressRepr::V6 { secure: true, .. } => "tls",
            _ => "tcp",
        };
        Display::fmt(&self.with_scheme(scheme), f)
    }
}

impl Debug for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => v4.into(),
            SocketAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<SocketAddrV4> for Address {
    fn from(address: SocketAddrV4) -> Self {
        Self(AddressRepr::V4 {
            ip: *address.ip(),
            port: address.port(),
            secure: false,
        })
    }
}

impl From<SocketAddrV6> for Address {
    fn from(address: SocketAddrV6) -> Self {
        Self(AddressRepr::V6 {
            ip: *address.ip(),
            scope: address.scope_id(),
            port: address.port(),
            secure: false,
        })
    }
}

impl From<UnixName> for Address {
    fn from(name: UnixName) -> Self {
        Self(AddressRepr::Unix(Arc::new(name)))
    }
}

impl From<&std::os::unix::net::SocketAddr> for Address {
    fn from(address: &std::os::unix::net::SocketAddr) -> Self {
        if let Some(path) = address.as_pathname() {
            return UnixName::Path(path.into()).into();
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            #[cfg(target_os = "android")]
            use std::os::android::net::SocketAddrExt;
            #[cfg(target_os = "linux")]
            use std::os::linux::net::SocketAddrExt;
            if let Some(name) = address.as_abstract_name() {
                return Self::abstract_name(name);
            }
        }
        Self::UNNAMED
    }
}

impl TryFrom<SocketAddrAny> for Address {
    type Error = io::Error;

    fn try_from(address: SocketAddrAny) -> io::Result<Self> {
        match address.address_family() {
            AddressFamily::INET => Ok(SocketAddrV4::try_from(address)?.into()),
            AddressFamily::INET6 => Ok(SocketAddrV6::try_from(address)?.into()),
            AddressFamily::UNIX => {
                let address = SocketAddrUnix::try_from(address)?;
                #[cfg(any(target_os = "linux", target_os = "android"))]
                if let Some(name) = address.abstract_name() {
                    return Ok(Self::abstract_name(name));
                }
                Ok(match address.path_bytes() {
                    Some(path) if !path.is_empty() => {
                        UnixName::Path(OsStr::from_bytes(path).into()).into()
                    }
                    _ => Self::UNNAMED,
                })
            }
            _ => Err(Errno::AFNOSUPPORT.into()),
        }
    }
}

impl TryFrom<&socket2::SockAddr> for Address {
    type Error = io::Error;

    fn try_from(address: &socket2::SockAddr) -> io::Result<Self> {
        if let Some(address) = address.as_socket() {
            return Ok(address.into());
        }
        if let Some(path) = address.as_pathname() {
            return Ok(UnixName::Path(path.into()).into());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.as_abstract_namespace() {
            return Ok(Self::abstract_name(name));
        }
        if address.is_unix() {
            return Ok(Self::UNNAMED);
        }
        Err(Errno::AFNOSUPPORT.into())
    }
}

/// The name of a Unix socket.
///
/// It is displayed as a URI: `unix:///run/app.sock`, `unix:relative.sock`, `unix:@abstract`. Bytes that are not
/// printable text, spaces, `%` and `?` are written as `%` and two hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UnixName {
    /// The path of a file.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, which has no file and disappears with the socket.
    Abstract(Box<[u8]>),
}

impl UnixName {
    /// Maximum length of a name, in bytes: the size of `sun_path`, less one for the zero byte that ends a path or
    /// begins an abstract name.
    pub const MAX_LEN: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
        107
    } else {
        103
    };

    /// Returns the path, unless the name is abstract.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) => Some(path),
            Self::Abstract(_) => None,
        }
    }

    /// Converts the name to the form that the system calls take.
    pub(crate) fn to_system(&self) -> rustix::io::Result<SocketAddrUnix> {
        match self {
            Self::Path(path) => SocketAddrUnix::new(path),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Self::Abstract(_) => Err(Errno::OPNOTSUPP),
        }
    }
}

impl Display for UnixName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract(name) => {
                f.write_str("unix:@")?;
                write_escaped(f, name)
            }
            Self::Path(path) => {
                let path = path.as_os_str().as_bytes();
                match path.split_first() {
                    Some((b'/', _)) => f.write_str("unix://")?,
                    // Without the escape it would be parsed as an abstract name.
                    Some((b'@', rest)) => {
                        f.write_str("unix:%40")?;
                        return write_escaped(f, rest);
                    }
                    _ => f.write_str("unix:")?,
                }
                write_escaped(f, path)
            }
        }
    }
}

fn write_escaped(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let escape = |f: &mut Formatter<'_>, bytes: &[u8]| -> fmt::Result {
        bytes.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))
    };
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            if char.is_control() || char.is_whitespace() || matches!(char, '%' | '?') {
                escape(f, char.encode_utf8(&mut [0; 4]).as_bytes())?;
            } else {
                f.write_char(char)?;
            }
        }
        escape(f, chunk.invalid())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn it_displays_as_a_uri() {
        let uri = |address: &str| Address::from(address.parse::<SocketAddr>().unwrap()).to_string();
        assert_eq!(uri("127.0.0.1:8080"), "tcp://127.0.0.1:8080");
        assert_eq!(uri("[::1]:80"), "tcp://[::1]:80");
        assert_eq!(uri("[fe80::1%3]:80"), "tcp://[fe80::1%3]:80");
        assert_eq!(uri("[::ffff:192.0.2.1]:80"), "tcp://[::ffff:192.0.2.1]:80");
        assert_eq!(Address::UNNAMED.to_string(), "unix:(unnamed)");

        let path = |path: &[u8]| {
            let path = OsStr::from_bytes(path).into();
            Address::from(UnixName::Path(path)).to_string()
        };
        assert_eq!(path(b"/run/app.sock"), "unix:///run/app.sock");
        assert_eq!(path(b"//run/app"), "unix:////run/app");
        assert_eq!(path(b"app.sock"), "unix:app.sock");
        assert_eq!(path(b"@app"), "unix:%40app");
        assert_eq!(path(b"/a b?100%\n\xff"), "unix:///a%20b%3F100%25%0A%FF");
        assert_eq!(path("/grün".as_bytes()), "unix:///grün");
        let name = UnixName::Abstract((*b"a@\0b").into());
        assert_eq!(Address::from(name).to_string(), "unix:@a@%00b");
    }

    #[test]
    fn another_scheme_replaces_tcp_but_not_unix() {
        let tcp = Address::from("[::1]:443".parse::<SocketAddr>().unwrap());
        assert_eq!(tcp.with_scheme("tls").to_string(), "tls://[::1]:443");
        let unix = Address::from(UnixName::Path("/x".into()));
        assert_eq!(unix.with_scheme("tls").to_string(), "unix:///x");
        assert_eq!(tcp.clone().secured().to_string(), "tls://[::1]:443");
        assert_eq!(
            tcp.clone().secured().with_scheme("tcp").to_string(),
            tcp.to_string()
        );
        assert_eq!(unix.clone().secured(), unix);
    }

    #[test]
    fn tcp_addresses_convert_back_to_the_original_address() {
        for text in ["127.0.0.1:1", "[2001:db8::1]:65535", "[fe80::1%7]:80"] {
            let socket_addr: SocketAddr = text.parse().unwrap();
            let address = Address::from(socket_addr);
            assert_eq!(address.socket_addr(), Some(socket_addr));
            assert_eq!(address.ip(), Some(socket_addr.ip()));
            assert_eq!(address.port(), Some(socket_addr.port()));
            assert!(!address.is_unix());
            assert_eq!(
                Address::try_from(SocketAddrAny::from(socket_addr)).unwrap(),
                address
            );
            assert_eq!(
                Address::try_from(&socket2::SockAddr::from(socket_addr)).unwrap(),
                address
            );
        }
    }

    #[test]
    fn unix_addresses_of_all_libraries_convert_to_the_same_address() {
        let directory = TempDir::new();
        let path = directory.0.join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let named = Address::from(UnixName::Path(path.clone()));
        assert_eq!(Address::local_of(&listener).unwrap(), named);
        assert_eq!(Address::remote_of(&client).unwrap(), named);
        assert_eq!(Address::from(&listener.local_addr().unwrap()), named);
        let system = socket2::SockRef::from(&listener).local_addr().unwrap();
        assert_eq!(Address::try_from(&system).unwrap(), named);
        assert_eq!(named.unix_name().unwrap().path(), Some(&*path));

        assert_eq!(Address::local_of(&client).unwrap(), Address::UNNAMED);
        assert_eq!(
            Address::from(&client.local_addr().unwrap()),
            Address::UNNAMED
        );
        let system = socket2::SockRef::from(&client).local_addr().unwrap();
        assert_eq!(Address::try_from(&system).unwrap(), Address::UNNAMED);
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(Address::remote_of(&accepted).unwrap(), Address::UNNAMED);
        assert!(Address::UNNAMED.is_unix() && Address::UNNAMED.unix_name().is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn abstract_names_of_all_libraries_convert_to_the_same_address() {
        use std::os::linux::net::SocketAddrExt;

        let name = format!("uptick address test {}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let expected = Address::from(UnixName::Abstract(name.as_bytes().into()));
        assert_eq!(Address::local_of(&listener).unwrap(), expected);
        assert_eq!(Address::from(&address), expected);
        let system = socket2::SockRef::from(&listener).local_addr().unwrap();
        assert_eq!(Address::try_from(&system).unwrap(), expected);
        assert!(expected.is_unix() && expected.unix_name().unwrap().path().is_none());
    }

    #[test]
    fn other_address_families_are_an_error() {
        let error = Address::local_of(std::fs::File::open("/dev/null").unwrap()).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOTSOCK));
        #[cfg(target_os = "linux")]
        {
            let netlink =
                rustix::net::socket(AddressFamily::NETLINK, rustix::net::SocketType::RAW, None)
                    .unwrap();
            let error = Address::local_of(netlink).unwrap_err();
            assert_eq!(Errno::from_io_error(&error), Some(Errno::AFNOSUPPORT));
        }
    }

    struct TempDir(PathBuf);

    impl TempDir {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("uptick-address-{}", std::process::id()));
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
