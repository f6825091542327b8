//! fastwebsockets behind hyper on tokio's current-thread runtime, as shown in its example.

use anyhow::Result;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::ext::Protocol;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::super::{announce, listen};

pub(in super::super) fn serve() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        announce(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            let connection = http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service_fn(respond))
                .with_upgrades();
            tokio::spawn(connection);
        }
    })
}

/// Runs the same server over HTTP/2.
pub(in super::super) fn serve_http2() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        announce(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            let connection = http2::Builder::new(TokioExecutor::new())
                .enable_connect_protocol()
                .serve_connection(TokioIo::new(socket), service_fn(respond_http2));
            tokio::spawn(connection);
        }
    })
}

/// Accepts an extended CONNECT with the handshake of RFC 8441, which the crate does not implement.
async fn respond_http2(
    mut request: Request<Incoming>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let mut response = Response::new(Empty::new());
    let protocol = request.extensions().get::<Protocol>();
    if protocol.is_some_and(|protocol| protocol.as_str() == "websocket") {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(tokio::task::unconstrained(echo_http2(upgraded)));
    } else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

async fn echo_http2(upgraded: OnUpgrade) -> Result<(), WebSocketError> {
    let io = TokioIo::new(upgraded.await?);
    echo_messages(WebSocket::after_handshake(io, Role::Server)).await
}

async fn respond(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
    tokio::spawn(tokio::task::unconstrained(echo(upgraded)));
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    echo_messages(upgraded.await?).await
}

async fn echo_messages<S>(ws: WebSocket<S>) -> Result<(), WebSocketError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut ws = FragmentCollector::new(ws);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}
