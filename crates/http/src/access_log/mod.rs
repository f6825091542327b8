//! Access logs: a line for each response.
//!
//! Cost: nothing for servers without it. A logged request is formatted on the thread of the loop, and written by another thread, so that a
//! slow disk does not hold up the loop.

mod format;
mod middleware;
mod record;
mod time;
mod writer;

use std::fmt;
use std::rc::Rc;

pub use format::LogFormat;
pub use record::AccessRecord;
pub use writer::LogWriter;

/// A middleware that logs each response when it is complete, or when its client has gone.
///
/// Requests that are malformed have no line: they reach no middleware.
///
/// # Limits
/// Lines have 2,048 bytes of the target and as many of each header at most. [`LogWriter`] says how many wait to be written.
///
/// # Examples
/// ```no_run
/// use uptick_http::{AccessLog, HttpServer, LogFormat, LogWriter, Request};
///
/// let writer = LogWriter::file("/var/log/service/access.log")?;
/// let http = HttpServer::bind(8080)?.wrap(AccessLog::new(LogFormat::Combined, writer));
/// http.get("/", |_: Request| "hello");
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AccessLog {
    sink: Rc<dyn Fn(&AccessRecord<'_>)>,
}

impl AccessLog {
    /// Writes lines in a format.
    pub fn new(format: LogFormat, writer: LogWriter) -> Self {
        AccessLog::with(move |record| writer.write_line(|line| format.write(record, line)))
    }

    /// Writes lines in a format to standard output.
    pub fn stdout(format: LogFormat) -> Self {
        AccessLog::new(format, LogWriter::stdout())
    }

    /// Emits an event of `tracing` for each response: level `INFO`, target `uptick_http::access`, with the fields of the format
    /// [`Json`](LogFormat::Json).
    pub fn tracing() -> Self {
        AccessLog::with(format::trace)
    }

    /// Passes each record to a callback.
    pub fn with(sink: impl Fn(&AccessRecord<'_>) + 'static) -> Self {
        AccessLog {
            sink: Rc::new(sink),
        }
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLog").finish_non_exhaustive()
    }
}
