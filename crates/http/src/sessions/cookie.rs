//! Session cookies.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, CookieJar};

use super::record::{SessionRecord, now};
use super::{Sessions, Storage};
use crate::Request;

/// Maximum length of a cookie, in bytes. Browsers do not store longer ones.
const MAX_LENGTH: usize = 4096;

/// The content of the session cookie of a request.
pub(super) enum SessionCookie {
    /// No cookie, or an invalid one.
    None,
    /// The session, and `true` if the cookie was made with the first key.
    Record(SessionRecord, bool),
    /// The id of a session in the store.
    Id(String),
}

impl Sessions {
    /// Reads the cookie of a request.
    pub(super) fn read(&self, request: &Request) -> SessionCookie {
        let Some(value) = request.cookie(&self.name) else {
            return SessionCookie::None;
        };
        if value.len() > MAX_LENGTH {
            tracing::debug!("a session cookie of {} bytes was ignored", value.len());
            return SessionCookie::None;
        }
        let keys = match &self.storage {
            Storage::Encrypted(keys) | Storage::Signed(keys) => keys,
            Storage::Store(_) => {
                let is_id = value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit());
                if is_id {
                    return SessionCookie::Id(value.to_owned());
                }
                tracing::debug!("a session cookie that is not an id was ignored");
                return SessionCookie::None;
            }
        };
        let jar = CookieJar::new();
        for (index, key) in keys.iter().enumerate() {
            let cookie = Cookie::new(self.name.to_string(), value.to_owned());
            let opened = match self.storage {
                Storage::Encrypted(_) => jar.private(key).decrypt(cookie),
                _ => jar.signed(key).verify(cookie),
            };
            let Some(opened) = opened else { continue };
            let record = self.decode(opened.value());
            return match record.filter(|record| self.left(record).is_some()) {
                Some(record) => SessionCookie::Record(record, index == 0),
                None => {
                    tracing::debug!("a session cookie that has expired was ignored");
                    SessionCookie::None
                }
            };
        }
        tracing::debug!("a session cookie that was made with none of the keys was ignored");
        SessionCookie::None
    }

    /// Decodes the record in a verified cookie.
    fn decode(&self, text: &str) -> Option<SessionRecord> {
        match self.storage {
            Storage::Signed(_) => {
                let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
                let text = text.strip_prefix(&*self.name)?.strip_prefix('=')?;
                SessionRecord::parse(text)
            }
            _ => SessionRecord::parse(text),
        }
    }

    /// Returns the time until a session ends without another request.
    pub(super) fn left(&self, record: &SessionRecord) -> Option<Duration> {
        record.left(now(), self.idle, self.lifetime)
    }

    /// Returns the cookie of a session, with its values or its id.
    pub(super) fn cookie(&self, record: &SessionRecord, id: &str) -> Cookie<'static> {
        let text = match self.storage {
            Storage::Store(_) => id.to_owned(),
            Storage::Encrypted(_) => record.to_text(),
            // The signature covers only the value, so the value includes the name. JSON contains characters that are not allowed in cookies.
            Storage::Signed(_) => {
                URL_SAFE_NO_PAD.encode(format!("{}={}", self.name, record.to_text()))
            }
        };
        let plain = Cookie::new(self.name.to_string(), text);
        let sealed = match &self.storage {
            Storage::Encrypted(keys) => keys.first().map(|key| {
                let mut jar = CookieJar::new();
                jar.private_mut(key).add(plain.clone());
                jar
            }),
            Storage::Signed(keys) => keys.first().map(|key| {
                let mut jar = CookieJar::new();
                jar.signed_mut(key).add(plain.clone());
                jar
            }),
            Storage::Store(_) => None,
        };
        let mut cookie = sealed
            .and_then(|jar| jar.get(&self.name).cloned())
            .unwrap_or(plain);
        self.set_attributes(&mut cookie);
        let left = self.left(record).unwrap_or_default().as_secs();
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        cookie.set_max_age(cookie::time::Duration::seconds(left));
        cookie
    }

    /// Returns the cookie that removes the session cookie of the client.
    pub(super) fn removal(&self) -> Cookie<'static> {
        let mut cookie = Cookie::new(self.name.to_string(), "");
        self.set_attributes(&mut cookie);
        cookie.make_removal();
        cookie
    }

    fn set_attributes(&self, cookie: &mut Cookie<'static>) {
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_secure(self.secure);
        cookie.set_same_site(self.same_site);
    }
}
