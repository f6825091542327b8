//! Random numbers and characters that cannot be guessed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Maximum number of characters per call.
const MAX_CHARACTERS: usize = 20;

/// Fills `buffer` with random characters of `[A-Za-z0-9_-]`. Its length must be a multiple of 4, and at most 20.
///
/// # Errors
///
/// Returns an error if the system has no source of random numbers. The buffer is unchanged then.
pub(crate) fn try_characters(buffer: &mut [u8]) -> Result<(), getrandom::Error> {
    let mut random = [0; MAX_CHARACTERS / 4 * 3];
    let random = &mut random[..buffer.len() / 4 * 3];
    getrandom::fill(random)?;
    // 3 bytes encode to exactly 4 characters.
    let _ = URL_SAFE_NO_PAD.encode_slice(random, buffer);
    Ok(())
}

/// Fills `buffer` as [`try_characters`] does.
///
/// # Panics
///
/// Panics if the system has no source of random numbers.
pub(crate) fn characters(buffer: &mut [u8]) {
    available(try_characters(buffer));
}

/// Returns a random number.
///
/// # Panics
///
/// Panics if the system has no source of random numbers.
#[cfg_attr(
    not(any(feature = "redis", feature = "workers")),
    expect(dead_code, reason = "for adapters")
)]
pub(crate) fn number() -> u64 {
    let mut bytes = [0; 8];
    available(getrandom::fill(&mut bytes));
    u64::from_le_bytes(bytes)
}

/// Panics if reading random bytes failed. On supported systems this happens only without a random device, as in a broken sandbox.
#[expect(clippy::panic, reason = "predictable ids would be worse")]
fn available(result: Result<(), getrandom::Error>) {
    if let Err(error) = result {
        panic!("reading random bytes failed: {error}");
    }
}
