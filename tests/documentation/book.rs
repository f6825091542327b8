//! The tutorial, the glossary and the page about the architecture.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{contains_word, files, root, sources};

/// The programs of the tutorial are examples, which are compiled and tested.
#[test]
fn the_tutorial_contains_its_programs_unchanged() {
    let programs = root().join("examples/tutorial");
    let mut checked = 0;
    for program in files(&programs, "rs") {
        let name = program.file_stem().unwrap().to_str().unwrap();
        let page = root().join("docs/tutorial").join(format!("{name}.md"));
        let page = fs::read_to_string(page).unwrap();
        let text = fs::read_to_string(&program).unwrap();
        let is_shown = page.contains(&format!("```rust,no_run\n{text}```\n"));
        assert!(is_shown, "the page of {name} differs from the program");
        if let Some((_, html)) = text.split_once("include_str!(\"") {
            let html = html.split('"').next().unwrap();
            let html = format!(
                "```html\n{}```\n",
                fs::read_to_string(programs.join(html)).unwrap()
            );
            let is_shown = page.contains(&html) || name == "6-production";
            assert!(
                is_shown || name == "4-topic",
                "the page of {name} differs from the HTML"
            );
        }
        checked += 1;
    }
    assert_eq!(checked, 6);
}

/// Each `crate::path::Item` in the last column is declared in that crate.
#[test]
fn the_items_of_the_glossary_exist() {
    let glossary = fs::read_to_string(root().join("docs/glossary.md")).unwrap();
    let texts = SourceTexts::read();
    let mut checked = 0;
    for row in glossary
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
    {
        let items = row
            .trim_end_matches([' ', '|'])
            .rsplit(" | ")
            .next()
            .unwrap();
        for item in items.split('`').skip(1).step_by(2) {
            let (_, name) = item.rsplit_once("::").unwrap_or(("", item));
            let (first, _) = item.split_once("::").unwrap_or((item, ""));
            let folder = root().join("crates").join(first.replace('_', "-"));
            let folder = match folder.exists() {
                true => folder,
                false => root().join("crates"),
            };
            assert!(
                texts.declare(&folder, name),
                "the glossary lists {item}, which is not declared"
            );
            checked += 1;
        }
    }
    assert!(checked > 60, "only {checked} items were found");
}

/// Functions and files that the page about the architecture names in backticks. Names of one word are not checked, because they
/// could be events or modules.
#[test]
fn the_functions_and_files_of_the_architecture_exist() {
    const OTHER_NAMES: [&str; 2] = ["close_notify", "epoll_wait"];
    let crates = root().join("crates");
    let texts = SourceTexts::read();
    let page = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let mut checked = 0;
    let mut in_diagram = false;
    for line in page.lines() {
        in_diagram ^= line.starts_with("```");
        if in_diagram {
            continue;
        }
        for name in line.split('`').skip(1).step_by(2) {
            let last = name.rsplit("::").next().unwrap();
            let is_function =
                last.contains('_') && last.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let exists = if name.ends_with(".rs") {
                texts.0.iter().any(|(path, _)| path.ends_with(name))
            } else if is_function && !OTHER_NAMES.contains(&name) {
                texts.declare(&crates, last)
            } else {
                continue;
            };
            assert!(
                exists,
                "the page about the architecture names {name}, which does not exist"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "only {checked} names were found");
}

/// The Rust files of the crates with their texts.
struct SourceTexts(Vec<(PathBuf, String)>);

impl SourceTexts {
    fn read() -> SourceTexts {
        let files = sources(&root().join("crates")).into_iter();
        let texts = files.map(|file| {
            let text = fs::read_to_string(&file).unwrap();
            (file, text)
        });
        SourceTexts(texts.collect())
    }

    /// Returns `true` if a source file below `folder` declares an item or is a module with that name.
    fn declare(&self, folder: &Path, name: &str) -> bool {
        let kinds = ["struct", "enum", "trait", "type", "mod", "fn", "const"];
        let declarations = kinds.map(|kind| format!("{kind} {name}"));
        let event = format!("{name} = \"");
        let mut files = self.0.iter().filter(|(file, _)| file.starts_with(folder));
        files.any(|(file, text)| {
            let is_module = file.file_stem() == Some(OsStr::new(name));
            let is_declared = declarations.iter().any(|it| contains_word(text, it));
            is_module || is_declared || text.contains(&event)
        }) || folder.ends_with(name)
    }
}
