//! The store's tables, and one SQL view per class, generated from the model:
//! `SELECT name_label, power_state FROM vm`.
//!
//! A record holds what differs from the frozen defaults; the views fill the
//! defaults in. Far sides of relations are subqueries that SQLite leaves out
//! when nobody selects them; the large ones have an index to be found by. What
//! the indexes read stands beside the record, so that a change of anything else
//! does not concern them.

use crate::model::{CLASSES, Class, ClassId, Field, MODEL, Ty};
use crate::value::{default_value, to_json};
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// The form of the tables; a store of another form is made anew from the log.
pub const TABLES_VERSION: i64 = 2;

/// What holds the state. `clean` and `boot` say whether it can be believed after a power cut.
pub const TABLES: &str = "
CREATE TABLE meta (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    version  INTEGER NOT NULL,
    views    TEXT    NOT NULL,   -- which generated views are there
    lineage  INTEGER NOT NULL,   -- a random u64, kept as the i64 of the same bits
    position INTEGER NOT NULL,   -- of the last event that is in here
    time     INTEGER NOT NULL,   -- of that event, microseconds since 1970
    hash     BLOB    NOT NULL,   -- of that event's row
    clean    INTEGER NOT NULL,   -- 1: closed, all of it on disk
    boot     TEXT    NOT NULL    -- the kernel's boot id when it was last opened for writing
) STRICT;
CREATE TABLE object (
    class    TEXT    NOT NULL,
    ref      TEXT    NOT NULL,
    uuid     TEXT    NOT NULL,
    created  INTEGER NOT NULL,   -- position of the event that added it
    modified INTEGER NOT NULL,   -- position of the last event that changed it
    record   TEXT    NOT NULL,   -- JSON: the fields that differ from their default
    refers   TEXT,               -- JSON: those of them that an index finds the object by
    PRIMARY KEY (class, ref)     -- with a rowid beside it: records are too large to be kept in an index
) STRICT;
CREATE INDEX object_uuid ON object (class, uuid);
CREATE TABLE deleted (
    class    TEXT    NOT NULL,
    position INTEGER NOT NULL,
    ref      TEXT    NOT NULL,
    created  INTEGER NOT NULL,
    PRIMARY KEY (class, position, ref)
) STRICT, WITHOUT ROWID;
CREATE TABLE floor (
    class    TEXT    PRIMARY KEY,
    position INTEGER NOT NULL    -- deletions at or below it are forgotten
) STRICT, WITHOUT ROWID;
";

/// The statements that drop and make everything that is generated from the model.
pub fn generated() -> Vec<String> {
    let mut statements = Vec::new();
    for class in CLASSES {
        for &field in indexed(class.id) {
            statements.extend(index(class, &class.fields[field]));
        }
        statements.push(format!("DROP VIEW IF EXISTS \"{}\"", view_name(class)));
        statements.push(view(class));
    }
    statements
}

/// Which generated statements a store has: it is given new ones when the model changed.
pub fn digest(statements: &[String]) -> String {
    let mut sha = Sha256::new();
    for statement in statements {
        sha.update(statement.as_bytes());
    }
    sha.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The view of a class: its name in lower case.
pub fn view_name(class: &Class) -> String {
    class.name.to_ascii_lowercase()
}

/// The columns of a class's view, in order.
pub fn columns(class: &Class) -> impl Iterator<Item = &'static str> {
    let reference = (!has_ref(class)).then_some("ref");
    reference.into_iter().chain(class.fields.iter().filter(|field| is_public(field)).map(|field| field.name))
}

fn has_ref(class: &Class) -> bool {
    class.fields.iter().any(|field| field.name == "ref")
}

fn is_public(field: &Field) -> bool {
    !field.flags.internal && !field.flags.secret
}

/// The relations held by classes of which a pool has thousands; those of others are found by reading the class.
/// Every index costs every object written anew, of whatever class, so there are no more than these. Others need another
/// [`TABLES_VERSION`]: what they read is not in the rows that are there.
const INDEXED: &[(&str, &str)] = &[
    ("VM", "snapshot_of"),
    ("VM", "parent"),
    ("VM", "resident_on"),
    ("VBD", "VM"),
    ("VBD", "VDI"),
    ("VIF", "VM"),
    ("VIF", "network"),
    ("VDI", "SR"),
    ("VDI", "snapshot_of"),
    ("console", "VM"),
    ("task", "subtask_of"),
];

