//! The reference in `proto-docs/`: its generated part is what the tables say,
//! its links lead somewhere, and the numbers in its other pages are the code's.

use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use xenledger::cli::reference;
use xenledger::command::refused::status;
use xenledger::model::MODEL;
use xenledger::model::coverage::{self, Counts};

/// The one command that brings every generated text up to date.
const REFRESH: &str = "XENLEDGER_REFRESH=1 cargo test --test model generated";
const COVERAGE: (&str, &str) = ("refreshed by `", "<!-- end of coverage -->");

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn docs() -> PathBuf {
    root().join("proto-docs")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_generated_is_up_to_date() {
    if std::env::var_os("XENLEDGER_REFRESH").is_some() {
        reference::write(&docs()).expect("the pages can be written");
        std::fs::write(root().join("README.md"), readme()).expect("README.md can be written");
    }
    let made: BTreeMap<String, String> = reference::pages().into_iter().map(|page| (page.path, page.text)).collect();
    let differs = |path: &&String| std::fs::read_to_string(docs().join(path)).ok().as_ref() != made.get(*path);
    let mut stale: Vec<String> = made.keys().filter(differs).map(|path| format!("proto-docs/{path}")).collect();
    let listed = pages().into_iter().filter(|path| path.starts_with("classes/") && !made.contains_key(path));
    stale.extend(listed.map(|path| format!("proto-docs/{path}, of no class")));
    if read(&root().join("README.md")) != readme() {
        stale.push("README.md, its sentence on coverage".into());
    }
    assert!(stale.is_empty(), "stale: {stale:#?}\nrefresh with\n\n    {REFRESH}\n");
}

/// README.md with the counts of today.
fn readme() -> String {
    let text = read(&root().join("README.md"));
    let begin =
        text.find(COVERAGE.0).and_then(|at| Some(at + text[at..].find('\n')? + 1)).expect("a mark in README.md");
    let end = text.find(COVERAGE.1).expect("a second mark in README.md");
    format!("{}{}{}", &text[..begin], sentence(), &text[end..])
}

fn sentence() -> String {
    let published = coverage::coverage(status, false);
    let Counts { fields, messages, working, declared, declared_working } =
        published.iter().map(|(_, counts)| *counts).sum();
    format!(
        "Of the published XenAPI it has all {} classes and {} fields. Of {} messages {} work; of the {} among them that need code of \
         their own, {}.\nThe rest [says why not](proto-docs/refused.md). `xenledger model --coverage` counts class by class.\n",
        published.len(),
        grouped(fields),
        grouped(messages),
        grouped(working),
        grouped(declared),
        grouped(declared_working),
    )
}

/// 2007 as 2,007.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    match digits.len() {
        length @ 4..=6 => format!("{},{}", &digits[..length - 3], &digits[length - 3..]),
        _ => digits,
    }
}

/// Every page of the book, by its path from `proto-docs/`.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "classes/"] {
        for entry in std::fs::read_dir(docs().join(folder)).expect("the folder can be read") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                pages.push(format!("{folder}{name}"));
            }
        }
    }
    pages
}

#[test]
fn the_contents_name_every_page_once() {
    let summary = read(&docs().join("SUMMARY.md"));
    let mut named: Vec<String> = links(&summary);
    named.sort();
    let mut there: Vec<String> = pages().into_iter().filter(|path| path != "SUMMARY.md").collect();
    there.sort();
    assert_eq!(named, there, "a page that is new goes into GUIDES or BEHIND of src/cli/reference/mod.rs");
}

#[test]
fn every_link_leads_somewhere() {
    let mut wrong = Vec::new();
    let pages = pages();
    let anchors: BTreeMap<PathBuf, HashSet<String>> =
        pages.iter().map(|path| (docs().join(path), anchors_of(&read(&docs().join(path))))).collect();
    for page in pages.iter().map(|path| docs().join(path)).chain([root().join("README.md")]) {
        for link in links(&read(&page)).iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.parent().expect("a page is in a folder");
            let target = if path.is_empty() { page.clone() } else { plain(&folder.join(path)) };
            let known = anchor.is_empty() || anchors.get(&target).is_some_and(|anchors| anchors.contains(anchor));
            if !target.exists() || !known {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nothing: {wrong:#?}");
}

/// The path without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// The targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(text) {
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("x");
        let targets = outside.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
        found.extend(targets.map(|(target, _)| target.to_string()));
    }
    found
}

/// Lines that are not in a fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        fenced ^= line.starts_with("```");
        !fenced && !line.starts_with("```") && !line.starts_with("    $")
    })
}

