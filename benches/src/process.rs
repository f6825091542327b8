//! Server processes: starting, placing and stopping them.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddrV4, TcpStream};
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
use crate::servers::{Server, ServerDirectory};

/// The time within which a server must exit after the signal.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// The time within which a server must listen after it has announced its address.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(30);

/// The first and the last CPU that the benchmark could run on before it was pinned.
static CPUS: OnceLock<(usize, usize)> = OnceLock::new();

/// The CPUs that the servers and the load generator run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Placement {
    /// All on one CPU: server and load take turns, so the number of requests that a server finds
    /// pending depends on the code and not on a race between two CPUs.
    #[default]
    Shared,
    /// The servers on one CPU, the load generator on another.
    Split,
    /// Left to the scheduler.
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
            Self::Any => "The placement of servers and load generator is left to the scheduler",
        }
    }

    /// Moves this thread to the CPU of the servers, runs `spawn`, whose processes inherit the CPU,
    /// and then moves this thread to the CPU of the load generator.
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

/// Returns the first and the last CPU that this thread may run on.
fn first_and_last_cpu() -> Result<(usize, usize)> {
    let allowed =
        sched_getaffinity(None).context("getting the CPU affinity of this thread failed")?;
    let mut cpus = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let first = cpus.next().context("this thread has no CPU")?;
    Ok((first, cpus.next_back().unwrap_or(first)))
}

fn pin(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).with_context(|| format!("moving to CPU {cpu} failed"))
}

/// A child process that is killed when this is dropped.
#[derive(Debug)]
struct KillOnDrop(Child);

impl KillOnDrop {
    /// Waits until the process accepts connections.
    fn wait_until_it_listens(&mut self, address: SocketAddrV4) -> Result<()> {
        let deadline = Instant::now() + LISTEN_TIMEOUT;
        while let Err(error) = TcpStream::connect(address) {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended ({status})");
            }
            if Instant::now() > deadline {
                return Err(error).context("it does not listen");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server in its own process, which is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: KillOnDrop,
    target: Target,
    /// Removed after the process has ended.
    _directory: Option<ServerDirectory>,
}

impl ServerProcess {
    /// Starts `server` and waits until it listens. A server with TLS needs an identity.
    pub(crate) fn start(server: Server, identity: Option<&Identity>) -> Result<Self> {
        Self::start_under(&[], server, identity)
    }

    /// Starts a client that needs the URL of its server.
    pub(crate) fn start_with_url(server: Server, url: &str) -> Result<Self> {
        Self::start_with_url_under(&[], server, url)
    }

    /// Starts a client that needs the URL of its server under the command `wrapper`, which must execute the client in the
    /// same process.
    pub(crate) fn start_with_url_under(
        wrapper: &[OsString],
        server: Server,
        url: &str,
    ) -> Result<Self> {
        Self::spawn(wrapper, server, Some(url.as_ref()), None, None)
    }

    /// Starts `server` under the command `wrapper`, which must execute the server in the same
    /// process.
    pub(crate) fn start_under(
        wrapper: &[OsString],
        server: Server,
        identity: Option<&Identity>,
    ) -> Result<Self> {
        let directory = match server.needs_directory() {
            true => Some(ServerDirectory::new()?),
            false => None,
        };
        let argument = match (&directory, identity) {
            (Some(directory), _) => Some(directory.path().as_os_str().to_owned()),
            (None, Some(identity)) => Some(identity.file().as_os_str().to_owned()),
            (None, None) => None,
        };
        Self::spawn(wrapper, server, argument.as_deref(), identity, directory)
    }

    fn spawn(
        wrapper: &[OsString],
        server: Server,
        argument: Option<&OsStr>,
        identity: Option<&Identity>,
        directory: Option<ServerDirectory>,
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
        let mut child = KillOnDrop(child);
        let mut line = String::new();
        if let Some(stdout) = child.0.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let line = line.trim();
        let address = line
            .trim_start_matches("tcp://")
            .trim_start_matches("tls://")
            .parse()
            .with_context(|| {
                format!("{} printed {line:?} instead of its address", server.name())
            })?;
        let tls = identity.map(Identity::client).transpose()?;
        if directory.is_some() {
            child
                .wait_until_it_listens(address)
                .with_context(|| format!("starting {} failed", server.name()))?;
        }
        Ok(Self {
            child,
            target: Target { address, tls },
            _directory: directory,
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

    /// Returns the address and the TLS configuration for clients.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Sends SIGTERM to the process, and waits until it has ended.
    pub(crate) fn terminate(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + END_TIMEOUT;
        while self.child.0.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("a server did not end within {END_TIMEOUT:?}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Makes this process end when its parent ends.
pub(crate) fn follow_parent() -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .context("setting the parent death signal failed")
}

/// Raises the limit on open files to at least `files` for this process and its children.
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
