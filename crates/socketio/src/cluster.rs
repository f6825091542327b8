//! Requests to several sockets or servers, and the responses to them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use uptick_event_loop::{Timer, add_timer, spawn};

use crate::adapter::{ClusterResponse, RemoteSession, RemoteSocket, Servers};
use crate::error::Incomplete;
use crate::promise::{Promise, Resolver};
use crate::protocol::Value;

/// The result of a request: `Ok` with all responses, or `Err` with the responses received in time.
pub(crate) type Gathered<T> = Result<Vec<T>, Vec<T>>;

/// The pending requests of a namespace.
#[derive(Default)]
pub(crate) struct PendingRequests {
    last: u64,
    pending: HashMap<String, Rc<PendingRequest>>,
}

impl PendingRequests {
    /// Returns the id of a new request.
    pub(crate) fn next_id(&mut self) -> String {
        self.last += 1;
        self.last.to_string()
    }

    pub(crate) fn insert(&mut self, id: String, request: Rc<PendingRequest>) {
        self.pending.insert(id, request);
    }

    pub(crate) fn find(&self, id: &str) -> Option<Rc<PendingRequest>> {
        self.pending.get(id).cloned()
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.pending.remove(id);
    }

    pub(crate) fn all(&self) -> Vec<Rc<PendingRequest>> {
        self.pending.values().cloned().collect()
    }

    /// Ends all requests with the responses received so far.
    pub(crate) fn abandon(self) {
        for request in self.pending.into_values() {
            request.end();
        }
    }
}

/// A pending request and the responses received so far.
pub(crate) struct PendingRequest {
    state: RefCell<RequestState>,
}

struct RequestState {
    /// The servers whose response is missing; `None` until it is known which servers must respond.
    missing: Option<MissingResponses>,
    /// The servers that responded, or left the cluster, before that was known.
    early: Vec<String>,
    /// The number of clients of this server that have not acknowledged.
    own_clients: usize,
    /// The number of clients of other servers that have not acknowledged, by server.
    clients: HashMap<String, usize>,
    /// Set once an acknowledgement is known to be lost.
    failed: bool,
    timer: Option<Timer>,
    responses: Option<Responses>,
    /// A callback that is called when the request ends.
    done: Option<Box<dyn FnOnce()>>,
}

/// The servers whose response is missing.
enum MissingResponses {
    Servers(HashSet<String>),
    Number(usize),
}

/// The collected responses, and the resolver that receives them.
pub(crate) enum Responses {
    /// Acknowledgements of clients.
    Acks(Vec<Value>, Resolver<Gathered<Value>>),
    /// Acknowledgements of servers.
    ServerSide(Vec<Value>, Resolver<Gathered<Value>>),
    /// Sockets.
    Sockets(Vec<RemoteSocket>, Resolver<Gathered<RemoteSocket>>),
    /// The state of a reconnecting client.
    Session(Option<RemoteSession>, Resolver<Option<RemoteSession>>),
}

impl PendingRequest {
    pub(crate) fn new(responses: Responses, timeout: Duration) -> Rc<PendingRequest> {
        let request = Rc::new(PendingRequest {
            state: RefCell::new(RequestState {
                missing: None,
                early: Vec::new(),
                own_clients: 0,
                clients: HashMap::new(),
                failed: false,
                timer: None,
                responses: Some(responses),
                done: None,
            }),
        });
        let timed_out = Rc::clone(&request);
        let timer = add_timer(timeout, move || timed_out.end());
        request.state.borrow_mut().timer = Some(timer);
        request
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().responses.is_none()
    }

    /// Sets a callback that is called when the request ends.
    pub(crate) fn when_done(&self, done: impl FnOnce() + 'static) {
        self.state.borrow_mut().done = Some(Box::new(done));
    }

    /// Sets the other servers that must respond.
    pub(crate) fn expect_servers(&self, servers: Servers) {
        {
            let mut state = self.state.borrow_mut();
            let early = std::mem::take(&mut state.early);
            state.missing = Some(match servers {
                Servers::Known(servers) => {
                    let mut missing: HashSet<String> = servers.into_iter().collect();
                    missing.retain(|server| !early.contains(server));
                    MissingResponses::Servers(missing)
                }
                Servers::Count(count) => {
                    MissingResponses::Number(count.saturating_sub(early.len()))
                }
                Servers::Unknown => {
                    state.failed = true;
                    MissingResponses::Number(0)
                }
            });
        }
        self.check();
    }

    /// Increases the number of clients of this server that must acknowledge.
    pub(crate) fn expect_clients(&self, count: usize) {
        self.state.borrow_mut().own_clients += count;
    }

    /// Adds the acknowledgement of a client of this server; `None` if the client will not acknowledge.
    pub(crate) fn client_acknowledged(&self, value: Option<Value>) {
        {
            let mut state = self.state.borrow_mut();
            state.own_clients = state.own_clients.saturating_sub(1);
            match (value, &mut state.responses) {
                (Some(value), Some(Responses::Acks(values, _))) => values.push(value),
                _ => state.failed = true,
            }
        }
        self.check();
    }

    /// Adds the response of another server.
    pub(crate) fn response(&self, from: &str, response: ClusterResponse) {
        self.state.borrow_mut().add(from, response);
        self.check();
    }

