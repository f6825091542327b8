//! A loaded context: a rustls configuration for each certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ResolvesServerCertUsingSni, ServerSessionMemoryCache,
};
use rustls::{ServerConfig, version};
use rustls_pki_types::{CertificateDer, ServerName};
use uptick_event_loop::now;

use crate::callback_certificates::CallbackCertificates;
use crate::config::TlsConfig;
use crate::context::{TlsContext, TlsVersion, UnknownNameCallback};
use crate::error::Error;
use crate::files::FileStates;
use crate::identity::{Identity, ServerCert};
use crate::names::NameMap;
use crate::peers;
use crate::provider::provider;
use crate::tickets::{ClientPolicy, TicketKeys, Ticketer};

/// The configurations that were loaded from a context.
pub(crate) struct LoadedContext {
    default: Option<DefaultCertificate>,
    named: NameMap<Arc<ServerConfig>>,
    callback_certificates: Mutex<CallbackCertificates>,
    factory: ConfigFactory,
    /// The files that were read.
    pub(crate) files: FileStates,
}

/// The certificate for clients that request no name or another one.
struct DefaultCertificate {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

/// The common part of all configurations, which share the kept sessions.
struct ConfigFactory {
    base: ServerConfig,
    provider: Arc<CryptoProvider>,
    client_policy: ClientPolicy,
    /// The ticket keys; `None` without tickets.
    ticket_keys: Option<TicketKeys>,
}

impl ConfigFactory {
    fn new(context: &TlsContext, files: &mut FileStates) -> Result<ConfigFactory, Error> {
        let provider = provider();
        let versions: &[_] = match context.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let cafile = context.cafile.as_ref();
        let clients = peers::client_auth(context.verify_peer, cafile, &provider, files)?;
        let failed = |error: rustls::Error| Error::context(error.to_string());
        let mut base = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(failed)?
            .with_client_cert_verifier(clients.verifier)
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        if let Some(protocols) = &context.alpn_protocols {
            base.alpn_protocols.clone_from(protocols);
        }
        base.max_early_data_size = 0;
        // Required to extract the keys after the handshake.
        base.enable_secret_extraction = true;
        base.send_tls13_tickets = context.session_tickets;
        base.session_storage = match context.session_cache {
            0 => Arc::new(NoServerSessionStorage {}),
            count => ServerSessionMemoryCache::new(count),
        };
        let ticket_keys = match (context.session_tickets, &context.ticket_keys) {
            (0, _) => None,
            (_, Some(keys)) => Some(keys.clone()),
            (_, None) => Some(TicketKeys::of_process()?),
        };
        Ok(ConfigFactory {
            base,
            provider,
            client_policy: clients.policy,
            ticket_keys,
        })
    }

    fn build(
        &self,
        identity: &Identity,
        files: &mut FileStates,
    ) -> Result<Option<(Arc<ServerConfig>, CertificateDer<'static>)>, Error> {
        let Some(identity) = identity.load(files)? else {
            return Ok(None);
        };
        let Some(certificate) = identity.chain.first().cloned() else {
            return Ok(None);
        };
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(identity.resolver(&self.provider)?);
        if let Some(keys) = &self.ticket_keys
            && let Some(policy) = self.client_policy.for_server(&certificate)
        {
            config.ticketer = Arc::new(Ticketer::new(keys.clone(), policy));
        }
        Ok(Some((Arc::new(config), certificate)))
    }
}

impl LoadedContext {
    /// Reads and checks all files.
    pub(crate) fn load(context: &TlsContext) -> Result<LoadedContext, Error> {
        check_protocols(context.alpn_protocols.as_deref().unwrap_or_default())?;
        let names = context.sni_server_certs.iter();
        let mut files = FileStates::default();
        let factory = ConfigFactory::new(context, &mut files)?;
        let default = factory.build(&context.identity, &mut files)?;
        if default.is_none() && names.len() == 0 && context.unknown_name.is_none() {
            let reason = "a server needs a certificate: set `local_cert` to a PEM file";
            return Err(Error::context(reason));
        }
        let mut named = NameMap::new();
        for (name, ServerCert(identity)) in names {
            if let Some((config, _)) = factory.build(identity, &mut files)? {
                named
                    .add(name, config)
                    .map_err(|reason| Error::context(format!("`sni_server_certs`: {reason}")))?;
            }
        }
        Ok(LoadedContext {
            default: default.map(|(config, certificate)| DefaultCertificate {
                config,
                certificate,
            }),
            named,
            callback_certificates: Mutex::new(CallbackCertificates::new()),
            factory,
            files,
        })
    }

