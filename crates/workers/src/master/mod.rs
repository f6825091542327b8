//! The master: it starts workers, watches them, and replaces them. It never serves.
//!
//! ```text
//! run ─→ successor ─→ executor ─→ predecessor ─→ state
//!                      └───→ launch, supervisor (decides), files, systemd
//! ```

mod action;
mod backoff;
mod executor;
mod files;
mod launch;
mod listeners;
mod predecessor;
mod run;
mod state;
mod status_server;
mod successor;
mod supervisor;
mod systemd;

pub(crate) use run::run;