/// The fields of a class that an index finds its objects by.
pub fn indexed(class: ClassId) -> &'static [usize] {
    static FIELDS: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
        let of = |class: &Class| {
            let named = INDEXED.iter().filter(|(holder, _)| *holder == class.name);
            named.map(|(_, held)| MODEL.field(class.id, held).expect("BUG: an index over no field")).collect()
        };
        CLASSES.iter().map(|class| of(class)).collect()
    });
    &FIELDS[class as usize]
}

/// How the objects that refer to one through this field are found.
fn index(class: &Class, field: &Field) -> [String; 2] {
    let name = format!("object_{}_{}", class.name, field.name);
    [
        format!("DROP INDEX IF EXISTS \"{name}\""),
        format!("CREATE INDEX \"{name}\" ON object (refers ->> '$.{}') WHERE class = '{}'", field.name, class.name),
    ]
}

fn view(class: &Class) -> String {
    let fields = class.fields.iter().filter(|field| is_public(field));
    let fields = fields.map(|field| format!("{} AS \"{}\"", expression(field), field.name));
    let reference = (!has_ref(class)).then(|| "o.ref AS ref".to_string());
    let columns: Vec<String> = reference.into_iter().chain(fields).collect();
    format!(
        "CREATE VIEW \"{}\" AS SELECT\n  {}\nFROM object AS o WHERE o.class = '{}'",
        view_name(class),
        columns.join(",\n  "),
        class.name
    )
}

/// The SQL of one column.
fn expression(field: &Field) -> String {
    if let Some((holder, held)) = field.far {
        return far(holder, held);
    }
    if field.name == "uuid" {
        return "o.uuid".into();
    }
    let path = format!("'$.{}'", field.name);
    let default = default_value(field.ty, field.default);
    let default = match &default {
        crate::value::Value::Map(map) if map.is_empty() => "{}".to_string(),
        value => to_json(value).to_string(),
    };
    match field.ty {
        Ty::Bool => format!("ifnull(o.record ->> {path}, {})", i64::from(default == "true")),
        Ty::Int | Ty::Float => format!("ifnull(o.record ->> {path}, {default})"),
        Ty::DateTime => {
            format!("strftime('%Y-%m-%dT%H:%M:%SZ', ifnull(o.record ->> {path}, {default}) / 1000000, 'unixepoch')")
        }
        Ty::String | Ty::Enum(_) => format!("ifnull(o.record ->> {path}, {})", quoted(default.trim_matches('"'))),
        Ty::Ref(_) => format!("'OpaqueRef:' || ifnull(nullif(o.record ->> {path}, ''), 'NULL')"),
        Ty::Set(Ty::Ref(_)) => {
            format!("(SELECT json_group_array('OpaqueRef:' || value) FROM json_each(o.record, {path}))")
        }
        Ty::Map(_, Ty::Ref(_)) => {
            format!("(SELECT json_group_object(key, 'OpaqueRef:' || value) FROM json_each(o.record, {path}))")
        }
        Ty::Set(_) | Ty::Map(..) => format!("ifnull(o.record -> {path}, {})", quoted(&default)),
        _ => format!("o.record ->> {path}"),
    }
}

/// The objects that refer to this one, as a JSON array.
fn far(holder: &str, held: &str) -> String {
    let class =
        CLASSES.iter().find(|class| class.name.eq_ignore_ascii_case(holder)).expect("BUG: a far side of nothing");
    let field = class.fields.iter().find(|field| field.name == held).expect("BUG: a far side of nothing");
    let refers = match field.ty {
        Ty::Ref(_) if INDEXED.contains(&(class.name, held)) => format!("h.refers ->> '$.{held}' = substr(o.ref, 11)"),
        Ty::Ref(_) => format!("h.record ->> '$.{held}' = substr(o.ref, 11)"),
        Ty::Map(Ty::Ref(_), _) => format!("EXISTS (SELECT 1 FROM json_each(h.record, '$.{held}') WHERE key = o.ref)"),
        _ => format!("EXISTS (SELECT 1 FROM json_each(h.record, '$.{held}') WHERE value = substr(o.ref, 11))"),
    };
    format!("(SELECT json_group_array(h.ref) FROM object AS h WHERE h.class = '{}' AND {refers})", class.name)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
