//! The command line options and environment variables.

use std::time::Duration;

use uptick::prelude::*;

/// The options of the program.
pub(crate) struct Options {
    /// The service, with all settings except its address.
    pub(crate) workers: Workers,
    pub(crate) threads: bool,
    /// The address, such as `tcp://127.0.0.1:8080`, with or without TLS.
    pub(crate) address: String,
    /// The files of the certificate and its key, with TLS.
    pub(crate) tls: Option<(String, String)>,
}

impl Options {
    pub(crate) fn read(usage: &'static str, threads_are_possible: bool) -> uptick::Result<Options> {
        let mut processes = 2;
        let mut threads = None;
        let mut max_requests = 0;
        let mut pid_file = None;
        let (mut cert, mut key) = (None, None);
        let mut uri = None;
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(usage);
            match name.as_str() {
                "--processes" => processes = value()?.parse()?,
                "--threads" if threads_are_possible => threads = Some(value()?.parse()?),
                "--max-requests" => max_requests = value()?.parse()?,
                "--pid-file" => pid_file = Some(value()?),
                "--cert" => cert = Some(value()?),
                "--key" => key = Some(value()?),
                _ if !name.starts_with('-') && uri.is_none() => uri = Some(name),
                _ => return Err(usage.into()),
            }
        }
        // Without an address, for sockets of the service manager, a certificate enables TLS.
        let secure = uri
            .as_ref()
            .map_or(cert.is_some(), |uri| uri.starts_with("tls://"));
        let uri = uri.unwrap_or("127.0.0.1:8080".into());
        let address = uri.replace("tls://", "tcp://");
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) if !secure => None,
            _ => return Err(usage.into()),
        };
        let mut workers = match threads {
            Some(count) => Workers::threads(count),
            None => Workers::processes(processes),
        };
        workers = workers.max_requests(max_requests);
        if let Some(path) = pid_file {
            workers = workers.pid_file(path);
        }
        Ok(Options {
            workers: set_times(workers)?,
            threads: threads.is_some(),
            address,
            tls: tls.filter(|_| secure),
        })
    }
}

fn set_times(workers: Workers) -> uptick::Result<Workers> {
    let backoff = (
        milliseconds("UPTICK_BACKOFF_MIN_MS", 100)?,
        milliseconds("UPTICK_BACKOFF_MAX_MS", 30_000)?,
    );
    Ok(workers
        .drain_timeout(milliseconds("UPTICK_DRAIN_MS", 10_000)?)
        .drain_window(milliseconds("UPTICK_WS_DRAIN_MS", 3000)?)
        .hang_timeout(milliseconds("UPTICK_HANG_MS", 5000)?)
        .backoff(backoff.0, backoff.1)
        .start_failures(number("UPTICK_START_FAILURES", 10)?))
}

fn milliseconds(name: &str, default: u64) -> uptick::Result<Duration> {
    Ok(Duration::from_millis(number(name, default)?))
}

fn number<N: std::str::FromStr>(name: &str, default: N) -> uptick::Result<N> {
    match std::env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) => Ok(number),
            Err(_) => Err(format!("{name} is {text:?}, which is not a number").into()),
        },
        Err(_) => Ok(default),
    }
}
