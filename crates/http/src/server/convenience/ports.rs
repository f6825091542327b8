//! Free and occupied ports, and the processes that hold them.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::server::{HttpServer, SERVERS};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The error for a port that is in use by another thread or process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortInUse {
    port: u16,
    holders: Vec<PortHolder>,
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortHolder {
    port: u16,
    pid: u32,
    name: String,
}

/// Ports and their holders.
impl HttpServer {
    /// Returns `true` if a server can listen on a port on 127.0.0.1 now, by trying it. Another program may take the port immediately
    /// afterwards, so only the result of [`bind`](HttpServer::bind) is reliable.
    pub fn is_port_free(port: u16) -> bool {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
    }

    /// Closes the listeners of this thread's HTTP servers on a port; their connections stay open. Returns `true` if there were any.
    ///
    /// Closing the listeners is sufficient: the port can be reused immediately, whatever connections the server had. Listeners of other
    /// threads and processes are not affected.
    ///
    /// # Errors
    /// [`PortInUse`] if the port is still in use afterwards. It names the processes that hold the port, if the system reports
    /// them.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::HttpServer;
    ///
    /// let http = HttpServer::bind(0)?;
    /// let port = http.address().and_then(|uri| uri.rsplit(':').next()?.parse().ok()).unwrap_or(0);
    /// assert!(HttpServer::free_port_if_stuck(port)?);
    /// assert!(!http.is_connected());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn free_port_if_stuck(port: u16) -> Result<bool, PortInUse> {
        let listens = |address: Option<String>| {
            let found = address.as_deref().and_then(|uri| uri.rsplit_once(':'));
            found.is_some_and(|(_, number)| number.parse() == Ok(port))
        };
        let servers = SERVERS.try_with(|servers| {
            let servers = servers.borrow();
            let all = servers.iter().flat_map(|(_, entry)| entry.servers.clone());
            all.collect::<Vec<_>>()
        });
        let mut freed = false;
        for server in servers.unwrap_or_default() {
            if listens(server.address()) {
                server.close();
                freed = true;
            }
        }
        match HttpServer::is_port_free(port) {
            true => Ok(freed),
            false => Err(PortInUse {
                port,
                holders: HttpServer::port_holders(port),
            }),
        }
    }

    /// Returns the processes that listen on a TCP port of any address, as far as this process may see them: only root sees those of other
    /// users, and only Linux reports them. Reading `/proc` takes a few milliseconds.
    pub fn port_holders(port: u16) -> Vec<PortHolder> {
        let sockets = sockets_on(port);
        let mut holders = Vec::new();
        if sockets.is_empty() {
            return holders;
        }
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if has_one_of(pid, &sockets) {
                let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                holders.push(PortHolder {
                    port,
                    pid,
                    name: name.trim_end().to_owned(),
                });
            }
        }
        holders
    }
}

/// Returns the descriptor links of the sockets that listen on a port.
fn sockets_on(port: u16) -> HashSet<PathBuf> {
    let mut sockets = HashSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut columns = line.split_ascii_whitespace();
            let local = columns.nth(1).and_then(|local| local.rsplit_once(':'));
            let (state, inode) = (columns.nth(1), columns.nth(5));
            if let (Some((_, number)), Some(LISTENS), Some(inode)) = (local, state, inode)
                && u16::from_str_radix(number, 16) == Ok(port)
            {
                sockets.insert(PathBuf::from(format!("socket:[{inode}]")));
            }
        }
    }
    sockets
}

fn has_one_of(pid: u32, sockets: &HashSet<PathBuf>) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"));
    let mut links = descriptors.into_iter().flatten().flatten();
    links.any(|link| fs::read_link(link.path()).is_ok_and(|target| sockets.contains(&target)))
}

impl PortHolder {
    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns the name of the process's program.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends SIGTERM to the process. The process may end later, or ignore the signal.
    ///
    /// # Errors
    /// ESRCH if the process no longer holds the port, EINVAL if it is this process, EPERM if it belongs to another user.
    pub fn terminate(&self) -> io::Result<()> {
        if self.pid == std::process::id() {
            return Err(Errno::INVAL.into());
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.terminate_process(pid.ok_or(Errno::SRCH)?)
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn terminate_process(&self, pid: Pid) -> io::Result<()> {
        use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

        let process = pidfd_open(pid, PidfdFlags::empty())?;
        // The pidfd keeps the process id from being reused from here on. It may have been reused before.
        if !has_one_of(self.pid, &sockets_on(self.port)) {
            return Err(Errno::SRCH.into());
        }
        Ok(pidfd_send_signal(process, Signal::TERM)?)
    }

    /// Sends SIGTERM to the process. Only Linux lists the holders of a port, and it has pidfds.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn terminate_process(&self, pid: Pid) -> io::Result<()> {
        if !has_one_of(self.pid, &sockets_on(self.port)) {
            return Err(Errno::SRCH.into());
        }
        Ok(rustix::process::kill_process(pid, Signal::TERM)?)
    }
}

impl PortInUse {
    /// Returns the processes that hold the port, if the system reports them.
    pub fn holders(&self) -> &[PortHolder] {
        &self.holders
    }
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

impl fmt::Display for PortInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} is in use (EADDRINUSE)", self.port)?;
        for (index, holder) in self.holders.iter().enumerate() {
            let before = if index == 0 { ", by " } else { ", " };
            write!(f, "{before}{holder}")?;
        }
        Ok(())
    }
}

impl std::error::Error for PortInUse {}
