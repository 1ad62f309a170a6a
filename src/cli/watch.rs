//! `xenledger watch`: changes as they happen, a line each; with a token it
//! goes on where another watch stopped.
//!
//! The newest record of each object is kept, so that a line can say what
//! changed; `event.from` itself tells only what is now.

use super::client::{Client, ConnectArgs};
use super::{arguments, changes, render, tasks};
use crate::model::{ClassId, Field, MODEL};
use crate::value::{Map, Ref, Value, check};
use crate::world::World;
use anyhow::Context;
use indicatif::{MultiProgress, ProgressBar};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long one poll blocks, in seconds.
const POLL: f64 = 30.0;
/// How long to wait before trying to reach the server again.
const PAUSE: Duration = Duration::from_secs(1);

/// Options of `watch`.
#[derive(clap::Args, Debug)]
pub struct WatchArgs {
    /// What to watch: CLASS, CLASS.FIELD, CLASS/OBJECT (by reference, uuid or name); everything if nothing is named.
    #[arg(value_name = "WHAT")]
    pub what: Vec<String>,
    /// Go on from this token, which a watch prints when it ends, and with --json in every line.
    #[arg(long)]
    pub token: Option<String>,
    /// Print for programs: one JSON object a line.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub connect: ConnectArgs,
}

pub async fn run(args: WatchArgs) -> anyhow::Result<()> {
    let mut client = Client::login(&args.connect).await?;
    let mut wanted = Vec::new();
    for text in &args.what {
        wanted.push(want(&mut client, text).await?);
    }
    let mut watch = Watch::new(wanted, args.json, args.token.clone());
    let ended = tokio::select! {
        ended = watch.follow(client, &args.connect) => ended,
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(Into::into),
    };
    if !args.json && !watch.token.is_empty() {
        eprintln!("go on from here with --token {}", watch.token);
    }
    ended
}

/// One thing to watch.
struct Wanted {
    /// For `event.from`: `VM`, `VM/OpaqueRef:…`.
    subscription: String,
    class: ClassId,
    object: Option<Ref>,
    field: Option<&'static str>,
}

async fn want(client: &mut Client, text: &str) -> anyhow::Result<Wanted> {
    let (name, rest) = text.split_at(text.find(['.', '/']).unwrap_or(text.len()));
    let class = MODEL.class(name).with_context(|| format!("there is no class {name:?}"))?;
    let mut wanted = Wanted { subscription: class.name().into(), class, object: None, field: None };
    if let Some(field) = rest.strip_prefix('.') {
        let index = MODEL.field(class, field).with_context(|| format!("{} has no field {field:?}", class.name()))?;
        wanted.field = Some(class.def().fields[index].name);
    } else if let Some(object) = rest.strip_prefix('/') {
        let reference = match Ref::parse(object) {
            Some(reference) => reference,
            None => arguments::find(client, class, object).await?,
        };
        wanted.subscription = format!("{}/{reference}", class.name());
        wanted.object = Some(reference);
    }
    Ok(wanted)
}

/// The state of a watch.
struct Watch {
    wanted: Vec<Wanted>,
    json: bool,
    token: String,
    /// The newest record of each object that was seen.
    seen: HashMap<(ClassId, Ref), Arc<Map>>,
    bars: MultiProgress,
    tasks: HashMap<Ref, ProgressBar>,
}

impl Watch {
    fn new(wanted: Vec<Wanted>, json: bool, token: Option<String>) -> Watch {
        let token = token.unwrap_or_default();
        Watch { wanted, json, token, seen: HashMap::new(), bars: MultiProgress::new(), tasks: HashMap::new() }
    }

    fn subscription(&self) -> Value {
        match self.wanted.is_empty() {
            true => Value::set([Value::text("*")]),
            false => Value::set(self.wanted.iter().map(|wanted| Value::text(&wanted.subscription))),
        }
    }

    /// Polls for ever. A server that went away is waited for.
    async fn follow(&mut self, client: Client, connect: &ConnectArgs) -> anyhow::Result<()> {
        let mut client = Some(client);
        loop {
            let Some(connected) = &mut client else {
                World::real().sleep(PAUSE).await;
                client = Client::login(connect).await.ok();
                continue;
            };
            let first = self.token.is_empty();
            let timeout = if first { 0.0 } else { POLL };
            let params = [self.subscription(), Value::text(&self.token), Value::Float(timeout)];
            match connected.ask("event.from", &params).await {
                Ok(Ok(batch)) => self.batch(&batch, first)?,
                Ok(Err(refusal)) if refusal.code == "EVENTS_LOST" => {
                    eprintln!("changes were missed: the token is of another history, or too old; starting over");
                    self.token.clear();
                }
                Ok(Err(refusal)) if refusal.code == "SESSION_INVALID" => client = None,
                Ok(Err(refusal)) => return Err(refusal.into()),
                Err(error) => {
                    eprintln!("{error:#}; waiting for the server");
                    client = None;
                }
            }
        }
    }