    /// Handles the departure of a server: the request no longer waits for its responses.
    pub(crate) fn server_gone(&self, server: &str) {
        {
            let mut state = self.state.borrow_mut();
            match &mut state.missing {
                Some(MissingResponses::Servers(missing)) => drop(missing.remove(server)),
                Some(MissingResponses::Number(_)) => {}
                None => state.early.push(server.to_owned()),
            }
            state.failed |= state.clients.remove(server).unwrap_or_default() > 0;
        }
        self.check();
    }

    /// Ends the request if no response is missing.
    fn check(&self) {
        if self.state.borrow().is_settled() {
            self.end();
        }
    }

    /// Ends the request with the responses received so far.
    pub(crate) fn end(&self) {
        let (responses, complete, timer, done) = {
            let mut state = self.state.borrow_mut();
            let complete = state.is_settled() && !state.failed;
            let (responses, timer) = (state.responses.take(), state.timer.take());
            (responses, complete, timer, state.done.take())
        };
        if let Some(timer) = timer {
            timer.cancel();
        }
        if let Some(done) = done {
            done();
        }
        match responses {
            Some(Responses::Acks(values, resolver) | Responses::ServerSide(values, resolver)) => {
                resolver.resolve(gathered(values, complete));
            }
            Some(Responses::Sockets(sockets, resolver)) => {
                resolver.resolve(gathered(sockets, complete));
            }
            Some(Responses::Session(session, resolver)) => resolver.resolve(session),
            None => {}
        }
    }
}

impl RequestState {
    /// Returns `true` if no further response is expected.
    fn is_settled(&self) -> bool {
        let responded = match &self.missing {
            Some(MissingResponses::Servers(missing)) => missing.is_empty(),
            Some(MissingResponses::Number(number)) => *number == 0,
            None => false,
        };
        responded && self.own_clients == 0 && self.clients.values().all(|count| *count == 0)
    }

    /// Records the response of a server. Returns `true` if the request was waiting for it.
    fn responded(&mut self, from: &str) -> bool {
        match &mut self.missing {
            Some(MissingResponses::Servers(missing)) => missing.remove(from),
            Some(MissingResponses::Number(0)) => false,
            Some(MissingResponses::Number(number)) => {
                *number -= 1;
                true
            }
            None => {
                self.early.push(from.to_owned());
                true
            }
        }
    }

    fn add(&mut self, from: &str, response: ClusterResponse) {
        match response {
            ClusterResponse::ClientCount { count, .. } => {
                if self.responded(from) {
                    *self.clients.entry(from.to_owned()).or_default() += count;
                }
            }
            ClusterResponse::Ack { value, .. } => {
                let Some(count @ 1..) = self.clients.get_mut(from) else {
                    return;
                };
                *count -= 1;
                if let Some(Responses::Acks(values, _)) = &mut self.responses {
                    values.push(value);
                }
            }
            ClusterResponse::ServerSideAck { value, .. } => {
                if self.responded(from)
                    && let Some(Responses::ServerSide(values, _)) = &mut self.responses
                {
                    values.push(value);
                }
            }
            ClusterResponse::Session { session, .. } => {
                if self.responded(from)
                    && session.is_some()
                    && let Some(Responses::Session(found, _)) = &mut self.responses
                {
                    *found = session;
                    // Only one server has the state.
                    self.missing = Some(MissingResponses::Number(0));
                }
            }
            ClusterResponse::Sockets { mut sockets, .. } => {
                if self.responded(from)
                    && let Some(Responses::Sockets(all, _)) = &mut self.responses
                {
                    all.append(&mut sockets);
                }
            }
        }
    }
}

fn gathered<T>(values: Vec<T>, complete: bool) -> Gathered<T> {
    match complete {
        true => Ok(values),
        false => Err(values),
    }
}

/// Combines the results of several namespaces into one.
pub(crate) fn joined<T: 'static>(
    replies: impl IntoIterator<Item = Promise<Result<Vec<T>, Incomplete<T>>>>,
) -> Promise<Result<Vec<T>, Incomplete<T>>> {
    let mut replies: Vec<_> = replies.into_iter().collect();
    if replies.len() < 2 {
        let only = replies.pop();
        return only.unwrap_or_else(|| Promise::ready(Ok(Vec::new())));
    }
    // A task needs no stack space for each promise, unlike nested callbacks.
    let (promise, resolver) = Promise::pending();
    spawn(async move {
        let mut values = Vec::new();
        let mut is_complete = true;
        for result in join_all(replies).await {
            is_complete &= result.is_ok();
            values.extend(result.unwrap_or_else(|incomplete| incomplete.received));
        }
        resolver.resolve(match is_complete {
            true => Ok(values),
            false => Err(Incomplete { received: values }),
        });
    });
    promise
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]

    use uptick_event_loop::block_on;

    use super::*;

    #[test]
    fn the_results_of_many_namespaces_are_combined() {
        let pending = (0..100_000).map(|_| Promise::pending());
        let (replies, resolvers): (Vec<_>, Vec<_>) = pending.unzip();
        let all = block_on(async move {
            let all = joined(replies);
            for (number, resolver) in resolvers.into_iter().enumerate() {
                resolver.resolve(Ok(vec![number]));
            }
            all.await
        });
        assert_eq!(all.unwrap(), Ok((0..100_000).collect::<Vec<_>>()));
    }
}
