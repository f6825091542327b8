//! socketioxide in axum on tokio's current-thread runtime.
//!
//! Same behaviour as the other Socket.IO servers of the benchmark: it acknowledges `echo` with its argument, and broadcasts
//! numbered events when the namespace `/control` receives `burst`.

use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::runtime::Builder;

/// An interval long enough that no heartbeat is sent during a measurement.
const PING_INTERVAL: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn Error>> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let (layer, io) = SocketIo::builder()
        .ping_interval(PING_INTERVAL)
        .build_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |Data(text): Data<String>, ack: AckSender| {
            _ = ack.send(&text);
        });
    });
    let all = io.clone();
    io.ns("/control", async move |socket: SocketRef| {
        socket.on(
            "burst",
            async move |Data((first, count)): Data<(u64, u64)>| {
                for number in first..first + count {
                    _ = all.emit("message", &format!("{number:020}")).await;
                }
            },
        );
    });
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    // Accepted sockets inherit the option.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", listener.local_addr()?)?;
    stdout.flush()?;
    axum::serve(listener, axum::Router::new().layer(layer)).await?;
    Ok(())
}
