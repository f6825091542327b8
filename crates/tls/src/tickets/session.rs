//! The client's certificate in a session, as rustls encodes sessions.
//!
//! rustls does not verify the certificate again when a session is resumed, so its expiry is checked here. The encoding is not part
//! of rustls' interface: a session that does not look as expected is not resumed where clients are verified.

#[cfg(feature = "x509")]
use std::time::Duration;

#[cfg(feature = "x509")]
use rustls_pki_types::CertificateDer;

#[cfg(feature = "x509")]
use crate::certificate;

/// Returns whether the session has no client certificate, or one that has not expired at `now`, in seconds since 1970.
pub(super) fn client_is_current(session: &[u8], now: u64) -> bool {
    match client_certificate(session) {
        Some(None) => true,
        Some(Some(certificate)) => is_current(certificate, now),
        None => false,
    }
}

#[cfg(feature = "x509")]
fn is_current(certificate: &[u8], now: u64) -> bool {
    certificate::validity(&CertificateDer::from(certificate))
        .is_ok_and(|(_, not_after)| Duration::from_secs(now) <= not_after)
}

/// Without the feature `x509` the expiry is not known: such a session is not resumed.
#[cfg(not(feature = "x509"))]
fn is_current(_certificate: &[u8], _now: u64) -> bool {
    false
}

/// Returns the client's certificate, if there is one; the outer `None` if the session cannot be parsed.
fn client_certificate(session: &[u8]) -> Option<Option<&[u8]>> {
    // The server's name.
    let rest = match session.split_first()? {
        (0, rest) => rest,
        (1, rest) => prefixed::<1>(rest)?.1,
        _ => return None,
    };
    // The version, the cipher suite, the secret, and whether TLS 1.2 has an extended master secret.
    let (_, rest) = rest.split_at_checked(4)?;
    let (_, rest) = prefixed::<1>(rest)?;
    let (_, rest) = rest.split_first()?;
    match rest.split_first()? {
        (0, _) => Some(None),
        (1, rest) => {
            let (chain, _) = prefixed::<3>(rest)?;
            Some(Some(prefixed::<3>(chain)?.0))
        }
        _ => None,
    }
}

/// Splits off a field behind its length, which has `N` bytes.
fn prefixed<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    let length = length
        .iter()
        .fold(0, |length, &byte| length << 8 | usize::from(byte));
    rest.split_at_checked(length)
}
