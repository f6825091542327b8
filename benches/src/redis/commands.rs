//! Commands per CPU second of a client, without the time of Redis.

use anyhow::Result;

use super::{PERCENTILE, Plan, WithRedis};
use crate::cli::Options;
use crate::load::{Exchange, Load, RoundTrips};
use crate::process::ServerProcess;
use crate::rounds::{self, Subject, Work};
use crate::servers::{COMMANDS_DONE, CommandMode, PIPELINE, Server};
use crate::statistics::{median_ratio, percentile};
use crate::table::{Table, cell};

/// One request to a client, which stands for many commands.
struct Commands {
    request: RoundTrips,
}

impl Load for Commands {
    fn run(&mut self, _: u64) -> Result<()> {
        self.request.run(1)
    }
}

pub(super) fn run(plan: &Plan, options: &Options) -> Result<()> {
    let WithRedis { servers, redis } = WithRedis::start(Server::REDIS_CLIENTS, options)?;
    let subjects = Server::REDIS_CLIENTS.iter().zip(servers);
    let mut subjects: Vec<_> = subjects
        .map(|(server, process)| Subject::new(*server, process, |process| works(plan, process)))
        .collect::<Result<_>>()?;
    eprintln!("measuring CPU time of commands, {} rounds", plan.rounds);
    let cpu = rounds::cpu_time(&mut subjects, plan.rounds)?;
    drop((subjects, redis));

    let mut table = Table::new([
        "client".to_owned(),
        "thousand commands per CPU second: one at a time".to_owned(),
        format!("pipelines of {PIPELINE}"),
        format!("{PIPELINE} tasks"),
    ]);
    for (index, server) in Server::REDIS_CLIENTS.iter().enumerate() {
        let mut row = vec![server.name().to_owned()];
        for samples in &cpu {
            let (own, base) = (&samples[index], &samples[0]);
            let micros = percentile(own, PERCENTILE);
            row.push(cell(
                micros.map(|micros| 1e3 / micros),
                median_ratio(base, own),
                0,
            ));
        }
        table.push(row);
    }
    println!("{table}");
    println!(
        "Commands for each second of user + system time of the client's process: `SET` and `GET` of 20 bytes in turns, one at a time, in \
         pipelines of {PIPELINE}, and by {PIPELINE} tasks that share the connection. Higher is better.\n"
    );
    Ok(())
}

fn works(plan: &Plan, process: &ServerProcess) -> Result<Vec<Work>> {
    let work = |mode: CommandMode| {
        let [single, many] = plan.commands;
        let count = match mode {
            CommandMode::Sequential => single,
            CommandMode::Pipelined | CommandMode::Concurrent => many,
        };
        let path = mode.path();
        let head = format!("GET /{path}/{count} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n");
        let exchange = Exchange::http(&head, 1, COMMANDS_DONE);
        let request = RoundTrips::open(process.target(), exchange, 1)?;
        Ok(Work {
            load: Box::new(Commands { request }),
            units: count,
        })
    };
    CommandMode::ALL.into_iter().map(work).collect()
}
