//! Objects hold together: what deleting one does to the others, and whose the
//! uuids are. The cases are in `objects.txt`, which says how they are written.

use crate::arguments::{Dice, fitting};
use crate::furnish::furnish;
use crate::server::Server;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use xenledger::gateway::answer::Answer;
use xenledger::gateway::dispatch::list_methods;
use xenledger::model::{CLASSES, ClassId, Implied, MODEL, PIF, SR, VM};
use xenledger::value::Value;
use xenledger::views::check;

/// What a case has named so far.
struct Case {
    server: Server,
    named: BTreeMap<String, Json>,
}

impl Case {
    async fn new() -> Case {
        let server = Server::reconciled().await;
        let view = server.view();
        let bare = view.all::<VM>().find(|vm| vm.get(VM::is_a_template) && view.far(VM::VBDs, vm.reference).is_empty());
        let local = view.all::<SR>().find(|sr| sr.get(SR::r#type).as_ref() == "ext").map(|sr| sr.reference);
        let first = |class: ClassId| view.class(class).objects.keys().next().copied();
        let lan = view.all::<PIF>().next().map(|pif| pif.get(PIF::network));
        let known = [
            ("template", bare.map(|vm| vm.reference)),
            ("sr", local),
            ("pool", first(ClassId::pool)),
            ("host", first(ClassId::host)),
            ("lan", lan),
        ];
        let named = known.map(|(name, found)| (name.to_string(), json!(found.expect(name).to_string())));
        Case { server, named: named.into_iter().collect() }
    }

    /// The text with its names replaced, longer ones first.
    fn filled(&self, text: &str) -> Json {
        let names = self.named.iter().rev();
        let text =
            names.fold(text.to_string(), |text, (name, value)| text.replace(&format!("${name}"), &value.to_string()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    async fn call(&self, call: &str) -> Result<Json, (String, Json)> {
        let (method, params) = call.split_once(' ').unwrap_or((call, "[]"));
        let given = self.filled(params);
        let session = json!(self.server.session);
        let all = std::iter::once(session).chain(given.as_array().cloned().expect("parameters")).collect();
        self.server.call(method, Json::Array(all)).await
    }

    async fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no line of a case: {line}"));
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "let" => {
                let call = second.strip_prefix("= ").expect(line);
                let made = self.call(call).await.unwrap_or_else(|error| panic!("{line}: {error:?}"));
                self.named.insert(first.to_string(), made);
            }
            "do" => drop(self.call(rest).await.unwrap_or_else(|error| panic!("{line}: {error:?}"))),
            "refused" => assert_eq!(self.call(second).await.expect_err(line).0, first, "{line}"),
            "gone" | "kept" => {
                let found = self.call(&format!("{first}.get_record [{second}]")).await;
                assert_eq!(found.is_ok(), word == "kept", "{line}: {found:?}");
            }
            "null" => {
                let field =
                    self.call(&format!("{first} [{second}]")).await.unwrap_or_else(|error| panic!("{line}: {error:?}"));
                assert_eq!(field, json!("OpaqueRef:NULL"), "{line}");
            }
            "is" | "not" => {
                let answer = self.call(second).await.unwrap_or_else(|error| panic!("{line}: {error:?}"));
                assert_eq!(answer == self.filled(first), word == "is", "{line}: {answer}");
            }
            _ => panic!("no line of a case: {line}"),
        }
    }
}

#[tokio::test]
async fn deleting_and_uuids_are_as_the_cases_say() {
    let cases = include_str!("objects.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut case = Case::new().await;
    let mut count = 0;
    for line in cases {
        if let Some(name) = line.strip_prefix("case ") {
            println!("{name}");
            case = Case::new().await;
            count += 1;
            continue;
        }
        case.line(line).await;
        check::invariants(&case.server.view()).unwrap_or_else(|wrong| panic!("after {line}: {wrong}"));
    }
    assert!(count > 8, "only {count} cases");
}

#[tokio::test]
async fn no_constructor_takes_a_uuid_from_a_client() {
    const GIVEN: &str = "33333333-3333-4333-8333-333333333333";
    const TRIES: usize = 40;
    let server = Server::reconciled().await;
    furnish(&server).await;
    let mut made = 0;
    let constructors = list_methods().filter_map(|name| MODEL.message(name));
    for message in constructors.filter(|message| message.implied == Some(Implied::Create)) {
        let mut dice = Dice::of(1, message.full_name);
        for _ in 0..TRIES {
            let mut args = fitting(&mut dice, &server.view(), message);
            let fields = args[0].as_map().iter().filter(|(name, _)| &***name != "uuid");
            let fields: Vec<(String, Value)> = fields.map(|(name, value)| (name.to_string(), value.clone())).collect();
            args[0] = Value::map(fields.into_iter().chain([("uuid".to_string(), Value::text(GIVEN))]));
            if let Some(Ok(Answer::Value(_))) = server.message(message, false, args).await {
                made += 1;
                break;
            }
        }
        assert_eq!(server.view().by_uuid(message.class, GIVEN), None, "{} took it", message.full_name);
    }
    assert!(made >= 10, "only {made} constructors accepted anything");
}

#[tokio::test]
async fn every_uuid_is_of_version_4_or_follows_from_a_name() {
    let server = Server::reconciled().await;
    furnish(&server).await;
    let view = server.view();
    for class in CLASSES {
        let Some(field) = MODEL.field(class.id, "uuid") else { continue };
        for object in view.class(class.id).objects.values() {
            let uuid = object.record[field].as_str();
            let version = uuid.as_bytes().get(14).copied();
            // What every pool has alike is made from its name: version 8.
            let named = version == Some(b'8') && !class.flags.create;
            assert!(version == Some(b'4') || named, "{} {}: {uuid}", class.name, object.reference);
        }
    }
}
