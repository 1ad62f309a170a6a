//! Arguments from a seed: what a message could be called with, and what it
//! could not. Values have the form in which they come off a wire.

use xenledger::model::{ClassId, MODEL, Message, Param, Ty};
use xenledger::value::{Ref, Value, format_time};
use xenledger::views::View;

/// Numbers that follow from a seed.
pub struct Dice(pub u64);

impl Dice {
    /// Other numbers for each name, whatever else there is: what is added somewhere changes nothing elsewhere.
    pub fn of(seed: u64, name: &str) -> Dice {
        Dice(name.bytes().fold(seed, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    pub fn reference(&mut self) -> Ref {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.roll().to_le_bytes());
        bytes[8..].copy_from_slice(&self.roll().to_le_bytes());
        Ref(bytes)
    }
}

const TEXTS: [&str; 17] = [
    "",
    "a",
    "web",
    "0",
    "1",
    "-1",
    "255",
    "true",
    "192.168.0.7",
    "02:16:3e:00:00:01",
    "OpaqueRef:NULL",
    "file",
    "ext",
    "<&\"']]>",
    "\u{1f98a} ünï",
    "sda",
    "a/b/../c",
];
const INTS: [i64; 15] = [0, 1, 2, 3, 7, 64, 1500, 4095, 4096, -1, 1 << 20, 1 << 30, 2 << 30, i64::MAX, i64::MIN];
const FLOATS: [f64; 7] = [0.0, 1.0, 0.5, -1.0, 2.5, 1e300, 4096.0];
const TIMES: [i64; 4] = [0, 1_700_000_000_000_000, 4_000_000_000_000_000, -1_000_000];

/// A stored value as it would come from a client who read it.
pub fn off_the_wire(value: &Value) -> Value {
    match value {
        Value::Ref(reference) => Value::text(&reference.to_string()),
        Value::Enum(name) => Value::text(name),
        Value::Time(time) => Value::text(&format_time(*time)),
        Value::Set(values) => Value::set(values.iter().map(off_the_wire)),
        Value::Map(map) => Value::map(map.iter().map(|(key, value)| (key, off_the_wire(value)))),
        other => other.clone(),
    }
}

/// Arguments of the declared types for every parameter, the session left out.
pub fn fitting(dice: &mut Dice, view: &View, message: &Message) -> Vec<Value> {
    let prefixes = ["set_", "add_to_", "remove_from_", "add_", "remove_"];
    let field = prefixes.iter().find_map(|prefix| message.name.strip_prefix(prefix)).unwrap_or_default();
    let given = if dice.percent(80) { message.params.len() } else { message.required() };
    let params = message.params.iter().take(given);
    params
        .map(|param| fit(dice, view, message.class, if param.name == "value" { field } else { param.name }, param.ty))
        .collect()
}

fn fit(dice: &mut Dice, view: &View, class: ClassId, name: &str, ty: Ty) -> Value {
    let known = MODEL.field(class, name).filter(|field| class.def().fields[*field].ty == ty);
    if let Some(field) = known.filter(|_| dice.percent(40))
        && let Some(object) = any_object(dice, view, class)
        && let Some(found) = view.object(class, object)
    {
        return off_the_wire(&found.record[field]);
    }
    match ty {
        Ty::Void | Ty::AnyRecord | Ty::EventBatch => Value::empty_map(),
        Ty::Bool => Value::Bool(dice.percent(50)),
        Ty::Int => Value::Int(dice.one(&INTS)),
        Ty::Float => Value::Float(dice.one(&FLOATS)),
        Ty::DateTime => Value::text(&format_time(dice.one(&TIMES))),
        Ty::String => text(dice, view, class),
        Ty::Enum(def) => Value::text(dice.one(def.values)),
        Ty::Ref(of) => Value::text(&reference(dice, view, of).to_string()),
        Ty::Option(of) => fit(dice, view, class, name, *of),
        Ty::Set(of) => {
            let members = dice.below(4);
            Value::set((0..members).map(|_| fit(dice, view, class, "", *of)).collect::<Vec<_>>())
        }
        Ty::Map(key, of) => {
            let entries = dice.below(4);
            let entry = |dice: &mut Dice| (map_key(dice, view, class, *key), fit(dice, view, class, "", *of));
            Value::map((0..entries).map(|_| entry(dice)).collect::<Vec<_>>())
        }
        Ty::Record(of) => record(dice, view, of),
    }
}

fn map_key(dice: &mut Dice, view: &View, class: ClassId, ty: Ty) -> String {
    match fit(dice, view, class, "", ty) {
        Value::Int(number) => number.to_string(),
        other => other.as_str().to_string(),
    }
}

fn text(dice: &mut Dice, view: &View, class: ClassId) -> Value {
    match dice.below(12) {
        0 => Value::text(&"x".repeat(5_000)),
        1..=3 => match any_object(dice, view, class).and_then(|object| view.object(class, object)) {
            Some(object) => MODEL.field(class, "uuid").map_or(Value::text("x"), |uuid| object.record[uuid].clone()),
            None => Value::text(&dice.reference().uuid_text()),
        },
        4 => Value::text(&dice.reference().uuid_text()),
        _ => Value::text(dice.one(&TEXTS)),
    }
}

fn reference(dice: &mut Dice, view: &View, class: ClassId) -> Ref {
    match dice.below(20) {
        0 => Ref::NULL,
        1 => dice.reference(),
        _ => any_object(dice, view, class).unwrap_or(Ref::NULL),
    }
}

pub fn any_object(dice: &mut Dice, view: &View, class: ClassId) -> Option<Ref> {
    let objects = &view.class(class).objects;
    let at = dice.below(objects.len());
    objects.keys().nth(at).copied()
}

/// What a constructor may be given: a record that was read from another object, or some fields of it, some changed.
fn record(dice: &mut Dice, view: &View, class: ClassId) -> Value {
    let like = any_object(dice, view, class).and_then(|object| view.object(class, object).cloned());
    let whole = dice.percent(50);
    let mut fields = Vec::new();
    for (index, field) in class.def().fields.iter().enumerate() {
        if field.flags.internal || field.far.is_some() || !whole && dice.percent(30) {
            continue;
        }
        let copied = like.as_ref().filter(|_| dice.percent(85)).map(|like| off_the_wire(&like.record[index]));
        fields.push((field.name, copied.unwrap_or_else(|| fit(dice, view, class, "", field.ty))));
    }
    Value::map(fields)
}

/// One way in which arguments can be wrong: what was done to them, and the codes that may answer it.
pub struct Spoilt {
    pub how: String,
    pub params: Vec<Value>,
    pub codes: &'static [&'static str],
}

const COUNT: &[&str] = &["MESSAGE_PARAMETER_COUNT_MISMATCH"];

/// Makes arguments wrong in a way that no message may accept, if its parameters allow it.
pub fn spoil(dice: &mut Dice, view: &View, message: &Message) -> Spoilt {
    let mut params = fitting(dice, view, message);
    let spoilable: Vec<usize> = (0..params.len()).filter(|at| can_spoil(&message.params[*at])).collect();
    if spoilable.is_empty() || dice.percent(15) {
        return miscount(dice, message, params);
    }
    let at = dice.one(&spoilable);
    let param = &message.params[at];
    let (how, value, codes) = wrong(dice, view, at, param.ty);
    params[at] = value;
    Spoilt { how: format!("{}: {how}", param.name), params, codes }
}

fn miscount(dice: &mut Dice, message: &Message, mut params: Vec<Value>) -> Spoilt {
    if message.required() > 0 && dice.percent(50) {
        params.truncate(dice.below(message.required()));
        return Spoilt { how: "too few parameters".into(), params, codes: COUNT };
    }
    params.resize(message.params.len() + 1 + dice.below(3), Value::text("more"));
    Spoilt { how: "too many parameters".into(), params, codes: COUNT }
}

/// Whether there are values that no parameter of the kind may have.
fn can_spoil(param: &Param) -> bool {
    !matches!(param.ty, Ty::Void | Ty::AnyRecord | Ty::EventBatch)
}

fn wrong(dice: &mut Dice, view: &View, at: usize, ty: Ty) -> (&'static str, Value, &'static [&'static str]) {
    const TYPE: &[&str] = &["FIELD_TYPE_ERROR"];
    const HANDLE: &[&str] = &["HANDLE_INVALID"];
    match ty {
        Ty::Enum(_) if dice.percent(60) => {
            ("no value of the enum", Value::text("no such value"), &["VALUE_NOT_SUPPORTED"])
        }
        // What a message is called on must be there; other references may be null.
        Ty::Ref(_) if at == 0 && dice.percent(20) => ("null", Value::text("OpaqueRef:NULL"), HANDLE),
        Ty::Ref(of) if at == 0 && dice.percent(30) => {
            let others = [ClassId::VM, ClassId::host, ClassId::network, ClassId::SR];
            let other = dice.one(&others.into_iter().filter(|class| *class != of).collect::<Vec<_>>());
            let reference = any_object(dice, view, other).unwrap_or_else(|| dice.reference());
            ("an object of another class", Value::text(&reference.to_string()), HANDLE)
        }
        Ty::Ref(_) if at == 0 && dice.percent(40) => {
            ("nothing there", Value::text(&dice.reference().to_string()), HANDLE)
        }
        Ty::Ref(_) if dice.percent(50) => ("no reference", Value::text("VM-1"), HANDLE),
        Ty::Int if dice.percent(50) => {
            ("no integer", Value::text(dice.one(&["ten", "1.5", "9223372036854775808"])), TYPE)
        }
        Ty::Float if dice.percent(50) => ("not finite", Value::text(dice.one(&["nan", "inf", "one"])), TYPE),
        Ty::Bool if dice.percent(50) => ("neither true nor false", Value::text("yes"), TYPE),
        Ty::DateTime if dice.percent(50) => ("no time", Value::text("yesterday"), TYPE),
        Ty::Set(_) | Ty::Map(..) | Ty::Record(_) => ("another type", Value::Int(7), TYPE),
        Ty::Option(of) => wrong(dice, view, at, *of),
        _ => ("another type", Value::set([Value::Int(1)]), TYPE),
    }
}

/// Operations and the message that begins each, with what it takes beside the object.
const OPERATIONS: [(&str, &str, usize); 16] = [
    ("start", "VM.start", 2),
    ("pause", "VM.pause", 0),
    ("unpause", "VM.unpause", 0),
    ("suspend", "VM.suspend", 0),
    ("resume", "VM.resume", 2),
    ("clean_shutdown", "VM.clean_shutdown", 0),
    ("hard_reboot", "VM.hard_reboot", 0),
    ("destroy", "VM.destroy", 0),
    ("plug", "VBD.plug", 0),
    ("unplug", "VBD.unplug", 0),
    ("plug", "VIF.plug", 0),
    ("unplug", "VIF.unplug", 0),
    ("destroy", "VDI.destroy", 0),
    ("forget", "VDI.forget", 0),
    ("destroy", "SR.destroy", 0),
    ("forget", "SR.forget", 0),
];
const STATE: &[&str] = &[
    "DEVICE_ALREADY_ATTACHED",
    "DEVICE_ALREADY_DETACHED",
    "OPERATION_NOT_ALLOWED",
    "OTHER_OPERATION_IN_PROGRESS",
    "SR_HAS_PBD",
    "SR_NOT_EMPTY",
    "SR_OPERATION_NOT_SUPPORTED",
    "VBD_IS_EMPTY",
    "VBD_NOT_UNPLUGGABLE",
    "VDI_IN_USE",
    "VM_BAD_POWER_STATE",
    "VM_CANNOT_DELETE_DEFAULT_TEMPLATE",
    "VM_IS_SNAPSHOT",
    "VM_IS_TEMPLATE",
];

/// A call that fits its message and is refused for what is there.
pub fn refused_by_state(dice: &mut Dice, view: &View) -> Option<(&'static Message, Spoilt)> {
    let spoilt = |how: &str, params: Vec<Value>, codes| Spoilt { how: how.into(), params, codes };
    if dice.percent(30) {
        return unheard_of(dice, view).map(|(message, params, codes)| (message, spoilt("not so", params, codes)));
    }
    let (operation, name, more) = dice.one(&OPERATIONS);
    let message = MODEL.message(name).expect("a message");
    let object = any_object(dice, view, message.class)?;
    let allowed = MODEL.field(message.class, "allowed_operations").expect("it has operations");
    let listed = view.object(message.class, object)?.record[allowed].as_set();
    if listed.iter().any(|one| one.as_str() == operation) {
        return None;
    }
    let mut params = vec![Value::text(&object.to_string())];
    params.extend((0..more).map(|_| Value::Bool(false)));
    Some((message, spoilt("not allowed now", params, STATE)))
}

/// A key that is there already, or a uuid that is nobody's.
fn unheard_of(dice: &mut Dice, view: &View) -> Option<(&'static Message, Vec<Value>, &'static [&'static str])> {
    let class = dice.one(&[ClassId::VM, ClassId::network, ClassId::SR, ClassId::VDI, ClassId::host, ClassId::PIF]);
    if dice.percent(50) {
        let message = MODEL.message(&format!("{}.get_by_uuid", class.name()))?;
        return Some((message, vec![Value::text(&dice.reference().uuid_text())], &["UUID_INVALID"]));
    }
    let object = any_object(dice, view, class)?;
    let config = MODEL.field(class, "other_config")?;
    let key = view.object(class, object)?.record[config].as_map().keys().next()?.clone();
    let message = MODEL.message(&format!("{}.add_to_other_config", class.name()))?;
    let params = vec![Value::text(&object.to_string()), Value::String(key), Value::text("again")];
    Some((message, params, &["MAP_DUPLICATE_KEY"]))
}
