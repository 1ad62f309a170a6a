//! What deleting an object does to those that refer to it, class by class and
//! field by field: each line of the model's table is arranged, every message
//! that deletes is tried, and what comes of it is what the table says.
//!
//! Decisions are pure, so each is tried on the same furnished pool.

use crate::furnish::furnish;
use crate::server::Server;
use std::collections::{BTreeMap, BTreeSet};
use xenledger::command::draft::Fields;
use xenledger::command::operation::{self, Facts};
use xenledger::command::refused::works;
use xenledger::command::{self, Call, Command, Draft, Intent, Principal};
use xenledger::error::ApiError;
use xenledger::event::{Event, Kind};
use xenledger::model::deleting::{self, Fate, RULES};
use xenledger::model::{CLASSES, ClassId, MODEL, Message, PBD, SR, Ty, VBD, host};
use xenledger::value::{Ref, Value, default_record};
use xenledger::views::relations::{FieldId, HOLDING, REFERRING};
use xenledger::views::{View, check, fold};

/// The messages that take away the object they are called on.
const DELETES: [&str; 2] = ["destroy", "forget"];
/// A number that no device, tag or processor has.
const ELSEWHERE: i64 = 77;
/// Deleted by what happens, never by a message, or in a class that is refused whole.
const NEVER: &[&str] = &[
    "Cluster",
    "DR_task",
    "Driver_variant",
    "GPU_group",
    "Host_driver",
    "PCI",
    "PGPU",
    "PIF_metrics",
    "PVS_site",
    "Repository",
    "VBD_metrics",
    "VGPU_type",
    "VIF_metrics",
    "VM_guest_metrics",
    "VM_metrics",
    "VMPP",
    "host_metrics",
    "pool",
    "pool_patch",
    "pool_update",
    "role",
    "session",
];

fn name(field: FieldId) -> String {
    format!("{}.{}", field.0.name(), field.0.def().fields[field.1 as usize].name)
}

#[test]
fn every_field_that_refers_has_one_rule() {
    let holding = CLASSES.iter().flat_map(|class| HOLDING[class.id as usize].iter().map(|at| (class.id, *at)));
    let fields: BTreeSet<String> = holding.map(|(class, at)| name(FieldId(class, at as u16))).collect();
    let ruled: BTreeSet<String> = RULES.iter().map(|rule| rule.field.to_string()).collect();
    assert_eq!(ruled, fields);
    assert_eq!(ruled.len(), RULES.len(), "a field has one rule");
}

#[test]
fn what_refuses_says_so_in_its_errors() {
    for class in CLASSES {
        for &field in &REFERRING[class.id as usize] {
            let Some(code) = deleting::rule(field.0, field.1 as usize).refused else { continue };
            let declares = deletes(class.id).any(|message| message.raises(code));
            assert!(declares, "{}: no message of {} raises {code}", name(field), class.name);
        }
    }
}

fn deletes(class: ClassId) -> impl Iterator<Item = &'static Message> {
    let own = MODEL.messages.iter().filter(move |message| message.class == class);
    own.filter(|message| DELETES.contains(&message.name) && message.params.len() == 1 && works(message))
}

/// A pool, and what is decided on it.
#[derive(Clone)]
struct Pool {
    view: View,
    drawn: u8,
}

