//! State shared by handlers.

use std::rc::Rc;

use super::HttpServer;

impl HttpServer {
    /// Sets a value for all handlers and middleware of the server, which [`Request::state`](crate::Request::state) returns, replacing a
    /// value of the same type. [`Group::set_state`](crate::router::Group::set_state) sets another one for the routes of a group. Default:
    /// none.
    ///
    /// # Examples
    /// ```
    /// use std::cell::RefCell;
    /// use uptick_http::{HttpError, HttpServer, Request};
    ///
    /// #[derive(Default)]
    /// struct Visits(RefCell<u64>);
    ///
    /// let http = HttpServer::new();
    /// http.set_state(Visits::default());
    /// http.get("/", |req: Request| {
    ///     let visits = req.state::<Visits>()?;
    ///     *visits.0.borrow_mut() += 1;
    ///     Ok::<_, HttpError>(format!("{} visits\n", visits.0.borrow()))
    /// });
    /// # http.test().get("/").send()?;
    /// # assert_eq!(http.test().get("/").send()?.text(), "2 visits\n");
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn set_state<T: 'static>(self, state: T) -> Self {
        let states = self.configure(|site| Rc::clone(&site.states));
        // The previous value is dropped while no `RefCell` is borrowed.
        drop(states.map(|states| states.set(state)));
        self
    }
}
