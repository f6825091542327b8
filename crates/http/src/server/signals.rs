//! Shutdown by signals.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{Error, SignalId, add_signal, remove_signal};

use super::HttpServer;

impl HttpServer {
    /// Shuts the server down ([`shutdown`](HttpServer::shutdown)) when one of the signals is received; a second signal closes the connections that are left at once.
    ///
    /// The listeners of the signals are removed when the server is closed, so that the loop ends if nothing else is left.
    ///
    /// # Errors
    /// [`Error::Signal`] if a signal cannot be listened to, such as `SIGKILL`. Then none of the signals is.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    /// use uptick_event_loop::{SIGINT, SIGTERM};
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::bind("127.0.0.1:8080")?;
    /// http.get("/", |_: Request| "Hello, World!\n");
    /// http.shutdown_on([SIGINT, SIGTERM], Duration::from_secs(5))?;
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_on(
        self,
        signals: impl IntoIterator<Item = i32>,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let ids: Rc<RefCell<Vec<SignalId>>> = Rc::default();
        let begun = Rc::new(Cell::new(false));
        for signal in signals {
            let begun = Rc::clone(&begun);
            let added = add_signal(signal, move |_| {
                let deadline = match begun.replace(true) {
                    false => deadline,
                    true => Duration::ZERO,
                };
                drop(self.shutdown(deadline));
            });
            match added {
                Ok(id) => ids.borrow_mut().push(id),
                Err(error) => {
                    remove(&ids);
                    return Err(error);
                }
            }
        }
        self.once(HttpServer::CLOSE, move |()| remove(&ids));
        Ok(self)
    }
}

fn remove(ids: &RefCell<Vec<SignalId>>) {
    for id in ids.take() {
        remove_signal(id);
    }
}
