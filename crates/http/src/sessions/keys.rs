//! The keys that encrypt or sign cookies.

use std::fmt;
use std::rc::Rc;

use cookie::Key;

use super::SessionError;

/// The keys for sessions in cookies. The first key encrypts or signs new cookies. Cookies made with any of the keys are accepted, so that keys
/// can be replaced without ending sessions.
///
/// # Examples
/// ```
/// use uptick_http::SessionKeys;
///
/// let keys = SessionKeys::new(b"the secret of this year, which is long enough")?;
/// let keys = keys.accept(b"the secret of last year, which was long enough")?;
/// # let _ = keys;
/// # Ok::<(), uptick_http::SessionError>(())
/// ```
#[derive(Clone)]
pub struct SessionKeys(Rc<[Key]>);

impl SessionKeys {
    /// Derives a key from a secret of at least 32 random bytes (HKDF-SHA256).
    ///
    /// # Errors
    /// [`SessionError::ShortKey`] if the secret has less than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, SessionError> {
        Ok(SessionKeys(Rc::new([derived(secret)?])))
    }

    /// Creates a random key. Its sessions are valid only in this process.
    ///
    /// # Errors
    /// If the system cannot provide random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut secret = [0; 64];
        getrandom::fill(&mut secret)?;
        Ok(SessionKeys(Rc::new([Key::from(&secret)])))
    }

    /// Adds an older secret. Cookies made with it are accepted, and renewed with the first key.
    ///
    /// # Errors
    /// [`SessionError::ShortKey`] if the secret has less than 32 bytes.
    pub fn accept(self, secret: &[u8]) -> Result<Self, SessionError> {
        let older = derived(secret)?;
        Ok(SessionKeys(self.0.iter().cloned().chain([older]).collect()))
    }

    /// Returns the key for new cookies.
    pub(super) fn first(&self) -> Option<&Key> {
        self.0.first()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }
}

fn derived(secret: &[u8]) -> Result<Key, SessionError> {
    match secret.len() {
        length @ ..32 => Err(SessionError::ShortKey { length }),
        _ => Ok(Key::derive_from(secret)),
    }
}

/// Omits the keys.
impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionKeys")
            .field("count", &self.0.len())
            .finish_non_exhaustive()
    }
}
