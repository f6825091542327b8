//! Which file the path of a request means.

use std::path::PathBuf;

/// A path below the directory that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// Without `.` and `..`, and relative; empty for the directory itself.
    pub(super) path: PathBuf,
    /// Whether it ends with a slash, and so means a directory.
    pub(super) directory: bool,
}

/// Reads the decoded rest of a request's path. `None` for what is not served: `..`, bytes that no name has or that divide
/// names on some systems, and names that begin with a dot unless these are asked for.
pub(super) fn below(decoded: &str, dotfiles: bool) -> Option<Below> {
    let mut path = PathBuf::new();
    let relative = decoded.strip_prefix('/').unwrap_or(decoded);
    let directory = relative.is_empty() || relative.ends_with('/');
    let names = relative.strip_suffix('/').unwrap_or(relative);
    for name in names.split('/').filter(|_| !relative.is_empty()) {
        // Two slashes in a row would be another path to the same file.
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
    Some(Below { path, directory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_below_the_directory() {
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
            let expected = Below { path, directory };
            assert_eq!(below(decoded, true), Some(expected), "{decoded}");
        }
    }

    #[test]
    fn nothing_leads_out_of_the_directory() {
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
            assert_eq!(below(decoded, true), None, "{decoded:?}");
        }
    }

    #[test]
    fn dotfiles_are_hidden_unless_asked_for() {
        for decoded in [".env", "a/.git/config", ".well-known/"] {
            assert_eq!(below(decoded, false), None, "{decoded}");
            assert!(below(decoded, true).is_some(), "{decoded}");
        }
    }
}
