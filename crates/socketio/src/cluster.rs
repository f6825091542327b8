//! Requests to many sockets or servers, and the responses that are gathered.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{Timer, add_timer};

use crate::adapter::{ClusterResponse, RemoteSocket};
use crate::protocol::Value;
use crate::reply::Resolver;

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
    /// The number of other servers that have to respond; `None` until it is known.
    servers: Option<usize>,
    /// The servers that have responded.
    responded: HashSet<String>,
    /// The servers that have gone without a response.
    gone: HashSet<String>,
    /// The number of clients that have to acknowledge, as far as it is known.
    clients: usize,
    /// The number of clients that will not acknowledge.
    failed: usize,
    timer: Option<Timer>,
    answers: Option<Answers>,
    /// Called when the request has ended.
    done: Option<Box<dyn FnOnce()>>,
}

/// The gathered responses, and who waits for them.
pub(crate) enum Answers {
    /// Acknowledgements of clients.
    Acks(Vec<Value>, Resolver<Gathered<Value>>),
    /// Acknowledgements of servers.
    ServerSide(Vec<Value>, Resolver<Gathered<Value>>),
    /// Sockets.
    Sockets(Vec<RemoteSocket>, Resolver<Gathered<RemoteSocket>>),
}

impl Request {
    pub(crate) fn new(answers: Answers, timeout: Duration) -> Rc<Request> {
        let request = Rc::new(Request {
            state: RefCell::new(State {
                servers: None,
                responded: HashSet::new(),
                gone: HashSet::new(),
                clients: 0,
                failed: 0,
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

    /// Sets the number of other servers that have to respond.
    pub(crate) fn expect_servers(&self, count: usize) {
        self.state.borrow_mut().servers = Some(count);
        self.check();
    }

    /// Adds to the number of clients of this server that have to acknowledge.
    pub(crate) fn expect_clients(&self, count: usize) {
        self.state.borrow_mut().clients += count;
    }

    /// Adds the acknowledgement of a client of this server; `None` if it will not come.
    pub(crate) fn client_acknowledged(&self, value: Option<Value>) {
        {
            let mut state = self.state.borrow_mut();
            match (value, &mut state.answers) {
                (Some(value), Some(Answers::Acks(values, _))) => values.push(value),
                _ => state.failed += 1,
            }
        }
        self.check();
    }

    /// Adds a response of another server.
    pub(crate) fn response(&self, from: &str, response: ClusterResponse) {
        {
            let mut state = self.state.borrow_mut();
            let is_first = !state.responded.contains(from);
            let State {
                answers, clients, ..
            } = &mut *state;
            let complete = match (answers, response) {
                (Some(Answers::Acks(..)), ClusterResponse::ClientCount { count, .. })
                    if is_first =>
                {
                    *clients += count;
                    true
                }
                (Some(Answers::Acks(values, _)), ClusterResponse::Ack { value, .. }) => {
                    values.push(value);
                    false
                }
                (
                    Some(Answers::ServerSide(values, _)),
                    ClusterResponse::ServerSideAck { value, .. },
                ) if is_first => {
                    values.push(value);
                    true
                }
                (Some(Answers::Sockets(all, _)), ClusterResponse::Sockets { mut sockets, .. })
                    if is_first =>
                {
                    all.append(&mut sockets);
                    true
                }
                _ => false,
            };
            if complete {
                state.responded.insert(from.to_owned());
            }
        }
        self.check();
    }

    /// Notes that a server has gone: its response is not waited for.
    pub(crate) fn server_gone(&self, server: &str) {
        {
            let mut state = self.state.borrow_mut();
            if state.responded.contains(server) {
                // The acknowledgements of its clients may be missing, which shows at the timeout only.
                return;
            }
            state.gone.insert(server.to_owned());
        }
        self.check();
    }

    /// Ends the request if all responses were received.
    fn check(&self) {
        let complete = {
            let state = self.state.borrow();
            let responded = state.responded.len() + state.gone.len();
            let servers = state.servers.is_some_and(|servers| responded >= servers);
            servers
                && match &state.answers {
                    Some(Answers::Acks(values, _)) => values.len() + state.failed >= state.clients,
                    Some(_) => true,
                    None => false,
                }
        };
        if complete {
            self.end();
        }
    }

    /// Ends the request with what was received.
    pub(crate) fn end(&self) {
        let (answers, complete, timer, done) = {
            let mut state = self.state.borrow_mut();
            let responded = state.responded.len() >= state.servers.unwrap_or(usize::MAX);
            let acknowledged = match &state.answers {
                Some(Answers::Acks(values, _)) => values.len() >= state.clients,
                _ => true,
            };
            let complete = responded && acknowledged;
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
            None => {}
        }
    }
}

fn gathered<T>(values: Vec<T>, complete: bool) -> Gathered<T> {
    match complete {
        true => Ok(values),
        false => Err(values),
    }
}
