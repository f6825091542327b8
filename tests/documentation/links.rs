//! Links between pages, and the summary of the book.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{book, pages, root};

/// Returns the targets of the links `[text](target)` of a page, except those in code blocks.
pub(crate) fn links(text: &str) -> Vec<String> {
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

/// The address of the files of the repository, for pages that are published without them.
const REPOSITORY: &str = "https://github.com/uptick-rs/uptick/blob/main/";

/// Returns the file to which a link of `page` refers; `None` for links to other sites.
fn file_of(page: &Path, target: &str) -> Option<PathBuf> {
    if let Some(path) = target.strip_prefix(REPOSITORY) {
        return Some(root().join(path));
    }
    if target.contains("://") {
        return None;
    }
    match target {
        "" => Some(page.to_owned()),
        _ => Some(page.parent().unwrap().join(target)),
    }
}

/// Returns the anchors of the headings of a page.
fn anchors(text: &str) -> HashSet<String> {
    let mut in_code = false;
    let headings = text.lines().filter(|line| {
        in_code ^= line.starts_with("```");
        line.starts_with('#') && !in_code
    });
    headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
            heading.chars().filter(kept).collect::<String>()
        })
        .map(|heading| heading.replace(' ', "-"))
        .collect()
}

#[test]
fn links_lead_to_files_and_headings_that_exist() {
    let mut checked = 0;
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let Some(file) = file_of(&page, target) else {
                continue;
            };
            assert!(file.exists(), "{} links to {link}", page.display());
            if !anchor.is_empty() && file.extension() == Some(OsStr::new("md")) {
                let headings = anchors(&fs::read_to_string(&file).unwrap());
                assert!(
                    headings.contains(anchor),
                    "{} links to {link}",
                    page.display()
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 100, "only {checked} links were found");
}

/// The book is published as a site, without the other files of the repository.
#[test]
fn the_pages_of_the_book_link_only_to_the_book_and_to_other_sites() {
    let docs = root().join("docs");
    for page in book() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = page.parent().unwrap().join(target).canonicalize().unwrap();
            assert!(
                file.starts_with(&docs),
                "{} links to {link}",
                page.display()
            );
        }
    }
}

#[test]
fn every_page_of_the_book_is_in_its_summary() {
    let docs = root().join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).unwrap();
    for page in book() {
        let path = page.strip_prefix(&docs).unwrap().to_str().unwrap();
        let is_listed = summary.contains(&format!("({path})"));
        assert!(is_listed || path == "SUMMARY.md", "{path} is not listed");
    }
}
