//! The export format of ticket keys.
//!
//! | bytes | content |
//! |---|---|
//! | 4 | `UTTK` |
//! | 1 | the version of the format |
//! | 8 | the number of the period, big-endian |
//! | 32 | the secret of the period |
//! | 1 | the number of keys that follow |
//! | 32 each | the keys of the previous periods, the latest first |
//! | 32 | checksum: derived from the secret and everything before |
//!
//! The version determines the length of a period and the lifetime of a ticket.

use zeroize::Zeroizing;

use super::crypto::{Crypto, KEY_LENGTH, Secret, secret};
use super::ratchet::{PERIOD, PREVIOUS, Ratchet};

const MAGIC: &[u8; 4] = b"UTTK";
const VERSION: u8 = 1;

pub(super) fn encode(crypto: &Crypto, ratchet: &Ratchet) -> Option<Zeroizing<Vec<u8>>> {
    // The vector has its final capacity: growing would leave copies of the secrets in memory.
    let length = MAGIC.len() + 1 + 8 + KEY_LENGTH + 1 + PREVIOUS * KEY_LENGTH + KEY_LENGTH;
    let mut bytes = Zeroizing::new(Vec::with_capacity(length));
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&ratchet.period().to_be_bytes());
    bytes.extend_from_slice(&***ratchet.secret());
    let previous = || ratchet.previous().iter().map_while(Option::as_ref);
    bytes.push(previous().count() as u8);
    for key in previous() {
        bytes.extend_from_slice(&***key);
    }
    let checksum = checksum(crypto, ratchet.secret(), &bytes)?;
    bytes.extend_from_slice(&**checksum);
    Some(bytes)
}

fn checksum(crypto: &Crypto, secret: &Secret, bytes: &[u8]) -> Option<Secret> {
    let hash = crypto.hash([bytes])?;
    crypto.derive(secret, &[b"uptick ticket state", &hash])
}

/// Parses an export. The error completes the sentence "importing ticket keys failed: ".
pub(super) fn decode(crypto: Crypto, bytes: &[u8]) -> Result<Ratchet, String> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err("these bytes are not exported ticket keys".into());
    };
    let Some((&version, rest)) = rest.split_first() else {
        return Err(truncated(bytes.len()));
    };
    if version != VERSION {
        return Err(format!(
            "their format version is {version}, but only version {VERSION} is supported: export them with the same version of \
             uptick-tls"
        ));
    }
    let parsed = parse(rest);
    let (period, current, previous, given) = parsed.ok_or_else(|| truncated(bytes.len()))?;
    let unusable = || "the cryptography provider cannot derive keys".to_owned();
    let covered = bytes.get(..bytes.len() - KEY_LENGTH).unwrap_or_default();
    let expected = checksum(&crypto, &current, covered).ok_or_else(unusable)?;
    if expected.as_slice() != given {
        return Err("their checksum is wrong: they were modified".into());
    }
    if period > u64::MAX / PERIOD {
        return Err(format!("their period {period} is out of range"));
    }
    Ratchet::new(crypto, period, current, previous).ok_or_else(unusable)
}

fn truncated(length: usize) -> String {
    format!("{length} bytes are not the length of an export")
}

type Parsed<'a> = (u64, Secret, [Option<Secret>; PREVIOUS], &'a [u8]);

/// Splits the bytes after the version. Returns `None` if the length is wrong.
fn parse(bytes: &[u8]) -> Option<Parsed<'_>> {
    let (period, rest) = bytes.split_first_chunk()?;
    let (current, rest) = rest.split_first_chunk()?;
    let (&count, mut rest) = rest.split_first()?;
    let mut previous = [const { None }; PREVIOUS];
    for slot in previous.get_mut(..usize::from(count))? {
        let (key, after) = rest.split_first_chunk()?;
        *slot = Some(secret(key));
        rest = after;
    }
    let is_complete = rest.len() == KEY_LENGTH;
    is_complete.then(|| (u64::from_be_bytes(*period), secret(current), previous, rest))
}
