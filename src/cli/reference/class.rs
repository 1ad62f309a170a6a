//! The page of one class: its enums, fields and messages.

use super::{codes, prose, roles_text};
use crate::command::operations;
use crate::command::refused::status;
use crate::error::codes::CODES;
use crate::model::common::common;
use crate::model::coverage;
use crate::model::deleting::{Fate, rule};
use crate::model::export::{Status, default_text, text};
use crate::model::{Class, EnumDef, Field, Implied, Lifecycle, MODEL, Message, Qualifier, Ty};
use crate::views::relations::REFERRING;
use std::fmt::Write;

pub fn page(class: &Class) -> String {
    let mut out = format!("# {}\n\n{}\n\n", class.name, prose(&text(class.doc)));
    out += &facts(class);
    if !class.enums.is_empty() {
        out += &enums(class.enums);
    }
    if class.fields.iter().any(shown) {
        out += &fields(class);
    }
    out += &deleting(class);
    let (implied, declared): (Vec<&Message>, Vec<&Message>) = MODEL
        .messages
        .iter()
        .filter(|message| message.class == class.id)
        .partition(|message| message.implied.is_some());
    if !declared.is_empty() {
        out += "## Messages\n\n";
        declared.iter().for_each(|message| out += &entry(message));
    }
    if !implied.is_empty() {
        out += &implied_messages(class, &implied);
    }
    format!("{}\n", out.trim_end())
}

fn shown(field: &Field) -> bool {
    !field.flags.internal
}

/// What to know before anything else.
fn facts(class: &Class) -> String {
    let mut out = String::new();
    let mut fact = |text: String| writeln!(out, "- {text}").expect("BUG: a String takes all");
    match class.flags.lifecycle {
        Lifecycle::Published => {}
        Lifecycle::Prototyped => fact("Prototyped: published, but its makers may still change it.".into()),
        Lifecycle::Deprecated => fact("Deprecated: do not use it in a new client.".into()),
        Lifecycle::Removed => fact("Removed from the XenAPI: its messages answer `MESSAGE_REMOVED`.".into()),
    }
    if class.flags.extension {
        fact("Ours: other servers do not have it.".into());
    }
    if !class.flags.nothing_implied {
        match class.flags.no_events {
            true => fact("Raises no events.".into()),
            false => fact(format!("Its class in [events](../events.md) is `{}`.", class.name.to_ascii_lowercase())),
        }
        if class.flags.no_get_all {
            fact("Cannot be listed: there is no `get_all`.".into());
        }
    }
    let counts = coverage::of_class(class, status, true);
    let refused = match counts.refused() {
        0 => "all of them work".to_string(),
        refused if refused == counts.messages => "all of them refused".to_string(),
        refused => format!("{} work, {refused} are refused", counts.working),
    };
    fact(format!("{} fields and {} messages; {refused}.", counts.fields, counts.messages));
    out + "\n"
}

fn enums(enums: &[&EnumDef]) -> String {
    let mut out = "## Enums\n\nStrings on the wire, spelt exactly like this.\n\n".to_string();
    for def in enums {
        out += &format!("- `{}`: {}\n", def.name, codes(def.values.iter().copied()));
    }
    out + "\n"
}

fn fields(class: &Class) -> String {
    let mut out = "## Fields\n\n\
        `RW` can be set; `CO` is given at creation and then fixed; `RO` is the server's to say.\n\n\
        | field | type | | default | meaning |\n|---|---|---|---|---|\n"
        .to_string();
    for field in class.fields.iter().filter(|field| shown(field)) {
        let qualifier = match field.qualifier {
            Qualifier::RO => "RO",
            Qualifier::CO => "CO",
            Qualifier::RW => "RW",
        };
        let default = field.default.map(|default| format!("`{}`", default_text(default))).unwrap_or_default();
        let meaning = std::iter::once(text(field.doc)).chain(marks(field)).collect::<Vec<_>>().join(" ");
        let row = format!("| `{}` | `{}` | {qualifier} | {} |", field.name, field.ty, prose(&default));
        out += &format!("{row} {} |\n", prose(meaning.trim()));
    }
    out + "\n"
}

