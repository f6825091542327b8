//! The connections of a server.

mod acknowledgements;
mod date;
mod http1;
mod http2;
mod owned_headers;

use std::rc::Rc;

use uptick_socket::Connection;

use crate::site::Service;

/// Serves HTTP on a connection.
///
/// TLS negotiates the version. Otherwise, the first bytes decide: HTTP/2 starts with a preface that is no HTTP/1 request.
pub(crate) fn serve(conn: Connection, service: &Rc<Service>) {
    match conn.alpn() {
        Some(protocol) if protocol == b"h2" && service.borrow_site().settings.http2 => {
            http2::serve(conn, service);
        }
        _ => http1::serve(conn, service),
    }
}

/// Ends each connection of a server after its current exchanges.
pub(crate) fn drain(service: &Rc<Service>) {
    http1::drain(service);
    http2::drain(service);
}

/// Closes the remaining connections of a server, and returns their number.
pub(crate) fn abort_all(service: &Rc<Service>) -> usize {
    http1::abort_all(service) + http2::abort_all(service) + service.abort_upgraded()
}
