//! The options of the command line.

use std::str::FromStr;
use std::time::Duration;

use uptick::http_client::PoolLimits;

const USAGE: &str = "usage: 95-client-conformance [--max-per-host N] [--max-total N] [--idle-timeout-ms N] [--max-age-ms N]";

/// Reads the limits of the pool from the arguments of the program.
pub(crate) fn read() -> Result<PoolLimits, String> {
    let mut limits = PoolLimits::new();
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        limits = match name.as_str() {
            "--max-per-host" => limits.max_per_host(number(&value)?),
            "--max-total" => limits.max_total(number(&value)?),
            "--idle-timeout-ms" => limits.idle_timeout(Duration::from_millis(number(&value)?)),
            "--max-age-ms" => {
                let age = Duration::from_millis(number(&value)?);
                limits.max_age((!age.is_zero()).then_some(age))
            }
            _ => return Err(USAGE.into()),
        };
    }
    Ok(limits)
}

fn number<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| USAGE)
}