/// What becomes of those that refer to an object of the class when it is deleted.
fn deleting(class: &Class) -> String {
    let referring = &REFERRING[class.id as usize];
    let shown = referring.iter().filter(|field| !field.0.def().fields[field.1 as usize].flags.internal);
    let ways = MODEL.messages.iter().filter(|message| {
        message.class == class.id && matches!(message.name, "destroy" | "forget") && status(message) == Status::Works
    });
    let ways = codes(ways.map(|message| message.full_name));
    if ways.is_empty() {
        return String::new();
    }
    let rows = shown.map(|field| {
        let rule = rule(field.0, field.1 as usize);
        let fate = match rule.fate {
            Fate::Goes => format!("the {} goes too", field.0.name()),
            Fate::Stays => "the reference is taken out".to_string(),
        };
        let refused = rule.refused.map(|code| format!("refused with `{code}`"));
        let note = Some(rule.note.to_string()).filter(|note| !note.is_empty());
        let parts: Vec<String> = [Some(fate), refused, note].into_iter().flatten().collect();
        format!("| `{}` | {} |\n", rule.field, parts.join("; "))
    });
    let rows: String = rows.collect();
    match rows.is_empty() {
        true => format!("## Deleting\n\nBy {ways}. Nothing refers to it.\n\n"),
        false => format!("## Deleting\n\nBy {ways}. What refers to it:\n\n| field | then |\n|---|---|\n{rows}\n"),
    }
}

/// What is special about a field, in sentences.
fn marks(field: &Field) -> impl Iterator<Item = String> {
    let flags = &field.flags;
    let far = field.far.map(|(class, held)| format!("The other side of `{class}.{held}`."));
    let when = |is: bool, text: &str| is.then(|| text.to_string());
    [
        when(flags.lifecycle == Lifecycle::Prototyped, "*Prototyped.*"),
        when(flags.lifecycle == Lifecycle::Deprecated, "*Deprecated.*"),
        when(flags.lifecycle == Lifecycle::Removed, "*Removed: always the default.*"),
        when(flags.extension, "*Ours.*"),
        when(flags.volatile, "*Measured: raises no events.*"),
        when(flags.secret, "*Secret: never answered.*"),
        far,
    ]
    .into_iter()
    .flatten()
}

/// A message with a section of its own.
fn entry(message: &Message) -> String {
    let mut out = format!("### {}\n\n```text\n{}\n```\n\n", message.name, signature(message));
    out += &format!("{}\n\n", prose(&text(message.doc)));
    if let Status::Refused(why) = status(message) {
        out += &format!("- **Refused**: {why}. It answers {}.\n", refusal(message));
    }
    out += &format!("- Answers {}.\n", result(message.result));
    if operations().any(|operation| operation == message.full_name) {
        out += "- An [operation](../tasks.md): it is accepted at once and done by the hypervisor; the call answers at its end.\n";
    }
    out += &format!("- Errors: {}.\n", errors(message));
    out += &format!("- Who may: {}.\n", roles_text(message.roles));
    out += &format!("- `Async.` form: {}.\n", if message.task { "yes" } else { "no" });
    out += &format!("- {}.\n\n", since(message.extension, message.lifecycle));
    out
}

fn refusal(message: &Message) -> String {
    match message.lifecycle {
        Lifecycle::Removed => "`MESSAGE_REMOVED()`".to_string(),
        _ => format!("`NOT_IMPLEMENTED({})`", message.full_name),
    }
}

/// Since when, and whether it stays.
fn since(ours: bool, lifecycle: Lifecycle) -> String {
    let whose = if ours { "Ours, since xenledger 0.1" } else { "Published in the XenAPI; in xenledger since 0.1" };
    match lifecycle {
        Lifecycle::Published => whose.to_string(),
        Lifecycle::Prototyped => format!("{whose}; prototyped"),
        Lifecycle::Deprecated => format!("{whose}; deprecated"),
        Lifecycle::Removed => format!("{whose}; removed"),
    }
}

/// `VM.start(session_id: session ref, vm: VM ref, start_paused: bool, force: bool = false) -> void`
pub fn signature(message: &Message) -> String {
    let session = (!message.no_session).then(|| "session_id: session ref".to_string());
    let params = message.params.iter().map(|param| {
        let default = param.default.map(|default| format!(" = {}", default_text(default))).unwrap_or_default();
        format!("{}: {}{default}", param.name, param.ty)
    });
    let params: Vec<String> = session.into_iter().chain(params).collect();
    format!("{}({}) -> {}", message.full_name, params.join(", "), message.result)
}

