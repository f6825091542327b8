//! The settings of a TLS server.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::config::TlsConfig;
use crate::error::Error;
use crate::identity::{Identity, ServerCert};
use crate::peers::VerifyPeer;
use crate::pem::{Passphrase, PemSource};
use crate::tickets::TicketKeys;

/// The default number of TLS 1.3 tickets for a client.
const TICKETS: usize = 1;

/// The default number of TLS 1.2 sessions that are kept for clients that do not support tickets.
const SESSIONS: usize = 256;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::V1_2 => "TLS 1.2",
            TlsVersion::V1_3 => "TLS 1.3",
        })
    }
}

/// The settings of a [`SecureServer`](crate::SecureServer): certificates, private keys, protocols.
///
/// There are two ways to load it. [`load`](TlsContext::load) reads and checks all files at once, and returns an error if loading
/// fails. If an unloaded context is passed to a `SecureServer`, the files are read at the first handshake, and handshakes fail with the
/// error. A context can be sent to other threads. To share the loaded certificates between threads, pass them clones of the [`TlsConfig`]
/// that `load` returns.
///
/// # Limits
/// Files are regular files of at most 1 MiB. Decrypting a private key takes at most 2,000,000 rounds of PBKDF2, or 128 MiB of memory for scrypt.
/// Early data (0-RTT) is never accepted.
///
/// # Examples
/// ```no_run
/// use uptick_tls::{TlsContext, TlsVersion};
///
/// let tls = TlsContext::new()
///     .local_cert("/etc/ssl/example.org.pem")
///     .local_pk("/etc/ssl/private/example.org.key")
///     .alpn_protocols(["http/1.1"])
///     .min_version(TlsVersion::V1_3)
///     .load()?;
/// # Ok::<(), uptick_tls::Error>(())
/// ```
#[derive(Clone)]
pub struct TlsContext {
    pub(crate) identity: Identity,
    pub(crate) sni_server_certs: Vec<(String, ServerCert)>,
    pub(crate) unknown_name: Option<UnknownNameCallback>,
    /// The ALPN protocols; `None` for those of the server that uses the connections.
    pub(crate) alpn_protocols: Option<Vec<Vec<u8>>>,
    pub(crate) min_version: TlsVersion,
    pub(crate) verify_peer: Option<VerifyPeer>,
    pub(crate) cafile: Option<PemSource>,
    pub(crate) session_tickets: usize,
    /// The ticket keys; `None` for the keys of the process.
    pub(crate) ticket_keys: Option<TicketKeys>,
    pub(crate) session_cache: usize,
    /// The interval of file checks; `None` if it is not set, `Some(None)` for never.
    pub(crate) reload_on_change: Option<Option<Duration>>,
}

/// The callback that returns certificates for names that are not in the context.
pub(crate) type UnknownNameCallback = Arc<Mutex<dyn FnMut(&str) -> Option<ServerCert> + Send>>;

impl TlsContext {
    /// Creates a context without a certificate. Set one before loading it.
    pub fn new() -> Self {
        TlsContext {
            identity: Identity::default(),
            sni_server_certs: Vec::new(),
            unknown_name: None,
            alpn_protocols: None,
            min_version: TlsVersion::default(),
            verify_peer: None,
            cafile: None,
            session_tickets: TICKETS,
            ticket_keys: None,
            session_cache: SESSIONS,
            reload_on_change: None,
        }
    }

    /// Sets the PEM file with the certificate, followed by those of its issuers, and with the private key if it is not in its own
    /// file. Default: none, which is an error unless [`sni_server_certs`](TlsContext::sni_server_certs) or
    /// [`unknown_name`](TlsContext::unknown_name) is set.
    pub fn local_cert(mut self, path: impl Into<PathBuf>) -> Self {
        self.identity.cert = Some(PemSource::File(path.into()));
        self
    }

    /// Sets the certificate as PEM text instead of a file. Default: none.
    pub fn local_cert_pem(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.identity.cert = Some(PemSource::text("local_cert_pem", text));
        self
    }

    /// Sets the PEM file with the private key: PKCS#8, PKCS#1 or SEC 1, encrypted or not. Default: the file of the
    /// certificate.
    pub fn local_pk(mut self, path: impl Into<PathBuf>) -> Self {
        self.identity.key = Some(PemSource::File(path.into()));
        self
    }

    /// Sets the private key as PEM text instead of a file. Default: the key in the certificate's file or text.
    pub fn local_pk_pem(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.identity.key = Some(PemSource::text("local_pk_pem", text));
        self
    }