    /// Tells a batch. The first one only says what is there.
    fn batch(&mut self, batch: &Value, first: bool) -> anyhow::Result<()> {
        let silent = first && self.seen.is_empty();
        let token = batch.as_map().get("token").context("the server's answer has no token")?.as_str().to_string();
        for event in batch.as_map().get("events").map(Value::as_set).unwrap_or_default() {
            if let Some(line) = self.event(event.as_map(), &token)
                && !silent
            {
                self.bars.suspend(|| super::print(&line))?;
            }
        }
        self.token = token;
        Ok(())
    }

    /// Takes an event in; its line, if it is wanted.
    fn event(&mut self, event: &Map, token: &str) -> Option<String> {
        let text = |name: &str| event.get(name).map(Value::as_str).unwrap_or_default();
        let (class, reference) = (MODEL.class(text("class"))?, Ref::parse(text("ref"))?);
        let record = event.get("snapshot").map(|record| Arc::new(record.as_map().clone()));
        let before = match &record {
            Some(record) => self.seen.insert((class, reference), record.clone()),
            None => self.seen.remove(&(class, reference)),
        };
        if class == ClassId::task {
            self.task(reference, record.as_deref());
        }
        let what = What { class, reference, operation: text("operation"), before, record };
        let changed = what.changed();
        // After a gap everything comes again: what is as before is no news.
        let news = what.before.is_none() || what.record.is_none() || !changed.is_empty();
        if !news || !self.wants(&what, &changed) {
            return None;
        }
        let changed: Vec<&str> = changed.into_iter().filter(|field| self.tells(&what, field)).collect();
        Some(if self.json { what.json(&changed, token).to_string() } else { what.line(&changed) })
    }

    fn wants(&self, what: &What, changed: &[&str]) -> bool {
        let new_or_gone = what.before.is_none() || what.record.is_none();
        self.wanted.is_empty()
            || self.wanted_of(what).any(|wanted| wanted.field.is_none() || new_or_gone)
            || changed.iter().any(|field| self.tells(what, field))
    }

    /// Whether a changed field is told: only what was asked for, where fields were.
    fn tells(&self, what: &What, field: &str) -> bool {
        self.wanted.is_empty() || self.wanted_of(what).any(|wanted| wanted.field.is_none_or(|asked| asked == field))
    }

    fn wanted_of(&self, what: &What) -> impl Iterator<Item = &Wanted> {
        let (class, reference) = (what.class, what.reference);
        let about =
            move |wanted: &&Wanted| wanted.class == class && wanted.object.is_none_or(|object| object == reference);
        self.wanted.iter().filter(about)
    }

