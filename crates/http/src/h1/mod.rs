//! HTTP/1.1 (RFC 9112) without any input or output.
