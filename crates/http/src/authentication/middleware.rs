//! The middleware: challenges, verification and failure counting.

use std::rc::Rc;

use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use uptick_event_loop::driver;
use uptick_rate_limit::{Client, quoted};

use super::{Authentication, ReceivedCredentials, Scheme, Verification};
use crate::exchange::contained;
use crate::{
    HeaderValue, HttpError, IntoMiddleware, Middleware, Next, Reply, Request, Response, StatusCode,
};

impl<T: 'static> IntoMiddleware<Authentication<T>> for Authentication<T> {
    fn into_middleware(self) -> Middleware {
        let this = Rc::new(self);
        Rc::new(move |request, next| Rc::clone(&this).authenticate(request, next))
    }
}

impl<T: 'static> Authentication<T> {
    fn authenticate(self: Rc<Self>, request: Request, next: Next) -> Reply {
        let client = request.client().map(Client::from);
        let Some(received) = self.received(&request) else {
            return self.challenge(false).into();
        };
        if let Some(refusal) = self.begin_attempt(client) {
            return refusal.into();
        }
        match (self.verify)(request.clone_handle(), received) {
            Verification::Now(verified) => self.decide(verified, client, request, next),
            Verification::Later(verified) => Reply::Later(Box::pin(async move {
                let verified = verified.await;
                contained(self.decide(verified, client, request, next).into_future()).await
            })),
        }
    }

    fn received(&self, request: &Request) -> Option<ReceivedCredentials> {
        match self.scheme {
            Scheme::Basic => request.basic_credentials().map(ReceivedCredentials::Basic),
            Scheme::Bearer => {
                let token = request.bearer_token();
                token.map(|token| ReceivedCredentials::Bearer(token.to_owned()))
            }
        }
    }

    /// Runs the handler if the credentials are valid. Otherwise the attempt counts as a failure.
    fn decide(
        &self,
        verified: Option<T>,
        client: Option<Client>,
        request: Request,
        next: Next,
    ) -> Reply {
        match verified {
            Some(verified) => {
                if let Some(failures) = &self.failures {
                    let now = driver::current_time();
                    failures.borrow_mut().revert(&client, now);
                }
                if self.scheme == Scheme::Basic
                    && let Some(credentials) = request.basic_credentials()
                {
                    request.set_user(credentials.name());
                }
                request.set_extension(verified);
                next.run(request)
            }
            None => self.challenge(true).into(),
        }
    }

    /// Counts an attempt, so that concurrent attempts are limited, too; a successful attempt is subtracted again. Returns the error response if
    /// the client has failed too often.
    fn begin_attempt(&self, client: Option<Client>) -> Option<Response> {
        let failures = self.failures.as_ref()?;
        let decision = failures.borrow_mut().check(&client, driver::current_time());
        if decision.allowed {
            return None;
        }
        let error = HttpError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "authentication has failed too often",
        );
        Some(match decision.retry_after_seconds() {
            Some(wait) => error.with_header(RETRY_AFTER, wait.into()).into(),
            None => error.into(),
        })
    }

    /// Returns the response with the challenge (RFC 9110, section 11.6.1).
    fn challenge(&self, is_invalid: bool) -> Response {
        let realm = quoted(&self.realm);
        let challenge = match (self.scheme, is_invalid) {
            (Scheme::Basic, _) => format!("Basic realm={realm}, charset=\"UTF-8\""),
            (Scheme::Bearer, false) => format!("Bearer realm={realm}"),
            (Scheme::Bearer, true) => format!("Bearer realm={realm}, error=\"invalid_token\""),
        };
        let error = HttpError::from_status(StatusCode::UNAUTHORIZED);
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => error.with_header(WWW_AUTHENTICATE, challenge).into(),
            Err(error) => HttpError::internal(error).into(),
        }
    }
}
