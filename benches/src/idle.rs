//! The memory of idle connections.

use anyhow::{Context as _, Result};

use crate::identity::Identity;
use crate::load::{Exchange, IdleConnections, Target};
use crate::measure::cpu::CpuClock;
use crate::measure::memory::Resident;
use crate::process::ServerProcess;
use crate::servers::Server;

/// The number of connections opened and closed before memory is measured, so that memory kept by
/// the allocator and in page tables after the first connections is not counted.
const WARM_UP: usize = 64;

/// Returns the memory per idle connection in bytes, for `connections` connections that have done
/// one exchange.
///
/// The total and the anonymous part; `None` if the system does not report it.
pub(crate) fn memory(
    server: Server,
    identity: Option<&Identity>,
    exchange: &Exchange,
    connections: usize,
) -> Result<[Option<f64>; 2]> {
    memory_of(server, identity, connections, |target, count| {
        IdleConnections::open(target, exchange.clone(), count)
    })
}

/// Like [`memory`], for connections opened by `open`.
pub(crate) fn memory_of<C>(
    server: Server,
    identity: Option<&Identity>,
    connections: usize,
    open: impl Fn(&Target, usize) -> Result<C>,
) -> Result<[Option<f64>; 2]> {
    let process = ServerProcess::start(server, identity)?;
    let clock = CpuClock::of(process.pid())?;
    let resident = || {
        clock.read_when_idle()?;
        let resident = Resident::of(process.pid());
        anyhow::Ok(resident.inspect_err(|error| eprintln!("{error:#}")).ok())
    };
    let open = |count| {
        open(process.target(), count)
            .with_context(|| format!("connecting to {} failed", server.name()))
    };
    drop(open(WARM_UP)?);
    let before = resident()?;
    let connected = open(connections)?;
    let after = resident()?;
    drop(connected);
    let each = |part: fn(Resident) -> u64| {
        let (before, after) = before.zip(after)?;
        Some((part(after) as f64 - part(before) as f64) / connections as f64)
    };
    Ok([
        each(|resident| resident.total),
        each(|resident| resident.anonymous),
    ])
}
