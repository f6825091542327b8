//! The interface of session stores.

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use crate::LocalFuture;

/// The error of a [`SessionStore`].
pub type StoreError = Box<dyn Error + Send + Sync>;

/// A session store, such as a database.
///
/// Ids are 128 random bits in hexadecimal digits; records are JSON. An id is a secret: it grants access to the session. If a method returns an
/// error, the response is 500, and the error is logged.
///
/// Before a loaded session is saved, it is loaded again. If it no longer exists, because another request ended it, it is not saved.
pub trait SessionStore {
    /// Returns the record of an id; `None` if it does not exist or has expired.
    fn load(&self, id: &str) -> LocalFuture<Result<Option<String>, StoreError>>;

    /// Saves a record for the time `lifetime`, replacing an existing record with the same id.
    fn save(
        &self,
        id: &str,
        record: String,
        lifetime: Duration,
    ) -> LocalFuture<Result<(), StoreError>>;

    /// Deletes the record of an id, if it exists.
    fn delete(&self, id: &str) -> LocalFuture<Result<(), StoreError>>;
}

impl<S: SessionStore + ?Sized> SessionStore for Rc<S> {
    fn load(&self, id: &str) -> LocalFuture<Result<Option<String>, StoreError>> {
        (**self).load(id)
    }

    fn save(
        &self,
        id: &str,
        record: String,
        lifetime: Duration,
    ) -> LocalFuture<Result<(), StoreError>> {
        (**self).save(id, record, lifetime)
    }

    fn delete(&self, id: &str) -> LocalFuture<Result<(), StoreError>> {
        (**self).delete(id)
    }
}
