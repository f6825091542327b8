//! Sessions: values that belong to a client, from one request to the next, by means of a cookie.
//!
//! Cost: nothing for servers without them. The cookie of each request is read; a session that did not change sends no header.

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

/// A middleware for sessions: values of a client that last from one request to the next ([`Request::session`](crate::Request::session)).
///
/// The values are in the cookie, encrypted or only signed, or in a [store](SessionStore), in which case the cookie has a random id of 128
/// bits. A client without a session gets a cookie when a value is set. Cookies that have expired, are over 4,096 bytes or were not made
/// with one of the keys are ignored, and logged at debug level.
///
/// The cookie has the attributes `HttpOnly`, `Secure`, `SameSite=Lax` and `Path=/`, and the prefix `__Host-`. A response that sets it has
/// `Cache-Control: no-store` unless it has another. A cookie that is only renewed is not sent with a response that caches may store for several
/// clients. A response whose handler has asked for the session has `Vary: Cookie`.
///
/// # Limits
/// A session ends [2 hours](Sessions::idle_timeout) after its last request, and [a week](Sessions::lifetime) after it has begun. Its values
/// have [2,048 bytes](SessionError::TooLarge) of JSON in a cookie, and [64 KiB](Sessions::max_size) in a store.
///
/// # Examples
/// ```
/// use uptick_http::{HttpError, HttpServer, Request, SessionKeys, Sessions};
///
/// let keys = SessionKeys::new(b"at least 32 bytes, of /dev/urandom as a rule")?;
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

/// The place where the values of sessions are stored.
#[derive(Clone)]
enum Storage {
    Encrypted(SessionKeys),
    Signed(SessionKeys),
    Store(Rc<dyn SessionStore>),
}

const NAME: &str = "session";
const HOST_NAME: &str = "__Host-session";

/// The most bytes of values in a cookie: encrypted, in Base64 and with the attributes they have to fit into 4,096 bytes.
const COOKIE_SIZE: usize = 2048;

impl Sessions {
    /// Stores the values in the cookie, encrypted (AES-256-GCM): the client cannot read or change them. A copy of the cookie stays valid
    /// until it expires, also after [`Session::destroy`] and [`Session::renew`]: only a store can end a session everywhere.
    pub fn encrypted(keys: SessionKeys) -> Self {
        Sessions::new(Storage::Encrypted(keys), COOKIE_SIZE)
    }

    /// Stores the values in the cookie, signed (HMAC-SHA256): the client can read but not change them. A copy of the cookie stays valid as
    /// that of [`encrypted`](Sessions::encrypted) does.
    pub fn signed(keys: SessionKeys) -> Self {
        Sessions::new(Storage::Signed(keys), COOKIE_SIZE)
    }

    /// Stores the values in a store, such as a [`MemoryStore`]. A changed session costs a `load` and a `save`; of two requests at the same
    /// time that change one session, the last to save wins.
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

    /// Sets the name of the cookie. One that begins with `__Host-` or `__Secure-` requires [`secure`](Sessions::secure): without it, no
    /// cookie is sent, and an error is logged. Default: `__Host-session`, and
    /// `session` without `Secure`.
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets whether browsers send the cookie over HTTPS only. `false` is for development without HTTPS. Default: true.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        if &*self.name == HOST_NAME && !secure {
            self.name = NAME.into();
        }
        self
    }

    /// Sets which requests from pages of other sites have the cookie. Default: [`SameSite::Lax`], only the GET requests of links.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets the time after its last request at which a session ends. It is renewed by requests after a tenth of the time. Default: 2 hours.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets the time after its start, or its last [`renew`](Session::renew), at which a session ends in any case. Default: 7 days.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets the maximum size of the values of a session, in bytes of JSON; in cookies 2,048 is the most. Default: 2,048 in a cookie, 65,536
    /// in a store.
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
