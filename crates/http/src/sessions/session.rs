//! The session of a request.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::SessionError;
use super::record::SessionRecord;
use crate::random::random_hex;
use crate::{Request, constant_time_eq};

/// The name under which the CSRF token is stored among the values.
const CSRF: &str = "__csrf";

/// The session of a client: named values, stored as JSON. A clone refers to the same session.
///
/// Changes are saved when the handler returns its response, or, if a [`Responder`](crate::Responder) sends the response, when the response
/// starts. Later changes are lost.
#[derive(Clone)]
pub struct Session(Rc<SessionState>);

pub(super) struct SessionState {
    pub(super) record: RefCell<SessionRecord>,
    /// The id in the store; empty if the session has none yet.
    pub(super) id: RefCell<Rc<str>>,
    /// `true` if the session was loaded from the store.
    pub(super) is_loaded: Cell<bool>,
    /// The previous id, which is deleted from the store on save.
    pub(super) old_id: RefCell<Option<Rc<str>>>,
    /// `true` if the client has a valid cookie.
    pub(super) is_known: bool,
    pub(super) change: Cell<Change>,
    /// `true` once the changes have been saved in the store.
    pub(super) is_saved: Cell<bool>,
    /// `true` once the program has accessed the session, so that the response depends on the cookie.
    pub(super) is_used: Cell<bool>,
    max_size: usize,
}

/// The change of the session that is sent with the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    None,
    /// Only the time of the last request or the key of the cookie has changed. The session is saved.
    Refreshed,
    /// The session is saved.
    Saved,
    /// The session is deleted.
    Destroyed,
}

impl Session {
    pub(super) fn new(record: SessionRecord, id: Rc<str>, is_known: bool, max_size: usize) -> Self {
        Session(Rc::new(SessionState {
            record: RefCell::new(record),
            is_loaded: Cell::new(!id.is_empty()),
            id: RefCell::new(id),
            old_id: RefCell::default(),
            is_known,
            change: Cell::new(Change::None),
            is_saved: Cell::new(false),
            is_used: Cell::new(false),
            max_size,
        }))
    }

    pub(super) fn state(&self) -> &SessionState {
        &self.0
    }

    /// Returns the value with a name; `None` if it is missing or has another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let record = self.0.record.borrow();
        T::deserialize(record.values.get(name)?).ok()
    }

    /// Sets the value with a name, replacing the previous one.
    ///
    /// # Errors
    /// [`SessionError::Value`] if it cannot be serialized as JSON; [`SessionError::TooLarge`] if all values together would exceed
    /// [`Sessions::max_size`](crate::Sessions::max_size). The session is then unchanged.
    pub fn set(&self, name: &str, value: impl Serialize) -> Result<(), SessionError> {
        let value = serde_json::to_value(value).map_err(|error| SessionError::Value {
            name: name.into(),
            reason: error.to_string().into(),
        })?;
        let mut record = self.0.record.borrow_mut();
        let before = record.values.insert(name.to_owned(), value);
        let (size, limit) = (record.size(), self.0.max_size);
        if size > limit {
            match before {
                Some(before) => record.values.insert(name.to_owned(), before),
                None => record.values.remove(name),
            };
            let name = name.into();
            return Err(SessionError::TooLarge { name, size, limit });
        }
        self.0.change.set(Change::Saved);
        Ok(())
    }

    /// Removes the value with a name. Returns `true` if it existed.
    pub fn remove(&self, name: &str) -> bool {
        let removed = self.0.record.borrow_mut().values.remove(name).is_some();
        if removed {
            self.0.change.set(Change::Saved);
        }
        removed
    }

    /// Removes all values, including the CSRF token.
    pub fn clear(&self) {
        self.0.record.borrow_mut().values.clear();
        self.0.change.set(Change::Saved);
    }

    /// Returns `true` if the session has neither values nor a CSRF token.
    pub fn is_empty(&self) -> bool {
        self.0.record.borrow().values.is_empty()
    }

    /// Replaces the id and the CSRF token of the session, and restarts its lifetime. The values are kept. Call it when a user logs in, so that an
    /// attacker who knows the previous id gains no access (session fixation).
    pub fn renew(&self) {
        self.forget_id();
        let mut record = self.0.record.borrow_mut();
        record.created = super::record::now();
        record.values.remove(CSRF);
        self.0.change.set(Change::Saved);
    }

    /// Ends the session, for example on logout: removes its values, its record in the store and its cookie. A value that is set afterwards starts
    /// a new session.
    pub fn destroy(&self) {
        self.forget_id();
        self.0
            .record
            .replace(SessionRecord::new(super::record::now()));
        self.0.change.set(Change::Destroyed);
    }

    /// Returns the token of the session against cross-site request forgery (CSRF): 32 random hexadecimal digits, created by the first call. The
    /// page sends it in a form field or in a header, and [`is_csrf_token`](Session::is_csrf_token) verifies it.
    ///
    /// # Errors
    /// If the token must be created: the errors of [`set`](Session::set), and [`SessionError::Value`] if the system cannot provide random numbers.
    pub fn csrf_token(&self) -> Result<String, SessionError> {
        if let Some(token) = self.get::<String>(CSRF) {
            return Ok(token);
        }
        let token = random_hex().map_err(|error| SessionError::Value {
            name: CSRF.into(),
            reason: error.to_string().into(),
        })?;
        self.set(CSRF, &token)?;
        Ok(token)
    }

    /// Returns whether `text` is the CSRF token of the session, compared in constant time; `false` if the session has no token.
    pub fn is_csrf_token(&self, text: &str) -> bool {
        self.get::<String>(CSRF)
            .is_some_and(|token| constant_time_eq(token, text))
    }

    fn forget_id(&self) {
        self.0.is_loaded.set(false);
        let id = std::mem::take(&mut *self.0.id.borrow_mut());
        if !id.is_empty() {
            self.0.old_id.replace(Some(id));
        }
    }
}

impl Request {
    /// Returns the session of the client, which is empty if the client has none.
    ///
    /// # Errors
    /// [`SessionError::Missing`] if the route has no [`Sessions`](crate::Sessions) middleware.
    pub fn session(&self) -> Result<Session, SessionError> {
        let session = self.extension::<Session>().ok_or(SessionError::Missing)?;
        session.0.is_used.set(true);
        Ok(Session::clone(&session))
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0.record.borrow();
        let names: Vec<&String> = record.values.keys().collect();
        f.debug_struct("Session")
            .field("names", &names)
            .finish_non_exhaustive()
    }
}
