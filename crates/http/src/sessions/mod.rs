//! Sessions: values of a client that persist between requests, by means of a cookie.
//!
//! Cost: none for servers without sessions. The cookie of each request is parsed; an unchanged session adds no header.

mod cookie;
mod error;
mod keys;
mod memory_store;
mod middleware;
mod record;
mod session;
mod store;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::SameSite;

pub use error::SessionError;
pub use keys::SessionKeys;
pub use memory_store::MemoryStore;
pub use session::Session;
pub use store::{SessionStore, StoreError};

/// A middleware for sessions: values of a client that persist between requests ([`Request::session`](crate::Request::session)).
///
/// The values are stored in the cookie, encrypted or only signed, or in a [store](SessionStore), in which case the cookie contains a random
/// 128-bit id. A client without a session gets a cookie when a value is set. Cookies that have expired, have more than 4,096 bytes or were
/// not made with one of the keys are ignored, which is logged at debug level.
///
/// The cookie has the attributes `HttpOnly`, `Secure`, `SameSite=Lax` and `Path=/`, and the prefix `__Host-`. A response that sets it gets
/// `Cache-Control: no-store`, unless it already has `Cache-Control`. If only the expiry of a cookie is renewed, the cookie is not sent with a
/// response that shared caches may store. A response whose handler accessed the session has `Vary: Cookie`.
///
/// # Limits
/// A session ends [2 hours](Sessions::idle_timeout) after its last request, and [a week](Sessions::lifetime) after its start. Its values have
/// at most [2,048 bytes](SessionError::TooLarge) of JSON in a cookie, and [64 KiB](Sessions::max_size) in a store.
///
/// # Examples
/// ```
/// use uptick_http::{HttpError, HttpServer, Request, SessionKeys, Sessions};
///
/// let keys = SessionKeys::new(b"at least 32 random bytes, e.g. of /dev/urandom")?;
/// let http = HttpServer::new().wrap(Sessions::encrypted(keys));
/// http.post("/login", |req: Request| {
///     let session = req.session()?;
///     session.renew();
///     session.set("user", "ada")?;
///     Ok::<_, HttpError>("welcome")
/// });
/// http.get("/", |req: Request| {
///     let user: Option<String> = req.session()?.get("user");
///     Ok::<_, HttpError>(user.unwrap_or_default())
/// });
/// # let login = http.test().post("/login").send()?;
/// # let cookie = login.cookie("__Host-session").unwrap_or_default();
/// # let home = http.test().get("/").cookie("__Host-session", cookie).send()?;
/// # assert_eq!(home.text(), "ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Sessions {
    storage: Storage,
    name: Rc<str>,
    secure: bool,
    same_site: SameSite,
    idle: Duration,
    lifetime: Duration,
    max_size: usize,
}

/// The storage of session values.
#[derive(Clone)]
enum Storage {
    Encrypted(SessionKeys),
    Signed(SessionKeys),
    Store(Rc<dyn SessionStore>),
}

const NAME: &str = "session";
const HOST_NAME: &str = "__Host-session";

/// Maximum size of the values in a cookie, in bytes. Encrypted, in Base64 and with the attributes, they must fit into 4,096 bytes.
const COOKIE_SIZE: usize = 2048;

impl Sessions {
    /// Creates sessions whose values are stored in the cookie, encrypted (AES-256-GCM): the client can neither read nor change them. A copy of
    /// the cookie stays valid until it expires, even after [`Session::destroy`] and [`Session::renew`]: only a store can revoke a session.
    pub fn encrypted(keys: SessionKeys) -> Self {
        Sessions::new(Storage::Encrypted(keys), COOKIE_SIZE)
    }

    /// Creates sessions whose values are stored in the cookie, signed (HMAC-SHA256): the client can read but not change them. A copy of the
    /// cookie stays valid until it expires, as with [`encrypted`](Sessions::encrypted).
    pub fn signed(keys: SessionKeys) -> Self {
        Sessions::new(Storage::Signed(keys), COOKIE_SIZE)
    }

    /// Creates sessions whose values are stored in a store, such as a [`MemoryStore`]. A changed session costs a `load` and a `save`. If two
    /// concurrent requests change the same session, the last one to save wins.
    pub fn stored(store: impl SessionStore + 'static) -> Self {
        Sessions::new(Storage::Store(Rc::new(store)), 64 * 1024)
    }

    fn new(storage: Storage, max_size: usize) -> Self {
        Sessions {
            storage,
            name: HOST_NAME.into(),
            secure: true,
            same_site: SameSite::Lax,
            idle: Duration::from_secs(2 * 3600),
            lifetime: Duration::from_secs(7 * 24 * 3600),
            max_size,
        }
    }

    /// Sets the name of the cookie. A name with the prefix `__Host-` or `__Secure-` requires [`secure`](Sessions::secure): without it, no
    /// cookie is sent, and an error is logged. Default: `__Host-session`, or `session` without `Secure`.
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets whether browsers send the cookie only over HTTPS. `false` is for development without HTTPS. Default: true.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        if &*self.name == HOST_NAME && !secure {
            self.name = NAME.into();
        }
        self
    }

    /// Sets the cross-site requests that contain the cookie. Default: [`SameSite::Lax`], only GET requests of links.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets the time after the last request at which a session ends. A request renews the session after a tenth of this time. Default: 2 hours.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets the maximum time from the start of a session, or its last [`renew`](Session::renew), to its end. Default: 7 days.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets the maximum size of the values of a session, in bytes of JSON. In cookies, the maximum is 2,048. Default: 2,048 in a cookie, 65,536 in
    /// a store.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = match self.storage {
            Storage::Store(_) => bytes,
            Storage::Encrypted(_) | Storage::Signed(_) => bytes.min(COOKIE_SIZE),
        };
        self
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("name", &self.name)
            .field("secure", &self.secure)
            .field("idle_timeout", &self.idle)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
