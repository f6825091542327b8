//! The PROXY protocol: who the client is, told by a proxy in front of the server.

pub mod protocol;
