//! Sessions: values that a client keeps from request to request, by way of a cookie.
//!
//! Cost: nothing for servers without them. A request is looked up for its cookie; a session that did not change sends nothing.

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

/// A middleware that gives each request its [session](crate::Request::session).
///
/// The values are in the cookie, encrypted or only signed, or in a [store](SessionStore), where the cookie has a random id of 128 bits.
/// A client without a session gets a cookie when a value is set. Cookies that are expired, too long or not made with one of the keys are
/// ignored.
///
/// The cookie has the attributes `HttpOnly`, `Secure`, `SameSite=Lax` and `Path=/`, and the prefix `__Host-`. A response that sets it has
/// `Cache-Control: no-store` unless it has another.
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
    keeper: Keeper,
    name: Rc<str>,
    secure: bool,
    same_site: SameSite,
    idle: Duration,
    lifetime: Duration,
    max_size: usize,
}

/// The place of the values.
#[derive(Clone)]
enum Keeper {
    Encrypted(SessionKeys),
    Signed(SessionKeys),
    Store(Rc<dyn SessionStore>),
}

const NAME: &str = "session";
const HOST_NAME: &str = "__Host-session";

/// The most bytes of values that a cookie has room for, when they are encrypted, encoded in Base64, and have their attributes.
const COOKIE_SIZE: usize = 2048;

impl Sessions {
    /// Keeps the values in the cookie, encrypted (AES-256-GCM): the client cannot read or change them. A session that was destroyed stays
    /// valid for a client that has kept its cookie.
    pub fn encrypted(keys: SessionKeys) -> Self {
        Sessions::new(Keeper::Encrypted(keys), COOKIE_SIZE)
    }

    /// Keeps the values in the cookie, signed (HMAC-SHA256): the client can read but not change them.
    pub fn signed(keys: SessionKeys) -> Self {
        Sessions::new(Keeper::Signed(keys), COOKIE_SIZE)
    }

    /// Keeps the values in a store, such as a [`MemoryStore`].
    pub fn stored(store: impl SessionStore + 'static) -> Self {
        Sessions::new(Keeper::Store(Rc::new(store)), 64 * 1024)
    }

    fn new(keeper: Keeper, max_size: usize) -> Self {
        Sessions {
            keeper,
            name: HOST_NAME.into(),
            secure: true,
            same_site: SameSite::Lax,
            idle: Duration::from_secs(2 * 3600),
            lifetime: Duration::from_secs(7 * 24 * 3600),
            max_size,
        }
    }

    /// Sets the name of the cookie. A prefix `__Host-` or `__Secure-` demands [`secure`](Sessions::secure). Default: `__Host-session`, and
    /// `session` without `Secure`.
    pub fn name(mut self, name: impl Into<Rc<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets whether the cookie is sent over HTTPS only. Without, it is for development, where there is no HTTPS. Default: true.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        if &*self.name == HOST_NAME && !secure {
            self.name = NAME.into();
        }
        self
    }

    /// Sets to which requests of pages of other sites browsers add the cookie. Default: [`SameSite::Lax`], links only.
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Sets how long after its last request a session ends. Default: 2 hours.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets how long after its beginning, or the last [`renew`](Session::renew), a session ends. Default: 7 days.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Sets how many bytes of JSON the values of a session may have. In cookies, the limit is 2,048 at most. Default: 65,536 in a store.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = match self.keeper {
            Keeper::Store(_) => bytes,
            Keeper::Encrypted(_) | Keeper::Signed(_) => bytes.min(COOKIE_SIZE),
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
