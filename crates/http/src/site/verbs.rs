//! The methods that add routes, for the server and for groups.

/// Writes `get`, `post` and so on for a `Copy` type that has
/// `fn add_route(self, methods: &str, pattern: &str, handler: Handler) -> Result<(), RouteError>`.
macro_rules! routing_methods {
    () => {
        $crate::site::routing_methods! { @one
            "GET" get "Adds a route for GET; it answers HEAD, too, unless another one does.",
            "HEAD" head "Adds a route for HEAD.",
            "POST" post "Adds a route for POST.",
            "PUT" put "Adds a route for PUT.",
            "PATCH" patch "Adds a route for PATCH.",
            "DELETE" delete "Adds a route for DELETE.",
            "OPTIONS" options "Adds a route for OPTIONS, which is answered with the path's methods otherwise.",
            "ALL" any "Adds a route for every method except CONNECT; routes of the same pattern for one method win.",
            "ALL" accept "Adds a route for every method except CONNECT, as [`any`](Self::any) does.",
        }

        /// Adds a route for a method of any name, such as `PURGE`.
        ///
        /// # Panics
        ///
        /// As [`route`](Self::route) does.
        #[track_caller]
        pub fn method<M>(self, method: &str, pattern: &str, handler: impl $crate::IntoHandler<M>) -> Self {
            self.route(method, pattern, handler)
        }

        /// Adds a route for several methods: `GET|POST`, or `ALL` for every one except CONNECT.
        ///
        /// [`Router`](crate::router::Router) says what a pattern is and which route is taken.
        ///
        /// # Panics
        ///
        /// If the methods or the pattern are malformed, or there is a route for one of the methods and the same
        /// pattern; [`try_route`](Self::try_route) returns the error instead.
        #[track_caller]
        #[allow(clippy::panic, reason = "a malformed route is a mistake in the program")]
        pub fn route<M>(self, methods: &str, pattern: &str, handler: impl $crate::IntoHandler<M>) -> Self {
            if let Err(error) = self.try_route(methods, pattern, handler) {
                panic!("{error}");
            }
            self
        }

        /// Adds a route whose methods and pattern may not be well-formed.
        ///
        /// # Errors
        ///
        /// If the methods or the pattern are malformed, or there is a route for one of the methods and the same
        /// pattern.
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
        /// As [`route`](Self::route) does.
        #[track_caller]
        pub fn $name<M>(self, pattern: &str, handler: impl $crate::IntoHandler<M>) -> Self {
            self.route($methods, pattern, handler)
        }
    )*};
}

pub(crate) use routing_methods;