    /// Sets the passphrase of the private key. It is ignored if the key is not encrypted.
    ///
    /// Keys may be encrypted PKCS#8 (PBES2 with AES, and PBKDF2 or scrypt, as `openssl genpkey -aes256` and
    /// `openssl pkcs8 -topk8` write them). With the feature `legacy-keys` they may also be PKCS#8 with 3DES or with PBKDF2 by SHA-1, or
    /// PEM with `Proc-Type: 4,ENCRYPTED` and AES-CBC or 3DES; without it they are refused with an error that names the feature. The passphrase
    /// is erased from memory when the context is dropped. Default: none.
    pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
        self.identity.passphrase = Some(Passphrase::new(passphrase));
        self
    }

    /// Sets the certificates by requested server name (SNI, RFC 6066, section 3).
    ///
    /// Names are exact, or wildcards such as `*.example.org`, where `*` matches exactly one label; exact names take precedence. A client
    /// that requests another name or none gets [`local_cert`](TlsContext::local_cert); without one it is refused.
    /// Default: none.
    ///
    /// # Examples
    /// ```no_run
    /// use uptick_tls::{ServerCert, TlsContext};
    ///
    /// let tls = TlsContext::new()
    ///     .local_cert("example.org.pem")
    ///     .sni_server_certs([("*.example.org", "wildcard.pem"), ("example.com", "example.com.pem")])
    ///     .load()?;
    /// # Ok::<(), uptick_tls::Error>(())
    /// ```
    pub fn sni_server_certs<N: Into<String>, C: Into<ServerCert>>(
        mut self,
        certs: impl IntoIterator<Item = (N, C)>,
    ) -> Self {
        self.sni_server_certs = certs
            .into_iter()
            .map(|(name, cert)| (name.into(), cert.into()))
            .collect();
        self
    }

    /// Sets a callback that returns the certificate for a name that neither
    /// [`sni_server_certs`](TlsContext::sni_server_certs) nor the default certificate has. The name is a valid DNS name in
    /// lower case.
    ///
    /// The certificate is loaded and kept until the next reload; if loading fails, the handshake fails with that error. If the
    /// callback returns `None`, the client gets [`local_cert`](TlsContext::local_cert), and without one it is refused. The
    /// callback runs on the thread of the handshake and blocks it. It is called by one thread at a time. Default:
    /// none.
    ///
    /// # Limits
    /// 1,024 certificates are kept; beyond that the oldest one is dropped. For names without a certificate the callback runs for
    /// each handshake.
    pub fn unknown_name(
        mut self,
        callback: impl FnMut(&str) -> Option<ServerCert> + Send + 'static,
    ) -> Self {
        self.unknown_name = Some(Arc::new(Mutex::new(callback)));
        self
    }

    /// Sets the supported protocols (ALPN, RFC 7301), the preferred one first. A client that offers
    /// only other protocols is refused; a client that offers none is accepted. An empty list disables ALPN.
    ///
    /// Default: the protocols of the server that uses the connections ([`ServerInterface::offer_protocols`]), such as `http/1.1`
    /// for an HTTP server, or none.
    ///
    /// [`ServerInterface::offer_protocols`]: uptick_socket::ServerInterface::offer_protocols
    pub fn alpn_protocols<P: Into<Vec<u8>>>(
        mut self,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        self.alpn_protocols = Some(protocols.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the oldest supported version of the protocol. Default: TLS 1.2.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Sets the verification of client certificates; `true` is [`VerifyPeer::Required`].
    /// [`cafile`](TlsContext::cafile) sets the accepted CAs. Default: no certificate is requested.
    pub fn verify_peer(mut self, verify: impl Into<VerifyPeer>) -> Self {
        self.verify_peer = Some(verify.into());
        self
    }

    /// Sets the PEM file with the CA certificates that are accepted for client certificates; requires
    /// [`verify_peer`](TlsContext::verify_peer). Default: none.
    pub fn cafile(mut self, path: impl Into<PathBuf>) -> Self {
        self.cafile = Some(PemSource::File(path.into()));
        self
    }

    /// Sets the number of session tickets for a client; 0 disables tickets. Each ticket can resume the session within 12 hours.
    ///
    /// A ticket is the session itself, encrypted with [`ticket_keys`](TlsContext::ticket_keys), so that the server stores nothing.
    /// A TLS 1.2 client gets at most one ticket. Clients that open many connections at once can use more; each costs
    /// about 5 % of a handshake. Default: 1.
    pub fn session_tickets(mut self, count: usize) -> Self {
        self.session_tickets = count;
        self
    }

    /// Sets the keys that encrypt session tickets.
    ///
    /// Tickets are accepted by all contexts with the same keys, on any thread and after a reload, provided that clients are
    /// verified in the same way and that the server's certificate has the same names; see [`TicketKeys`]. Default:
    /// [`TicketKeys::of_process`].
    pub fn ticket_keys(mut self, keys: TicketKeys) -> Self {
        self.ticket_keys = Some(keys);
        self
    }

    /// Sets the number of TLS 1.2 sessions that are kept for clients that do not support tickets; 0 for none. Default: 256.
    pub fn session_cache(mut self, sessions: usize) -> Self {
        self.session_cache = sessions;
        self
    }

    /// Sets the minimum interval between checks of the files, which happen when a handshake begins. If a file has changed,
    /// all files are loaded again. `None` disables the checks. See [`TlsConfig`]. Default: `None` after
    /// [`load`](TlsContext::load), otherwise 1 s.
    pub fn reload_on_change(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.reload_on_change = Some(interval.into());
        self
    }

    /// Reads the files and checks their content.
    ///
    /// # Errors
    /// [`Error::Read`] if a file cannot be read; [`Error::Load`] if it contains no certificate or no key, if they do not
    /// match or cannot be used, if the passphrase is missing or wrong, and if the certificate has expired or
    /// is not valid yet; [`Error::Context`] if no certificate is set, if a protocol's or server's name is invalid, and
    /// if a setting requires another one that is not set; [`Error::TicketKeys`] if ticket keys cannot be created.
    pub fn load(&self) -> Result<TlsConfig, Error> {
        TlsConfig::load(self.clone())
    }
}

impl Default for TlsContext {
    fn default() -> Self {
        TlsContext::new()
    }
}

impl fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsContext")
            .field("local_cert", &self.identity.cert)
            .field("local_pk", &self.identity.key)
            .field("passphrase", &self.identity.passphrase)
            .field("sni_server_certs", &self.sni_server_certs)
            .field("unknown_name", &self.unknown_name.is_some())
            .field("alpn_protocols", &self.alpn_protocols)
            .field("min_version", &self.min_version)
            .field("verify_peer", &self.verify_peer)
            .field("cafile", &self.cafile)
            .field("session_tickets", &self.session_tickets)
            .field("ticket_keys", &self.ticket_keys)
            .field("session_cache", &self.session_cache)
            .field("reload_on_change", &self.reload_on_change)
            .finish()
    }
}
