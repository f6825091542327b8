//! Server processes: starting, placing and stopping them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Signal, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::identity::Identity;
use crate::load::Target;
use crate::servers::Server;

/// How long a server may take to end when asked to.
const END_WITHIN: Duration = Duration::from_secs(60);

/// The first and the last CPU that the benchmark may run on, before it was placed.
static CPUS: OnceLock<(usize, usize)> = OnceLock::new();

/// Which CPUs the servers and the load generator run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Everything on one CPU: server and load take turns, so how many requests a server finds
    /// waiting depends on the code and not on a race between two CPUs.
    #[default]
    Shared,
    /// The servers on one CPU, the load generator on another.
    Split,
    /// Wherever the scheduler likes.
    Any,
}

impl FromStr for Placement {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "shared" => Ok(Self::Shared),
            "split" => Ok(Self::Split),
            "any" => Ok(Self::Any),
            _ => bail!("--cpus takes shared, split or any, not {word:?}"),
        }
    }
}

impl Placement {
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Shared => "Servers and load generator share one CPU",
            Self::Split => "The servers are on one CPU, the load generator on another",
            Self::Any => "Servers and load generator are wherever the scheduler puts them",
        }
    }

    /// Puts this thread where the servers belong, runs `spawn`, whose processes inherit the
    /// place, and then puts this thread where the load generator belongs.
    pub(crate) fn spawning<T>(self, spawn: impl FnOnce() -> Result<T>) -> Result<T> {
        if self == Self::Any {
            return spawn();
        }
        let (first, last) = match CPUS.get() {
            Some(cpus) => *cpus,
            None => {
                let cpus = first_and_last_cpu()?;
                *CPUS.get_or_init(|| cpus)
            }
        };
        pin(last)?;
        let spawned = spawn()?;
        if self == Self::Split {
            pin(first)?;
        }
        Ok(spawned)
    }
}

/// The first and the last CPU that this thread may run on.
fn first_and_last_cpu() -> Result<(usize, usize)> {
    let allowed = sched_getaffinity(None).context("asking for this thread's CPUs failed")?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let first = cpus.next().context("this thread may run on no CPU")?;
    Ok((first, cpus.next_back().unwrap_or(first)))
}

fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("moving to CPU {cpu} failed"))
}

/// A child that does not outlive this value.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already, which is just as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server in a process of its own, killed when dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Running,
    target: Target,
}

impl ServerProcess {
    /// Starts `server` and waits until it listens. One that has TLS needs an identity.
    pub(crate) fn start(server: Server, identity: Option<&Identity>) -> Result<Self> {
        Self::start_under(&[], server, identity)
    }

    /// Starts a server that needs the URL of a Redis server.
    pub(crate) fn start_with_redis(server: Server, url: &str) -> Result<Self> {
        Self::spawn(&[], server, Some(url.as_ref()), None)
    }

    /// Starts `server` as the argument of the command `wrapper`, which must become that process.
    pub(crate) fn start_under(
        wrapper: &[OsString],
        server: Server,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let file = identity.map(|identity| identity.file().as_os_str());
        Self::spawn(wrapper, server, file, identity)
    }

    fn spawn(
        wrapper: &[OsString],
        server: Server,
        argument: Option<&OsStr>,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let program = env::current_exe().context("finding this program's file failed")?;
        let mut words = wrapper.to_vec();
        words.push(program.into());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .args(["serve", server.name()])
            .args(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {} failed", words[0].display()))?;
        let mut child = Running(child);
        let mut line = String::new();
        if let Some(stdout) = child.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let line = line.trim();
        let address = line
            .trim_start_matches("tcp://")
            .trim_start_matches("tls://")
            .parse()
            .with_context(|| format!("{} said {line:?} instead of its address", server.name()))?;
        let tls = identity.map(Identity::client).transpose()?;
        Ok(Self {
            child,
            target: Target { address, tls },
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(rustix::process::kill_process(
            Pid::from_child(&self.child.0),
            signal,
        )?)
    }

    /// What clients need to know.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Asks the process to terminate and waits until it has.
    pub(crate) fn terminate(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + END_WITHIN;
        while self.child.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("a server did not end within {END_WITHIN:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Makes this process end when the one that started it does, however that happens.
pub(crate) fn follow_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("asking to end with the parent failed")
}

/// Raises the limit on open files to at least `files` for this process and those it starts.
pub(crate) fn allow_open_files(files: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    limit.current = Some(files);
    limit.maximum = limit.maximum.map(|maximum| maximum.max(files));
    setrlimit(Resource::Nofile, limit)
        .with_context(|| format!("raising the limit on open files to {files} failed"))
}
