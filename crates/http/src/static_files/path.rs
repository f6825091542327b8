//! Conversion of request paths to file paths.

use std::path::PathBuf;

/// A path below the served directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelativePath {
    /// The relative path, without `.` and `..`; empty for the directory itself.
    pub(super) path: PathBuf,
    /// `true` if the path ends with a slash, and therefore names a directory.
    pub(super) directory: bool,
}

impl RelativePath {
    /// Parses the decoded rest of a request's path; `None` if it must not be served, because it contains `..`, bytes that are not allowed in names
    /// or separate names on some systems, or names with a leading dot while `dotfiles` is not set.
    pub(super) fn parse(decoded: &str, dotfiles: bool) -> Option<Self> {
        let mut path = PathBuf::new();
        let relative = decoded.strip_prefix('/').unwrap_or(decoded);
        let directory = relative.is_empty() || relative.ends_with('/');
        let names = relative.strip_suffix('/').unwrap_or(relative);
        for name in names.split('/').filter(|_| !relative.is_empty()) {
            // With two slashes in a row, a file would have several paths.
            if name.is_empty() || name == "." || name == ".." {
                return None;
            }
            if name.starts_with('.') && !dotfiles {
                return None;
            }
            if name.contains(['\0', '\\']) || (cfg!(windows) && name.contains(':')) {
                return None;
            }
            path.push(name);
        }
        Some(RelativePath { path, directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_directory() {
        let cases = [
            ("", "", true),
            ("/", "", true),
            ("a.txt", "a.txt", false),
            ("/a/b c.txt", "a/b c.txt", false),
            ("a/", "a", true),
            ("a/...", "a/...", false),
            ("a/b..c", "a/b..c", false),
        ];
        for (decoded, path, directory) in cases {
            let path = PathBuf::from(path);
            let expected = RelativePath { path, directory };
            assert_eq!(
                RelativePath::parse(decoded, true),
                Some(expected),
                "{decoded}"
            );
        }
    }

    #[test]
    fn no_path_leads_out_of_the_directory() {
        for decoded in [
            "..",
            "../a",
            "a/..",
            "a/../b",
            "/../a",
            "//",
            "//etc/passwd",
            "a//b",
            "a/./b",
            ".",
            "./a",
            "a\\..\\b",
            "..\\a",
            "a\0",
            "a\0.txt",
            "a/../",
        ] {
            assert_eq!(RelativePath::parse(decoded, true), None, "{decoded:?}");
        }
    }

    #[test]
    fn dotfiles_are_hidden_unless_they_are_enabled() {
        for decoded in [".env", "a/.git/config", ".well-known/"] {
            assert_eq!(RelativePath::parse(decoded, false), None, "{decoded}");
            assert!(RelativePath::parse(decoded, true).is_some(), "{decoded}");
        }
    }
}
