//! A loaded context: a configuration of rustls for each certificate.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ResolvesServerCertUsingSni, ServerSessionMemoryCache,
};
use rustls::{ServerConfig, version};
use rustls_pki_types::{CertificateDer, ServerName};
use uptick_event_loop::now;

use crate::config::TlsConfig;
use crate::context::{Hook, TlsContext, TlsVersion};
use crate::error::Error;
use crate::files::Files;
use crate::identity::{Identity, ServerCert};
use crate::names::Names;
use crate::peers;
use crate::provider::provider;
use crate::tickets::{ClientPolicy, TicketKeys, Ticketer};
use crate::unknown::Unknown;

/// Everything that was loaded at once.
pub(crate) struct Loaded {
    default: Option<Default>,
    named: Names<Arc<ServerConfig>>,
    unknown: Mutex<Unknown>,
    factory: Factory,
    /// The files that were read.
    pub(crate) files: Files,
}

/// The certificate for clients that ask for no other.
struct Default {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

/// The common part of all configurations, which share the sessions that are kept.
struct Factory {
    base: ServerConfig,
    provider: Arc<CryptoProvider>,
    client_policy: ClientPolicy,
    /// `None` without tickets.
    ticket_keys: Option<TicketKeys>,
}

impl Factory {
    fn new(context: &TlsContext, files: &mut Files) -> Result<Factory, Error> {
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
        base.alpn_protocols.clone_from(&context.alpn_protocols);
        base.max_early_data_size = 0;
        // Needed to take the records over after the handshake.
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
        Ok(Factory {
            base,
            provider,
            client_policy: clients.policy,
            ticket_keys,
        })
    }

