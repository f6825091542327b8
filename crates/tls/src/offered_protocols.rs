//! The ALPN protocols that a server offers for a context that sets none.

use std::sync::Arc;

use rustls::ServerConfig;

/// The offered protocols, and the last configuration with them.
#[derive(Default)]
pub(crate) struct OfferedProtocols {
    protocols: Vec<Vec<u8>>,
    /// The last configuration of a context, and its copy with the protocols. Most servers have one certificate, and therefore
    /// use one configuration until the files are loaded again.
    last: Option<(Arc<ServerConfig>, Arc<ServerConfig>)>,
}

impl OfferedProtocols {
    /// Sets the protocols, the preferred one first. Names that ALPN cannot express are ignored: they have 1 to 255 bytes.
    pub(crate) fn set(&mut self, protocols: &[&str]) {
        let valid = protocols
            .iter()
            .filter(|name| (1..=255).contains(&name.len()));
        self.protocols = valid.map(|name| name.as_bytes().to_vec()).collect();
        self.last = None;
    }

    /// Returns a configuration that offers the protocols.
    pub(crate) fn apply(&mut self, config: Arc<ServerConfig>) -> Arc<ServerConfig> {
        if self.protocols.is_empty() {
            return config;
        }
        if let Some((base, copy)) = &self.last
            && Arc::ptr_eq(base, &config)
        {
            return Arc::clone(copy);
        }
        let mut copy = ServerConfig::clone(&config);
        copy.alpn_protocols.clone_from(&self.protocols);
        let copy = Arc::new(copy);
        self.last = Some((config, Arc::clone(&copy)));
        copy
    }
}
