//! The interface of stores.

use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use crate::LocalFuture;

/// The error of a [`SessionStore`].
pub type StoreError = Box<dyn Error + Send + Sync>;

/// A store of sessions, such as a database.
///
/// Ids are random and not to be guessed; records are text. An error makes the response 500, and is logged.
pub trait SessionStore {
    /// Returns the record of an id, unless there is none or its lifetime is over.
    fn load(&self, id: &str) -> LocalFuture<Result<Option<String>, StoreError>>;

    /// Saves a record for this long, in the place of the one of the same id.
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
