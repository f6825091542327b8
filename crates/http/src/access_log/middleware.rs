//! The middleware, which creates a record when an exchange ends.

use std::cell::Cell;
use std::rc::Rc;
use std::time::SystemTime;

use uptick_event_loop::driver;

use super::{AccessLog, AccessRecord};
use crate::{IntoMiddleware, Middleware};

impl IntoMiddleware<AccessLog> for AccessLog {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request, next| {
            let (client, time) = (request.client(), SystemTime::now());
            let start = driver::current_time();
            let started = Rc::new(Cell::new(None));
            let start_cell = Rc::clone(&started);
            request.on_response_headers(move |status, _| {
                let elapsed = driver::current_time().saturating_sub(start);
                start_cell.set(Some((status, elapsed)));
            });
            let sink = Rc::clone(&self.sink);
            request.on_finish(move |finished| {
                let started = started.get();
                sink(&AccessRecord {
                    head: finished.head,
                    client,
                    user: finished.user.as_deref(),
                    id: finished.id.as_deref(),
                    status: started.map(|(status, _)| status),
                    bytes: finished.bytes,
                    is_complete: finished.is_complete,
                    time,
                    first_byte: started.map(|(_, elapsed)| elapsed),
                    total: driver::current_time().saturating_sub(start),
                });
            });
            next.run(request)
        })
    }
}
