//! Expressions against a reading of their own: no index, no shortcut.

use super::*;
use crate::model::{VBD, VDI, VM};
use crate::views::View;
use crate::views::read::Scope;
use proptest::prelude::*;

/// Machines, disks, and devices between them; some names and keys repeat.
fn view() -> View {
    let mut view = View::default();
    let mut add = |class: ClassId, number: u8, set: &[(usize, Value)]| {
        let mut record = crate::value::default_record(class).clone();
        let reference = Ref([number; 16]);
        record[0] = Value::from(reference.uuid_text());
        for (field, value) in set {
            record[*field] = value.clone();
        }
        view.put(class, Arc::new(Object { reference, created: 1, modified: 1, record }));
        reference
    };
    for number in 1..=6u8 {
        let label = Value::from(["web", "db", "it's \"x\""][number as usize % 3]);
        let tags = Value::set((0..number % 3).map(|n| Value::from(format!("tag{n}"))));
        let keys = Value::map((0..number % 2).map(|n| (format!("key{n}"), Value::from("value"))));
        add(
            ClassId::VM,
            number,
            &[
                (VM::name_label.index, label),
                (VM::tags.index, tags),
                (VM::other_config.index, keys),
                (VM::memory_static_max.index, Value::Int(i64::from(number % 2) * 1024)),
                (VM::is_a_template.index, Value::Bool(number % 2 == 0)),
                (VM::power_state.index, Value::Enum(["Halted", "Running"][number as usize % 2])),
                (VM::snapshot_time.index, Value::Time(i64::from(number % 3) * 1_000_000)),
            ],
        );
    }
    let disk = add(ClassId::VDI, 20, &[(VDI::name_label.index, "disk".into())]);
    for number in 1..=9u8 {
        let vdi = if number % 2 == 0 { disk } else { Ref::NULL };
        let vm = Ref([1 + number % 6; 16]);
        add(ClassId::VBD, 30 + number, &[(VBD::VM.index, vm.into()), (VBD::VDI.index, vdi.into())]);
    }
    view
}

fn found(class: ClassId, text: &str) -> Result<usize, String> {
    let view = view();
    let expression = Expression::parse(class, text).map_err(|malformed| malformed.0)?;
    Ok(expression.select(&ReadView::new(&view, &Scope::All)).len())
}

#[test]
fn what_is_asked_for_is_found() {
    let vm3 = Ref([3; 16]);
    for (class, text, expected) in [
        (ClassId::VM, "true".to_string(), 6),
        (ClassId::VM, "false".to_string(), 0),
        (ClassId::VM, "field \"name_label\" = \"web\"".to_string(), 2),
        (ClassId::VM, "field 'name__label'='web'".to_string(), 2),
        (ClassId::VM, "field \"name/label\" = \"web\" or field \"name.label\" = \"db\"".to_string(), 4),
        (ClassId::VM, "\"web\" = field \"name_label\"".to_string(), 2),
        (ClassId::VM, "field \"memory__static_max\" = \"1024\"".to_string(), 3),
        (ClassId::VM, "field \"is_a_template\" = \"true\"".to_string(), 3),
        (ClassId::VM, "field \"power_state\"=\"Running\"and(field \"is_a_template\"=\"false\")".to_string(), 3),
        (ClassId::VM, "field \"snapshot_time\" = \"19700101T00:00:01Z\"".to_string(), 2),
        (ClassId::VM, "field \"tags\" = \"()\"".to_string(), 2),
        (ClassId::VM, "field \"tags\" = \"('tag0' 'tag1')\"".to_string(), 2),
        (ClassId::VM, "field \"other_config\" = \"(('key0' 'value'))\"".to_string(), 3),
        (ClassId::VM, "field \"tags\" contains \"tag0\"".to_string(), 4),
        (ClassId::VM, "field \"tags\" contains \"tag\"".to_string(), 0),
        (ClassId::VM, "field \"other_config\" contains \"key0\"".to_string(), 3),
        (ClassId::VM, "field \"name_label\" contains 'e'".to_string(), 2),
        (ClassId::VM, "field \"_ref\" = field \"_ref\"".to_string(), 6),
        (ClassId::VM, format!("field \"_ref\" = \"{vm3}\""), 1),
        (ClassId::VM, format!("field \"uuid\" = \"{}\"", vm3.uuid_text()), 1),
        (ClassId::VM, format!("field \"uuid\" = \"{}\" and false", vm3.uuid_text()), 0),
        (ClassId::VM, "field \"VBDs\" = \"()\"".to_string(), 0),
        (ClassId::VM, format!("field \"VBDs\" contains \"{}\"", Ref([31; 16])), 1),
        (ClassId::VBD, format!("field \"VM\" = \"{vm3}\""), 2),
        (ClassId::VBD, format!("(field \"VM\" = \"{vm3}\") and (field \"VDI\" = \"{}\")", Ref([20; 16])), 2),
        (ClassId::VBD, "field \"VDI\" = \"OpaqueRef:NULL\"".to_string(), 5),
        // `not` reaches to the end, and `and` binds no closer than `or`.
        (ClassId::VM, "not true and false".to_string(), 6),
        (ClassId::VM, "(not true) and false".to_string(), 0),
        (ClassId::VM, "true or true and false".to_string(), 0),
        (ClassId::VM, "true or (true and false)".to_string(), 6),
    ] {
        assert_eq!(found(class, &text), Ok(expected), "{text}");
    }
}

