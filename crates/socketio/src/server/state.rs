//! The state of a server and its namespaces.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use uptick_emitter::{Listeners, emit};
use uptick_event_loop::{Id, Table, catch};

use super::SocketIo;
use crate::adapter::AdapterFactory;
use crate::engine::{Client, EngineIo};
use crate::error::DisconnectReason;
use crate::namespace::NamespaceState;
use crate::peer::Peer;
use crate::{Namespace, SocketIoOptions};

/// The state of a server.
pub(crate) struct ServerState {
    pub(crate) handle: Cell<Option<Id>>,
    pub(crate) engine: EngineIo,
    pub(crate) options: SocketIoOptions,
    pub(crate) adapter: Option<AdapterFactory>,
    pub(crate) listeners: RefCell<Listeners>,
    namespaces: RefCell<HashMap<Rc<str>, Rc<NamespaceState>>>,
    /// Patterns of dynamic namespaces, each with the namespace that represents its matches.
    patterns: RefCell<Vec<NamespacePattern>>,
    /// The number of namespaces created by clients.
    dynamic: Cell<usize>,
    closed: Cell<bool>,
    /// The number of open HTTP servers on which the server is mounted.
    pub(super) mounts: Cell<usize>,
}

#[derive(Clone)]
struct NamespacePattern {
    matches: Rc<dyn Fn(&str) -> bool>,
    namespace: Rc<NamespaceState>,
}

thread_local! {
    static SERVERS: RefCell<Table<Rc<ServerState>>> = const { RefCell::new(Table::new()) };
}

impl ServerState {
    pub(crate) fn create(options: SocketIoOptions) -> SocketIo {
        let engine = EngineIo::with_options(options.engine.clone());
        let state = Rc::new(ServerState {
            handle: Cell::new(None),
            engine,
            adapter: options.adapter.factory(),
            options,
            listeners: RefCell::new(Listeners::new()),
            namespaces: RefCell::default(),
            patterns: RefCell::default(),
            dynamic: Cell::new(0),
            closed: Cell::new(false),
            mounts: Cell::new(0),
        });
        let inserted = SERVERS.try_with(|all| all.borrow_mut().insert(Rc::clone(&state)));
        state.handle.set(inserted.ok().flatten());
        state.create_namespace("/", None);
        let server = Rc::downgrade(&state);
        engine.set_protocol(Rc::new(move |client: Client| Peer::open(&server, client)));
        SocketIo::of_id(state.handle.get(), engine)
    }

    pub(crate) fn find(id: Id) -> Option<Rc<ServerState>> {
        let found = SERVERS.try_with(|all| all.borrow_mut().get_mut(id).map(|one| Rc::clone(one)));
        found.ok().flatten()
    }

    pub(crate) fn handle(&self) -> SocketIo {
        SocketIo::of_id(self.handle.get(), self.engine)
    }

    pub(crate) fn of(self: &Rc<Self>, name: &str) -> Namespace {
        let name = match name.starts_with('/') {
            true => name.to_owned(),
            false => format!("/{name}"),
        };
        match self.existing(&name) {
            Some(namespace) => {
                if namespace.is_dynamic() {
                    namespace.keep();
                    self.dynamic.set(self.dynamic.get().saturating_sub(1));
                }
                namespace.handle()
            }
            None => self.create_namespace(&name, None).handle(),
        }
    }

    pub(crate) fn of_dynamic(
        self: &Rc<Self>,
        matches: impl Fn(&str) -> bool + 'static,
    ) -> Namespace {
        let namespace = NamespaceState::new_pattern(self);
        self.patterns.borrow_mut().push(NamespacePattern {
            matches: Rc::new(matches),
            namespace: Rc::clone(&namespace),
        });
        namespace.handle()
    }

    pub(crate) fn namespaces(&self) -> Vec<Namespace> {
        let namespaces = self.namespaces.borrow();
        let handles = namespaces.values().map(|namespace| namespace.handle());
        handles.collect()
    }

    pub(crate) fn existing(&self, name: &str) -> Option<Rc<NamespaceState>> {
        self.namespaces.borrow().get(name).cloned()
    }

    /// Returns the namespace that a client requests: an existing one, or a new one if the name matches a pattern.
    pub(crate) fn for_client(self: &Rc<Self>, name: &str) -> Option<Rc<NamespaceState>> {
        if let Some(namespace) = self.existing(name) {
            return Some(namespace);
        }
        let patterns = self.patterns.borrow().clone();
        let pattern = patterns
            .iter()
            .find(|pattern| (pattern.matches)(name))
            .map(|pattern| Rc::clone(&pattern.namespace))?;
        if self.dynamic.get() >= self.options.max_dynamic_namespaces {
            tracing::warn!(
                "creating the namespace {name:?} failed: the limit of {} dynamic namespaces is reached",
                self.dynamic.get()
            );
            return None;
        }
        // The callback of the pattern may have created the namespace.
        if let Some(namespace) = self.existing(name) {
            return Some(namespace);
        }
        self.dynamic.set(self.dynamic.get() + 1);
        Some(self.create_namespace(name, Some(pattern)))
    }

    fn create_namespace(
        self: &Rc<Self>,
        name: &str,
        pattern: Option<Rc<NamespaceState>>,
    ) -> Rc<NamespaceState> {
        let namespace = NamespaceState::new(self, name, pattern);
        let name = Rc::clone(&namespace.name);
        self.namespaces
            .borrow_mut()
            .insert(name, Rc::clone(&namespace));
        if &*namespace.name != "/" {
            let handle = namespace.handle();
            let emitted = catch(|| emit(&self.handle(), SocketIo::NEW_NAMESPACE, handle));
            if let Err(message) = emitted {
                tracing::error!("a `new_namespace` callback panicked: {message}");
            }
        }
        namespace
    }

    /// Removes an empty namespace that was created by a client.
    pub(crate) fn remove_namespace(&self, namespace: &NamespaceState) {
        let removed = self.namespaces.borrow_mut().remove(&namespace.name);
        if let Some(removed) = removed {
            self.dynamic.set(self.dynamic.get().saturating_sub(1));
            removed.close();
        }
    }

    /// Returns the namespaces created from a pattern.
    pub(crate) fn children(&self, pattern: &Rc<NamespaceState>) -> Vec<Rc<NamespaceState>> {
        let namespaces = self.namespaces.borrow();
        let children = namespaces
            .values()
            .filter(|namespace| namespace.is_child_of(pattern));
        children.cloned().collect()
    }

    /// Handles the close of an HTTP server. If it was the last one, this server is closed too: no client can reconnect, and state kept for that, such as
    /// recoverable sessions, must not keep the loop running.
    pub(super) fn unmounted(&self) {
        self.mounts.set(self.mounts.get().saturating_sub(1));
        if self.mounts.get() == 0 {
            self.close();
        }
    }

    pub(crate) fn close(&self) {
        if self.closed.replace(true) {
            return;
        }
        let namespaces: Vec<_> = self.namespaces.borrow().values().cloned().collect();
        for namespace in &namespaces {
            for socket in namespace.local_sockets() {
                socket.disconnected(DisconnectReason::ServerShuttingDown);
            }
        }
        self.engine.close();
        for namespace in namespaces {
            namespace.close();
        }
        drop(self.namespaces.take());
        for pattern in self.patterns.take() {
            pattern.namespace.close();
        }
        let listeners = self.listeners.replace(Listeners::new());
        drop(listeners);
        if let Some(id) = self.handle.get() {
            let removed = SERVERS.try_with(|all| all.borrow_mut().remove(id));
            drop(removed);
        }
    }
}
