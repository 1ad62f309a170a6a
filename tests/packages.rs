//! The packages that the server is built from: how many there are, under which
//! licences, and that each comes from a registry. `cargo tree` lists them,
//! without the network; `tests/deny.toml` has the licences.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Packages of the default build: each is code that somebody has to trust.
const PACKAGES_MAX: usize = 250;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).expect("a file of the package")
}

/// Name and licence of everything on those edges of the graph.
fn packages(edges: &str) -> Vec<(String, String)> {
    let args = ["tree", "--locked", "--offline", "--prefix", "none", "--format", "{p}|{l}", "--edges", edges];
    let listed = Command::new(env!("CARGO")).args(args).current_dir(root()).output().expect("cargo runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).expect("text");
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)")).filter_map(|line| line.split_once('|'));
    let mut packages: Vec<(String, String)> = lines.map(|(name, own)| (name.into(), own.into())).collect();
    packages.sort();
    packages.dedup();
    packages
}

/// The licences of `tests/deny.toml`.
fn allowed() -> Vec<String> {
    let text = read("tests/deny.toml");
    let list = text.split_once("allow = [").and_then(|(_, rest)| rest.split_once(']')).expect("a list").0;
    list.split(',').map(|name| name.trim().trim_matches('"').to_string()).collect()
}

/// Whether an expression of the SPDX can be satisfied with the licences; `/` is an old way to write `OR`.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let truth = either(&mut words, allowed);
    truth && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut truth = both(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        truth |= both(words, allowed);
    }
    truth
}

fn both(words: &mut Words<'_>, allowed: &[String]) -> bool {
    let mut truth = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        truth &= one(words, allowed);
    }
    truth
}

fn one(words: &mut Words<'_>, allowed: &[String]) -> bool {
    match words.next() {
        Some("(") => {
            let truth = either(words, allowed);
            truth & (words.next() == Some(")"))
        }
        Some(name) => {
            // An exception only allows more.
            if words.next_if_eq(&"WITH").is_some() {
                words.next();
            }
            allowed.iter().any(|known| known == name.trim_end_matches('+'))
        }
        None => false,
    }
}

#[test]
fn expressions_are_read() {
    let allowed = ["MIT".to_string(), "ISC".to_string()];
    for good in ["MIT", "MIT+", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "(GPL-3.0 OR ISC) AND MIT", "MIT WITH exception"] {
        assert!(satisfied(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0", "(MIT", "MIT ISC"] {
        assert!(!satisfied(bad, &allowed), "{bad}");
    }
}

#[test]
fn the_default_build_is_of_few_packages_with_licences_that_ask_little() {
    let (built, allowed) = (packages("normal,build"), allowed());
    assert!(built.len() > 50 && built.len() <= PACKAGES_MAX, "{} packages", built.len());
    let all = packages("all");
    let wrong: Vec<_> = all.iter().filter(|(_, licence)| !satisfied(licence, &allowed)).collect();
    assert!(wrong.is_empty(), "not among the licences of tests/deny.toml: {wrong:#?}");
}

#[test]
fn every_package_comes_from_a_registry() {
    let sources = read("Cargo.lock");
    let mut sources = sources.lines().filter_map(|line| line.strip_prefix("source = \""));
    assert!(sources.all(|source| source.starts_with("registry+")));
}
