//! Blocking commands, each on a separate connection.

use std::collections::HashMap;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use uptick_event_loop::{Id, JoinHandle, Timer, add_timer, sleep, spawn};

use super::connecting::{Config, establish};
use super::link::{Link, Pending};
use super::state::Client;
use crate::Error;
use crate::FromValue;
use crate::protocol::{Arguments, Value, encode_command};
use crate::reply::{self, RawResult, Reply};

/// Maximum number of connections that are kept for later blocking commands.
const MAX_IDLE: usize = 4;

/// Time after which an unused connection is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct BlockingCommands {
    running: HashMap<Id, JoinHandle<()>>,
    idle: Vec<(Rc<Link>, Timer)>,
}

impl BlockingCommands {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }
}

/// The connection of a running command, which is closed unless the command completes.
struct LinkGuard(Option<Rc<Link>>);

impl Drop for LinkGuard {
    fn drop(&mut self) {
        if let Some(link) = &self.0 {
            link.conn.close();
        }
    }
}

impl Client {
    /// Sends a command that may block for `limit` on a separate connection.
    pub(super) fn send_blocking(
        self: &Rc<Self>,
        arguments: &impl Arguments,
        limit: Duration,
    ) -> Result<Id, Error> {
        if self.is_closing() {
            return Err(Error::Closed);
        }
        let max = self.options().max_blocking;
        if self.blocking.borrow().running.len() >= max {
            return Err(Error::TooMany {
                operation: "sending a blocking command",
                limit: max,
            });
        }
        let mut command = Vec::new();
        encode_command(&mut command, arguments);
        let id = reply::add().ok_or(Error::Closed)?;
        let (client, config) = (Rc::downgrade(self), Rc::clone(&self.config));
        let idle = self.idle_link();
        let task = spawn(async move {
            let mut guard = LinkGuard(idle);
            let result = run(&mut guard, &config, &command, limit).await;
            let Some(client) = client.upgrade() else {
                return;
            };
            client.blocking.borrow_mut().running.remove(&id);
            if result.is_ok() {
                client.keep_idle(guard.0.take());
            }
            if let Some(error) = reply::complete(id, result) {
                client.main.unused_error(error);
            }
            client.check_drained();
        });
        self.blocking.borrow_mut().running.insert(id, task);
        Ok(id)
    }

    fn idle_link(&self) -> Option<Rc<Link>> {
        let mut blocking = self.blocking.borrow_mut();
        while let Some((link, timer)) = blocking.idle.pop() {
            timer.cancel();
            if link.is_open() {
                return Some(link);
            }
        }
        None
    }

    fn keep_idle(self: &Rc<Self>, link: Option<Rc<Link>>) {
        let Some(link) = link.filter(|link| link.is_open()) else {
            return;
        };
        if self.is_closing() || self.blocking.borrow().idle.len() >= MAX_IDLE {
            return link.conn.close();
        }
        let weak = Rc::downgrade(self);
        let closed = Rc::clone(&link);
        let timer = add_timer(IDLE_TIMEOUT, move || {
            closed.conn.close();
            if let Some(client) = weak.upgrade() {
                client
                    .blocking
                    .borrow_mut()
                    .idle
                    .retain(|(link, _)| !Rc::ptr_eq(link, &closed));
            }
        });
        self.blocking.borrow_mut().idle.push((link, timer));
    }

    /// Cancels a blocking command whose reply was dropped.
    pub(super) fn cancel_blocking(&self, id: Id) {
        let task = self.blocking.borrow_mut().running.remove(&id);
        if let Some(task) = task {
            task.cancel();
        }
    }

    pub(super) fn close_blocking(&self) {
        let blocking = std::mem::take(&mut *self.blocking.borrow_mut());
        for (id, task) in blocking.running {
            task.cancel();
            reply::complete(id, Err(Error::Closed));
        }
        for (link, timer) in blocking.idle {
            timer.cancel();
            link.conn.close();
        }
    }
}

async fn run(guard: &mut LinkGuard, config: &Config, command: &[u8], limit: Duration) -> RawResult {
    let link = match &guard.0 {
        Some(link) => Rc::clone(link),
        None => establish(config, &config.url).await?.into_link(),
    };
    guard.0 = Some(Rc::clone(&link));
    let id = reply::add().ok_or(Error::Closed)?;
    let sent = link.send_encoded(Pending::Reply(id), command);
    let reply = Reply::new(sent.map(|()| id), Value::from_value);
    let after = limit.saturating_add(config.options.health_timeout);
    match select(reply, pin!(sleep(after))).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(Error::Timeout {
            address: config.url.address.clone(),
            operation: "a blocking command",
            after,
        }),
    }
}
