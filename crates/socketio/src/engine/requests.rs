//! Dispatch of requests, with the checks of the official server in the same order.

use std::rc::Rc;

use uptick_http::{HttpError, Next, Reply, Request, StatusCode};

use super::client::Client;
#[cfg(feature = "workers")]
use super::cluster;
use super::handshake::Handshake;
use super::hooks::{Permission, ResponseStage};
use super::mounted::MountedEngine;
use super::refusal::{RefusalCode, RequestRefusal};
use super::session_id::SessionId;
use super::state::ClientState;
use super::waiting::{RequestHandle, WaitingRequest};
use super::{polling, websocket};
use crate::protocol::engine::PROTOCOL;
use crate::protocol::session::Transport;

/// A request that has passed the checks.
enum CheckedRequest {
    /// A request of a session.
    Session(Client),
    /// A request of a session in another worker.
    #[cfg(feature = "workers")]
    Foreign(SessionId),
    /// A handshake, which opens a session.
    Handshake,
}

/// Runs the middleware of the server, then handles the request.
pub(super) fn serve(mounted: &Rc<MountedEngine>, req: Request) -> Reply {
    let layers = Rc::clone(&mounted.engine.layers.borrow());
    if layers.is_empty() {
        return handle(mounted, req);
    }
    let mounted = Rc::clone(mounted);
    Next::to_handler(layers, move |req| handle(&mounted, req)).run(req)
}

fn handle(mounted: &Rc<MountedEngine>, req: Request) -> Reply {
    let is_upgrade = req.head().lists_upgrades(b"websocket");
    let name = req.query_value("transport");
    let transport = match name.as_deref() {
        Some("polling") => Some(Transport::Polling),
        Some("websocket") => Some(Transport::WebSocket),
        _ => None,
    };
    drop(name);
    let allowed = transport.filter(|transport| mounted.engine.options.allows(*transport));
    let Some(transport) = allowed else {
        return mounted.refuse(&req, RefusalCode::UnknownTransport.into());
    };
    match check(mounted, &req, transport, is_upgrade) {
        Ok(CheckedRequest::Session(client)) => match (transport, client.state()) {
            (Transport::WebSocket, _) => websocket::upgrade(mounted, client, &req),
            (Transport::Polling, Some(state)) => polling::handle(mounted, &state, req),
            (Transport::Polling, None) => mounted.refuse(&req, RefusalCode::UnknownSession.into()),
        },
        #[cfg(feature = "workers")]
        Ok(CheckedRequest::Foreign(sid)) => cluster::forward(mounted, sid, transport, req),
        Ok(CheckedRequest::Handshake) => permit(mounted, req, transport),
        Err(refusal) => mounted.refuse(&req, refusal),
    }
}

fn check(
    mounted: &MountedEngine,
    req: &Request,
    transport: Transport,
    is_upgrade: bool,
) -> Result<CheckedRequest, RequestRefusal> {
    if req.head().field("origin").is_some_and(has_invalid_bytes) {
        return Err(RequestRefusal::bad_request("INVALID_ORIGIN"));
    }
    let sid = req.query_value("sid").filter(|sid| !sid.is_empty());
    let mismatch = RequestRefusal::bad_request("TRANSPORT_MISMATCH");
    if let Some(sid) = sid {
        let Some(sid) = SessionId::parse(&sid) else {
            return Err(RefusalCode::UnknownSession.into());
        };
        let found = find(mounted, sid)?;
        // A request for the WebSocket transport must be an upgrade request, and a polling request must not be one.
        let fits = match (transport, &found) {
            (Transport::WebSocket, _) => is_upgrade,
            (Transport::Polling, CheckedRequest::Session(client)) => {
                !is_upgrade && client.transport() == Some(Transport::Polling)
            }
            (Transport::Polling, _) => !is_upgrade,
        };
        if !fits {
            return Err(mismatch);
        }
        return match has_supported_version(req) {
            true => Ok(found),
            false => Err(RequestRefusal::bad_request("PROTOCOL_MISMATCH")),
        };
    }
    if req.method() != "GET" {
        return Err(RefusalCode::BadHandshakeMethod.into());
    }
    match (transport, is_upgrade) {
        (Transport::WebSocket, false) => {
            Err(RequestRefusal::bad_request("TRANSPORT_HANDSHAKE_ERROR"))
        }
        (Transport::Polling, true) => Err(mismatch),
        _ => Ok(CheckedRequest::Handshake),
    }
}

