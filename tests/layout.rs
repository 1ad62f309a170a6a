//! The layout: who may use whom, who may name the database, and how long a file may be.
//!
//! Reads the sources as text. An edge that is not listed here is a decision to
//! take, not a line to add in passing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Which modules each module may use, in the order of the data's way.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("error", &[]),
    ("value", &["model", "error"]),
    ("event", &["model", "value"]),
    ("world", &["value"]),
    ("wire", &["value", "error"]),
    ("views", &["model", "value", "event", "log", "world"]),
    ("command", &["model", "value", "error", "event", "views", "world", "log"]),
    ("log", &["model", "value", "error", "event", "views", "command", "world"]),
    ("auth", &["model", "value", "error", "event", "views", "command", "log", "world"]),
    ("subscribe", &["model", "value", "error", "event", "views", "log", "world", "wire", "command"]),
    (
        "gateway",
        &[
            "driver",
            "model",
            "value",
            "error",
            "event",
            "views",
            "command",
            "log",
            "world",
            "wire",
            "auth",
            "subscribe",
        ],
    ),
    ("driver", &["value", "error", "world", "command"]), // of command, what an operation is given and reports
    ("reconcile", &["model", "value", "error", "event", "views", "command", "log", "world", "driver", "subscribe"]),
    (
        "cli",
        &[
            "model",
            "value",
            "error",
            "event",
            "views",
            "command",
            "log",
            "world",
            "wire",
            "auth",
            "subscribe",
            "gateway",
            "reconcile",
            "driver",
        ],
    ),
    ("main", &["cli", "gateway"]), // of gateway, where the server's own log is kept for `host.get_log`
];

/// Edges of one file against the arrows, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("src/command/operation.rs", "wire", "a task's result is published as an XML-RPC value")];

/// Where SQLite may be named.
const DATABASE: &[&str] = &["src/log/", "src/views/store/", "src/views/restore.rs"];

/// Longest file, in lines; tables alone may be longer.
const LINES_MAX: usize = 600;
const TABLES: &[&str] = &["src/model/classes/", "src/error/codes.rs"];

#[test]
fn modules_use_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut wrong = BTreeSet::new();
    let mut excepted: BTreeSet<(&str, &str)> = EXCEPTIONS.iter().map(|(file, module, _)| (*file, *module)).collect();
    let shipped = sources("src").into_iter().filter(|(path, _)| !path.ends_with("/tests.rs"));
    for (path, text) in shipped {
        let module = module_of(&path);
        let Some(may) = allowed.get(&*module) else {
            wrong.insert(format!("{path}: {module} is in no list"));
            continue;
        };
        for used in used_modules(&text) {
            let known = EXCEPTIONS.iter().find(|(file, to, _)| *file == path && *to == used);
            if used == module || may.contains(&&*used) {
                continue;
            }
            match known {
                Some((file, to, _)) => drop(excepted.remove(&(*file, *to))),
                None => drop(wrong.insert(format!("{path} uses {used}"))),
            }
        }
    }
    wrong.extend(excepted.iter().map(|(file, to)| format!("{file} no longer uses {to}: take it off the list")));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_the_log_and_the_store_name_the_database() {
    let sources =
        sources("src").into_iter().filter(|(path, _)| !DATABASE.iter().any(|folder| path.starts_with(folder)));
    let mut wrong = Vec::new();
    for (path, text) in sources {
        let lines = code(&text);
        let names = |line: &str| ["sqlx::", "rusqlite::"].iter().any(|library| line.contains(library));
        let named = lines.filter(|(_, line)| names(&line.to_ascii_lowercase()));
        wrong.extend(named.map(|(number, line)| format!("{path}:{number}: {}", line.trim())));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_file_has_one_subject_and_says_it() {
    let mut wrong = Vec::new();
    for (path, text) in sources("src").into_iter().chain(sources("tests")) {
        let lines = text.lines().count();
        if lines > LINES_MAX && !TABLES.iter().any(|table| path.starts_with(table)) {
            wrong.push(format!("{path} has {lines} lines; {LINES_MAX} are enough for one subject"));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{path} does not begin by saying what it is for"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The walk in ARCHITECTURE.md is a table: what happens, where, in which function.
#[test]
fn the_walk_names_functions_that_exist() {
    let walk = include_str!("../proto-docs/ARCHITECTURE.md");
    let sources: BTreeMap<String, String> = sources("src").into_iter().collect();
    let mut steps = 0;
    for line in walk.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [_, file, function] = cells[..] else { continue };
        if !file.starts_with("src/") {
            continue;
        }
        let text = sources.get(file).unwrap_or_else(|| panic!("there is no {file}"));
        let there = [format!("fn {function}("), format!("fn {function}<")].iter().any(|name| text.contains(name));
        assert!(there, "{file} has no function {function}");
        steps += 1;
    }
    assert!(steps > 20, "the walk has only {steps} steps");
}

/// Every Rust file under a folder of the package, by its path from there.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the package") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                let built = path.ends_with("target") || path.ends_with("node_modules");
                folders.extend((!built).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source file");
                let name = path.strip_prefix(root).expect("below the package").to_string_lossy().into_owned();
                found.push((name, text));
            }
        }
    }
    found.sort();
    found
}

/// `src/log/writer.rs` belongs to `log`, and `src/value.rs` to `value`. The map itself belongs to nobody.
fn module_of(path: &str) -> String {
    let inside = path.trim_start_matches("src/");
    let first = inside.split('/').next().unwrap_or(inside);
    let name = first.trim_end_matches(".rs");
    if name == "lib" { "main".into() } else { name.into() }
}

/// The lines that are not comments, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Every module named after `crate::` or `xenledger::`, in a path or in a braced list. What only tests use does not count.
fn used_modules(text: &str) -> BTreeSet<String> {
    let shipped = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let code: String = code(shipped).map(|(_, line)| line).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for name in ["crate::", "xenledger::"] {
        for (at, _) in code.match_indices(name) {
            let rest = &code[at + name.len()..];
            match rest.strip_prefix('{') {
                Some(list) => found.extend(heads(list)),
                None => found.extend(word(rest)),
            }
        }
    }
    found
}

/// The first word of every item of `{a::b, c::{d, e}}`, its opening brace taken off.
fn heads(list: &str) -> Vec<String> {
    let (mut depth, mut at_start, mut found) = (0, true, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            letter if at_start && !letter.is_whitespace() => {
                found.extend(word(&list[at..]));
                at_start = false;
            }
            _ => {}
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    let word = &text[..end];
    let module = !word.is_empty() && word.chars().all(|letter| letter.is_lowercase() || letter == '_');
    module.then(|| word.to_string())
}

#[test]
fn edges_are_found_in_every_spelling() {
    let text = "use crate::log::{Port, Row};\nuse crate::{error, views::{View, fold}};\n\
                fn f() { crate::auth::check() } // crate::nothing\n/// crate::nothing\n\
                #[cfg(test)]\nmod tests { use crate::cli; }";
    let found: Vec<String> = used_modules(text).into_iter().collect();
    assert_eq!(found, ["auth", "error", "log", "nothing", "views"], "a comment behind code counts, to stay simple");
}
