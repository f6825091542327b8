//! Connecting and the handshake.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;

use futures::future::{Either, select};
use uptick_event_loop::sleep;
use uptick_socket::ConnectorInterface;

use super::link::Link;
use crate::Error;
use crate::options::{Protocol, RedisOptions};
use crate::protocol::{Arguments, Value};
use crate::url::RedisUrl;

/// The address, the account and the options of the connections of a client.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) url: RedisUrl,
    pub(super) options: RedisOptions,
}

/// A link after its handshake. Dropping it closes the connection.
pub(super) struct Established {
    link: Rc<Link>,
    /// `true` if the connection uses RESP3.
    pub(super) resp3: bool,
    taken: bool,
}

impl Established {
    pub(super) fn into_link(mut self) -> Rc<Link> {
        self.taken = true;
        Rc::clone(&self.link)
    }

    pub(super) fn link(&self) -> &Rc<Link> {
        &self.link
    }
}

impl Drop for Established {
    fn drop(&mut self) {
        if !self.taken {
            self.link.conn.close();
        }
    }
}

/// Connects to a server and performs the handshake.
pub(super) async fn establish(config: &Config, url: &RedisUrl) -> Result<Established, Error> {
    let limit = config.options.connect_timeout;
    let attempt = pin!(connect(config, url));
    match select(attempt, pin!(sleep(limit))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Error::Timeout {
            address: Arc::clone(&url.address),
            operation: "connecting",
            after: limit,
        }),
    }
}

async fn connect(config: &Config, url: &RedisUrl) -> Result<Established, Error> {
    let options = &config.options;
    let connector = options.connector_or_default();
    let conn = connector.connect_target(url.target.clone()).await?;
    let mut established = Established {
        link: Link::open(conn, &url.address, options),
        resp3: false,
        taken: false,
    };
    let handshake = Handshake {
        link: Rc::clone(&established.link),
        address: Arc::clone(&url.address),
    };
    let user = url.user.as_ref().or(options.user.as_ref());
    let password = url.password.as_ref().or(options.password.as_ref());
    let name = options.client_name.as_ref();
    if options.protocol != Protocol::Resp2 {
        let user = user.map_or("default", String::as_str);
        let auth = password.map(|password| ("AUTH", user, password));
        let hello = ("HELLO", 3, auth, name.map(|name| ("SETNAME", name)));
        match handshake.call("HELLO", &hello).await {
            Ok(_) => established.resp3 = true,
            Err(error) if options.protocol == Protocol::Auto && is_unsupported(&error) => {}
            Err(error) => return Err(error),
        }
    }
    if !established.resp3 {
        if let Some(password) = password {
            handshake.call("AUTH", &("AUTH", user, password)).await?;
        }
        if let Some(name) = name {
            handshake
                .call("CLIENT SETNAME", &("CLIENT", "SETNAME", name))
                .await?;
        }
    }
    let database = url.database.or(options.database).unwrap_or(0);
    // A cluster has only one database and refuses `SELECT`.
    if database != 0 {
        handshake.call("SELECT", &("SELECT", database)).await?;
    }
    Ok(established)
}

/// Returns `true` if a server does not know `HELLO` or RESP3.
fn is_unsupported(error: &Error) -> bool {
    match error {
        Error::Refused { code, message, .. } => {
            &**code == "NOPROTO"
                || &**code == "ERR" && message.to_ascii_lowercase().starts_with("unknown command")
        }
        _ => false,
    }
}

struct Handshake {
    link: Rc<Link>,
    address: Arc<str>,
}

impl Handshake {
    async fn call(
        &self,
        command: &'static str,
        arguments: &impl Arguments,
    ) -> Result<Value, Error> {
        match self.link.call::<Value>(arguments).await {
            Err(Error::Reply { code, message }) => Err(Error::Refused {
                address: Arc::clone(&self.address),
                command,
                code,
                message,
            }),
            // The cause is more precise than the loss of a reply.
            Err(Error::Disconnected { .. } | Error::Closed) => Err(self.link.failure()),
            result => result,
        }
    }
}
