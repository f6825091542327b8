//! Requests to many sockets or servers, and the responses that are gathered.

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

/// The result of a request: all responses, or those that were received in time.
pub(crate) type Gathered<T> = Result<Vec<T>, Vec<T>>;

/// The requests of a namespace that wait for responses.
#[derive(Default)]
pub(crate) struct Requests {
    last: u64,
    pending: HashMap<String, Rc<Request>>,
}

impl Requests {
    /// Returns the id of a new request.
    pub(crate) fn next_id(&mut self) -> String {
        self.last += 1;
        self.last.to_string()
    }

    pub(crate) fn insert(&mut self, id: String, request: Rc<Request>) {
        self.pending.insert(id, request);
    }

    pub(crate) fn find(&self, id: &str) -> Option<Rc<Request>> {
        self.pending.get(id).cloned()
    }

    pub(crate) fn remove(&mut self, id: &str) {
        self.pending.remove(id);
    }

    pub(crate) fn all(&self) -> Vec<Rc<Request>> {
        self.pending.values().cloned().collect()
    }

    /// Ends all requests with what was received.
    pub(crate) fn abandon(self) {
        for request in self.pending.into_values() {
            request.end();
        }
    }
}

/// A request, and its responses so far.
pub(crate) struct Request {
    state: RefCell<State>,
}

struct State {
    /// The servers whose response is missing; `None` until it is known which have to respond.
    missing: Option<Missing>,
    /// The servers that have responded, or have gone, before that was known.
    early: Vec<String>,
    /// The number of clients of this server that have not acknowledged.
    own_clients: usize,
    /// The number of clients of other servers that have not acknowledged, by server.
    clients: HashMap<String, usize>,
    /// Acknowledgements are missing that will not come.
    failed: bool,
    timer: Option<Timer>,
    answers: Option<Answers>,
    /// Called when the request has ended.
    done: Option<Box<dyn FnOnce()>>,
}

/// Servers whose response is missing.
enum Missing {
    Servers(HashSet<String>),
    Number(usize),
}

/// The gathered responses, and their receiver.
pub(crate) enum Answers {
    /// Acknowledgements of clients.
    Acks(Vec<Value>, Resolver<Gathered<Value>>),
    /// Acknowledgements of servers.
    ServerSide(Vec<Value>, Resolver<Gathered<Value>>),
    /// Sockets.
    Sockets(Vec<RemoteSocket>, Resolver<Gathered<RemoteSocket>>),
    /// The state of a client that has come back.
    Session(Option<RemoteSession>, Resolver<Option<RemoteSession>>),
}

impl Request {
    pub(crate) fn new(answers: Answers, timeout: Duration) -> Rc<Request> {
        let request = Rc::new(Request {
            state: RefCell::new(State {
                missing: None,
                early: Vec::new(),
                own_clients: 0,
                clients: HashMap::new(),
                failed: false,
                timer: None,
                answers: Some(answers),
                done: None,
            }),
        });
        let timed_out = Rc::clone(&request);
        let timer = add_timer(timeout, move || timed_out.end());
        request.state.borrow_mut().timer = Some(timer);
        request
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().answers.is_none()
    }

    /// Calls `done` when the request has ended.
    pub(crate) fn when_done(&self, done: impl FnOnce() + 'static) {
        self.state.borrow_mut().done = Some(Box::new(done));
    }

    /// Sets the other servers that have to respond.
    pub(crate) fn expect_servers(&self, servers: Servers) {
        {
            let mut state = self.state.borrow_mut();
            let early = std::mem::take(&mut state.early);
            state.missing = Some(match servers {
                Servers::Known(servers) => {
                    let mut missing: HashSet<String> = servers.into_iter().collect();
                    missing.retain(|server| !early.contains(server));
                    Missing::Servers(missing)
                }
                Servers::Count(count) => Missing::Number(count.saturating_sub(early.len())),
            });
        }
        self.check();
    }

    /// Adds to the number of clients of this server that have to acknowledge.
    pub(crate) fn expect_clients(&self, count: usize) {
        self.state.borrow_mut().own_clients += count;
    }

