//! The methods of servers and groups that add routes.

/// Defines `get`, `post` and so on for a `Copy` type that has `fn add_route(self, methods: &str, pattern: &str, handler: Handler) ->
/// Result<(), RouteError>`.
macro_rules! routing_methods {
    () => {
        $crate::site::routing_methods! { @one
            "GET" get "Adds a route for GET, which also handles HEAD unless there is a HEAD route.",
            "HEAD" head "Adds a route for HEAD.",
            "POST" post "Adds a route for POST.",
            "PUT" put "Adds a route for PUT.",
            "PATCH" patch "Adds a route for PATCH.",
            "DELETE" delete "Adds a route for DELETE.",
            "OPTIONS" options "Adds a route for OPTIONS. Without one, the response lists the methods of the path.",
            "ALL" any "Adds a route for every method except CONNECT; routes with the same pattern for a single method take precedence.",
            "ALL" accept "Adds a route for every method except CONNECT, like [`any`](Self::any).",
        }

        /// Adds a route for any method name, such as `PURGE`.
        ///
        /// # Panics
        ///
        /// If the pattern is malformed or exists already, like [`route`](Self::route).
        #[track_caller]
        pub fn method<M>(self, method: &str, pattern: &str, handler: impl $crate::IntoHandler<M>) -> Self {
            self.route(method, pattern, handler)
        }

        /// Adds a route for several methods: `GET|POST`, or `ALL` for every method except CONNECT.
        ///
        /// [`Router`](crate::router::Router) describes patterns and the order of precedence.
        ///
        /// # Panics
        ///
        /// If the methods or the pattern are malformed, or one of the methods already has a route with the same pattern;
        /// [`try_route`](Self::try_route) returns the error instead.
        #[track_caller]
        #[allow(clippy::panic, reason = "a malformed route is a programming error")]
        pub fn route<M>(self, methods: &str, pattern: &str, handler: impl $crate::IntoHandler<M>) -> Self {
            if let Err(error) = self.try_route(methods, pattern, handler) {
                panic!("{error}");
            }
            self
        }

        /// Adds a route, and returns an error if the methods or the pattern are invalid.
        ///
        /// # Errors
        ///
        /// If the methods or the pattern are malformed, or one of the methods already has a route with the same pattern.
        pub fn try_route<M>(
            self,
            methods: &str,
            pattern: &str,
            handler: impl $crate::IntoHandler<M>,
        ) -> Result<(), $crate::routing::RouteError> {
            self.add_route(methods, pattern, handler.into_handler())
        }
    };
    (@one $($methods:literal $name:ident $doc:literal,)*) => {$(
        #[doc = $doc]
        ///
        /// # Panics
        ///
        /// If the pattern is malformed or exists already, like [`route`](Self::route).
        #[track_caller]
        pub fn $name<M>(self, pattern: &str, handler: impl $crate::IntoHandler<M>) -> Self {
            self.route($methods, pattern, handler)
        }
    )*};
}

pub(crate) use routing_methods;
