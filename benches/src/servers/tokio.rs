//! tokio on its current-thread runtime, with the loop shown in its documentation.

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

pub(super) fn serve() -> Result<()> {
    Builder::new_current_thread()
        .enable_io()
        .build()?
        .block_on(accept())
}

async fn accept() -> Result<()> {
    let listener = TcpListener::from_std(super::listen()?)?;
    super::announce(listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(echo(socket));
    }
}

async fn echo(mut socket: TcpStream) {
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = socket.read(&mut buffer).await {
        if socket.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
}
