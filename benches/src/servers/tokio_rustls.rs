//! tokio-rustls on tokio's current-thread runtime, with the loop of the plain tokio server.

use std::path::Path;

use anyhow::Result;
use rustls::crypto::CryptoProvider;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use crate::identity;

pub(super) fn serve(identity: &Path, provider: CryptoProvider) -> Result<()> {
    let acceptor = TlsAcceptor::from(identity::server(identity, provider)?);
    Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(accept(acceptor))
}

async fn accept(acceptor: TlsAcceptor) -> Result<()> {
    let listener = TcpListener::from_std(super::listen()?)?;
    super::announce(listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(echo(acceptor.clone(), socket));
    }
}

async fn echo(acceptor: TlsAcceptor, socket: TcpStream) {
    let Ok(mut stream) = acceptor.accept(socket).await else {
        return;
    };
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        // Written bytes may be buffered in the stream, so it has to be flushed.
        if stream.write_all(&buffer[..length]).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
    // The server answers the client's close_notify, as Uptick does. The client may have closed the
    // connection already.
    let _ = stream.shutdown().await;
}
