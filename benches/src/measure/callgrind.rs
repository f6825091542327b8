//! User instructions of a server, counted by valgrind's callgrind.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{self, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::identity::Identity;
use crate::load::Load;
use crate::process::ServerProcess;
use crate::servers::Server;

/// Returns whether valgrind is installed.
pub(crate) fn is_available() -> bool {
    let valgrind = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    valgrind.is_ok_and(|status| status.success())
}

/// Returns the number of user instructions that `server` executes from its start to its end, with
/// `units` of the load in between.
pub(crate) fn instructions(
    server: Server,
    identity: Option<&Identity>,
    units: u64,
    open: impl FnOnce(&ServerProcess) -> Result<Box<dyn Load>>,
) -> Result<u64> {
    let start = |mut wrapper: Vec<OsString>| {
        if server.needs_directory() {
            // The process becomes the program of the server. Its children, which are other programs, are not counted.
            let options = ["--trace-children=yes", "--trace-children-skip=*/perl"];
            wrapper.extend(options.map(OsString::from));
        }
        ServerProcess::start_under(&wrapper, server, identity)
    };
    instructions_of(start, |process| open(process)?.run(units))
}

/// Returns the number of user instructions that a process executes from its start to its end, with `work` in between.
/// `start` starts it under the command that it is passed.
pub(crate) fn instructions_of(
    start: impl FnOnce(Vec<OsString>) -> Result<ServerProcess>,
    work: impl FnOnce(&ServerProcess) -> Result<()>,
) -> Result<u64> {
    let profile = Profile::new();
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(&profile.0);
    let wrapper = vec![
        "valgrind".into(),
        "--quiet".into(),
        "--tool=callgrind".into(),
        out,
    ];
    let process = start(wrapper)?;
    work(&process)?;
    process.terminate()?;
    let text = fs::read_to_string(&profile.0).context("reading callgrind's profile failed")?;
    total(&text).context("callgrind's profile has no total")
}

/// Returns the number of user instructions of this program, run with other arguments.
pub(crate) fn instructions_of_self(arguments: &[&str]) -> Result<u64> {
    let profile = Profile::new();
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(&profile.0);
    let status = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(out)
        .arg(env::current_exe()?)
        .args(arguments)
        .status()
        .context("starting valgrind failed")?;
    anyhow::ensure!(status.success(), "valgrind ended with {status}");
    let text = fs::read_to_string(&profile.0).context("reading callgrind's profile failed")?;
    total(&text).context("callgrind's profile has no total")
}

fn total(profile: &str) -> Option<u64> {
    let line = profile
        .lines()
        .find_map(|line| line.strip_prefix("totals:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The output file of callgrind, which is removed on drop.
struct Profile(PathBuf);

impl Profile {
    fn new() -> Self {
        Self(env::temp_dir().join(format!("uptick-bench-callgrind-{}", process::id())))
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_profile_is_found() {
        assert_eq!(
            total("# callgrind format\nevents: Ir\nfn=(1) main\n0 12\ntotals: 4711\n"),
            Some(4711)
        );
    }

    #[test]
    fn a_profile_without_a_total_is_refused() {
        assert_eq!(total("# callgrind format\nevents: Ir\n"), None);
    }
}
