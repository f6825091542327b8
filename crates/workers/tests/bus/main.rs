//! The bus between workers.
#![allow(clippy::unwrap_used, reason = "a test may panic and say why")]

mod local;
mod sequences;
mod support;
mod threads;
