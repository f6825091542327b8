//! The style of doc comments, comments, pages and test names: see `CONTRIBUTING.md`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{contains_word, pages, root, sources};

/// Words with which no doc comment begins: it would be a clause instead of a noun phrase or a verb.
const OPENINGS: [&str; 18] = [
    "What", "Whatever", "Who", "Whom", "Whose", "Whoever", "Whether", "Which", "Where", "How",
    "Since", "Has", "Have", "Gives", "Tells", "Says", "Nobody", "Somebody",
];

/// Words that have a standard term; some of them are names in code, and therefore allowed in backticks.
const WORDS: [&str; 15] = [
    "octet",
    "octets",
    "whoever",
    "whom",
    "whomever",
    "nobody",
    "somebody",
    "tells",
    "told",
    "hears",
    "hands out",
    "handed out",
    "under way",
    "in vain",
    "anew",
];

/// Pages that quote these words.
const QUOTING: [&str; 1] = ["CONTRIBUTING.md"];

/// Returns the Rust files of the workspace.
fn rust_files() -> Vec<PathBuf> {
    let folders = ["crates", "examples", "tests", "benches", "fuzz"];
    let folders = folders.iter().map(|folder| root().join(folder));
    folders.flat_map(|folder| sources(&folder)).collect()
}

/// Returns the text of a line comment, with whether it is a doc comment.
fn comment(line: &str) -> Option<(&str, bool)> {
    let text = line.trim_start().strip_prefix("//")?;
    match text.strip_prefix(['/', '!']) {
        Some(doc) => Some((doc, true)),
        None => Some((text, false)),
    }
}

/// Returns the prose of a line: without code in backticks, links and quotations.
fn prose(line: &str) -> String {
    let without_code = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let without_quotes = without_code.split('"').step_by(2);
    without_quotes.collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Returns the first of [`WORDS`] in a text.
fn banned_word(text: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| contains_word(text, word))
}

fn place(file: &Path, line: usize) -> String {
    let file = file.strip_prefix(root()).unwrap_or(file);
    format!("{}:{}", file.display(), line + 1)
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        let mut was_doc = false;
        for (number, line) in text.lines().enumerate() {
            let doc = comment(line).filter(|(_, is_doc)| *is_doc);
            if let (Some((doc, _)), false) = (doc, was_doc) {
                let first = doc.split_whitespace().next().unwrap_or_default();
                if OPENINGS.contains(&first) {
                    faults.push(format!("{}: {}", place(&file, number), line.trim()));
                }
            }
            was_doc = doc.is_some();
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn comments_and_pages_use_the_standard_terms() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            let word = comment(line).and_then(|(text, _)| banned_word(&prose(text)));
            faults.extend(word.map(|word| format!("{}: {word}", place(&file, number))));
        }
    }
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&page).unwrap();
        let mut in_code = false;
        for (number, line) in text.lines().enumerate() {
            in_code ^= line.starts_with("```");
            if !in_code && !QUOTING.contains(&name) {
                let word = banned_word(&prose(line));
                faults.extend(word.map(|word| format!("{}: {word}", place(&page, number))));
            }
        }
    }
    // This file has the words themselves.
    faults.retain(|fault| !fault.contains("documentation/style.rs"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn test_names_use_the_standard_terms() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        for (number, pair) in lines.windows(2).enumerate() {
            let name = pair[1].strip_prefix("fn ").unwrap_or_default();
            let name = name.split('(').next().unwrap_or_default().replace('_', " ");
            let is_test = pair[0].starts_with("#[test]");
            let is_clause = ["what ", "who ", "whoever "]
                .iter()
                .any(|it| name.starts_with(it));
            if is_test && (is_clause || banned_word(&name).is_some()) {
                faults.push(format!("{}: {name}", place(&file, number + 1)));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// An editor that adds a line to an example without `///` removes it from the documentation.
#[test]
fn no_plain_comment_interrupts_a_doc_comment() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let text = fs::read_to_string(&file).unwrap();
        let kinds: Vec<_> = text
            .lines()
            .map(|line| comment(line).map(|(_, is_doc)| is_doc))
            .collect();
        for (number, kinds) in kinds.windows(3).enumerate() {
            if kinds == [Some(true), Some(false), Some(true)] {
                faults.push(place(&file, number + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
