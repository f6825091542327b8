//! Processes and their descendants, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// Returns a process and all its descendants, the process itself first.
pub(crate) fn members(root: u32) -> Result<Vec<u32>> {
    let parents = parents()?;
    let mut members = vec![root];
    let mut next = 0;
    while let Some(&parent) = members.get(next) {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        members.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    Ok(members)
}

/// Returns all processes with their parents.
fn parents() -> Result<Vec<(u32, u32)>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").context("reading /proc failed")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process may end in the meantime.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parent_in(&stat) {
            parents.push((pid, parent));
        }
    }
    Ok(parents)
}

/// Returns the parent of a live process. The program name, in parentheses, may contain any character.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (state != "Z").then_some(parent)
}

/// Returns the number of context switches of a process: each time a thread got a CPU, after waking up or after other threads
/// ran.
pub(crate) fn context_switches(pid: u32) -> Result<u64> {
    let tasks = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in fs::read_dir(&tasks).with_context(|| format!("reading {tasks} failed"))? {
        let path = task?.path().join("status");
        let status = fs::read_to_string(&path)
            .with_context(|| format!("reading {} failed", path.display()))?;
        sum += switches_in(&status);
    }
    Ok(sum)
}

fn switches_in(status: &str) -> u64 {
    status
        .lines()
        .filter_map(|line| line.split_once("voluntary_ctxt_switches:"))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

/// Returns the number of open files of a process.
pub(crate) fn open_files(pid: u32) -> Result<usize> {
    let path = format!("/proc/{pid}/fd");
    let files = fs::read_dir(&path).with_context(|| format!("reading {path} failed"))?;
    Ok(files.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_follows_the_name_and_the_state() {
        assert_eq!(parent_in("12 (a) R 1 (b)) S 7 12 12 0 -1"), Some(7));
        assert_eq!(parent_in("12 (a) Z 7 12 12 0 -1"), None);
        assert_eq!(parent_in(""), None);
    }

    #[test]
    fn switches_of_both_kinds_are_added_up() {
        let status = "Threads:\t1\nvoluntary_ctxt_switches:\t40\nnonvoluntary_ctxt_switches:\t2\n";
        assert_eq!(switches_in(status), 42);
    }
}
