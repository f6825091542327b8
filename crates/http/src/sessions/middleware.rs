//! The middleware, which loads sessions before the handler runs and saves them before the response is sent.

use std::rc::Rc;

use http::header::{CACHE_CONTROL, SET_COOKIE};
use uptick_event_loop::spawn;

use super::cookie::SessionCookie;
use super::record::{SessionRecord, now};
use super::session::{Change, Session};
use super::{SessionStore, Sessions, Storage, StoreError};
use crate::random::random_hex;
use crate::vary::add_vary;
use crate::{
    HeaderMap, HeaderValue, HttpError, IntoMiddleware, Middleware, Next, Reply, Request, Response,
    set_cookie,
};

/// Fraction of the idle timeout after which the cookie and the record of an active session are renewed.
const REFRESH: u32 = 10;

impl IntoMiddleware<Sessions> for Sessions {
    fn into_middleware(self) -> Middleware {
        let this = Rc::new(self);
        Rc::new(move |request, next| Rc::clone(&this).handle(request, next))
    }
}

impl Sessions {
    fn handle(self: Rc<Self>, request: Request, next: Next) -> Reply {
        let cookie = self.read(&request);
        match (cookie, &self.storage) {
            (SessionCookie::Id(id), Storage::Store(store)) => {
                let loading = store.load(&id);
                Reply::Later(Box::pin(async move {
                    let record = match loading.await {
                        Ok(record) => record,
                        Err(error) => return Some(failed("loading", error)),
                    };
                    let record = record.as_deref().and_then(SessionRecord::parse);
                    let record = record.filter(|record| self.left(record).is_some());
                    if record.is_none() {
                        tracing::debug!("a session id that is not in the store was ignored");
                    }
                    let session = self.session(record, id.into(), true);
                    self.run(session, request, next).into_future().await
                }))
            }
            (SessionCookie::Record(record, is_current), _) => {
                let session = self.session(Some(record), Rc::default(), is_current);
                self.run(session, request, next)
            }
            _ => {
                let session = self.session(None, Rc::default(), true);
                self.run(session, request, next)
            }
        }
    }

    /// Returns the session of a record, or a new session without one. A record that was not encrypted with the first key (`is_current` is `false`) is saved again.
    fn session(&self, record: Option<SessionRecord>, id: Rc<str>, is_current: bool) -> Session {
        let now = now();
        let Some(mut record) = record else {
            return Session::new(SessionRecord::new(now), Rc::default(), false, self.max_size);
        };
        let idle = now.saturating_sub(record.seen);
        let is_due = idle > (self.idle / REFRESH).as_secs() || !is_current;
        if is_due {
            record.seen = now;
        }
        let session = Session::new(record, id, true, self.max_size);
        if is_due {
            session.state().change.set(Change::Refreshed);
        }
        session
    }

    /// Runs the handler, and saves the session if it has changed.
    fn run(self: Rc<Self>, session: Session, request: Request, next: Next) -> Reply {
        request.set_extension(session.clone());
        let (this, kept) = (Rc::clone(&self), session.clone());
        request.on_response_headers(move |_, headers| this.add_cookie(&kept, headers));
        let reply = next.run(request);
        if !matches!(self.storage, Storage::Store(_)) {
            return reply;
        }
        match reply {
            Reply::Ready(response) if !needs_save(&session, &response) => Reply::Ready(response),
            Reply::Ready(response) => Reply::Later(Box::pin(async move {
                let saved = self.save(&session).await;
                Some(saved.map_or_else(|error| failed("saving", error), |()| response))
            })),
            Reply::Later(future) => Reply::Later(Box::pin(async move {
                let response = future.await?;
                if !needs_save(&session, &response) {
                    return Some(response);
                }
                let saved = self.save(&session).await;
                Some(saved.map_or_else(|error| failed("saving", error), |()| response))
            })),
            // The session is saved when the headers of the response are sent.
            Reply::Detached => Reply::Detached,
        }
    }