    fn make(
        &self,
        identity: &Identity,
        files: &mut Files,
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

impl Loaded {
    /// Reads and checks everything.
    pub(crate) fn load(context: &TlsContext) -> Result<Loaded, Error> {
        check_protocols(&context.alpn_protocols)?;
        let names = context.sni_server_certs.iter();
        let mut files = Files::default();
        let factory = Factory::new(context, &mut files)?;
        let default = factory.make(&context.identity, &mut files)?;
        if default.is_none() && names.len() == 0 && context.unknown_name.is_none() {
            let reason = "a server needs a certificate: set `local_cert` to a PEM file";
            return Err(Error::context(reason));
        }
        let mut named = Names::new();
        for (name, ServerCert(identity)) in names {
            if let Some((config, _)) = factory.make(identity, &mut files)? {
                named
                    .add(name, config)
                    .map_err(|reason| Error::context(format!("`sni_server_certs`: {reason}")))?;
            }
        }
        Ok(Loaded {
            default: default.map(|(config, certificate)| Default {
                config,
                certificate,
            }),
            named,
            unknown: Mutex::new(Unknown::new()),
            factory,
            files,
        })
    }

    /// Returns the configuration for a client that asks for a name, or for none.
    pub(crate) fn select(
        &self,
        name: Option<&str>,
        tls: &TlsConfig,
    ) -> Result<Arc<ServerConfig>, Error> {
        let default = self.default.as_ref();
        // Some clients send names with a trailing dot, against RFC 6066, section 3.
        let name = name.map(|name| name.strip_suffix('.').unwrap_or(name));
        if let Some(name) = name {
            if let Some(config) = self.named.find(name) {
                return Ok(Arc::clone(config));
            }
            if let Some(hook) = &tls.context().unknown_name
                && !default.is_some_and(|default| default.is_for(name))
                && let Some(config) = self.ask(hook, name.to_ascii_lowercase(), tls)?
            {
                return Ok(config);
            }
        }
        let config = default.map(|default| Arc::clone(&default.config));
        config.ok_or_else(|| Error::UnknownName {
            name: name.map(Into::into),
        })
    }

    /// Returns the configuration that the program has for a name, and keeps it.
    fn ask(
        &self,
        hook: &Hook,
        name: String,
        tls: &TlsConfig,
    ) -> Result<Option<Arc<ServerConfig>>, Error> {
        let now = now();
        let found = self.unknown().find(&name, tls.interval(), now);
        if let Some(found) = &found
            && !found.has_changed
        {
            return Ok(Some(Arc::clone(&found.config)));
        }
        // A callback that has panicked is called again.
        let mut hook = hook.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_none()
            && let Some(found) = self.unknown().find(&name, tls.interval(), now)
        {
            // Another thread has asked meanwhile.
            return Ok(Some(found.config));
        }
        let cert = hook(&name);
        let mut files = Files::default();
        let made = match cert {
            Some(ServerCert(identity)) => self.factory.make(&identity, &mut files),
            None => Ok(None),
        };
        match (made, found) {
            (Ok(Some((config, _))), _) => {
                self.unknown().add(name, Arc::clone(&config), files, now);
                Ok(Some(config))
            }
            (Ok(None), _) => {
                self.unknown().remove(&name);
                Ok(None)
            }
            (Err(error), Some(found)) => {
                // No lock is held while listeners run.
                drop(hook);
                tls.report(error);
                Ok(Some(found.config))
            }
            (Err(error), None) => Err(error),
        }
    }
}

impl Loaded {
    fn unknown(&self) -> MutexGuard<'_, Unknown> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default {
    /// Returns whether clients that ask for the name accept the certificate.
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

    /// A certificate for a name as PEM with its key.
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

    /// The name in the certificate that a client gets that asks for another, or for none; or why it gets none.
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
    fn the_name_that_a_client_asks_for_selects_the_certificate() {
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
    fn without_a_default_certificate_unknown_names_are_refused() {
        let certs = [("a.example.org", cert("a.example.org"))];
        let tls = TlsContext::new().sni_server_certs(certs).load().unwrap();
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(
            served(&tls, Some("b.example.org")),
            "the client asks for b.example.org, for which there is no certificate"
        );
        assert_eq!(
            served(&tls, None),
            "the client names no server (SNI), and there is no default certificate"
        );
    }

    #[test]
    fn a_bad_server_name_is_an_error_that_names_it() {
        let certs = [("a.*.org", cert("a.example.org"))];
        let error = TlsContext::new()
            .sni_server_certs(certs)
            .load()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "making a TLS context failed: `sni_server_certs`: `a.*.org` is no server name: `*` can only stand for the \
             whole first label, as in `*.example.org`"
        );
    }

    #[test]
    fn what_is_wrong_with_a_certificate_for_a_name_is_an_error_at_load() {
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
                "loading the private key from `local_pk_pem` failed: it does not belong to the certificate in `local_cert_pem`"
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

    /// The names for which a callback was called.
    #[derive(Clone, Default)]
    struct Asked(Arc<Mutex<Vec<String>>>);

    impl Asked {
        fn names(&self) -> Vec<String> {
            self.0.lock().unwrap().clone()
        }
    }

    /// A context that asks for names, and for which it has asked.
    fn asking(
        context: TlsContext,
        mut answer: impl FnMut(&str) -> Option<ServerCert> + Send + 'static,
    ) -> (TlsContext, Asked) {
        let asked = Asked::default();
        let log = asked.clone();
        let context = context.unknown_name(move |name| {
            log.0.lock().unwrap().push(name.to_owned());
            answer(name)
        });
        (context, asked)
    }

    #[test]
    fn a_program_is_asked_for_names_that_no_certificate_is_for_and_its_answer_is_kept() {
        let context =
            context("default.example").sni_server_certs([("b.example.org", cert("b.example.org"))]);
        let (context, asked) = asking(context, |name| {
            (name == "a.example.org").then(|| cert("a.example.org"))
        });
        let tls = context.load().unwrap();
        for _ in 0..2 {
            assert_eq!(served(&tls, Some("b.example.org")), "b.example.org");
            assert_eq!(served(&tls, Some("default.example")), "default.example");
            assert_eq!(served(&tls, None), "default.example");
        }
        assert!(asked.names().is_empty());
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(served(&tls, Some("A.EXAMPLE.org")), "a.example.org");
        assert_eq!(served(&tls, Some("c.example.org")), "default.example");
        assert_eq!(asked.names(), ["a.example.org", "c.example.org"]);
        tls.reload().unwrap();
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(asked.names().len(), 3);
    }

    #[test]
    fn a_program_alone_may_have_all_the_certificates() {
        let (context, _) = asking(TlsContext::new(), |name| {
            name.ends_with(".example.org").then(|| cert(name))
        });
        let tls = context.load().unwrap();
        assert_eq!(served(&tls, Some("c.example.org")), "c.example.org");
        assert_eq!(
            served(&tls, Some("other.example")),
            "the client asks for other.example, for which there is no certificate"
        );
    }

    #[test]
    fn the_callback_is_called_once_for_a_name_that_clients_of_several_threads_ask_for() {
        let begun = Arc::new(Barrier::new(2));
        let (context, asked) = asking(TlsContext::new(), |name| Some(cert(name)));
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
        assert_eq!(asked.names(), ["a.example.org"]);
    }

    #[test]
    fn what_a_program_gives_that_cannot_be_loaded_is_the_error_of_the_handshake() {
        let (context, asked) = asking(context("default.example"), |_| {
            Some("/nonexistent/a.pem".into())
        });
        let tls = context.load().unwrap();
        for _ in 0..2 {
            assert_eq!(
                served(&tls, Some("a.example.org")),
                "reading the certificate from /nonexistent/a.pem failed: No such file or directory (ENOENT)"
            );
        }
        assert_eq!(asked.names().len(), 2);
    }

    #[test]
    fn a_program_is_asked_again_when_the_files_that_it_gave_have_changed() {
        let clock = ManualClock::new();
        EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
        let path =
            std::env::temp_dir().join(format!("uptick-tls-asked-{}.pem", std::process::id()));
        let write = |name: &str| {
            let (cert, key) = pem(name);
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, format!("{cert}{key}")).unwrap();
        };
        write("a.example.org");
        let file = path.clone();
        let (context, asked) = asking(TlsContext::new(), move |_| Some(file.clone().into()));
        let tls = TlsConfig::from(context);
        let errors = Rc::new(RefCell::new(Vec::new()));
        let log = Rc::clone(&errors);
        tls.on("error", move |error: Error| {
            log.borrow_mut().push(error.to_string())
        });
        let ask = || served(&tls, Some("x.example"));
        assert_eq!(ask(), "a.example.org");
        clock.advance(Duration::from_secs(2));
        assert_eq!(ask(), "a.example.org");
        assert_eq!(asked.names().len(), 1);

        std::fs::write(&path, "broken").unwrap();
        assert_eq!(ask(), "a.example.org");
        for _ in 0..2 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(ask(), "a.example.org");
        }
        assert_eq!(asked.names().len(), 2);
        assert_eq!(errors.borrow().len(), 1, "{errors:?}");
        write("b.example.org");
        clock.advance(Duration::from_secs(1));
        assert_eq!(ask(), "b.example.org");
        assert_eq!(asked.names().len(), 3);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_program_that_reloads_while_it_is_asked_is_not_asked_again_meanwhile() {
        let config: Arc<Mutex<Option<TlsConfig>>> = Arc::default();
        let own = Arc::clone(&config);
        let (context, asked) = asking(TlsContext::new(), move |name| {
            let config = own.lock().unwrap().clone();
            config.unwrap().reload().unwrap();
            Some(cert(name))
        });
        let tls = context.load().unwrap();
        *config.lock().unwrap() = Some(tls.clone());
        assert_eq!(served(&tls, Some("a.example.org")), "a.example.org");
        assert_eq!(asked.names().len(), 1);
        config.lock().unwrap().take();
    }
}
