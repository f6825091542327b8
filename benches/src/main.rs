//! Side-by-side benchmarks of Uptick and its peers. `README.md` describes the measurements.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line program reports on its standard streams"
)]

#[cfg(target_os = "linux")]
mod cli;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod echo;
#[cfg(target_os = "linux")]
mod http;
#[cfg(target_os = "linux")]
mod http2;
#[cfg(target_os = "linux")]
mod identity;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod instructions;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod machine;
#[cfg(target_os = "linux")]
mod measure;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod redis;
#[cfg(target_os = "linux")]
mod rounds;
#[cfg(target_os = "linux")]
mod servers;
#[cfg(target_os = "linux")]
mod socketio;
#[cfg(target_os = "linux")]
mod statistics;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod timers;
#[cfg(target_os = "linux")]
mod tls;
#[cfg(target_os = "linux")]
mod workers;
#[cfg(target_os = "linux")]
mod ws;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    match cli::run() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("uptick-bench: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("uptick-bench compares with raw epoll, which only Linux has");
}
