//! The examples and their table in the README.

use std::fs;

use crate::{files, root};

#[test]
fn every_example_is_in_the_readme_and_has_its_command() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for example in files(&root().join("examples"), "rs") {
        let name = example.file_stem().unwrap().to_str().unwrap();
        let row = format!("| [`{name}`](examples/{name}.rs) |");
        assert!(readme.contains(&row), "the README has no {row}");
        let text = fs::read_to_string(&example).unwrap();
        let command = format!("--example {name}");
        let has_command =
            |line: &str| line.starts_with("//! $ cargo run ") && line.contains(&command);
        assert!(
            text.lines().any(has_command),
            "{name} has no command to run it"
        );
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

/// The examples for beginners. They import only the prelude and the standard library.
const FIRST_EXAMPLES: [&str; 24] = [
    "01", "02", "03", "04", "05", "06", "07", "11", "12", "13", "14", "15", "21", "22", "23", "24",
    "25", "26", "27", "30", "31", "32", "33", "34",
];
/// Other imports in these examples: names that are rarely used, or too general for the prelude.
const OTHER_IMPORTS: [(&str, &str); 5] = [
    ("02", "use uptick::stream::"),
    ("12", "use uptick::socket::"),
    ("23", "use futures::"),
    ("26", "use uptick::rate_limit::"),
    ("30", "use uptick::rate_limit::Client;"),
];

#[test]
fn the_first_examples_import_only_the_prelude() {
    let mut checked = 0;
    for example in files(&root().join("examples"), "rs") {
        let name = example.file_name().unwrap().to_str().unwrap();
        let number = &name[..2];
        if !FIRST_EXAMPLES.contains(&number) {
            continue;
        }
        let text = fs::read_to_string(&example).unwrap();
        for line in text.lines().filter(|line| line.starts_with("use ")) {
            let is_listed = OTHER_IMPORTS
                .iter()
                .any(|(other, import)| *other == number && line.starts_with(import));
            // A module of the example itself, such as `hall::Hall`.
            let module = line["use ".len()..].split("::").next().unwrap();
            let is_own = text.contains(&format!("\nmod {module};"));
            let is_common = line.starts_with("use std::") || line == "use uptick::prelude::*;";
            assert!(is_listed || is_own || is_common, "{name}: {line}");
        }
        checked += 1;
    }
    assert_eq!(checked, FIRST_EXAMPLES.len());
}
