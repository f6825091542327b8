//! Access logs: one line per response.
//!
//! Cost: none for servers without an access log. Lines are formatted on the thread of the loop and written by another thread, so that a slow
//! disk does not block the loop.

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

/// A middleware that logs each request when its response is complete or when the client disconnects.
///
/// Malformed requests are not logged, because they do not reach the middleware. Text sent by clients is escaped, so that it cannot forge
/// lines.
///
/// # Limits
/// The method, the target, the user and each header are truncated after 2,048 bytes. [`LogWriter`] limits the lines that are buffered.
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
    /// Creates an access log with a format and a writer.
    pub fn new(format: LogFormat, writer: LogWriter) -> Self {
        AccessLog::with(move |record| writer.write_line(|line| format.write(record, line)))
    }

    /// Creates an access log that writes to standard output.
    pub fn stdout(format: LogFormat) -> Self {
        AccessLog::new(format, LogWriter::stdout())
    }

    /// Creates an access log that emits `tracing` events: level `INFO`, target `uptick_http::access`, with the fields of
    /// [`LogFormat::Json`].
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
