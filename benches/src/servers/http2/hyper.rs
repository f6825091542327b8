//! hyper's HTTP/2 on tokio's current-thread runtime, as shown in its guide.

use anyhow::Result;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

use super::super::http::hyper::respond;
use super::super::{announce, listen};

pub(in super::super) fn serve() -> Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen()?)?;
        announce(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            let connection = http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service_fn(respond));
            tokio::spawn(connection);
        }
    })
}
