//! The test client.

use std::fmt;
use std::rc::Rc;

use super::{TestConnector, TestRequest};
use crate::Method;
use crate::site::Service;

/// A client that sends requests to a server without a socket; see [`HttpServer::test`](crate::HttpServer::test).
#[derive(Clone)]
pub struct TestClient {
    service: Option<Rc<Service>>,
}

impl TestClient {
    pub(crate) fn new(service: Option<Rc<Service>>) -> Self {
        TestClient { service }
    }

    /// Creates a request. The target is a path with an optional query, or another form that HTTP allows: `*` or an absolute URI.
    pub fn request(&self, method: Method, target: impl Into<String>) -> TestRequest {
        TestRequest::new(self.service.clone(), method, target.into())
    }

    /// Creates a `GET` request.
    pub fn get(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::GET, target)
    }

    /// Creates a `HEAD` request.
    pub fn head(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::HEAD, target)
    }

    /// Creates a `POST` request.
    pub fn post(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::POST, target)
    }

    /// Creates a `PUT` request.
    pub fn put(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::PUT, target)
    }

    /// Creates a `PATCH` request.
    pub fn patch(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::PATCH, target)
    }

    /// Creates a `DELETE` request.
    pub fn delete(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::DELETE, target)
    }

    /// Creates an `OPTIONS` request.
    pub fn options(&self, target: impl Into<String>) -> TestRequest {
        self.request(Method::OPTIONS, target)
    }

    /// Returns a connector to the server over socket pairs, without a port.
    pub fn connector(&self) -> TestConnector {
        TestConnector::new(self.service.clone())
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").finish_non_exhaustive()
    }
}