    /// Returns the configuration for a client that requests a name or none.
    pub(crate) fn select(
        &self,
        name: Option<&str>,
        tls: &TlsConfig,
    ) -> Result<Arc<ServerConfig>, Error> {
        let default = self.default.as_ref();
        // Some clients send a trailing dot, which RFC 6066, section 3 does not allow.
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        if let Some(name) = name {
            if let Some(config) = self.named.find(name) {
                return Ok(Arc::clone(config));
            }
            if let Some(callback) = &tls.context().unknown_name
                && !default.is_some_and(|default| default.is_for(name))
                && let Some(config) =
                    self.select_by_callback(callback, name.to_ascii_lowercase(), tls)?
            {
                return Ok(config);
            }
        }
        let config = default.map(|default| Arc::clone(&default.config));
        config.ok_or_else(|| Error::UnknownName {
            name: name.map(Into::into),
        })
    }

    /// Returns the configuration of the callback's certificate for a name, and caches it.
    fn select_by_callback(
        &self,
        callback: &UnknownNameCallback,
        name: String,
        tls: &TlsConfig,
    ) -> Result<Option<Arc<ServerConfig>>, Error> {
        let now = now();
        let found = self
            .callback_certificates()
            .find(&name, tls.interval(), now);
        if let Some(found) = &found
            && !found.has_changed
        {
            return Ok(Some(Arc::clone(&found.config)));
        }
        // The callback may be called again after a panic.
        let mut callback = callback.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none()
            && let Some(found) = self
                .callback_certificates()
                .find(&name, tls.interval(), now)
        {
            // Another thread has called the callback in the meantime.
            return Ok(Some(found.config));
        }
        let cert = callback(&name);
        let mut files = FileStates::default();
        let built = match cert {
            Some(ServerCert(identity)) => self.factory.build(&identity, &mut files),
            None => Ok(None),
        };
        match (built, found) {
            (Ok(Some((config, _))), _) => {
                self.callback_certificates()
                    .add(name, Arc::clone(&config), files, now);
                Ok(Some(config))
            }
            (Ok(None), _) => {
                self.callback_certificates().remove(&name);
                Ok(None)
            }
            (Err(error), Some(found)) => {
                // No lock is held while listeners run.
                drop(callback);
                tls.report(error);
                Ok(Some(found.config))
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl LoadedContext {
    fn callback_certificates(&self) -> MutexGuard<'_, CallbackCertificates> {
        self.callback_certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl DefaultCertificate {
    /// Returns `true` if the certificate is valid for the name.
    fn is_for(&self, name: &str) -> bool {
        let (Ok(certificate), Ok(name)) = (
            ParsedCertificate::try_from(&self.certificate),
            ServerName::try_from(name),
        ) else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }
}

fn check_protocols(protocols: &[Vec<u8>]) -> Result<(), Error> {
    match protocols
        .iter()
        .map(Vec::len)
        .find(|length| !(1..=255).contains(length))
    {
        Some(length) => Err(Error::context(format!(
            "the name of an ALPN protocol has 1 to 255 bytes, and one of `alpn_protocols` has {length}"
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::sync::Barrier;
    use std::thread;
    use std::time::Duration;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::server::Acceptor;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use uptick_emitter::Emitter;
    use uptick_event_loop::{EventLoop, ManualClock, MioPoller};

    use super::*;

    /// Returns a certificate for a name and its key, in PEM.
    fn pem(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        (cert.pem(), key.serialize_pem())
    }

    fn cert(name: &str) -> ServerCert {
        let (cert, key) = pem(name);
        ServerCert::from_pem(cert, key)
    }

    fn context(name: &str) -> TlsContext {
        let (cert, key) = pem(name);
        TlsContext::new().local_cert_pem(cert).local_pk_pem(key)
    }

    /// Returns the names for which the certificate is valid that a client gets when it requests `name`, or the error.
    fn served(tls: &TlsConfig, name: Option<&str>) -> String {
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        client.enable_sni = name.is_some();
        let server = ServerName::try_from(name.unwrap_or("none").to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), server).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &hello[..]).unwrap();
        let accepted = acceptor.accept().unwrap().unwrap();
        let config = match tls.select(&accepted.client_hello()) {
            Ok(config) => config,
            Err(error) => return error.to_string(),
        };
        let certified = config.cert_resolver.resolve(accepted.client_hello());
        let certified = certified.unwrap();
        let own = ParsedCertificate::try_from(&certified.cert[0]).unwrap();
        let names = [
            "default.example",
            "a.example.org",
            "b.example.org",
            "c.example.org",
            "other.example",
        ];
        let is_for = |name: &&str| {
            let name = ServerName::try_from(*name).unwrap();
            verify_server_name(&own, &name).is_ok()
        };
        names
            .into_iter()
            .filter(is_for)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_requested_name_selects_the_certificate() {
        let tls = context("default.example")
            .sni_server_certs([
                ("*.example.org", cert("b.example.org")),
                ("A.example.org", cert("a.example.org")),
            ])
            .load()
            .unwrap();
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(served(&tls, Some("x.example.org")), "b.example.org");
        for name in [
            Some("a.b.example.org"),
            Some("example.org"),
            Some("127.0.0.1"),
            None,
        ] {
            assert_eq!(served(&tls, name), "default.example", "{name:?}");
        }
    }

    #[test]
    fn unknown_names_are_refused_without_a_default_certificate() {
        let certs = [("a.example.org", cert("a.example.org"))];
        let tls = TlsContext::new().sni_server_certs(certs).load().unwrap();
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(
            served(&tls, Some("b.example.org")),
            "the client requested b.example.org, for which there is no certificate"
        );
        assert_eq!(
            served(&tls, None),
            "the client sent no server name (SNI), and there is no default certificate"
        );
    }

    #[test]
    fn the_error_for_an_invalid_server_name_contains_it() {
        let certs = [("a.*.org", cert("a.example.org"))];
        let error = TlsContext::new()
            .sni_server_certs(certs)
            .load()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "creating a TLS context failed: `sni_server_certs`: `a.*.org` is not a valid server name: `*` is only allowed as the \
             whole first label, as in `*.example.org`"
        );
    }

    #[test]
    fn an_invalid_certificate_for_a_name_is_an_error_when_loading() {
        let (cert, _) = pem("a.example.org");
        let (_, key) = pem("a.example.org");
        let certs = [("a.example.org", ServerCert::from_pem(cert, key))];
        let error = context("default.example")
            .sni_server_certs(certs)
            .load()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(
                "loading the private key from `local_pk_pem` failed: it does not match the first certificate in `local_cert_pem`"
            ),
            "{text}"
        );
        let certs = [("a.example.org", "/nonexistent/a.pem")];
        let error = TlsContext::new()
            .sni_server_certs(certs)
            .load()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "reading the certificate from /nonexistent/a.pem failed: No such file or directory (ENOENT)"
        );
    }

    /// The names with which a callback was called.
    #[derive(Clone, Default)]
    struct CalledNames(Arc<Mutex<Vec<String>>>);

    impl CalledNames {
        fn names(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    /// Adds a callback to a context, and returns the names with which it is called.
    fn with_callback(
        context: TlsContext,
        mut certificate: impl FnMut(&str) -> Option<ServerCert> + Send + 'static,
    ) -> (TlsContext, CalledNames) {
        let called = CalledNames::default();
        let log = called.clone();
        let context = context.unknown_name(move |name| {
            log.0.lock().unwrap().push(name.to_owned());
            certificate(name)
        });
        (context, called)
    }

    #[test]
    fn the_callback_is_called_for_unknown_names_and_its_certificate_is_cached() {
        let context =
            context("default.example").sni_server_certs([("b.example.org", cert("b.example.org"))]);
        let (context, called) = with_callback(context, |name| {
            (name == "a.example.org").then(|| cert("a.example.org"))
        });
        let tls = context.load().unwrap();
        for _ in 0..2 {
            assert_eq!(served(&tls, Some("b.example.org")), "b.example.org");
            assert_eq!(served(&tls, Some("default.example")), "default.example");
            assert_eq!(served(&tls, None), "default.example");
        }
        assert!(called.names().is_empty());
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(served(&tls, Some("A.EXAMPLE.org")), "a.example.org");
        assert_eq!(served(&tls, Some("c.example.org")), "default.example");
        assert_eq!(called.names(), ["a.example.org", "c.example.org"]);
        tls.reload().unwrap();
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(called.names().len(), 3);
    }

    #[test]
    fn all_certificates_may_come_from_the_callback() {
        let (context, _) = with_callback(TlsContext::new(), |name| {
            name.ends_with(".example.org").then(|| cert(name))
        });
        let tls = context.load().unwrap();
        assert_eq!(served(&tls, Some("c.example.org")), "c.example.org");
        assert_eq!(
            served(&tls, Some("other.example")),
            "the client requested other.example, for which there is no certificate"
        );
    }

    #[test]
    fn the_callback_is_called_once_for_a_name_requested_on_several_threads() {
        let begun = Arc::new(Barrier::new(2));
        let (context, called) = with_callback(TlsContext::new(), |name| Some(cert(name)));
        let tls = context.load().unwrap();
        let threads = [(); 2].map(|()| {
            let (tls, begun) = (tls.clone(), Arc::clone(&begun));
            thread::spawn(move || {
                begun.wait();
                served(&tls, Some("a.example.org"))
            })
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), "a.example.org");
        }
        assert_eq!(called.names(), ["a.example.org"]);
    }

    #[test]
    fn a_handshake_fails_if_the_certificate_of_the_callback_cannot_be_loaded() {
        let (context, called) = with_callback(context("default.example"), |_| {
            Some("/nonexistent/a.pem".into())
        });
        let tls = context.load().unwrap();
        for _ in 0..2 {
            assert_eq!(
                served(&tls, Some("a.example.org")),
                "reading the certificate from /nonexistent/a.pem failed: No such file or directory (ENOENT)"
            );
        }
        assert_eq!(called.names().len(), 2);
    }

    #[test]
    fn the_callback_is_called_again_when_its_files_have_changed() {
        let clock = ManualClock::new();
        EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
        let path =
            std::env::temp_dir().join(format!("uptick-tls-callback-{}.pem", std::process::id()));
        let write = |name: &str| {
            let (cert, key) = pem(name);
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, format!("{cert}{key}")).unwrap();
        };
        write("a.example.org");
        let file = path.clone();
        let (context, called) =
            with_callback(TlsContext::new(), move |_| Some(file.clone().into()));
        let tls = TlsConfig::from(context);
        let errors = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&errors);
        tls.on("error", move |error: Error| {
            log.borrow_mut().push(error.to_string())
        });
        let request = || served(&tls, Some("x.example"));
        assert_eq!(request(), "a.example.org");
        clock.advance(Duration::from_secs(2));
        assert_eq!(request(), "a.example.org");
        assert_eq!(called.names().len(), 1);

        std::fs::write(&path, "broken").unwrap();
        assert_eq!(request(), "a.example.org");
        for _ in 0..2 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(request(), "a.example.org");
        }
        assert_eq!(called.names().len(), 2);
        assert_eq!(errors.borrow().len(), 1, "{errors:?}");
        write("b.example.org");
        clock.advance(Duration::from_secs(1));
        assert_eq!(request(), "b.example.org");
        assert_eq!(called.names().len(), 3);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_callback_that_reloads_is_not_called_recursively() {
        let config: Arc<Mutex<Option<TlsConfig>>> = Arc::default();
        let own = Arc::clone(&config);
        let (context, called) = with_callback(TlsContext::new(), move |name| {
            let config = own.lock().unwrap().clone();
            config.unwrap().reload().unwrap();
            Some(cert(name))
        });
        let tls = context.load().unwrap();
        *config.lock().unwrap() = Some(tls.clone());
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(called.names().len(), 1);
        config.lock().unwrap().take();
    }
}
