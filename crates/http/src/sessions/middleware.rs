//! The middleware: sessions are loaded before the handler runs, and saved before the response is sent.

use std::rc::Rc;

use http::header::{CACHE_CONTROL, SET_COOKIE};
use uptick_event_loop::spawn;

use super::cookie::Found;
use super::record::{Record, now};
use super::session::{Change, Session, random_id};
use super::{Keeper, SessionStore, Sessions, StoreError};
use crate::{
    HeaderMap, HeaderValue, HttpError, IntoMiddleware, Middleware, Next, Reply, Request, Response,
    set_cookie,
};

/// A session that is active has its cookie and its record made anew after this part of its idle time.
const REFRESH: u32 = 10;

impl IntoMiddleware<Sessions> for Sessions {
    fn into_middleware(self) -> Middleware {
        let this = Rc::new(self);
        Rc::new(move |request, next| Rc::clone(&this).handle(request, next))
    }
}

impl Sessions {
    fn handle(self: Rc<Self>, request: Request, next: Next) -> Reply {
        let found = self.read(&request);
        match (found, &self.keeper) {
            (Found::Id(id), Keeper::Store(store)) => {
                let loading = store.load(&id);
                Reply::Later(Box::pin(async move {
                    let record = match loading.await {
                        Ok(record) => record,
                        Err(error) => return Some(failed("loading", error)),
                    };
                    let record = record.as_deref().and_then(Record::parse);
                    let record = record.filter(|record| self.left(record).is_some());
                    let session = self.known(record, id.into(), true);
                    self.run(session, request, next).into_future().await
                }))
            }
            (Found::Record(record, is_current), _) => {
                let session = self.known(Some(record), Rc::default(), is_current);
                self.run(session, request, next)
            }
            _ => {
                let session = self.known(None, Rc::default(), true);
                self.run(session, request, next)
            }
        }
    }

    /// Returns the session of a client: a new one if there is no record. One that was not made with the first key is made anew.
    fn known(&self, record: Option<Record>, id: Rc<str>, is_current: bool) -> Session {
        let now = now();
        let Some(mut record) = record else {
            return Session::new(Record::new(now), Rc::default(), false, self.max_size);
        };
        let idle = now.saturating_sub(record.seen);
        let is_due = idle > (self.idle / REFRESH).as_secs() || !is_current;
        if is_due {
            record.seen = now;
        }
        let session = Session::new(record, id, true, self.max_size);
        if is_due {
            session.state().change.set(Change::Saved);
        }
        session
    }

    /// Runs the handler, and keeps the session.
    fn run(self: Rc<Self>, session: Session, request: Request, next: Next) -> Reply {
        request.set_extension(session.clone());
        let (this, kept) = (Rc::clone(&self), session.clone());
        request.on_response_headers(move |_, headers| this.keep(&kept, headers));
        let reply = next.run(request);
        if !matches!(self.keeper, Keeper::Store(_)) {
            return reply;
        }
        match reply {
            Reply::Ready(response) if session.state().change.get() == Change::None => {
                Reply::Ready(response)
            }
            Reply::Ready(response) => Reply::Later(Box::pin(async move {
                let saved = self.save(&session).await;
                Some(saved.map_or_else(|error| failed("saving", error), |()| response))
            })),
            Reply::Later(future) => Reply::Later(Box::pin(async move {
                let response = future.await?;
                let saved = self.save(&session).await;
                Some(saved.map_or_else(|error| failed("saving", error), |()| response))
            })),
            // It is saved when the headers of the response are sent.
            Reply::Detached => Reply::Detached,
        }
    }

    /// Adds the cookie to the headers of a response, and saves the session unless it is saved.
    fn keep(self: &Rc<Self>, session: &Session, headers: &mut HeaderMap) {
        let change = session.state().change.get();
        let cookie = match change {
            Change::None => return,
            Change::Destroyed if !session.state().is_known => return,
            Change::Destroyed => self.removal(),
            Change::Saved => {
                if let Err(error) = self.ensure_id(session) {
                    tracing::error!("a session was not kept: {error}");
                    return;
                }
                let state = session.state();
                self.cookie(&state.record.borrow(), &state.id.borrow())
            }
        };
        match set_cookie::to_field(&cookie) {
            Ok(value) => {
                headers.append(SET_COOKIE, value);
                headers
                    .entry(CACHE_CONTROL)
                    .or_insert(HeaderValue::from_static("no-store"));
            }
            Err(error) => tracing::error!("a session was not kept: {error}"),
        }
        if let Keeper::Store(_) = &self.keeper
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

    /// Makes the id of a session that has none.
    fn ensure_id(&self, session: &Session) -> Result<(), getrandom::Error> {
        if !matches!(self.keeper, Keeper::Store(_)) {
            return Ok(());
        }
        let mut id = session.state().id.borrow_mut();
        if id.is_empty() {
            *id = random_id()?.into();
        }
        Ok(())
    }

    /// Brings the store up to date.
    async fn save(&self, session: &Session) -> Result<(), StoreError> {
        let Keeper::Store(store) = &self.keeper else {
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
        if change == Change::Saved {
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

/// Returns the response in place of one whose session could not be loaded or saved.
fn failed(what: &str, error: StoreError) -> Response {
    let error: StoreError = format!("{what} a session failed: {error}").into();
    HttpError::internal(error).into()
}
