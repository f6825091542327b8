//! CPU time and system calls of a client for one request, without those of the server.

use anyhow::Result;

use super::{ClientRequests, PERCENTILE, Plan, start_upstream};
use crate::cli::Options;
use crate::measure::syscalls::Method;
use crate::process::ServerProcess;
use crate::rounds::{self, Subject, Work};
use crate::servers::{ClientCase, Server};
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell, ratio};

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    let clients = Server::HTTP_CLIENTS;
    eprintln!("starting {} clients and their server", clients.len());
    let (upstream, processes) = options.placement.spawning(|| {
        let (upstream, url) = start_upstream()?;
        let start = |client: &Server| ServerProcess::start_with_url(*client, &url);
        let processes = clients.iter().map(start).collect::<Result<Vec<_>>>()?;
        Ok((upstream, processes))
    })?;
    let subjects = clients.iter().zip(processes);
    let mut subjects: Vec<_> = subjects
        .map(|(client, process)| Subject::new(*client, process, |process| works(plan, process)))
        .collect::<Result<_>>()?;
    eprintln!("measuring CPU time of requests, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    eprintln!("counting system calls");
    let calls = rounds::system_calls(&mut subjects, Method::detect())?;
    drop((subjects, upstream));

    let mut header = vec!["client".to_owned()];
    for measured in ["CPU µs: ", "syscalls: "] {
        let prefixes = [measured].into_iter().chain([""].into_iter().cycle());
        let titles = prefixes.zip(ClientCase::ALL);
        header.extend(titles.map(|(prefix, case)| format!("{prefix}{}", case.title())));
    }
    let mut table = Table::new(header);
    for (index, client) in clients.iter().enumerate() {
        let mut row = vec![client.name().to_owned()];
        for samples in &cpu {
            let (own, base) = (&samples[index], &samples[0]);
            let ratio = median_ratio(own, base);
            row.push(cell(percentile(own, PERCENTILE), ratio, 2));
        }
        for (calls, base) in calls[index].iter().zip(&calls[0]) {
            row.push(cell(*calls, ratio(*calls, *base), 2));
        }
        table.push(row);
    }
    println!("{table}");
    println!(
        "User + system time of the client's process for one request with its response, {} in a round. The server, `uptick-http`, is the same for \
         all clients, and runs in another process.\n",
        plan.requests,
    );
    Ok(())
}

fn works(plan: &Plan, process: &ServerProcess) -> Result<Vec<Work>> {
    let work = |case: ClientCase| {
        let requests = ClientRequests::new(process, case, plan.requests)?;
        let units = requests.count;
        let load = Box::new(requests);
        Ok(Work { load, units })
    };
    ClientCase::ALL.into_iter().map(work).collect()
}