    /// Keeps the bar of a task.
    fn task(&mut self, reference: Ref, record: Option<&Map>) {
        match record {
            Some(record) if !self.json && !tasks::is_over(record) => {
                let name = record.get("name_label").map(Value::as_str).unwrap_or_default();
                let bar = self.tasks.entry(reference).or_insert_with(|| self.bars.add(tasks::bar(name)));
                tasks::show(bar, record);
            }
            _ => {
                if let Some(bar) = self.tasks.remove(&reference) {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

/// One event, with what was known before.
struct What<'a> {
    class: ClassId,
    reference: Ref,
    operation: &'a str,
    before: Option<Arc<Map>>,
    record: Option<Arc<Map>>,
}

impl What<'_> {
    /// The fields that are not as before, if before is known.
    fn changed(&self) -> Vec<&str> {
        let (Some(before), Some(record)) = (&self.before, &self.record) else { return Vec::new() };
        let changed = record.iter().filter(|(name, value)| before.get(*name) != Some(value));
        changed.map(|(name, _)| &**name).collect()
    }

    fn name(&self) -> String {
        let record = self.record.as_ref().or(self.before.as_ref());
        let name = record.and_then(|record| record.get("name_label")).map(Value::as_str).unwrap_or_default();
        if name.is_empty() { self.reference.to_string() } else { format!("{name:?}") }
    }

    fn line(&self, changed: &[&str]) -> String {
        let now = changes::time(World::real().now());
        let told = changed.iter().filter(|name| !self.field(name).is_some_and(|field| field.flags.derived));
        let words =
            told.map(|name| format!("{name}: {} → {}", self.brief(&self.before, name), self.brief(&self.record, name)));
        let words = words.collect::<Vec<_>>().join(", ");
        format!("{now} {} {} {} {words}", self.operation, self.class.name(), self.name()).trim_end().to_string()
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        MODEL.field(self.class, name).map(|index| &self.class.def().fields[index])
    }

    /// A field's value in few letters, read by its type.
    fn brief(&self, record: &Option<Arc<Map>>, name: &str) -> String {
        let Some(value) = record.as_ref().and_then(|record| record.get(name)) else { return String::new() };
        let typed = self.field(name).and_then(|field| check(name, field.ty, value.clone()).ok());
        changes::brief(typed.as_ref().unwrap_or(value))
    }

    fn json(&self, changed: &[&str], token: &str) -> Json {
        let field = |record: &Option<Arc<Map>>, name: &str| {
            record.as_ref().and_then(|record| record.get(name)).map(render::json_line).unwrap_or_default()
        };
        let changed: serde_json::Map<String, Json> = changed
            .iter()
            .map(|name| {
                (name.to_string(), json!({ "old": field(&self.before, name), "new": field(&self.record, name) }))
            })
            .collect();
        let mut json = json!({
            "token": token,
            "class": self.class.name(),
            "ref": self.reference.to_string(),
            "operation": self.operation,
        });
        match (&self.before, &self.record) {
            (Some(_), Some(_)) => json["changed"] = Json::Object(changed),
            (None, Some(record)) => json["record"] = render::json_line(&Value::Map(record.clone())),
            _ => {}
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: &str = "OpaqueRef:11111111-1111-4111-8111-111111111111";

    fn batch(token: &str, events: &[(&str, Option<&str>)]) -> Value {
        let events = events.iter().map(|(operation, state)| {
            let mut event =
                vec![("class", Value::text("vm")), ("operation", Value::text(operation)), ("ref", Value::text(VM))];
            if let Some(state) = state {
                let record = [("name_label", Value::text("web")), ("power_state", Value::text(state))];
                event.push(("snapshot", Value::map(record)));
            }
            Value::map(event)
        });
        Value::map([("token", Value::text(token)), ("events", Value::set(events))])
    }

    fn lines(watch: &mut Watch, operation: &str, state: Option<&str>) -> Option<String> {
        let batch = batch("t", &[(operation, state)]);
        watch.event(batch.as_map()["events"].as_set()[0].as_map(), "t")
    }

    #[test]
    fn lines_say_what_changed() {
        let mut watch = Watch::new(Vec::new(), false, None);
        watch.batch(&batch("t1", &[("add", Some("Halted"))]), true).expect("a batch");
        assert_eq!(watch.token, "t1");
        let line = lines(&mut watch, "mod", Some("Running")).expect("news");
        assert!(line.ends_with(" mod VM \"web\" power_state: Halted → Running"), "{line}");
        assert_eq!(lines(&mut watch, "add", Some("Running")), None, "the same again is no news");
        let line = lines(&mut watch, "del", None).expect("news");
        assert!(line.ends_with(" del VM \"web\""), "{line}");
    }

    #[test]
    fn only_what_is_wanted_is_told() {
        let wanted = |field, object| Wanted { subscription: "VM".into(), class: ClassId::VM, object, field };
        let mut watch = Watch::new(vec![wanted(Some("name_label"), None)], true, None);
        watch.batch(&batch("t1", &[("add", Some("Halted"))]), true).expect("a batch");
        assert_eq!(lines(&mut watch, "mod", Some("Running")), None);
        watch.wanted = vec![wanted(Some("power_state"), None)];
        let line = lines(&mut watch, "mod", Some("Paused")).expect("news");
        let json: Json = serde_json::from_str(&line).expect("JSON");
        assert_eq!(json["changed"]["power_state"], json!({ "old": "Running", "new": "Paused" }));
        assert_eq!(json["token"], "t");
        watch.wanted = vec![wanted(Some("power_state"), None), wanted(Some("name_label"), None)];
        let line = lines(&mut watch, "mod", Some("Running")).expect("news");
        let json: Json = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            json["changed"],
            json!({ "power_state": { "old": "Paused", "new": "Running" } }),
            "and nothing else"
        );
        watch.wanted = vec![wanted(None, Some(Ref([1; 16])))];
        assert_eq!(lines(&mut watch, "mod", Some("Halted")), None);
    }
}
