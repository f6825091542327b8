//! Cookies of requests and responses.