    /// Adds the acknowledgement of a client of this server; `None` if it will not come.
    pub(crate) fn client_acknowledged(&self, value: Option<Value>) {
        {
            let mut state = self.state.borrow_mut();
            state.own_clients = state.own_clients.saturating_sub(1);
            match (value, &mut state.answers) {
                (Some(value), Some(Answers::Acks(values, _))) => values.push(value),
                _ => state.failed = true,
            }
        }
        self.check();
    }

    /// Adds a response of another server.
    pub(crate) fn response(&self, from: &str, response: ClusterResponse) {
        self.state.borrow_mut().add(from, response);
        self.check();
    }

    /// Notes that a server has gone: nothing of it is waited for.
    pub(crate) fn server_gone(&self, server: &str) {
        {
            let mut state = self.state.borrow_mut();
            match &mut state.missing {
                Some(Missing::Servers(missing)) => drop(missing.remove(server)),
                Some(Missing::Number(_)) => {}
                None => state.early.push(server.to_owned()),
            }
            state.failed |= state.clients.remove(server).unwrap_or_default() > 0;
        }
        self.check();
    }

    /// Ends the request if nothing is missing.
    fn check(&self) {
        if self.state.borrow().is_settled() {
            self.end();
        }
    }

    /// Ends the request with what was received.
    pub(crate) fn end(&self) {
        let (answers, complete, timer, done) = {
            let mut state = self.state.borrow_mut();
            let complete = state.is_settled() && !state.failed;
            let (answers, timer) = (state.answers.take(), state.timer.take());
            (answers, complete, timer, state.done.take())
        };
        if let Some(timer) = timer {
            timer.cancel();
        }
        if let Some(done) = done {
            done();
        }
        match answers {
            Some(Answers::Acks(values, resolver) | Answers::ServerSide(values, resolver)) => {
                resolver.resolve(gathered(values, complete));
            }
            Some(Answers::Sockets(sockets, resolver)) => {
                resolver.resolve(gathered(sockets, complete));
            }
            Some(Answers::Session(session, resolver)) => resolver.resolve(session),
            None => {}
        }
    }
}

impl State {
    /// Returns whether nothing is missing that can still come.
    fn is_settled(&self) -> bool {
        let responded = match &self.missing {
            Some(Missing::Servers(missing)) => missing.is_empty(),
            Some(Missing::Number(number)) => *number == 0,
            None => false,
        };
        responded && self.own_clients == 0 && self.clients.values().all(|count| *count == 0)
    }

    /// Notes that a server has responded; returns whether its response is wanted.
    fn responded(&mut self, from: &str) -> bool {
        match &mut self.missing {
            Some(Missing::Servers(missing)) => missing.remove(from),
            Some(Missing::Number(0)) => false,
            Some(Missing::Number(number)) => {
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
                if let Some(Answers::Acks(values, _)) = &mut self.answers {
                    values.push(value);
                }
            }
            ClusterResponse::ServerSideAck { value, .. } => {
                if self.responded(from)
                    && let Some(Answers::ServerSide(values, _)) = &mut self.answers
                {
                    values.push(value);
                }
            }
            ClusterResponse::Session { session, .. } => {
                if self.responded(from)
                    && session.is_some()
                    && let Some(Answers::Session(found, _)) = &mut self.answers
                {
                    *found = session;
                    // No other server has it.
                    self.missing = Some(Missing::Number(0));
                }
            }
            ClusterResponse::Sockets { mut sockets, .. } => {
                if self.responded(from)
                    && let Some(Answers::Sockets(all, _)) = &mut self.answers
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

/// Returns the results of several namespaces as one.
pub(crate) fn joined<T: 'static>(
    replies: impl IntoIterator<Item = Promise<Result<Vec<T>, Incomplete<T>>>>,
) -> Promise<Result<Vec<T>, Incomplete<T>>> {
    let mut replies: Vec<_> = replies.into_iter().collect();
    if replies.len() < 2 {
        let only = replies.pop();
        return only.unwrap_or_else(|| Promise::ready(Ok(Vec::new())));
    }
    // As a task, which needs no stack for each of them.
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
    fn the_results_of_many_namespaces_are_joined() {
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
