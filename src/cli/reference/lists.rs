//! The pages that list: the book's contents, the classes, the errors, what is
//! refused, and who may do what.

use super::{BEHIND, GUIDES, codes, path_of, prose, roles_text};
use crate::command::refused::status;
use crate::error::codes::CODES;
use crate::gateway::access::{Open, RESOURCES};
use crate::model::common::COMMON;
use crate::model::coverage::{self, Counts};
use crate::model::export::{Status, text};
use crate::model::protected::PROTECTED;
use crate::model::roles::{ROLE_NAMES, Roles};
use crate::model::{CLASSES, Lifecycle, MODEL, Message};
use std::collections::BTreeMap;

/// Messages named one by one beside an error; more are counted.
const NAMED_MAX: usize = 6;

/// The contents of the book.
pub fn summary() -> String {
    let mut out = "# Summary\n\n".to_string();
    let entry = |(title, path): &(&str, &str)| format!("- [{title}]({path})\n");
    GUIDES.iter().for_each(|guide| out += &entry(guide));
    for listed in
        [("Errors", "errors.md"), ("Roles", "roles.md"), ("What is refused", "refused.md"), ("Classes", "classes.md")]
    {
        out += &entry(&listed);
    }
    for class in CLASSES {
        out += &format!("    - [{}]({})\n", class.name, path_of(class.name));
    }
    BEHIND.iter().for_each(|page| out += &entry(page));
    out
}

pub fn classes() -> String {
    let all = coverage::coverage(status, true);
    let total: Counts = all.iter().map(|(_, counts)| *counts).sum();
    let mut out = format!(
        "# Classes\n\n{} classes, {} fields, {} messages, of which {} work and {} are [refused](refused.md). \
         `xenledger model --coverage` counts them, `GET /api/model` has them as JSON, and [openrpc.json](openrpc.json) \
         describes every message to tools.\n\n| class | is | fields | messages | refused |\n|---|---|---|---|---|\n",
        all.len(),
        total.fields,
        total.messages,
        total.working,
        total.refused()
    );
    for (class, counts) in all {
        let row = format!("| [{0}](classes/{0}.md) | {1} |", class.name, prose(&text(class.doc)));
        out += &format!("{row} {} | {} | {} |\n", counts.fields, counts.messages, counts.refused());
    }
    out
}

pub fn errors() -> String {
    let mut raised: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for message in MODEL.messages.iter().filter(|message| message.implied.is_none()) {
        message.errors.iter().for_each(|code| raised.entry(code).or_default().push(message.full_name));
    }
    let mut out = format!(
        "# Errors\n\nAn error is a code and its parameters, all of them strings; [the wire protocol](wire.md#errors) shows \
         where they stand. A code always has the same number of parameters. There are {} codes. \
         `GET /api/errors` has them as JSON.\n\n## Errors of any call\n\n\
         They are not repeated at every message in full.\n\n| code | when |\n|---|---|\n",
        CODES.len()
    );
    for common in COMMON {
        out += &format!("| {} | {} |\n", with_parameters(common.code), common.when);
    }
    out += "| `NOT_IMPLEMENTED(function)` | the message is [refused](refused.md) |\n\
            | `MESSAGE_METHOD_UNKNOWN(method)` | there is no message of that name, or it has no `Async.` form |\n\n\
            ## All codes\n\n| code | declared by |\n|---|---|\n";
    for code in CODES {
        let by = raised.get(code.name).map(Vec::as_slice).unwrap_or_default();
        let by = if by.len() > NAMED_MAX { format!("{} messages", by.len()) } else { codes(by.iter().copied()) };
        out += &format!("| {} | {by} |\n", with_parameters(code.name));
    }
    out
}

fn with_parameters(name: &str) -> String {
    let known = CODES.iter().find(|known| known.name == name);
    format!("`{name}({})`", known.map(|known| known.params.join(", ")).unwrap_or_default())
}

pub fn refusals() -> String {
    let mut reasons: BTreeMap<&str, Vec<&Message>> = BTreeMap::new();
    let (mut removed, mut count) = (Vec::new(), 0);
    for message in &MODEL.messages {
        match status(message) {
            Status::Works => {}
            Status::Refused(_) if message.lifecycle == Lifecycle::Removed => removed.push(message),
            Status::Refused(why) => {
                reasons.entry(why).or_default().push(message);
                count += 1;
            }
        }
    }
    let mut out = format!(
        "# What is refused\n\n{count} messages are known here, checked like all others, and then answer \
         `NOT_IMPLEMENTED(message)`, because what they are about does not exist beside this server.\n\n"
    );
    for (why, messages) in reasons {
        out += &format!("- **{}**: {}\n", prose(why), codes(messages.iter().map(|message| message.full_name)));
    }
    out += &format!(
        "\n## What was removed\n\n{} messages were taken out of the XenAPI and answer `MESSAGE_REMOVED()`: {}.\n",
        removed.len(),
        codes(removed.iter().map(|message| message.full_name))
    );
    out
}

pub fn roles() -> String {
    let mut out = "# Roles\n\nA session has the roles of its user; each message says in its class's page who may send it. \
         Who may not is answered `RBAC_PERMISSION_DENIED(permission, message)`, and the refusal is in the log.\n\n\
         A permission is named like its message in lower case: `vm.start`. The local superuser may do everything, also what \
         no role gives. What is not a message follows the same roles: `task.cancel` and `task.destroy` are for one's own tasks, for \
         those of others a `pool-operator` is needed.\n\n\
         | role | messages it may send |\n|---|---|\n"
        .to_string();
    for name in ROLE_NAMES {
        let role = Roles::one(name).expect("BUG: a published role");
        let may = MODEL.messages.iter().filter(|message| message.roles.intersects(role)).count();
        out += &format!("| `{name}` | {may} |\n");
    }
    let reserved = MODEL.messages.iter().filter(|message| message.roles.names().next().is_none());
    let reserved = codes(reserved.map(|message| message.full_name));
    out += &format!("| the local superuser alone | {reserved} |\n\n");
    out += &resources();
    out += "## Keys with roles of their own\n\nAdding or removing these keys asks for the role below instead of the \
            message's; the permission is then `vm.add_to_other_config/key:folder`.\n\n\
            | maps | key | who may |\n|---|---|---|\n";
    for one in PROTECTED {
        let maps = one.classes.iter().map(|class| format!("`{}.{}`", class.name(), one.field));
        let maps = maps.collect::<Vec<_>>().join(", ");
        out += &format!("| {maps} | `{}` | {} |\n", one.key, roles_text(one.roles));
    }
    out
}

/// Who may have what is not a message.
fn resources() -> String {
    let mut out =
        "## HTTP resources\n\nBeside the calls, which ask for themselves. Who is not known is answered 401, who \
         may not 403 with the permission that is missing.\n\n| resource | permission | who may |\n|---|---|---|\n"
            .to_string();
    for one in RESOURCES {
        let who = if one.roles == Roles::read_only { "whoever has a role".into() } else { roles_text(one.roles) };
        let who = match one.open {
            Open::Everybody => "everybody, without logging in".to_string(),
            Open::ThisMachine => format!("whoever calls from the server's machine, and {who}"),
            Open::Nobody => who,
        };
        let whole = if one.whole { "nothing may be hidden from the caller" } else { "" };
        let more: Vec<&str> = [whole, one.note].into_iter().filter(|more| !more.is_empty()).collect();
        let who = std::iter::once(&*who).chain(more).collect::<Vec<_>>().join("; ");
        out += &format!("| `{} {}` | `{}` | {who} |\n", one.method, one.path, one.permission);
    }
    out + "\n"
}
