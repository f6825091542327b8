//! Measurement of several servers in turns, so that disturbances affect all of them.

use anyhow::{Context as _, Result};

use crate::load::Load;
use crate::measure::cpu::CpuClock;
use crate::measure::syscalls::Method;
use crate::process::ServerProcess;
use crate::servers::Server;

/// A load, and the number of its units in one measurement.
pub(crate) struct Work {
    pub(crate) load: Box<dyn Load>,
    pub(crate) units: u64,
}

/// A running server with its loads. All subjects have the same loads.
pub(crate) struct Subject {
    name: &'static str,
    process: ServerProcess,
    clock: CpuClock,
    works: Vec<Work>,
}

impl Subject {
    pub(crate) fn new(
        server: Server,
        process: ServerProcess,
        open: impl FnOnce(&ServerProcess) -> Result<Vec<Work>>,
    ) -> Result<Self> {
        let works =
            open(&process).with_context(|| format!("connecting to {} failed", server.name()))?;
        Ok(Self {
            name: server.name(),
            clock: CpuClock::of_tree(process.pid())?,
            process,
            works,
        })
    }

    fn run(&mut self, work: usize) -> Result<u64> {
        let Work { load, units } = &mut self.works[work];
        load.run(*units)
            .with_context(|| format!("running a load on {} failed", self.name))?;
        Ok(*units)
    }
}

/// Returns the CPU time for each unit in microseconds, as `[work][subject][round]`.
///
/// Every subject takes its turn in every round, in an order that rotates. A warm-up round before
/// the first one is not counted.
pub(crate) fn cpu_time(subjects: &mut [Subject], rounds: usize) -> Result<Vec<Vec<Vec<f64>>>> {
    let works = subjects.first().map_or(0, |subject| subject.works.len());
    let mut samples = vec![vec![Vec::with_capacity(rounds); subjects.len()]; works];
    for round in 0..=rounds {
        for (work, samples) in samples.iter_mut().enumerate() {
            for turn in 0..subjects.len() {
                let index = (turn + round) % subjects.len();
                let subject = &mut subjects[index];
                let before = subject.clock.read_when_idle()?;
                let units = subject.run(work)?;
                let spent = subject.clock.read_when_idle()?.saturating_sub(before);
                if round > 0 {
                    samples[index].push(spent.as_secs_f64() * 1e6 / units as f64);
                }
            }
        }
    }
    Ok(samples)
}

/// Returns the number of system calls for each unit, as `[subject][work]`; `None` if they could not be counted.
pub(crate) fn system_calls(
    subjects: &mut [Subject],
    method: Method,
) -> Result<Vec<Vec<Option<f64>>>> {
    let count = |subject: &mut Subject, work: usize| {
        let (pid, clock) = (subject.process.pid(), subject.clock.clone());
        let mut units = 0;
        let counted = method.count(pid, || {
            units = subject.run(work)?;
            clock.read_when_idle().map(drop)
        });
        match counted {
            Ok(calls) => calls.map(|calls| calls as f64 / units as f64),
            Err(error) => {
                eprintln!(
                    "counting the system calls of {} failed: {error:#}",
                    subject.name
                );
                None
            }
        }
    };
    let mut all = Vec::with_capacity(subjects.len());
    for subject in subjects {
        all.push(
            (0..subject.works.len())
                .map(|work| count(subject, work))
                .collect(),
        );
    }
    Ok(all)
}
