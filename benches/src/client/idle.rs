//! The memory of idle connections in the pool of a client.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{Plan, start_upstream};
use crate::cli::Options;
use crate::measure::cpu::CpuClock;
use crate::measure::memory::Resident;
use crate::process::ServerProcess;
use crate::servers::{CLIENT_HOSTS, OPEN_CONNECTIONS, REQUESTS_DONE, Server};
use crate::table::{Table, cell, ratio};

/// The number of connections to each host that are opened before memory is measured, so that memory that the client needs for any number of
/// connections is not counted.
const WARM_UP: u64 = 2;
/// Maximum time until all connections are open.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The memory of a client in bytes, or its growth for each connection.
struct Memory {
    /// Allocated and not freed; `None` if the allocator does not count.
    allocated: Option<f64>,
    resident: f64,
}

pub(super) fn run(plan: &Plan, _: &Options) -> Result<()> {
    eprintln!("measuring memory at {} connections", plan.connections);
    let clients = Server::HTTP_CLIENTS;
    let measure = |client: &Server| {
        growth(*client, plan.connections)
            .with_context(|| format!("measuring the memory of {} failed", client.name()))
    };
    let growths: Vec<_> = clients.iter().map(measure).collect::<Result<_>>()?;
    let mut table = Table::new([
        "client",
        "allocated bytes per idle connection",
        "resident bytes",
    ]);
    for (client, growth) in clients.iter().zip(&growths) {
        let base = &growths[0];
        let resident = Some(growth.resident);
        table.push(vec![
            client.name().to_owned(),
            cell(growth.allocated, ratio(growth.allocated, base.allocated), 0),
            cell(resident, ratio(resident, Some(base.resident)), 0),
        ]);
    }
    println!("{table}");
    println!(
        "Growth of the client's process while it opens {} connections, to {CLIENT_HOSTS} names of the server. All connections to one name are in use at \
         the same time, by one request each, and then stay idle.\n",
        plan.connections
    );
    Ok(())
}

fn growth(client: Server, connections: u64) -> Result<Memory> {
    // A new server for each client, so that its ports are free.
    let (_upstream, url) = start_upstream()?;
    let process = ServerProcess::start_with_url(client, &url)?;
    open(&process, WARM_UP)?;
    let before = memory(&process)?;
    // These requests also use the connections that are open already.
    open(&process, WARM_UP + connections / CLIENT_HOSTS)?;
    let after = memory(&process)?;
    let each = |before: f64, after: f64| (after - before) / connections as f64;
    let allocated = before.allocated.zip(after.allocated);
    Ok(Memory {
        allocated: allocated.map(|(before, after)| each(before, after)),
        resident: each(before.resident, after.resident),
    })
}

/// Opens connections until there is this number for each host.
fn open(process: &ServerProcess, connections: u64) -> Result<()> {
    let result = get(process, &format!("/{OPEN_CONNECTIONS}/{connections}"))?;
    ensure!(result == REQUESTS_DONE, "{result}");
    Ok(())
}

fn memory(process: &ServerProcess) -> Result<Memory> {
    let allocated = get(process, "/allocated")?.parse().ok();
    CpuClock::of(process.pid())?.read_when_idle()?;
    Ok(Memory {
        allocated,
        resident: Resident::of(process.pid())?.total as f64,
    })
}

/// Sends a request on a connection of its own, and returns the body of the response.
fn get(process: &ServerProcess, path: &str) -> Result<String> {
    let address: SocketAddrV4 = process.target().address;
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (_, body) = response
        .split_once("\r\n\r\n")
        .context("a response is not complete")?;
    Ok(body.to_owned())
}