#[test]
fn a_name_or_a_uuid_bounds_what_is_looked_at() {
    let view = view();
    let read = ReadView::new(&view, &Scope::All);
    let uuid = Ref([3; 16]).uuid_text();
    for (text, expected) in [
        ("field \"name__label\" = \"web\"".to_string(), Some(2)),
        ("field \"power_state\" = \"Running\" and field \"name__label\" = \"web\"".into(), Some(2)),
        (format!("field \"name__label\" = \"web\" and field \"uuid\" = \"{uuid}\""), Some(1)),
        (format!("field \"name__label\" = \"db\" or field \"uuid\" = \"{uuid}\""), Some(3)),
        ("field \"name__label\" = \"web\" or field \"power_state\" = \"Running\"".into(), None),
        ("not field \"name__label\" = \"web\"".into(), None),
        ("field \"name__label\" = \"nobody\"".into(), Some(0)),
    ] {
        let expression = Expression::parse(ClassId::VM, &text).unwrap_or_else(|wrong| panic!("{text}: {}", wrong.0));
        let bound = expression.candidates(&read, &expression.root).map(|few| few.len());
        assert_eq!(bound, expected, "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused() {
    for wrong in [
        "",
        "true true",
        "and",
        "true and",
        "not",
        "(true",
        "true)",
        "field = \"x\"",
        "field \"name_label\"",
        "field \"nothing\" = \"x\"",
        "field \"snapshot_schedule_id\" = \"\"",
        "field \"name_label\" = web",
        "field \"name_label\" = \"web",
        "field \"name_label\" == \"web\"",
        "TRUE",
        "true;",
        "\u{e9}",
    ] {
        assert!(found(ClassId::VM, wrong).is_err(), "{wrong}");
    }
    for (class, hidden) in [(ClassId::secret, "digest"), (ClassId::user, "password")] {
        assert!(found(class, &format!("field \"{hidden}\" = \"guess\"")).is_err(), "{hidden} cannot be guessed");
    }
}

#[test]
fn length_and_depth_have_limits() {
    let deep = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert_eq!(found(ClassId::VM, &deep(DEPTH_MAX)), Ok(6));
    assert!(found(ClassId::VM, &deep(DEPTH_MAX + 1)).is_err());
    assert!(found(ClassId::VM, &"not ".repeat(DEPTH_MAX + 1)).is_err());
    let long = format!("true{}", " or true".repeat((LENGTH_MAX - 4) / 8));
    assert_eq!(found(ClassId::VM, &long), Ok(6));
    assert!(found(ClassId::VM, &" ".repeat(LENGTH_MAX + 1)).is_err());
}

/// An expression as somebody means it, not as it is written.
#[derive(Clone, Debug)]
enum Meant {
    Constant(bool),
    Compare { field: &'static str, contains: bool, text: String, swapped: bool },
    Not(Box<Meant>),
    And(Box<Meant>, Box<Meant>),
    Or(Box<Meant>, Box<Meant>),
}

const FIELDS: [&str; 9] = [
    "uuid",
    "name_label",
    "tags",
    "other_config",
    "memory_static_max",
    "is_a_template",
    "power_state",
    "VBDs",
    "parent",
];

fn meant() -> impl Strategy<Value = Meant> {
    let text = prop::sample::select(vec![
        Ref([3; 16]).uuid_text(),
        Ref([5; 16]).uuid_text(),
        Ref([31; 16]).to_string(),
        "OpaqueRef:NULL".to_string(),
        "web".to_string(),
        "e".to_string(),
        "tag0".to_string(),
        "key0".to_string(),
        "('tag0')".to_string(),
        "1024".to_string(),
        "true".to_string(),
        "Running".to_string(),
        String::new(),
    ]);
    let compare = (prop::sample::select(FIELDS.to_vec()), any::<bool>(), text, any::<bool>())
        .prop_map(|(field, contains, text, swapped)| Meant::Compare { field, contains, text, swapped });
    let leaf = prop_oneof![1 => any::<bool>().prop_map(Meant::Constant), 6 => compare];
    leaf.prop_recursive(5, 40, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|one| Meant::Not(Box::new(one))),
            pair.clone().prop_map(|(a, b)| Meant::And(Box::new(a), Box::new(b))),
            pair.prop_map(|(a, b)| Meant::Or(Box::new(a), Box::new(b))),
        ]
    })
}

