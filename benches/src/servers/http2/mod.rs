//! The HTTP/2 servers, without TLS. All of them respond to `GET /hello` with the body `Hello, World!`.
//!
//! h2o, nghttpd and nginx are separate programs. They need a [`ServerDirectory`] for their configuration and for the
//! file that they serve, and listen on a port that was free a moment before.

pub(super) mod h2o;
pub(super) mod hyper;
pub(super) mod nghttpd;
pub(super) mod nginx;
pub(super) mod node;

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};

/// The file that contains the response body.
const FILE: &str = "hello";

/// A temporary directory for a server, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerDirectory(PathBuf);

impl ServerDirectory {
    /// Creates a directory with the file that is served.
    pub(crate) fn new() -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("uptick-bench-{}-{number}", process::id());
        let directory = Self(env::temp_dir().join(name));
        let path = directory.path();
        fs::create_dir(path).with_context(|| format!("creating {} failed", path.display()))?;
        fs::write(path.join(FILE), super::http::HELLO)?;
        Ok(directory)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ServerDirectory {
    fn drop(&mut self) {
        // A directory left among the temporary files is harmless.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns a free port on 127.0.0.1.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Returns the version that a program prints for the argument `option`: the part of the first line after `prefix`. Returns
/// `None` if the program is not installed.
fn version_of(program: &str, option: &str, prefix: &str) -> Option<String> {
    let output = Command::new(program)
        .arg(option)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).ok()?;
    Some(text.lines().next()?.strip_prefix(prefix)?.to_owned())
}
