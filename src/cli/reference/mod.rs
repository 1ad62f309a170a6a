//! The generated part of the reference: pages made from the tables, for
//! somebody who writes a client. `xenledger model --reference DIR` writes them;
//! `tests/model.rs` fails when those in `proto-docs/` are not what is made here.

mod class;
mod lists;
mod openrpc;

use crate::model::CLASSES;
use crate::model::roles::{ROLE_NAMES, Roles};
use anyhow::Context;
use std::path::Path;

/// The pages written by hand, in the order of the book.
pub const GUIDES: &[(&str, &str)] = &[
    ("The wire protocol", "wire.md"),
    ("Sessions", "sessions.md"),
    ("Tasks", "tasks.md"),
    ("Objects: references and uuids", "objects.md"),
    ("Events", "events.md"),
    ("Subscriptions, streams, deliveries", "subscriptions.md"),
];

/// Pages written by hand for those who run the server or work on it.
pub const BEHIND: &[(&str, &str)] = &[
    ("A Xen host", "xen-host.md"),
    ("Operations on Xen", "xen-operations.md"),
    ("Operating", "operating.md"),
    ("The log as it is stored", "log.md"),
    ("Architecture", "ARCHITECTURE.md"),
    ("Changes", "CHANGELOG.md"),
];

/// What stands above every generated page.
const MADE: &str = "<!-- Made from src/model by `xenledger model --reference proto-docs`; do not edit. -->\n\n";

/// A generated file, by its path below `proto-docs/`.
pub struct Page {
    pub path: String,
    pub text: String,
}

/// Every generated file.
pub fn pages() -> Vec<Page> {
    let page = |path: &str, text: String| Page { path: path.to_string(), text: format!("{MADE}{text}") };
    let mut pages = vec![
        Page { path: "SUMMARY.md".into(), text: lists::summary() },
        page("classes.md", lists::classes()),
        page("errors.md", lists::errors()),
        page("refused.md", lists::refusals()),
        page("roles.md", lists::roles()),
        Page { path: "openrpc.json".into(), text: openrpc::document() },
    ];
    pages.extend(CLASSES.iter().map(|class| page(&path_of(class.name), class::page(class))));
    pages
}

/// Writes all of them, and takes away the pages of classes that are gone.
pub fn write(folder: &Path) -> anyhow::Result<()> {
    let classes = folder.join("classes");
    std::fs::create_dir_all(&classes).with_context(|| classes.display().to_string())?;
    let pages = pages();
    for entry in std::fs::read_dir(&classes)? {
        let name = format!("classes/{}", entry?.file_name().to_string_lossy());
        if name.ends_with(".md") && pages.iter().all(|page| page.path != name) {
            std::fs::remove_file(folder.join(name))?;
        }
    }
    for page in pages {
        let path = folder.join(&page.path);
        std::fs::write(&path, page.text).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

fn path_of(class: &str) -> String {
    format!("classes/{class}.md")
}

/// A text from the tables as Markdown, also inside a table's cell.
fn prose(text: &str) -> String {
    let spans = text.split('`').enumerate();
    let escaped = spans.map(|(nth, span)| match nth % 2 {
        0 => span.replace('<', "&lt;").replace('|', "\\|"),
        _ => span.replace('|', "\\|"),
    });
    escaped.collect::<Vec<_>>().join("`")
}

/// Names as code, with commas between.
fn codes<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A set of roles for people; roles include those below them, which makes most sets one name.
fn roles_text(roles: Roles) -> String {
    let cert = Roles::one("client-cert").expect("BUG: a published role");
    let certified = roles.intersects(cert) && roles != Roles::read_only;
    let people: Vec<&str> = roles.names().filter(|name| *name != "client-cert").collect();
    let text = match people.last() {
        None => "the local superuser only".to_string(),
        Some(&"read-only") => "everybody".to_string(),
        Some(lowest) if people.len() == 1 => format!("`{lowest}`"),
        Some(lowest) => format!("`{lowest}` and above"),
    };
    debug_assert!(ROLE_NAMES.starts_with(&people) || people.last() == Some(&"read-only"), "no gap in {people:?}");
    if certified { format!("{text}, and `client-cert`") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_read_like_words() {
        assert_eq!(roles_text(Roles::pool_admin), "`pool-admin`");
        assert_eq!(roles_text(Roles::vm_operator), "`vm-operator` and above");
        assert_eq!(roles_text(Roles::pool_operator_or_cert), "`pool-operator` and above, and `client-cert`");
        assert_eq!(roles_text(Roles::read_only), "everybody");
        assert_eq!(roles_text(Roles::local_root), "the local superuser only");
    }

    #[test]
    fn prose_breaks_no_table_and_hides_nothing() {
        assert_eq!(prose("a < b | `<none/>` | c"), "a &lt; b \\| `<none/>` \\| c");
    }
}