    /// Adds the cookie to the headers of a response, and saves the session unless it is saved already.
    fn add_cookie(self: &Rc<Self>, session: &Session, headers: &mut HeaderMap) {
        if session.state().is_used.get() {
            add_vary(headers, "cookie");
        }
        let change = session.state().change.get();
        let cookie = match change {
            Change::None => return,
            Change::Destroyed if !session.state().is_known => return,
            Change::Destroyed => self.removal(),
            // A shared cache could send the cookie to other clients. The next private response contains it.
            Change::Refreshed if may_be_shared(headers) => return,
            Change::Refreshed | Change::Saved => {
                if let Err(error) = self.ensure_id(session) {
                    tracing::error!("sending the cookie of a session failed: {error}");
                    return;
                }
                let state = session.state();
                self.cookie(&state.record.borrow(), &state.id.borrow())
            }
        };
        match set_cookie::to_header_value(&cookie) {
            Ok(value) => {
                headers.append(SET_COOKIE, value);
                headers
                    .entry(CACHE_CONTROL)
                    .or_insert(HeaderValue::from_static("no-store"));
            }
            Err(error) => tracing::error!("sending the cookie of a session failed: {error}"),
        }
        if let Storage::Store(_) = &self.storage
            && !session.state().is_saved.get()
        {
            let (this, session) = (Rc::clone(self), session.clone());
            drop(spawn(async move {
                if let Err(error) = this.save(&session).await {
                    tracing::error!("saving a session failed: {error}");
                }
            }));
        }
    }

    /// Creates the id of a session that has none.
    fn ensure_id(&self, session: &Session) -> Result<(), getrandom::Error> {
        if !matches!(self.storage, Storage::Store(_)) {
            return Ok(());
        }
        let mut id = session.state().id.borrow_mut();
        if id.is_empty() {
            *id = random_hex()?.into();
        }
        Ok(())
    }

    /// Saves the changes of a session in the store.
    ///
    /// A session that was deleted after it was loaded, for example by a logout in another request, is not saved again.
    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let Storage::Store(store) = &self.storage else {
            return Ok(());
        };
        let state = session.state();
        let change = state.change.get();
        if change == Change::None {
            return Ok(());
        }
        state.is_saved.set(true);
        let old_id = state.old_id.take();
        if let Some(id) = old_id {
            store.delete(&id).await?;
        }
        if change != Change::Destroyed {
            let id = Rc::clone(&state.id.borrow());
            if state.is_loaded.get() && store.load(&id).await?.is_none() {
                tracing::debug!("a session that was ended by another request was not saved");
                state.change.set(Change::None);
                return Ok(());
            }
            self.ensure_id(session)?;
            let id = Rc::clone(&state.id.borrow());
            let (text, left) = {
                let record = state.record.borrow();
                (record.to_text(), self.left(&record).unwrap_or_default())
            };
            store.save(&id, text, left).await?;
        }
        Ok(())
    }
}

/// Returns whether a session must be saved. If the response cannot contain the cookie, the session is not renewed, so that the next response
/// renews both.
fn needs_save(session: &Session, response: &Response) -> bool {
    let change = &session.state().change;
    if change.get() == Change::Refreshed && response.header_map().is_some_and(may_be_shared) {
        change.set(Change::None);
    }
    change.get() != Change::None
}

/// Returns whether a response allows shared caches to store it.
fn may_be_shared(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CACHE_CONTROL).iter().peekable();
    let is_for_one = |value: &HeaderValue| {
        let mut directives = value.as_bytes().split(|byte| *byte == b',');
        directives.any(|directive| {
            let directive = directive.trim_ascii();
            directive.eq_ignore_ascii_case(b"private")
                || directive.eq_ignore_ascii_case(b"no-store")
        })
    };
    values.peek().is_some() && !values.any(is_for_one)
}

/// Returns the response to a request whose session could not be loaded or saved.
fn failed(action: &str, error: StoreError) -> Response {
    let error: StoreError = format!("{action} a session failed: {error}").into();
    HttpError::internal(error).into()
}
