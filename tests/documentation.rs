//! The documentation is complete, and its links lead somewhere.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// The files in a folder that end in `.extension`, in order.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|file| file.extension() == Some(OsStr::new(extension)));
    files.sort();
    files
}

fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages = files(&root, "md");
    pages.extend(files(&root.join("docs"), "md"));
    pages.extend(files(&root.join("docs/decisions"), "md"));
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        pages.extend(files(&entry.unwrap().path(), "md"));
    }
    pages.extend(files(&root.join("benches"), "md"));
    pages
}

/// The targets of the links `[text](target)` of a page, without those in code.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let prose = if in_code { "" } else { line };
        for rest in prose.split("](").skip(1) {
            links.extend(rest.split(')').next().map(str::to_string));
        }
    }
    links
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    let mut checked = 0;
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = page.parent().unwrap().join(target);
            assert!(file.exists(), "{} links to {link}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

#[test]
fn every_example_is_in_the_readme_and_says_how_to_run_it() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for example in files(&root().join("examples"), "rs") {
        let name = example.file_stem().unwrap().to_str().unwrap();
        let row = format!("| [`{name}`](examples/{name}.rs) |");
        assert!(readme.contains(&row), "the README has no {row}");
        let text = fs::read_to_string(&example).unwrap();
        let command = format!("//! $ cargo run --release --example {name}");
        assert!(text.contains(&command), "{name} does not say {command}");
    }
}

#[test]
fn every_crate_is_in_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().file_name().into_string().unwrap();
        let link = format!("(crates/{folder}/README.md)");
        assert!(readme.contains(&link), "the README has no {link}");
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    let mut pages = files(&docs, "md");
    pages.extend(files(&docs.join("decisions"), "md"));
    for page in pages {
        let path = page.strip_prefix(&docs).unwrap().to_str().unwrap();
        let listed = summary.contains(&format!("({path})"));
        assert!(listed || path == "SUMMARY.md", "{path} is not listed");
    }
}
