//! The target of a proxied request.

use memchr::memchr_iter;

/// The mapping of the paths below a prefix to the paths of an upstream server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathMapping {
    /// Number of slashes of the prefix without its last one, if the prefix is removed.
    stripped: Option<usize>,
}

/// The error for a path with the segments `.` or `..`, which an upstream server could resolve to a path outside of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DotSegment;

impl PathMapping {
    pub(super) fn new(prefix: &str, strips: bool) -> Self {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        PathMapping {
            stripped: strips.then(|| prefix.matches('/').count()),
        }
    }

    /// Returns the start of a path that is removed.
    pub(super) fn removed<'a>(&self, path: &'a str) -> &'a str {
        let Some(count) = self.stripped else {
            return "";
        };
        // Slashes of a segment are escaped, so that each slash of the path belongs to one of the prefix.
        let slash = memchr_iter(b'/', path.as_bytes()).nth(count);
        path.get(..slash.unwrap_or(path.len())).unwrap_or(path)
    }

    /// Returns the URL of a request: the base URL of a server without a slash at its end, the path as the client has sent it, and the query.
    pub(super) fn url(
        &self,
        base: &str,
        path: &str,
        query: Option<&str>,
    ) -> Result<String, DotSegment> {
        if has_dot_segment(path) {
            return Err(DotSegment);
        }
        let rest = match path.get(self.removed(path).len()..) {
            None | Some("") => "/",
            Some(rest) => rest,
        };
        let query_length = query.map_or(0, |query| query.len() + 1);
        let mut url = String::with_capacity(base.len() + rest.len() + query_length);
        url.push_str(base);
        url.push_str(rest);
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        Ok(url)
    }
}

/// Returns `true` if a segment of the path is `.` or `..`, in any spelling. Escaped slashes and backslashes count as slashes, because some
/// servers decode them before they resolve segments.
fn has_dot_segment(path: &str) -> bool {
    let mut rest = path.as_bytes();
    let mut dots = 0;
    let mut others = false;
    while let Some(&first) = rest.first() {
        let (byte, length) = match (first, rest.get(1..3)) {
            (b'%', Some([high, low])) => match (high, low.to_ascii_lowercase()) {
                (b'2', b'e') => (b'.', 3),
                (b'2', b'f') => (b'/', 3),
                (b'5', b'c') => (b'\\', 3),
                _ => (b'%', 1),
            },
            _ => (first, 1),
        };
        match byte {
            b'/' | b'\\' => {
                if !others && (dots == 1 || dots == 2) {
                    return true;
                }
                (dots, others) = (0, false);
            }
            b'.' => dots += 1,
            _ => others = true,
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    !others && (dots == 1 || dots == 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_prefix_is_kept_or_stripped() {
        let base = "http://a:1/base";
        let url = |prefix, strips, path, query| {
            let url = PathMapping::new(prefix, strips).url(base, path, query);
            url.unwrap().strip_prefix(base).unwrap().to_owned()
        };
        assert_eq!(url("/api/", false, "/api/x", Some("a=b")), "/api/x?a=b");
        assert_eq!(url("/api/", false, "/%61pi/%2Fx", Some("")), "/%61pi/%2Fx?");
        assert_eq!(url("/api/", true, "/api/x/y", None), "/x/y");
        assert_eq!(url("/api/", true, "/%61pi/x%2Fy", None), "/x%2Fy");
        assert_eq!(url("/api/", true, "/api/", Some("a")), "/?a");
        assert_eq!(url("/api/", true, "/api//x", None), "//x");
        assert_eq!(url("/api", true, "/api", None), "/");
        assert_eq!(url("/api", true, "/api/x", None), "/x");
        assert_eq!(url("/t/{tenant}/", true, "/t/a%2Fb/x", None), "/x");
        for strips in [true, false] {
            assert_eq!(url("/", strips, "/x/", None), "/x/");
            assert_eq!(url("", strips, "/x", None), "/x");
        }
    }

    #[test]
    fn the_removed_start_of_a_path_is_returned() {
        let removed = |prefix, path| PathMapping::new(prefix, true).removed(path).to_owned();
        assert_eq!(removed("/api/", "/%61pi/x"), "/%61pi");
        assert_eq!(removed("/api", "/api"), "/api");
        assert_eq!(removed("/", "/x"), "");
        assert_eq!(PathMapping::new("/api/", false).removed("/api/x"), "");
    }

    #[test]
    fn dot_segments_are_refused_in_any_spelling() {
        for path in [
            "/api/..",
            "/api/../admin",
            "/api/./x",
            "/api/%2e%2E/x",
            "/api/.%2e",
            "/api/..%2fadmin",
            "/api/x%5C..%5c",
            "/api/..\\x",
            ".",
        ] {
            assert!(has_dot_segment(path), "{path}");
        }
        for path in [
            "/api/...",
            "/api/..a/x",
            "/api/.well-known/x",
            "/%252e%252e/",
            "/api/a..",
            "/api/..%",
            "/api//x",
            "/",
            "",
        ] {
            assert!(!has_dot_segment(path), "{path}");
        }
    }

    proptest! {
        #[test]
        fn dot_segments_are_found_after_decoding(
            path in "/(\\.|/|%2[eEfF5]|%5[cC]|\\\\|a|%){0,8}",
            strips in any::<bool>(),
        ) {
            let mut decoded = path.to_ascii_lowercase();
            // An escape is decoded once, from left to right.
            decoded = decoded.replace("%25", "a");
            for (escape, byte) in [("%2e", "."), ("%2f", "/"), ("%5c", "/"), ("\\", "/")] {
                decoded = decoded.replace(escape, byte);
            }
            let expected = decoded.split('/').any(|segment| matches!(segment, "." | ".."));
            prop_assert_eq!(has_dot_segment(&path), expected, "{}", decoded);
            if let Ok(url) = PathMapping::new("/a/", strips).url("http://b", &path, None) {
                prop_assert!(url.starts_with("http://b/"), "{}", url);
            }
        }
    }
}
