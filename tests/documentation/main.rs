//! Checks of the documentation: links, READMEs, examples, glossary and style.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod book;
mod examples;
mod links;
mod packages;
mod style;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// Returns the files in a folder with an extension, sorted.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension() == Some(OsStr::new(extension)));
    files.sort();
    files
}

/// Returns the pages of the book.
fn book() -> Vec<PathBuf> {
    let docs = root().join("docs");
    let folders = ["", "decisions", "services", "tutorial"];
    folders
        .iter()
        .flat_map(|folder| files(&docs.join(folder), "md"))
        .collect()
}

fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = files(&root, "md");
    pages.extend(book());
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        pages.extend(files(&entry.unwrap().path(), "md"));
    }
    pages.extend(files(&root.join("benches"), "md"));
    pages
}

/// Returns all Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut all = files(folder, "rs");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            all.extend(sources(&path));
        }
    }
    all
}

/// Returns `true` if a text contains a word or a phrase that is not a part of a longer word.
fn contains_word(text: &str, word: &str) -> bool {
    let is_boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        is_boundary(text[..at].chars().next_back())
            && is_boundary(text[at + word.len()..].chars().next())
    })
}
