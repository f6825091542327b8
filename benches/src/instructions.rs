//! The subcommand `instructions`: user instructions for each round trip, a figure that noise
//! does not change.

use anyhow::{Context as _, Result};

use crate::cli::Options;
use crate::load::RoundTrips;
use crate::machine;
use crate::measure::callgrind;
use crate::servers::Server;
use crate::table::Table;

const CONNECTIONS: [usize; 2] = [64, 1];

pub(crate) fn run(options: &Options) -> Result<()> {
    if !callgrind::is_available() {
        println!("not measured: valgrind is not installed");
        return Ok(());
    }
    let trips = options
        .trips
        .unwrap_or(if options.quick { 200 } else { 5_000 });
    let header = CONNECTIONS.map(|connections| match connections {
        1 => "1 conn".to_owned(),
        _ => format!("user instructions per round trip: {connections} conns"),
    });
    let mut table = Table::new(["server".to_owned()].into_iter().chain(header));
    for &server in Server::ALL {
        eprintln!("running {} under callgrind", server.name());
        let mut row = vec![server.name().to_owned()];
        for connections in CONNECTIONS {
            let count = |trips| {
                callgrind::instructions(server, trips, |process| {
                    RoundTrips::open(process.address(), connections)
                })
                .with_context(|| format!("running {} under callgrind", server.name()))
            };
            // Two runs that differ only in the number of round trips: the start and the end of
            // the process fall out of the difference.
            let difference = count(2 * trips)? as f64 - count(trips)? as f64;
            row.push(format!("{:.0}", difference / trips as f64));
        }
        table.push(row);
    }
    println!("{table}");
    println!(
        "Difference between {} and {trips} round trips under valgrind --tool=callgrind.",
        2 * trips
    );
    println!(
        "\nMachine: {}",
        machine::describe(Server::ALL.iter().map(|server| server.package()))
    );
    Ok(())
}
