//! A server that is mounted at a path of an HTTP server.

use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_event_loop::Staggered;
use uptick_http::{HttpServer, Reply, Request, Response, ShutdownOptions};
use uptick_websocket::{Upgrader, WebSocketOptions};

use super::client::Client;
use super::hooks::ResponseStage;
use super::polling;
use super::refusal::RequestRefusal;
use super::server::EngineState;
use super::stats::count;
use super::waiting::RequestOutcome;
use super::websocket::WebSocketHandle;
use crate::protocol::session::{CloseReason, Transport};

/// A server that is mounted at a path of an HTTP server.
pub(super) struct MountedEngine {
    pub(super) engine: Rc<EngineState>,
    pub(super) http: HttpServer,
    pub(super) upgrader: Upgrader,
}

impl MountedEngine {
    pub(super) fn new(engine: Rc<EngineState>, http: HttpServer) -> Rc<MountedEngine> {
        let options = &engine.options;
        // The heartbeat of the session detects silent clients, and the queue of the session limits the buffered bytes.
        let websocket = WebSocketOptions::new()
            .max_message(engine.session_options.max_payload)
            .max_buffered(usize::MAX)
            .idle_timeout(None)
            .origins(options.origins.clone())
            .compression(options.compression);
        let mounted = Rc::new(MountedEngine {
            upgrader: Upgrader::new(http, websocket),
            engine,
            http,
        });
        let this = Rc::clone(&mounted);
        http.on(HttpServer::SHUTDOWN, move |options| this.shut_down(options));
        let this = Rc::clone(&mounted);
        http.on(HttpServer::CLOSE, move |()| this.server_closed());
        mounted
    }

    /// Closes the sessions during the shutdown window, except those over WebSockets of this worker, which `uptick-websocket` closes.
    fn shut_down(self: &Rc<Self>, options: ShutdownOptions) {
        #[cfg(feature = "workers")]
        if let Some(cluster) = self.engine.cluster() {
            cluster.release_polls();
        }
        let closes = |client: &Client| {
            let state = client.state();
            state.is_some_and(|state| {
                let is_polling = state.session().transport() == Transport::Polling;
                is_polling || !matches!(state.websocket(), Some(WebSocketHandle::Local(_)))
            })
        };
        let clients: Vec<Client> = self.clients().into_iter().filter(closes).collect();
        Staggered::new(clients, options.closing_window(), Client::close);
    }

    /// Aborts all sessions, because the HTTP server has closed its last connection.
    fn server_closed(self: &Rc<Self>) {
        for client in self.clients() {
            if let Some(state) = client.state() {
                state.abort(CloseReason::TransportClose);
            }
        }
    }

    /// Returns the clients whose session started at this path.
    fn clients(self: &Rc<Self>) -> Vec<Client> {
        let is_own = |client: &Client| {
            let state = client.state();
            state.is_some_and(|state| Rc::ptr_eq(&state.mounted, self))
        };
        self.engine.clients().into_iter().filter(is_own).collect()
    }

    /// Returns the response after the application's callbacks have changed its headers.
    pub(super) fn respond(
        &self,
        req: &Request,
        response: Response,
        stage: ResponseStage,
    ) -> Response {
        self.engine.header_hooks.apply(req, response, stage)
    }

    pub(super) fn reply(&self, req: &Request, response: Response, stage: ResponseStage) -> Reply {
        Reply::Ready(self.respond(req, response, stage))
    }

    /// Returns the response for the outcome of a request; `None` if its connection was closed.
    pub(super) fn completed(
        &self,
        req: &Request,
        outcome: RequestOutcome,
        stage: ResponseStage,
    ) -> Option<Response> {
        let response = match outcome {
            RequestOutcome::Refuse(code) => self.refused(req, &code.into()),
            RequestOutcome::Abort => match req.connection() {
                Some(conn) => {
                    conn.close();
                    return None;
                }
                None => RequestRefusal::bad_request("")
                    .response()
                    .close_connection(),
            },
            outcome => polling::response(outcome)?,
        };
        Some(self.respond(req, response, stage))
    }

    pub(super) fn complete(
        &self,
        req: &Request,
        outcome: RequestOutcome,
        stage: ResponseStage,
    ) -> Reply {
        match self.completed(req, outcome, stage) {
            Some(response) => Reply::Ready(response),
            None => Reply::Detached,
        }
    }

    /// Refuses a request.
    pub(super) fn refuse(&self, req: &Request, refusal: RequestRefusal) -> Reply {
        let response = self.refused(req, &refusal);
        self.reply(req, response, ResponseStage::Other)
    }

    fn refused(&self, req: &Request, refusal: &RequestRefusal) -> Response {
        count(&self.engine.counts.refused);
        self.engine.report(refusal, req);
        refusal.response()
    }
}
