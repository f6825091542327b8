//! Regular expressions for whole texts: those of the crate `regex`, or, without the feature `regex`, none.

#[cfg(feature = "regex")]
pub(crate) use with_regex::Expression;
#[cfg(not(feature = "regex"))]
pub(crate) use without_regex::Expression;

#[cfg(feature = "regex")]
mod with_regex {
    use std::rc::Rc;

    use regex::{Captures, Regex, RegexBuilder};

    /// The most bytes that a compiled regular expression may take.
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
                        format!("the regular expression takes more than {limit} bytes")
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

        /// Returns the names of its groups.
        pub(in crate::routing) fn names(&self) -> Rc<[Box<str>]> {
            self.0.capture_names().flatten().map(Into::into).collect()
        }

        pub(in crate::routing) fn groups<'t>(&self, text: &'t str) -> Option<Groups<'t>> {
            self.0.captures(text).map(Groups)
        }
    }

    /// The text that each group of an expression has matched.
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

    /// No regular expression can be compiled, so there are none.
    #[derive(Clone, Debug)]
    pub(crate) enum Expression {}

    impl Expression {
        /// Fails with the name of the missing feature.
        pub(crate) fn new(_expression: &str) -> Result<Expression, String> {
            Err("regular expressions need the feature `regex` of uptick-http".into())
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
