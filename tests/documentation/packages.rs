//! Metadata, READMEs and licences of the packages.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::links::links;
use crate::root;

/// Runs cargo in the workspace, and returns its standard output.
fn cargo(arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).arg("--offline").current_dir(root());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the published crates: the folder of each, and its description from `cargo metadata`.
fn published() -> Vec<(PathBuf, Value)> {
    let metadata = cargo(&["metadata", "--format-version=1", "--no-deps"]);
    let mut metadata: Value = serde_json::from_str(&metadata).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else {
        panic!("{metadata} has no packages");
    };
    let published = packages.into_iter().filter(|it| it["publish"].is_null());
    published
        .map(|package| {
            let manifest = Path::new(package["manifest_path"].as_str().unwrap());
            (manifest.parent().unwrap().to_owned(), package)
        })
        .collect()
}

fn strings(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|text| text.as_str().unwrap()).collect()
}

#[test]
fn the_readme_of_each_crate_describes_the_installation() {
    for (folder, package) in published() {
        let name = package["name"].as_str().unwrap();
        let version = package["rust_version"].as_str().unwrap();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        let required = [
            format!("# {name}\n"),
            format!("cargo add {name}"),
            format!("Rust {version} or later"),
            format!("https://img.shields.io/badge/MSRV-{version}-"),
            format!("https://img.shields.io/crates/v/{name}.svg"),
            format!("https://img.shields.io/docsrs/{name})](https://docs.rs/{name})"),
            "licence: MIT or Apache-2.0".into(),
            "Linux".into(),
        ];
        for text in required {
            assert!(readme.contains(&text), "the README of {name} lacks {text}");
        }
        for feature in package["features"].as_object().unwrap().keys() {
            let row = format!("| `{feature}` |");
            let is_listed = feature == "default" || readme.contains(&row);
            assert!(is_listed, "the README of {name} has no row {row}");
        }
    }
}

/// The installation command must install all crates that the first program needs.
#[test]
fn the_first_program_of_each_readme_uses_only_installed_crates() {
    for (folder, package) in published() {
        let name = package["name"].as_str().unwrap();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        let mut commands = readme.lines();
        let command = commands
            .find(|line| line.starts_with("cargo add "))
            .unwrap();
        let (_, program) = readme.split_once("```rust").unwrap();
        let (program, _) = program.split_once("\n```").unwrap();
        let imports = program.lines().filter_map(|line| line.strip_prefix("use "));
        for import in imports {
            let used = import.split("::").next().unwrap();
            let is_installed = command
                .split(' ')
                .any(|installed| installed.replace('-', "_") == used);
            assert!(
                used == "std" || is_installed,
                "the program of {name} uses {used}, which `{command}` does not install"
            );
        }
    }
}

/// The registry shows the README of a crate without the other files of the repository.
#[test]
fn the_links_of_each_readme_work_outside_the_repository() {
    for (folder, package) in published() {
        let name = package["name"].as_str().unwrap();
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        let mut targets = links(&readme);
        assert!(targets.len() >= 4, "{name} has no badges");
        // [name]: target
        let definitions = readme.lines().filter(|line| line.starts_with('['));
        targets.extend(definitions.filter_map(|line| Some(line.split_once("]: ")?.1.to_owned())));
        for target in targets {
            let is_safe = target.starts_with("https://") || target.starts_with('#');
            assert!(is_safe, "the README of {name} links to {target}");
        }
        // Links of the form [`name`] without a target, which only rustdoc resolves.
        for rest in readme.split("[`").skip(1) {
            let Some((item, rest)) = rest.split_once("`]") else {
                continue;
            };
            let is_defined = rest.starts_with('(')
                || rest.starts_with(':')
                || readme.contains(&format!("\n[`{item}`]: https://"));
            assert!(
                is_defined || item.contains('`'),
                "the README of {name} has no target for the link {item}"
            );
        }
    }
}

/// The categories of crates.io that the crates use.
const CATEGORIES: [&str; 12] = [
    "algorithms",
    "asynchronous",
    "concurrency",
    "cryptography",
    "network-programming",
    "os",
    "os::unix-apis",
    "rust-patterns",
    "web-programming",
    "web-programming::http-client",
    "web-programming::http-server",
    "web-programming::websocket",
];

#[test]
fn each_crate_is_described_for_the_registry() {
    let mut keywords_of_all = HashSet::new();
    for (_, package) in published() {
        let name = package["name"].as_str().unwrap();
        let description = package["description"].as_str().unwrap();
        assert!(description.len() > 20, "{name}: {description}");
        assert_eq!(package["documentation"], format!("https://docs.rs/{name}"));
        assert_eq!(package["repository"], "https://github.com/uptick-rs/uptick");
        assert_eq!(package["license"], "MIT OR Apache-2.0");
        assert_eq!(package["readme"], "README.md");
        let docs = &package["metadata"]["docs"]["rs"];
        assert_eq!(docs["all-features"], true, "{name}");

        let keywords = strings(&package["keywords"]);
        assert!((1..=5).contains(&keywords.len()), "{name}: {keywords:?}");
        for keyword in &keywords {
            let is_valid = keyword.len() <= 20
                && keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
                && keyword
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-+".contains(c));
            assert!(is_valid, "{name}: {keyword}");
        }
        let is_unique = keywords_of_all.insert(keywords.join(" "));
        assert!(is_unique, "{name} has the keywords of another crate");

        let categories = strings(&package["categories"]);
        assert!((1..=5).contains(&categories.len()), "{name}");
        for category in categories {
            assert!(CATEGORIES.contains(&category), "{name}: {category}");
        }
    }
}

#[test]
fn each_package_has_its_readme_and_both_licences() {
    let licences = ["LICENSE-MIT", "LICENSE-APACHE"];
    for (folder, package) in published() {
        let name = package["name"].as_str().unwrap();
        for licence in licences {
            let own = fs::read(folder.join(licence)).unwrap();
            let common = fs::read(root().join(licence)).unwrap();
            assert!(
                own == common,
                "{licence} of {name} differs from that of the workspace"
            );
        }
        let list = cargo(&["package", "--list", "--allow-dirty", "--package", name]);
        let files: Vec<&str> = list.lines().collect();
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            assert!(
                files.contains(&file),
                "the package of {name} does not contain {file}"
            );
        }
    }
}