/// Returns `true` if a request names the supported protocol version.
fn has_supported_version(req: &Request) -> bool {
    let version = req.query_value("EIO");
    version.is_some_and(|version| version.parse() == Ok(PROTOCOL))
}

/// Finds a session in this or another worker.
fn find(mounted: &MountedEngine, sid: SessionId) -> Result<CheckedRequest, RequestRefusal> {
    if let Some(client) = mounted.engine.find(&sid) {
        return Ok(CheckedRequest::Session(client));
    }
    #[cfg(feature = "workers")]
    if let Some(cluster) = mounted.engine.cluster()
        && cluster.has_worker(sid.tag())
    {
        return Ok(CheckedRequest::Foreign(sid));
    }
    Err(RefusalCode::UnknownSession.into())
}

/// Returns `true` if a header value contains bytes that are not allowed (RFC 9110, section 5.5).
fn has_invalid_bytes(value: &[u8]) -> bool {
    value
        .iter()
        .any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 0x7f)
}

/// Calls the application's callback for a handshake.
fn permit(mounted: &Rc<MountedEngine>, req: Request, transport: Transport) -> Reply {
    let allow = mounted.engine.allow_request.borrow().clone();
    let permission = allow.map_or(Permission::Now(Ok(())), |allow| allow(&req));
    match permission {
        Permission::Now(decision) => open_session(mounted, req, transport, decision),
        Permission::Later(decision) => {
            let mounted = Rc::clone(mounted);
            Reply::Later(Box::pin(async move {
                let decision = decision.await;
                open_session(&mounted, req, transport, decision).await
            }))
        }
    }
}

/// Opens a session if the handshake was accepted.
fn open_session(
    mounted: &Rc<MountedEngine>,
    req: Request,
    transport: Transport,
    decision: Result<(), String>,
) -> Reply {
    if let Err(message) = decision {
        return mounted.refuse(&req, RequestRefusal::forbidden(message));
    }
    if !has_supported_version(&req) {
        return mounted.refuse(&req, RefusalCode::UnsupportedProtocol.into());
    }
    if let Some(shutdown) = mounted.http.shutdown_options() {
        return Reply::Ready(shutdown.refusal().into());
    }
    if mounted.engine.is_full() {
        return Reply::Ready(HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE).into());
    }
    let sid = match SessionId::random(mounted.engine.tag) {
        Ok(sid) => sid,
        Err(error) => return Reply::Ready(HttpError::internal(error).into()),
    };
    match transport {
        Transport::WebSocket => websocket::begin(mounted, sid, &req),
        Transport::Polling => begin(mounted, sid, &req),
    }
}

/// Opens a session over polling.
fn begin(mounted: &Rc<MountedEngine>, sid: SessionId, req: &Request) -> Reply {
    let handshake = Handshake::of(req);
    let Some(state) = ClientState::open(mounted, sid, Transport::Polling, handshake) else {
        return Reply::Ready(HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE).into());
    };
    let request = WaitingRequest::new();
    let handle = RequestHandle::Local(Rc::clone(&request));
    state.with_requests(|all| all.set_poll(handle));
    state.flush();
    let response = request.take();
    state.start();
    match response {
        Some(outcome) => mounted.complete(req, outcome, ResponseStage::Handshake),
        None => Reply::Ready(
            HttpError::internal("opening a session failed: the handshake response was not written")
                .into(),
        ),
    }
}
