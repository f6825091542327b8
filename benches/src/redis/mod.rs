//! The subcommand `redis`: the cost of commands, and of Socket.IO broadcasts between servers.

mod commands;
mod socketio;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cli::Options;
use crate::machine;
use crate::process::{ServerProcess, allow_open_files};
use crate::servers::{PIPELINE, Server, node_socketio_redis_versions, node_version, redis_version};

/// The percentile of the CPU samples in the tables: the least disturbed rounds.
const PERCENTILE: f64 = 20.0;
/// Files besides the connections.
const SPARE_FILES: u64 = 256;
/// Maximum time until Redis listens, and until all servers have subscribed.
const START: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(10);

/// The sizes of a run.
struct Plan {
    rounds: usize,
    /// Commands one at a time, and pipelined.
    commands: [u64; 2],
    clients: usize,
    broadcasts: u64,
    bursts: u64,
    /// Broadcasts without a client in a round.
    sent: u64,
}

impl Plan {
    fn new(options: &Options) -> Self {
        let quick = options.quick;
        let (rounds, trips, clients) = if quick {
            (2, 200, 20)
        } else {
            (15, 10_000, 1_000)
        };
        let trips = options
            .trips
            .unwrap_or(trips)
            .next_multiple_of(2 * PIPELINE);
        Self {
            rounds: options.rounds.unwrap_or(rounds),
            commands: [trips, if quick { trips } else { 5 * trips }],
            clients,
            broadcasts: if quick { 4 } else { 20 },
            bursts: if quick { 1 } else { 2 },
            sent: if quick { 50 } else { 1_000 },
        }
    }
}

/// Measures everything, or one part.
pub(crate) fn run(options: &Options, part: Option<&str>) -> Result<()> {
    type Part = fn(&Plan, &Options) -> Result<()>;
    let parts: [(&str, Part); 2] = [("commands", commands::run), ("socketio", socketio::run)];
    if let Some(part) = part
        && !parts.iter().any(|(name, _)| *name == part)
    {
        bail!("redis takes commands or socketio, not {part:?}");
    }
    let Some(version) = redis_version() else {
        eprintln!("SKIPPED: redis-server is not installed");
        println!("redis-server is not installed");
        return Ok(());
    };
    let plan = Plan::new(options);
    let started = Instant::now();
    allow_open_files(plan.clients as u64 * 4 + SPARE_FILES)?;
    for (name, run) in parts {
        if part.is_none_or(|part| part == name) {
            run(&plan, options)?;
        }
    }
    println!(
        "The {PERCENTILE}th percentile of {} rounds; in brackets the median of the ratios to the first row in the same round. {}.",
        plan.rounds,
        options.placement.description(),
    );
    let absent = || "is not installed".to_owned();
    println!(
        "\nMachine: {} · Redis {version} · node {} · {}",
        machine::describe(["uptick-redis", "redis", "tokio", "uptick-socketio"]),
        node_version().unwrap_or_else(absent),
        node_socketio_redis_versions()
            .unwrap_or_else(|| "npm's @socket.io/redis-adapter is not installed".to_owned()),
    );
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// A running Redis server, and clients or servers that use it.
struct WithRedis {
    servers: Vec<ServerProcess>,
    /// Stopped after its clients.
    redis: ServerProcess,
}

impl WithRedis {
    fn start(servers: &[Server], options: &Options) -> Result<Self> {
        eprintln!("starting Redis and {} servers", servers.len());
        options.placement.spawning(|| {
            let redis = ServerProcess::start(Server::Redis, None)?;
            wait_for(|| Ok(TcpStream::connect(redis.target().address).is_ok()))
                .context("connecting to Redis failed")?;
            let url = format!("redis://{}", redis.target().address);
            let start = |server: &Server| ServerProcess::start_with_url(*server, &url);
            let servers = servers.iter().map(start).collect::<Result<_>>()?;
            Ok(Self { servers, redis })
        })
    }

    /// Waits until `count` servers have subscribed to a channel.
    fn wait_for_subscribers(&self, channel: &str, count: usize) -> Result<()> {
        let mut redis = TcpStream::connect(self.redis.target().address)?;
        redis.set_read_timeout(Some(START))?;
        let expected = format!("*2\r\n${}\r\n{channel}\r\n:{count}\r\n", channel.len());
        wait_for(|| {
            redis.write_all(format!("PUBSUB NUMSUB {channel}\r\n").as_bytes())?;
            let mut reply = vec![0; expected.len()];
            redis.read_exact(&mut reply)?;
            Ok(reply == expected.as_bytes())
        })
        .with_context(|| format!("not all servers have subscribed to {channel}"))
    }
}

fn wait_for(mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + START;
    while !condition()? {
        ensure!(Instant::now() < deadline, "gave up after {START:?}");
        thread::sleep(RETRY);
    }
    Ok(())
}
