//! The end of a worker: it stops accepting, ends its connections, and leaves the loop.

use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use uptick_emitter::emit;
use uptick_event_loop::{add_timer, spawn, stop};
use uptick_http::{HttpServer, ShutdownOptions};

use super::handle::{Drain, Worker};
use super::heartbeat;
use super::runtime::{Runtime, with_runtime};
use crate::bus::Bus;
use crate::control::DrainCause;
use crate::memory::WorkerState;

/// The time in which the last messages on the bus are sent.
const BUS_FLUSH_TIME: Duration = Duration::from_millis(10);

/// Starts draining; does nothing if the worker is draining already.
pub(crate) fn begin(cause: DrainCause) {
    let Some(runtime) = with_runtime(Rc::clone) else {
        return;
    };
    if runtime.draining.replace(Some(cause)).is_some() {
        return;
    }
    runtime.slot().set_state(WorkerState::Draining);
    runtime.sharing.reclaim_all();
    let drain = Drain {
        restarting: cause == DrainCause::Restart,
        deadline: runtime.settings.drain,
        window: runtime.settings.window,
    };
    // The socket listens until all its descriptors are closed.
    runtime.sockets.borrow_mut().clear();
    emit(&runtime.worker(), Worker::DRAIN, drain);
    let options = ShutdownOptions::new()
        .deadline(drain.deadline)
        .window(drain.window)
        .restarting(drain.restarting);
    let http = HttpServer::of_thread()
        .into_iter()
        .map(|server| server.shutdown_with(options));
    let http = join_all(http.collect::<Vec<_>>());
    // Servers that serve HTTP are closed by now.
    let servers = runtime
        .sharing
        .servers()
        .into_iter()
        .map(|server| server.shutdown(drain.deadline));
    let servers = join_all(servers.collect::<Vec<_>>());
    let task = spawn(async move {
        let closed_at_deadline: usize = http.await.into_iter().sum();
        let others_closed_at_deadline: usize = servers.await.into_iter().sum();
        end(&runtime, closed_at_deadline + others_closed_at_deadline);
    });
    drop(task);
}

fn end(runtime: &Rc<Runtime>, closed_at_deadline: usize) {
    if closed_at_deadline > 0 {
        tracing::warn!(
            "{closed_at_deadline} connections were still open at the deadline and were closed"
        );
        runtime.closed_at_deadline.set(true);
    }
    heartbeat::publish();
    Bus::of_thread().detach();
    add_timer(BUS_FLUSH_TIME, stop);
}
