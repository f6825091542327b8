//! Workers on their own threads: servers with in-memory clients, whose namespaces are connected over the bus.

use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, block_on};
use uptick_socketio::{Socket, SocketIo, SocketIoOptions};
use uptick_websocket::{Message, WebSocket};
use uptick_workers::bus::{Bus, ThreadBus};

pub(crate) use crate::client::{Client, Fixture, Log};

/// Maximum time to wait for an expected result.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(60);

/// The server of a worker, and its clients.
pub(crate) struct App {
    pub(crate) server: Fixture,
    pub(crate) clients: Vec<Client>,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) log: Log,
}

impl App {
    pub(crate) fn io(&self) -> SocketIo {
        self.server.io
    }

    /// Connects a client and adds it to rooms. Returns the id of its socket.
    pub(crate) fn connect(&mut self, rooms: &str) -> String {
        self.connect_to("/", rooms)
    }

    pub(crate) fn connect_to(&mut self, namespace: &str, rooms: &str) -> String {
        let server = self.server;
        let name = namespace.to_owned();
        let (client, id) = wait(async move { server.join(&name).await });
        // `of` would keep a dynamic namespace.
        let namespaces = self.io().namespaces();
        let socket = namespaces.into_iter().find_map(|all| all.socket(&id));
        let socket = socket.unwrap();
        for room in rooms.split_whitespace() {
            assert!(socket.join(room));
        }
        self.clients.push(client);
        self.sockets.push(socket);
        id
    }

    /// Makes a client acknowledge each event with a number.
    pub(crate) fn acknowledge(&self, client: usize, value: usize) {
        let ws = self.clients[client].ws;
        ws.on(WebSocket::MESSAGE, move |message: Message| {
            let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
            let id: String = text
                .chars()
                .skip(2)
                .take_while(char::is_ascii_digit)
                .collect();
            if text.starts_with("42") && !id.is_empty() {
                ws.send(format!("43{id}[{value}]"));
            }
        });
    }

    /// Returns the names of the next events of a client, up to the event `end`.
    pub(crate) fn events(&mut self, client: usize) -> String {
        let mut reader = self.clients.remove(client);
        let (reader, events) = wait(async move {
            let mut events = Vec::new();
            loop {
                let packet = reader.packet().await;
                let event = packet.split('"').nth(1).unwrap().to_owned();
                if event == "end" {
                    return (reader, events.join(" "));
                }
                events.push(event);
            }
        });
        self.clients.insert(client, reader);
        events
    }
}

/// Runs a future on the event loop of the thread.
pub(crate) fn wait<T: 'static>(future: impl Future<Output = T> + 'static) -> T {
    block_on(future).unwrap()
}

type Command = Box<dyn FnOnce(&mut App) + Send>;

pub(crate) struct Worker {
    commands: mpsc::Sender<Command>,
}

impl Worker {
    pub(crate) fn start(group: &ThreadBus) -> Worker {
        Worker::with(group, SocketIoOptions::new)
    }

    pub(crate) fn with(
        group: &ThreadBus,
        options: impl Fn() -> SocketIoOptions + Send + 'static,
    ) -> Worker {
        let group = group.clone();
        Worker::attached(move || Bus::of_thread().attach(group.join()), options)
    }

    /// Starts a worker whose thread calls `attach` first.
    pub(crate) fn attached(
        attach: impl FnOnce() + Send + 'static,
        options: impl Fn() -> SocketIoOptions + Send + 'static,
    ) -> Worker {
        let (commands, receiver) = mpsc::channel::<Command>();
        thread::spawn(move || {
            attach();
            let mut app = App {
                server: Fixture::with(options()),
                clients: Vec::new(),
                sockets: Vec::new(),
                log: Log::default(),
            };
            loop {
                match receiver.try_recv() {
                    Ok(command) => command(&mut app),
                    Err(mpsc::TryRecvError::Empty) => {
                        let pause = Some(Duration::from_millis(1));
                        EventLoop::current().run_once(pause).unwrap();
                    }
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
        });
        let worker = Worker { commands };
        worker.run(|_| ());
        worker
    }

    /// Runs a function on the thread of the worker, and returns its result.
    #[track_caller]
    pub(crate) fn run<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut App) -> R + Send + 'static,
    ) -> R {
        self.begin(f).recv_timeout(TIMEOUT).unwrap()
    }

    /// Starts to run a function on the thread of the worker.
    pub(crate) fn begin<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut App) -> R + Send + 'static,
    ) -> mpsc::Receiver<R> {
        let (result, receiver) = mpsc::channel();
        let command: Command = Box::new(move |app| {
            let _ = result.send(f(app));
        });
        self.commands.send(command).unwrap();
        receiver
    }

    /// Stops the event loop of the worker until the returned sender is dropped.
    pub(crate) fn pause(&self) -> mpsc::Sender<()> {
        let (resume, paused) = mpsc::channel::<()>();
        let _ = self.begin(move |_| {
            let _ = paused.recv_timeout(TIMEOUT);
        });
        resume
    }
}
