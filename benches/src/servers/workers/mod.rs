//! Uptick's workers: one service, as processes and as threads.

mod bus;
pub(crate) mod redis;

use anyhow::Result;
use uptick::prelude::*;
use uptick::workers::{Worker, WorkerEvent, WorkerExit, Workers};

use super::announce;
use super::http::HELLO;
use crate::load::PATH;

/// The response body after all messages of a request have arrived.
pub(crate) const DONE: &str = "done";

/// A configuration of the workers: processes or threads, and the sockets that they accept from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// A number of processes that share a socket.
    Processes(usize),
    /// A number of threads that share a socket.
    Threads(usize),
    /// Four processes, each with its own socket (`SO_REUSEPORT`).
    ReusePort,
}

impl Setup {
    /// All measured setups.
    pub(crate) const ALL: &[Self] = &[
        Self::Processes(1),
        Self::Processes(2),
        Self::Processes(4),
        Self::Threads(1),
        Self::Threads(2),
        Self::Threads(4),
        Self::ReusePort,
    ];

    /// Returns the name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Processes(1) => "processes-1",
            Self::Processes(2) => "processes-2",
            Self::Processes(_) => "processes-4",
            Self::Threads(1) => "threads-1",
            Self::Threads(2) => "threads-2",
            Self::Threads(_) => "threads-4",
            Self::ReusePort => "reuse-port-4",
        }
    }

    fn workers(self) -> Workers {
        match self {
            Self::Processes(count) => Workers::processes(count),
            Self::Threads(count) => Workers::threads(count),
            Self::ReusePort => Workers::processes(4).reuse_port(true),
        }
    }
}

/// Runs the master, or one of its workers.
pub(super) fn serve(setup: Setup) -> Result<()> {
    let workers = setup
        .workers()
        .listen("tcp://127.0.0.1:0")
        .on_event(|event| match event {
            WorkerEvent::Listening { addresses } => {
                // If the pipe is closed, the benchmark has ended.
                let _ = announce(addresses.join(","));
            }
            WorkerEvent::Started(_) | WorkerEvent::Ready(_) => {}
            WorkerEvent::Reloading | WorkerEvent::Reloaded { .. } => {}
            WorkerEvent::Ended {
                exit: WorkerExit::Code(0),
                ..
            } => {}
            event => eprintln!("{event}"),
        });
    workers.run(|worker: Worker| {
        let http = HttpServer::new();
        http.get("/hello", |_| HELLO);
        http.get("/worker", move |_: Request| worker.number().to_string());
        bus::add_route(http, worker);
        http.websocket(PATH, move |ws: WebSocket| {
            ws.subscribe("all");
            ws.on("message", move |message: Message| {
                http.publish("all", message)
            });
        });
        http.listen(worker.server(0)?);
        Ok(())
    })?;
    Ok(())
}
