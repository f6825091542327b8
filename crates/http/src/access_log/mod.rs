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

/// A middleware that logs each request when its response is complete, or when the client has gone.
///
/// Malformed requests have no line, because they reach no middleware. Text of clients is escaped, so that it cannot forge lines.
///
/// # Limits
/// The method, the target, the user and each header are cut after 2,048 bytes. [`LogWriter`] has the limits of lines that wait to be written.
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
    /// Creates an access log in a format.
    pub fn new(format: LogFormat, writer: LogWriter) -> Self {
        AccessLog::with(move |record| writer.write_line(|line| format.write(record, line)))
    }

    /// Creates an access log in a format on standard output.
    pub fn stdout(format: LogFormat) -> Self {
        AccessLog::new(format, LogWriter::stdout())
    }

    /// Creates an access log of events of `tracing`: level `INFO`, target `uptick_http::access`, with the fields of the format
    /// [`Json`](LogFormat::Json).
    pub fn tracing() -> Self {
        AccessLog::with(format::trace)
    }

    /// Creates an access log that passes each record to a callback.
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