/// The names under which a page's headings can be linked to.
fn anchors_of(text: &str) -> HashSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

#[test]
fn every_message_is_in_its_class_s_page() {
    let pages: BTreeMap<String, String> = reference::pages().into_iter().map(|page| (page.path, page.text)).collect();
    let missing: Vec<&str> = MODEL
        .messages
        .iter()
        .filter(|message| {
            let page = &pages[&format!("classes/{}.md", message.class.name())];
            !page.contains(&format!("{}(", message.full_name))
        })
        .map(|message| message.full_name)
        .collect();
    assert!(missing.is_empty(), "without an entry: {missing:?}");
}

/// What OpenRPC asks of a document, as far as tools stumble over it.
#[test]
fn the_openrpc_document_is_sound() {
    let page = reference::pages().into_iter().find(|page| page.path == "openrpc.json").expect("it is made");
    let document: Json = serde_json::from_str(&page.text).expect("JSON");
    assert!(document["openrpc"].as_str().is_some_and(|version| version.starts_with("1.3")));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let methods = document["methods"].as_array().expect("methods");
    let names: BTreeSet<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
    assert_eq!(names.len(), methods.len(), "a method's name is unique");
    assert_eq!(methods.len(), MODEL.messages.len() + 3, "every message, and the three of system");
    for method in methods {
        let params = method["params"].as_array().expect("params");
        let required: Vec<bool> = params.iter().map(|param| param["required"] == true).collect();
        assert!(required.is_sorted_by(|a, b| a >= b), "{}: what is required comes first", method["name"]);
        let named: BTreeSet<&str> = params.iter().filter_map(|param| param["name"].as_str()).collect();
        assert_eq!(named.len(), params.len(), "{}: a parameter's name is unique", method["name"]);
        assert!(method["result"]["name"].is_string() && method["result"]["schema"].is_object());
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(references.len() > 1000);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference into the document");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references<'a>(json: &'a Json, out: &mut Vec<&'a str>) {
    match json {
        Json::Object(members) => {
            out.extend(members.get("$ref").and_then(Json::as_str));
            members.values().for_each(|member| collect_references(member, out));
        }
        Json::Array(members) => members.iter().for_each(|member| collect_references(member, out)),
        _ => {}
    }
}

/// A number in a page, and the constant that it comes from.
#[test]
fn the_numbers_in_the_pages_are_the_codes() {
    use xenledger::command::{generic, operation};
    use xenledger::model::pool;
    use xenledger::views::measured::setting;
    use xenledger::views::query;
    use xenledger::{auth, gateway, wire};
    const HOUR: i64 = 3_600;
    let new = xenledger::views::View::default();
    let set = |which| setting(&new, which);
    let expected = [
        ("sessions.md", format!("after {} hours", set(pool::session_idle_timeout) / HOUR)),
        ("sessions.md", format!("after {} days", set(pool::session_max_lifetime) / HOUR / 24)),
        ("sessions.md", format!("more than {} sessions", set(pool::session_limit))),
        ("sessions.md", format!("good for {} hours", auth::token::LIFETIME_MAX / 3600)),
        ("tasks.md", format!("stay for {} minutes", set(pool::completed_task_timeout) / 60)),
        ("tasks.md", format!("at most {} of them", set(pool::completed_task_limit))),
        ("tasks.md", format!("for {} seconds", operation::SYNCHRONOUS_KEPT / 1_000_000)),
        ("tasks.md", format!("within {} seconds", operation::ENDING_MAX / 1_000_000)),
        ("tasks.md", format!("for {} minutes", operation::DEADLINE / 60_000_000)),
        ("operating.md", format!("more than {} commands", xenledger::log::writer::lanes::LANE_MAX)),
        ("wire.md", format!("more than {} MiB", gateway::http::BODY_MAX >> 20)),
        ("wire.md", format!("longer than {} seconds", gateway::http::BODY_WAIT.as_secs())),
        ("wire.md", format!("at most {} calls", wire::MAX_BATCH)),
        ("wire.md", format!("at most {} members", generic::MEMBERS_MAX)),
        ("wire.md", format!("nest {} deep", wire::MAX_DEPTH)),
        ("wire.md", format!("has {} KiB, the deepest {} levels", query::LENGTH_MAX >> 10, query::DEPTH_MAX)),
    ];
    let wrong: Vec<_> =
        expected.iter().filter(|(page, text)| !read(&docs().join(page)).replace('\n', " ").contains(text)).collect();
    assert!(wrong.is_empty(), "not in the page, or not true any more: {wrong:#?}");
}
