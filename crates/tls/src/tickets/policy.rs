//! The conditions under which a ticket is issued, as far as a resumed handshake does not check them again.
//!
//! A resumed handshake verifies no certificate, neither the client's nor the server's. So a ticket is only accepted where a full
//! handshake would ask the client for the same certificate, and where the server's certificate is for the same names. The key or
//! the issuer of the server's certificate are no condition: they change when it is renewed.

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::crypto::{Crypto, KEY};
#[cfg(feature = "x509")]
use crate::certificate;
use crate::peers::VerifyPeer;

/// The conditions for clients: whether they are asked for a certificate, and by whom it has to be issued.
#[derive(Clone, Copy)]
pub(crate) struct ClientPolicy {
    hash: [u8; KEY],
    verifies_clients: bool,
}

/// The conditions for clients, and the names of the server.
#[derive(Clone, Copy)]
pub(crate) struct Policy {
    hash: [u8; KEY],
    pub(super) verifies_clients: bool,
}

impl ClientPolicy {
    /// Returns `None` if the provider lacks the hash.
    pub(crate) fn new(verify: VerifyPeer, roots: Option<&RootCertStore>) -> Option<Self> {
        let mode: &[u8] = match verify {
            VerifyPeer::No => b"no",
            VerifyPeer::Optional => b"optional",
            VerifyPeer::Required => b"required",
        };
        let roots = roots.map_or(&[][..], |roots| &roots.roots);
        let mut anchors: Vec<[&[u8]; 3]> = roots
            .iter()
            .map(|root| {
                let constraints = root.name_constraints.as_ref();
                [
                    &*root.subject,
                    &*root.subject_public_key_info,
                    constraints.map_or(&[], |it| it),
                ]
            })
            .collect();
        // Their order in the file is no condition.
        anchors.sort_unstable();
        anchors.dedup();
        let anchors = anchors.iter().flatten().copied();
        let parts = [b"uptick client policy", mode].into_iter().chain(anchors);
        Some(ClientPolicy {
            hash: Crypto::new()?.hash(parts)?,
            verifies_clients: verify != VerifyPeer::No,
        })
    }

    /// Returns the policy of the server with this certificate.
    pub(crate) fn for_server(&self, certificate: &CertificateDer<'_>) -> Option<Policy> {
        let names = names_of(certificate);
        let names = names.iter().map(Vec::as_slice);
        let parts = [b"uptick server policy", &self.hash[..]]
            .into_iter()
            .chain(names);
        Some(Policy {
            hash: Crypto::new()?.hash(parts)?,
            verifies_clients: self.verifies_clients,
        })
    }
}

/// Returns the names of a certificate. Where it cannot be parsed, it has to be the same certificate.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<Vec<u8>> {
    #[cfg(feature = "x509")]
    if let Ok(names) = certificate::names_of(certificate) {
        return names;
    }
    vec![certificate.to_vec()]
}

impl Policy {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.hash
    }
}
