//! Broadcasts between Socket.IO servers of both kinds in one cluster.
//!
//! There are two servers of each kind: one with clients, which receives broadcasts, and one without, which sends them.

use anyhow::{Context as _, Result};

use super::{PERCENTILE, Plan, WithRedis};
use crate::cli::Options;
use crate::load::{ClusterBroadcasts, ClusterClients, Load};
use crate::process::ServerProcess;
use crate::rounds::{self, Subject, Work};
use crate::servers::Server;
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell};

/// Events that are broadcast at a time in the second column.
const BURST: u64 = 50;

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    let (kinds, absent): (Vec<_>, Vec<_>) = Server::SOCKETIO_REDIS
        .iter()
        .copied()
        .partition(|server| server.is_installed());
    for server in &absent {
        eprintln!(
            "SKIPPED: {}: node or its packages are not installed",
            server.name()
        );
    }
    let count = kinds.len();
    let mut cluster = WithRedis::start(&[&kinds[..], &kinds[..]].concat(), options)?;
    for namespace in ["/", "/sent", "/control"] {
        let channel = format!("socket.io-request#{namespace}#");
        cluster.wait_for_subscribers(&channel, 2 * count)?;
    }
    let senders = cluster.servers.split_off(count);
    let receivers = cluster.servers;

    // Our server, the last one, requests the broadcasts that others receive, and its client receives those that others send.
    let sender = senders
        .last()
        .context("no server was started")?
        .target()
        .clone();
    let watched = receivers
        .last()
        .context("no server was started")?
        .target()
        .clone();
    let clients = ClusterClients::open(
        receivers.iter().map(ServerProcess::target),
        plan.clients,
        "",
    )?;
    let watcher = ClusterClients::open([&watched], 1, "/sent,")?;

    let mut receivers = subjects(&kinds, receivers, |_| {
        let alone = ClusterBroadcasts::new(&clients, &sender, "burst", 1)?;
        let burst = ClusterBroadcasts::new(&clients, &sender, "burst", BURST)?;
        Ok(works(alone, plan.broadcasts, burst, plan.bursts))
    })?;
    let mut senders = subjects(&kinds, senders, |process| {
        let target = process.target();
        let alone = ClusterBroadcasts::new(&watcher, target, "send", 1)?;
        let burst = ClusterBroadcasts::new(&watcher, target, "send", BURST)?;
        Ok(works(alone, plan.sent, burst, plan.sent.div_ceil(BURST)))
    })?;
    eprintln!("measuring CPU time of broadcasts, {} rounds", plan.rounds);
    let received = rounds::cpu_time(&mut receivers, plan.rounds)?;
    let sent = rounds::cpu_time(&mut senders, plan.rounds)?;
    drop((receivers, senders, cluster.redis));

    let mut table = Table::new([
        "server".to_owned(),
        format!("CPU µs: a broadcast received, for {} clients", plan.clients),
        format!("{BURST} at a time"),
        "a broadcast sent".to_owned(),
        format!("{BURST} at a time"),
    ]);
    for (index, server) in kinds.iter().enumerate() {
        let mut row = vec![server.name().to_owned()];
        for samples in received.iter().chain(&sent) {
            let (own, base) = (&samples[index], &samples[0]);
            row.push(cell(
                percentile(own, PERCENTILE),
                median_ratio(own, base),
                1,
            ));
        }
        table.push(row);
    }
    for server in absent {
        table.push(vec![server.name().to_owned(), "not installed".to_owned()]);
    }
    println!("{table}");
    println!(
        "User + system time of one server of a cluster of {}, for one broadcast with an argument of 20 bytes: received from Redis and delivered to \
         {} clients over WebSockets, the next when the clients of all servers have it; and sent to Redis, to a namespace with one client, at \
         another server.\n",
        2 * count,
        plan.clients,
    );
    Ok(())
}

fn works(
    alone: impl Load + 'static,
    count: u64,
    burst: impl Load + 'static,
    bursts: u64,
) -> Vec<Work> {
    let alone = Work {
        load: Box::new(alone),
        units: count,
    };
    let burst = Work {
        load: Box::new(burst),
        units: bursts * BURST,
    };
    vec![alone, burst]
}

fn subjects(
    kinds: &[Server],
    processes: Vec<ServerProcess>,
    works: impl Fn(&ServerProcess) -> Result<Vec<Work>>,
) -> Result<Vec<Subject>> {
    let processes = kinds.iter().zip(processes);
    processes
        .map(|(server, process)| Subject::new(*server, process, &works))
        .collect()
}