impl Pool {
    fn decide(&mut self, body: Intent) -> Result<(Value, Option<Ref>), ApiError> {
        self.drawn += 1;
        let command = Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: "".into(),
            request: "".into(),
            cause: 0,
            now: 1_800_000_000_000_000,
            seed: [self.drawn; 32],
            body,
        };
        let decision = command::decide(&self.view, command)?;
        let event = Event {
            kind: decision.kind,
            lineage: self.view.lineage,
            term: 1,
            position: self.view.position + 1,
            time: 1_800_000_000_000_000,
            principal: "user/test".into(),
            message: decision.message,
            request: "".into(),
            cause: 0,
            body: decision.body.unwrap_or_default(),
        };
        fold(&mut self.view, &event);
        Ok((decision.result, decision.pending))
    }

    fn own(&mut self, work: impl FnOnce(&mut Draft<'_>) -> Result<Value, ApiError> + Send + 'static) {
        let body = Intent::Own { message: "test", kind: Kind::Change, decide: Box::new(work) };
        self.decide(body).expect("the server itself may");
    }

    /// A call that is accepted, done by the hypervisor if need be.
    fn call(&mut self, name: &str, args: Vec<Value>) -> Ref {
        let message = MODEL.message(name).expect("a message");
        let call = Call { message, args, background: false };
        let (result, pending) = self.decide(Intent::Call(call)).unwrap_or_else(|error| panic!("{name}: {error}"));
        if let Some(task) = pending {
            self.own(move |draft| operation::complete(draft, task, Facts::default()));
        }
        if let Value::Ref(made) = result { made } else { Ref::NULL }
    }

    /// Interfaces of the kinds that can go: a card, a tag, a bond.
    fn wire(&mut self) {
        let here = self.view.all::<host>().next().expect("a host").reference;
        let card = |pool: &mut Pool, number: u8| {
            let mac = format!("02:00:00:00:00:{number:02x}");
            pool.call("PIF.introduce", vec![here.into(), mac.into(), format!("eth{number}").into(), true.into()])
        };
        let lan = |pool: &mut Pool, name: &str| {
            pool.call(
                "network.create",
                vec![Value::map([("name_label", name.into()), ("other_config", Value::empty_map())])],
            )
        };
        card(self, 90);
        let (carrier, tagged) = (card(self, 91), lan(self, "tagged"));
        self.call("VLAN.create", vec![carrier.into(), Value::Int(7), tagged.into()]);
        let (members, bonded) = ([card(self, 92), card(self, 93)], lan(self, "bonded"));
        let members = Value::set(members.map(Value::Ref));
        let mode = Value::Enum("balance-slb");
        self.call("Bond.create", vec![bonded.into(), members, "".into(), mode, Value::empty_map()]);
    }

    /// An object of the class with every field at its default, but for numbers, and for one field.
    fn add(&mut self, class: ClassId, set: Option<(usize, Value)>) -> Ref {
        let reference = Ref([200 + self.drawn % 50; 16]);
        let mut record = default_record(class).clone();
        for (index, field) in class.def().fields.iter().enumerate().filter(|(_, field)| field.ty == Ty::Int) {
            if !field.flags.volatile {
                record[index] = Value::Int(ELSEWHERE);
            }
        }
        // A drive would stay, empty.
        if class == ClassId::VBD {
            record[VBD::r#type.index] = Value::Enum("Disk");
        }
        if let Some((field, value)) = set {
            record[field] = value;
        }
        self.own(move |draft| {
            draft.add(class, reference, record);
            Ok(Value::Void)
        });
        reference
    }

    /// Calls, and lets the hypervisor do its part.
    fn delete(&mut self, message: &'static Message, object: Ref) -> Result<(), ApiError> {
        let call = Call { message, args: vec![Value::Ref(object)], background: false };
        if let (_, Some(task)) = self.decide(Intent::Call(call))? {
            self.own(move |draft| operation::complete(draft, task, Facts::default()));
        }
        check::invariants(&self.view).unwrap_or_else(|wrong| panic!("after {}: {wrong}", message.full_name));
        Ok(())
    }

    /// An object of the class that the message takes away, in a pool that has it.
    fn deletable(&self, message: &'static Message) -> Option<(Pool, Ref)> {
        let class = message.class;
        let gone = |pool: &Pool, object: Ref| {
            let mut tried = pool.clone();
            tried.delete(message, object).is_ok() && tried.view.object(class, object).is_none()
        };
        let mut there = self.view.class(class).objects.keys().copied();
        if let Some(found) = there.find(|object| gone(self, *object)) {
            return Some((self.clone(), found));
        }
        let mut with = self.clone();
        let made = with.add(class, None);
        gone(&with, made).then_some((with, made))
    }
}

/// A value of the field's type that refers to the object.
fn referring(ty: Ty, object: Ref) -> Value {
    let text = || object.to_string();
    match ty {
        Ty::Set(_) => Value::set([Value::Ref(object)]),
        Ty::Map(Ty::Ref(_), of) => Value::map([(text(), xenledger::value::default_value(*of, None))]),
        Ty::Map(..) => Value::map([("key", Value::Ref(object))]),
        _ => Value::Ref(object),
    }
}

/// What became of an object that referred to one that was deleted.
fn outcome(pool: &mut Pool, message: &'static Message, object: Ref, field: FieldId) -> Result<Fate, ApiError> {
    let ty = field.0.def().fields[field.1 as usize].ty;
    let holder = pool.add(field.0, Some((field.1 as usize, referring(ty, object))));
    pool.delete(message, object)?;
    assert!(pool.view.object(message.class, object).is_none(), "{} left it there", message.full_name);
    Ok(if pool.view.object(field.0, holder).is_some() { Fate::Stays } else { Fate::Goes })
}

#[tokio::test]
async fn deleting_does_what_the_table_says() {
    let server = Server::reconciled().await;
    furnish(&server).await;
    server.pass(200).await;
    let mut pool = Pool { view: (*server.view()).clone(), drawn: 0 };
    pool.own(|draft| {
        // A repository that is empty and not plugged in: the one kind that can be destroyed.
        let here = draft.view().all::<host>().next().map(|here| here.reference).expect("a host");
        let sr = draft.create(Fields::<SR>::new().with(SR::r#type, "ext"));
        Ok(draft.create(Fields::<PBD>::new().with(PBD::SR, sr).with(PBD::host, here)).into())
    });
    pool.wire();
    let (mut wrong, mut never, mut seen) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for class in CLASSES.iter().filter(|class| !REFERRING[class.id as usize].is_empty()) {
        let ways: Vec<_> = deletes(class.id).filter_map(|message| Some((message, pool.deletable(message)?))).collect();
        if ways.is_empty() {
            never.insert(class.name);
        }
        for &field in &REFERRING[class.id as usize] {
            let rule = deleting::rule(field.0, field.1 as usize);
            for (message, (with, object)) in &ways {
                let what = match outcome(&mut with.clone(), message, *object, field) {
                    Ok(fate) if fate == rule.fate => "done",
                    Err(error) if Some(error.code) == rule.refused => "refused",
                    Ok(fate) => {
                        wrong.push(format!("{}: {} {fate:?}", message.full_name, rule.field));
                        continue;
                    }
                    Err(error) => {
                        wrong.push(format!("{}: {} refuses with {error}", message.full_name, rule.field));
                        continue;
                    }
                };
                seen.entry(rule.field).or_insert_with(BTreeSet::new).insert(what);
            }
            let refuses = ways.is_empty() || rule.refused.is_none();
            let refused = seen.get(rule.field).is_some_and(|seen| seen.contains("refused"));
            if !refuses && !refused {
                wrong.push(format!("{}: nothing refuses", rule.field));
            }
        }
    }
    println!("{} of {} rules were seen at work", seen.len(), RULES.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(never, NEVER.iter().copied().collect(), "classes that no message deletes an object of");
}
