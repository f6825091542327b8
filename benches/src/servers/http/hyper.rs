//! hyper on tokio's current-thread runtime, as shown in its guide, and the same behind tokio-rustls.

use std::convert::Infallible;
use std::path::Path;

use anyhow::Result;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

use super::super::{announce, listen};
use super::{HELLO, USER};
use crate::identity;

pub(in super::super) fn serve() -> Result<()> {
    runtime()?.block_on(async {
        let listener = listener()?;
        loop {
            let (socket, _) = listener.accept().await?;
            tokio::spawn(connection(socket));
        }
    })
}

pub(in super::super) fn serve_tls(identity: &Path) -> Result<()> {
    let config = identity::server(identity, aws_lc_rs::default_provider())?;
    let acceptor = TlsAcceptor::from(config);
    runtime()?.block_on(async {
        let listener = listener()?;
        loop {
            let (socket, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A failed handshake is a problem of the client.
                if let Ok(stream) = acceptor.accept(socket).await {
                    connection(stream).await;
                }
            });
        }
    })
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_io().build()?)
}

fn listener() -> Result<TcpListener> {
    let listener = TcpListener::from_std(listen()?)?;
    announce(listener.local_addr()?)?;
    Ok(listener)
}

async fn connection(io: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(respond);
    // A connection reset by the client is no error here.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(io), service)
        .await;
}

pub(in super::super) async fn respond(
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let body = match path.strip_prefix(USER) {
        Some(id) => Bytes::copy_from_slice(id.as_bytes()),
        None if path == "/hello" => Bytes::from_static(HELLO.as_bytes()),
        None => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    let mut response = Response::new(Full::new(body));
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    Ok(response)
}
