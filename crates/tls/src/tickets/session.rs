//! The client certificate in a session, in the encoding of rustls.
//!
//! rustls does not verify the certificate again when a session is resumed, so its expiry is checked here. The encoding is not part
//! of the public interface of rustls: if clients are verified, a session that cannot be parsed is not resumed.

#[cfg(feature = "x509")]
use std::time::Duration;

#[cfg(feature = "x509")]
use rustls_pki_types::CertificateDer;

#[cfg(feature = "x509")]
use crate::certificate;

/// Returns `true` if the session has no client certificate, or one that has not expired at `now`, in seconds since 1970.
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

/// Without the feature `x509` the expiry is unknown, so such a session is not resumed.
#[cfg(not(feature = "x509"))]
fn is_current(_certificate: &[u8], _now: u64) -> bool {
    false
}

/// Returns the client certificate, if there is one. The outer option is `None` if the session cannot be parsed.
fn client_certificate(session: &[u8]) -> Option<Option<&[u8]>> {
    // The server's name.
    let rest = match session.split_first()? {
        (0, rest) => rest,
        (1, rest) => prefixed::<1>(rest)?.1,
        _ => return None,
    };
    // The version, the cipher suite, the secret, and the flag for the extended master secret of TLS 1.2.
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

/// Splits off a field that is preceded by its length in `N` bytes.
fn prefixed<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<N>()?;
    let length = length
        .iter()
        .fold(0, |length, &byte| length << 8 | usize::from(byte));
    rest.split_at_checked(length)
}