/// Writes it with as few parentheses as the grammar allows on the left, and all of them on the right.
fn write(meant: &Meant) -> String {
    let left = |one: &Meant| if matches!(one, Meant::Not(_)) { format!("({})", write(one)) } else { write(one) };
    match meant {
        Meant::Constant(truth) => truth.to_string(),
        Meant::Compare { field, contains: true, text, .. } => format!("field \"{field}\" contains \"{text}\""),
        Meant::Compare { field, text, swapped: true, .. } => format!("\"{text}\" = field \"{field}\""),
        Meant::Compare { field, text, .. } => format!("field '{}' = \"{text}\"", field.replace('_', "__")),
        Meant::Not(one) => format!("not {}", write(one)),
        Meant::And(a, b) => format!("{} and ({})", left(a), write(b)),
        Meant::Or(a, b) => format!("{} or ({})", left(a), write(b)),
    }
}

/// What it means for a record as clients see it.
fn naive(meant: &Meant, record: &Value) -> bool {
    match meant {
        Meant::Constant(truth) => *truth,
        Meant::Not(one) => !naive(one, record),
        Meant::And(a, b) => naive(a, record) & naive(b, record),
        Meant::Or(a, b) => naive(a, record) | naive(b, record),
        Meant::Compare { field, contains, text, .. } => match (&record.as_map()[*field], contains) {
            (Value::Set(all), true) => all.iter().any(|one| plain(one) == *text),
            (Value::Map(map), true) => map.keys().any(|key| **key == **text),
            (Value::Set(all), false) => {
                let all: Vec<String> = all.iter().map(|one| format!("'{}'", plain(one))).collect();
                *text == format!("({})", all.join(" "))
            }
            (Value::Map(map), false) => map.is_empty() && text == "()",
            (one, true) => plain(one).contains(text.as_str()),
            (one, false) => plain(one) == *text,
        },
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Ref(reference) => reference.to_string(),
        other => other.as_str().to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn an_index_changes_nothing(meant in meant()) {
        let view = view();
        let read = ReadView::new(&view, &Scope::All);
        let text = write(&meant);
        let parsed = Expression::parse(ClassId::VM, &text);
        let parsed = parsed.unwrap_or_else(|malformed| panic!("{text}: {}", malformed.0));
        let selected: Vec<Ref> = parsed.select(&read).iter().map(|one| one.reference).collect();
        let expected: Vec<Ref> = read
            .objects(ClassId::VM)
            .filter(|one| naive(&meant, &read.record(ClassId::VM, one)))
            .map(|one| one.reference)
            .collect();
        prop_assert_eq!(selected, expected, "{}", text);
    }

    #[test]
    fn no_text_does_harm(text in "[\"'()= a-z]{0,40}|\\PC{0,20}") {
        drop(Expression::parse(ClassId::VM, &text));
    }
}
