//! async-tungstenite on async-std's executor, with its default number of threads.

use anyhow::Result;
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use async_tungstenite::accept_async;
use futures::StreamExt as _;

use super::super::{announce, listen};

pub(in super::super) fn serve() -> Result<()> {
    task::block_on(async {
        let listener = TcpListener::from(listen()?);
        announce(listener.local_addr()?)?;
        loop {
            let (socket, _) = listener.accept().await?;
            task::spawn(echo(socket));
        }
    })
}

async fn echo(socket: TcpStream) {
    let Ok(mut ws) = accept_async(socket).await else {
        return;
    };
    while let Some(Ok(message)) = ws.next().await {
        if (message.is_text() || message.is_binary()) && ws.send(message).await.is_err() {
            break;
        }
    }
}
