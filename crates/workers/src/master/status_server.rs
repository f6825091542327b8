//! The socket on which the master reports the state of the service.

use std::sync::Arc;

use uptick_emitter::Emitter;
use uptick_socket::{Connection, ListenUri, Server};

use super::state::Master;
use crate::error::Error;
use crate::status::Status;

/// Sends the state to each client that connects to an address.
pub(super) fn listen(master: &Master, uri: &ListenUri) -> Result<(), Error> {
    let server = Server::bind(uri.clone())?;
    let memory = Arc::clone(&master.memory);
    server.on(Server::CONNECTION, move |conn: Connection| {
        conn.end_with(Status::of(&memory).to_json());
    });
    master.status_server.set(Some(server));
    Ok(())
}
