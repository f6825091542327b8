//! async-std on its own executor, with its default number of threads.

use anyhow::Result;
use async_std::io::{ReadExt as _, WriteExt as _};
use async_std::net::{TcpListener, TcpStream};
use async_std::task;

pub(super) fn serve() -> Result<()> {
    task::block_on(accept())
}

async fn accept() -> Result<()> {
    let listener = TcpListener::from(super::listen()?);
    super::announce(listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        task::spawn(echo(socket));
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
