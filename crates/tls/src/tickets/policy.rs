//! The conditions of a ticket that a resumed handshake does not check again.
//!
//! A resumed handshake verifies no certificate, neither the client's nor the server's. So a ticket is only accepted if a full
//! handshake would request the same client certificate, and if the server's certificate has the same names. The key and
//! the issuer of the server's certificate are not conditions: they change when it is renewed.

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::crypto::{Crypto, KEY_LENGTH};
#[cfg(feature = "x509")]
use crate::certificate;
use crate::peers::VerifyPeer;

/// The conditions for clients: the verification mode and the accepted CAs.
#[derive(Clone, Copy)]
pub(crate) struct ClientPolicy {
    hash: [u8; KEY_LENGTH],
    verifies_clients: bool,
}

/// The conditions of a ticket: those for clients, and the names of the server.
#[derive(Clone, Copy)]
pub(crate) struct TicketPolicy {
    hash: [u8; KEY_LENGTH],
    pub(super) verifies_clients: bool,
}

impl ClientPolicy {
    /// Creates the policy. Returns `None` if the provider does not support the hash.
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
        // The order of the roots in the file does not matter.
        anchors.sort_unstable();
        anchors.dedup();
        let anchors = anchors.iter().flatten().copied();
        let parts = [b"uptick client policy", mode].into_iter().chain(anchors);
        Some(ClientPolicy {
            hash: Crypto::new()?.hash(parts)?,
            verifies_clients: verify != VerifyPeer::No,
        })
    }

    /// Returns the policy for a server with this certificate.
    pub(crate) fn for_server(&self, certificate: &CertificateDer<'_>) -> Option<TicketPolicy> {
        let names = names_of(certificate);
        let names = names.iter().map(Vec::as_slice);
        let parts = [b"uptick server policy", &self.hash[..]]
            .into_iter()
            .chain(names);
        Some(TicketPolicy {
            hash: Crypto::new()?.hash(parts)?,
            verifies_clients: self.verifies_clients,
        })
    }
}

/// Returns the names of a certificate, or the certificate itself if it cannot be parsed.
fn names_of(certificate: &CertificateDer<'_>) -> Vec<Vec<u8>> {
    #[cfg(feature = "x509")]
    if let Ok(names) = certificate::names_of(certificate) {
        return names;
    }
    vec![certificate.to_vec()]
}

impl TicketPolicy {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.hash
    }
}
