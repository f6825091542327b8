//! Regular expressions that match whole texts. Without the feature `regex`, none can be compiled.

#[cfg(feature = "regex")]
pub(crate) use with_regex::Expression;
#[cfg(not(feature = "regex"))]
pub(crate) use without_regex::Expression;

#[cfg(feature = "regex")]
mod with_regex {
    use std::rc::Rc;

    use regex::{Captures, Regex, RegexBuilder};

    /// Maximum size of a compiled regular expression, in bytes.
    const MAX_SIZE: usize = 1 << 20;

    /// A compiled regular expression that matches whole texts.
    #[derive(Clone, Debug)]
    pub(crate) struct Expression(Box<Regex>);

    impl Expression {
        /// Compiles a regular expression.
        pub(crate) fn new(expression: &str) -> Result<Expression, String> {
            RegexBuilder::new(&format!(r"\A(?:{expression})\z"))
                .size_limit(MAX_SIZE)
                .build()
                .map(|regex| Expression(Box::new(regex)))
                .map_err(|e| match e {
                    regex::Error::CompiledTooBig(limit) => {
                        format!("the compiled regular expression has more than {limit} bytes")
                    }
                    e => e.to_string(),
                })
        }

        pub(crate) fn as_str(&self) -> &str {
            self.0.as_str()
        }

        pub(crate) fn is_match(&self, text: &str) -> bool {
            self.0.is_match(text)
        }

        /// Returns the names of the groups.
        pub(in crate::routing) fn names(&self) -> Rc<[Box<str>]> {
            self.0.capture_names().flatten().map(Into::into).collect()
        }

        pub(in crate::routing) fn groups<'t>(&self, text: &'t str) -> Option<Groups<'t>> {
            self.0.captures(text).map(Groups)
        }
    }

    /// The texts that the groups of an expression matched.
    pub(in crate::routing) struct Groups<'t>(Captures<'t>);

    impl<'t> Groups<'t> {
        pub(in crate::routing) fn name(&self, name: &str) -> Option<&'t str> {
            self.0.name(name).map(|group| group.as_str())
        }
    }
}

#[cfg(not(feature = "regex"))]
mod without_regex {
    use std::rc::Rc;

    /// A regular expression, of which there are none without the feature `regex`.
    #[derive(Clone, Debug)]
    pub(crate) enum Expression {}

    impl Expression {
        /// Fails with an error that names the missing feature.
        pub(crate) fn new(_expression: &str) -> Result<Expression, String> {
            Err("regular expressions require the feature `regex` of uptick-http".into())
        }

        pub(crate) fn as_str(&self) -> &str {
            match *self {}
        }

        pub(crate) fn is_match(&self, _text: &str) -> bool {
            match *self {}
        }

        pub(in crate::routing) fn names(&self) -> Rc<[Box<str>]> {
            match *self {}
        }

        pub(in crate::routing) fn groups(&self, _text: &str) -> Option<Groups> {
            match *self {}
        }
    }

    pub(in crate::routing) enum Groups {}

    impl Groups {
        pub(in crate::routing) fn name(&self, _name: &str) -> Option<&'static str> {
            match *self {}
        }
    }
}
