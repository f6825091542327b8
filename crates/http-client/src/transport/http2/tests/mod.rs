//! Tests of sessions against scripted servers, and against the server of this project.

mod bodies;
mod closing;
mod idle;
mod limits;
mod our_server;
mod responses;
mod splits;
mod support;
mod timeouts;
