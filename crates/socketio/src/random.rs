//! Random numbers and characters that cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The maximum number of characters that are made at a time.
const MOST: usize = 20;

/// Fills a buffer of at most 20 characters, a multiple of 4, with random ones of `[A-Za-z0-9_-]`.
///
/// # Errors
///
/// The system has no random numbers. The buffer is unchanged then.
pub(crate) fn try_characters(buffer: &mut [u8]) -> Result<(), getrandom::Error> {
    let mut random = [0; MOST / 4 * 3];
    let random = &mut random[..buffer.len() / 4 * 3];
    getrandom::fill(random)?;
    // 3 bytes are exactly 4 characters.
    let _ = URL_SAFE_NO_PAD.encode_slice(random, buffer);
    Ok(())
}

/// Fills a buffer as [`try_characters`].
///
/// # Panics
///
/// If the system has no random numbers.
pub(crate) fn characters(buffer: &mut [u8]) {
    available(try_characters(buffer));
}

/// Returns a random number.
///
/// # Panics
///
/// If the system has no random numbers.
#[cfg_attr(not(feature = "workers"), expect(dead_code, reason = "for workers"))]
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    available(getrandom::fill(&mut bytes));
    u64::from_le_bytes(bytes)
}

/// On the supported systems it fails only where there is no random device, as in a broken sandbox.
#[expect(clippy::panic, reason = "ids that can be guessed would be worse")]
fn available(result: Result<(), getrandom::Error>) {
    if let Err(error) = result {
        panic!("reading random bytes failed: {error}");
    }
}
