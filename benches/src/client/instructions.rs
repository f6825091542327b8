//! User instructions of a client for one request.

use anyhow::{Context as _, Result};

use super::{ClientRequests, start_upstream};
use crate::load::Load as _;
use crate::measure::callgrind;
use crate::process::ServerProcess;
use crate::servers::{ClientCase, Server};
use crate::table::Table;

/// Builds the table with a row for each client.
pub(crate) fn table(requests: u64) -> Result<Table> {
    let (_upstream, url) = start_upstream()?;
    let titles = ClientCase::ALL.iter().enumerate().map(|(index, case)| {
        let prefix = match index {
            0 => "user instructions per request: ",
            _ => "",
        };
        format!("{prefix}{}", case.title())
    });
    let mut table = Table::new(["client".to_owned()].into_iter().chain(titles));
    for client in Server::HTTP_CLIENTS {
        eprintln!("running {} under callgrind", client.name());
        let mut row = vec![client.name().to_owned()];
        for case in ClientCase::ALL {
            let requests = requests.next_multiple_of(case.in_flight());
            let count = |requests| {
                let start =
                    |wrapper: Vec<_>| ServerProcess::start_with_url_under(&wrapper, *client, &url);
                let instructions = callgrind::instructions_of(start, |process| {
                    ClientRequests::new(process, case, requests)?.run(requests)
                });
                instructions
                    .with_context(|| format!("running {} under callgrind failed", client.name()))
            };
            let difference = count(2 * requests)? as f64 - count(requests)? as f64;
            row.push(format!("{:.0}", difference / requests as f64));
        }
        table.push(row);
    }
    Ok(table)
}