/// What a type is on the wire, where that needs a word.
fn result(ty: Ty) -> String {
    match ty {
        Ty::Void => "nothing, which is an empty string on the wire".to_string(),
        Ty::Enum(def) => format!("`{ty}`, a string: {}", codes(def.values.iter().copied())),
        Ty::Record(_) | Ty::Set(Ty::Record(_)) | Ty::Map(_, Ty::Record(_)) => {
            format!("`{ty}`; a record is [a struct](../wire.md#types) of all fields of its class, by name")
        }
        Ty::Int => "`int`, which XML-RPC has [as text](../wire.md#types)".to_string(),
        Ty::Ref(class) if class.def().flags.nothing_implied => format!("`{ty}`"),
        Ty::Ref(class) => format!("`{ty}`, a reference to a [{0}]({0}.md)", class.name()),
        Ty::Set(Ty::Ref(class)) => format!("`{ty}`, references to objects of [{0}]({0}.md)", class.name()),
        _ => format!("`{ty}`"),
    }
}

/// The declared errors with their parameters, then the names of the common ones.
fn errors(message: &Message) -> String {
    let with_parameters = |code: &&str| {
        let known = CODES.iter().find(|known| known.name == *code);
        format!("`{code}({})`", known.map(|known| known.params.join(", ")).unwrap_or_default())
    };
    let first = |at: usize| !message.errors[..at].contains(&message.errors[at]);
    let declared = message.errors.iter().enumerate().filter(|(at, _)| first(*at));
    let declared: Vec<String> = declared.map(|(_, code)| with_parameters(code)).collect();
    let common = codes(common(message).map(|common| common.code).filter(|code| !message.errors.contains(code)));
    let common = format!("[common]({}) {common}", "../errors.md#errors-of-any-call");
    if declared.is_empty() { common } else { format!("{}; {common}", declared.join(", ")) }
}

/// The messages that follow from the class and its fields, in tables.
fn implied_messages(class: &Class, messages: &[&Message]) -> String {
    let mut out = "## Implied messages\n\n\
        They follow from the class and its fields. Only `create` and `destroy` have an `Async.` form. What is not said of \
        them is as for [every message](../wire.md#messages-that-fields-and-classes-imply).\n\n"
        .to_string();
    let is_object = |message: &&&Message| {
        use Implied::*;
        !matches!(message.implied, Some(Get(_) | Set(_) | AddTo(_) | RemoveFrom(_) | Add(_) | Remove(_)))
    };
    let is_getter = |message: &&&Message| matches!(message.implied, Some(Implied::Get(_)));
    let of_objects: Vec<&&Message> = messages.iter().filter(is_object).collect();
    let getters: Vec<&&Message> = messages.iter().filter(is_getter).collect();
    let setters: Vec<&&Message> =
        messages.iter().filter(|message| !is_object(message) && !is_getter(message)).collect();
    for (title, messages) in [("Objects", of_objects), ("Getters", getters), ("Setters", setters)] {
        if !messages.is_empty() {
            out += &format!("### {title}\n\n| message | errors | who may | |\n|---|---|---|---|\n");
            messages.iter().for_each(|message| out += &implied_row(message));
            out += "\n";
        }
    }
    if let Some(create) = messages.iter().find(|message| message.implied == Some(Implied::Create)) {
        out += &constructor(class, create);
    }
    out
}

fn implied_row(message: &Message) -> String {
    let declared = if message.errors.is_empty() { String::new() } else { codes(message.errors.iter().copied()) };
    let refused = match status(message) {
        Status::Works => String::new(),
        Status::Refused(why) => format!("refused: {why}"),
    };
    let ours = if message.extension { "ours" } else { "" };
    let stage = match message.lifecycle {
        Lifecycle::Prototyped => "prototyped",
        Lifecycle::Deprecated => "deprecated",
        Lifecycle::Published | Lifecycle::Removed => "",
    };
    let notes: Vec<&str> = [ours, stage, &refused].into_iter().filter(|note| !note.is_empty()).collect();
    let who = roles_text(message.roles);
    format!("| `{}` | {declared} | {who} | {} |\n", prose(&signature(message)), notes.join("; "))
}

/// What the record of `create` may have.
fn constructor(class: &Class, create: &Message) -> String {
    let given = |field: &&Field| shown(field) && field.qualifier != Qualifier::RO;
    let fields: Vec<&Field> = class.fields.iter().filter(given).collect();
    let (optional, needed): (Vec<&Field>, Vec<&Field>) = fields.into_iter().partition(|field| field.default.is_some());
    let names = |fields: &[&Field]| codes(fields.iter().map(|field| field.name));
    let mut out = format!("The record that `{}` takes is a struct of fields. ", create.full_name);
    if !needed.is_empty() {
        out += &format!("Without a default: {}. ", names(&needed));
    }
    if !optional.is_empty() {
        out += &format!("With a default: {}. ", names(&optional));
    }
    out + "Other fields in it, `uuid` among them, are ignored.\n\n"
}
