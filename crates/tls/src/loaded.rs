//! What a context is once its files are read: a configuration of rustls for each certificate.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::server::{
    NoServerSessionStorage, ParsedCertificate, ResolvesServerCertUsingSni, ServerSessionMemoryCache,
};
use rustls::{ServerConfig, version};
use rustls_pki_types::{CertificateDer, ServerName};

use crate::context::{TlsContext, TlsVersion};
use crate::error::Error;
use crate::files::Files;
use crate::identity::{Identity, ServerCert};
use crate::names::Names;
use crate::peers;
use crate::provider::{provider, ticketer};
use crate::unknown::Unknown;

/// Everything that was loaded at once. Sessions of one cannot be resumed with another.
pub(crate) struct Loaded {
    default: Option<Default>,
    named: Names<Arc<ServerConfig>>,
    unknown: RefCell<Unknown>,
    factory: Factory,
    /// What was read.
    pub(crate) files: Files,
}

/// The certificate for those who ask for no other.
struct Default {
    config: Arc<ServerConfig>,
    certificate: CertificateDer<'static>,
}

/// Makes the configuration for one more certificate; all share their sessions.
struct Factory {
    base: ServerConfig,
    provider: Arc<CryptoProvider>,
}

impl Factory {
    fn new(context: &TlsContext, files: &mut Files) -> Result<Factory, Error> {
        let provider = provider();
        let versions: &[_] = match context.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let cafile = context.cafile.as_ref();
        let verifier = peers::verifier(context.verify_peer, cafile, &provider, files)?;
        let failed = |error: rustls::Error| Error::context(error.to_string());
        let mut base = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(failed)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
        base.alpn_protocols.clone_from(&context.alpn_protocols);
        base.max_early_data_size = 0;
        base.send_tls13_tickets = context.session_tickets;
        if context.session_tickets > 0 {
            base.ticketer = ticketer().map_err(failed)?;
        }
        base.session_storage = match context.session_cache {
            0 => Arc::new(NoServerSessionStorage {}),
            count => ServerSessionMemoryCache::new(count),
        };
        Ok(Factory { base, provider })
    }

    fn make(
        &self,
        identity: &Identity,
        files: &mut Files,
    ) -> Result<Option<(Arc<ServerConfig>, CertificateDer<'static>)>, Error> {
        let Some(identity) = identity.load(files)? else {
            return Ok(None);
        };
        let certificate = identity.chain.first().cloned();
        let mut config = self.base.clone();
        config.cert_resolver = Arc::new(identity.resolver(&self.provider)?);
        Ok(certificate.map(|certificate| (Arc::new(config), certificate)))
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
            unknown: RefCell::new(Unknown::new()),
            factory,
            files,
        })
    }

    /// The configuration for a client that asks for a name, or for none.
    pub(crate) fn select(
        &self,
        name: Option<&str>,
        context: &TlsContext,
    ) -> Result<Arc<ServerConfig>, Error> {
        let Some(name) = name else {
            let default = self.default.as_ref();
            return default
                .map(|default| Arc::clone(&default.config))
                .ok_or(Error::UnknownName { name: None });
        };
        if let Some(config) = self.named.find(name) {
            return Ok(Arc::clone(config));
        }
        if let Some(hook) = &context.unknown_name
            && !self.default.as_ref().is_some_and(|it| it.is_for(name))
        {
            let name = name.to_ascii_lowercase();
            if let Some(config) = self.unknown.borrow_mut().find(&name) {
                return Ok(config);
            }
            // It is running already when it handles an event of its own making.
            let cert = hook.try_borrow_mut().ok().and_then(|mut hook| hook(&name));
            if let Some(ServerCert(identity)) = cert
                && let Some((config, _)) = self.factory.make(&identity, &mut Files::default())?
            {
                self.unknown.borrow_mut().add(name, Arc::clone(&config));
                return Ok(config);
            }
        }
        match &self.default {
            Some(default) => Ok(Arc::clone(&default.config)),
            None => Err(Error::UnknownName {
                name: Some(name.into()),
            }),
        }
    }
}

impl Default {
    /// Whether clients that ask for the name accept the certificate.
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
