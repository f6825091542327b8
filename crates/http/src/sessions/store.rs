//! The interface of stores.

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use crate::LocalFuture;

/// The error of a [`SessionStore`].
pub type StoreError = Box<dyn Error + Send + Sync>;

/// A store of sessions, such as a database.
///
/// Ids have 128 random bits, in hexadecimal digits; records are JSON. An id is a secret: whoever has it has the session. If a method returns an
/// error, the response is 500, and the error is logged.
///
/// Before a session that was loaded is saved, it is loaded again: if it is gone, because another request has ended it, it is not saved.
pub trait SessionStore {
    /// Returns the record of an id; `None` if there is none, or its lifetime is over.
    fn load(&self, id: &str) -> LocalFuture<Result<Option<String>, StoreError>>;

    /// Saves a record for the time `lifetime`, and replaces the one of the same id.
    fn save(
        &self,
        id: &str,
        record: String,
        lifetime: Duration,
    ) -> LocalFuture<Result<(), StoreError>>;

    /// Deletes the record of an id, if there is one.
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
