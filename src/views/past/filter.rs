//! Which events are wanted: by time, principal, class, object, message, kind
//! and outcome. One filter for the command line, `GET /log` and the messages
//! of class `log`.

use super::Lost;
use crate::event::{Event, Kind};
use crate::log::rows::{Moment, PAGE, Rows};
use crate::model::{ClassId, MODEL};
use crate::value::{Micros, Ref};
use crate::views::View;

/// How an event ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Accepted, and no error in it.
    Done,
    /// Not accepted: by its role, by the state, by its arguments; a failed login.
    Refused,
    /// Accepted earlier, and ended by this event with an error.
    Failed,
}

impl Outcome {
    pub const NAMES: [(Outcome, &'static str); 3] =
        [(Outcome::Done, "done"), (Outcome::Refused, "refused"), (Outcome::Failed, "failed")];

    pub fn of(event: &Event) -> Outcome {
        match (event.kind, event.body.error.is_empty()) {
            (Kind::Refused, _) | (Kind::Login, false) => Outcome::Refused,
            (_, true) => Outcome::Done,
            (_, false) => Outcome::Failed,
        }
    }

    pub fn name(self) -> &'static str {
        Outcome::NAMES.iter().find(|(outcome, _)| *outcome == self).expect("BUG: every outcome has a name").1
    }
}

/// See the module; empty, it wants everything.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    pub class: Option<ClassId>,
    pub object: Option<Ref>,
    /// A part of the name.
    pub principal: Option<String>,
    pub message: Option<String>,
    pub kind: Option<Kind>,
    pub outcome: Option<Outcome>,
    pub since: Option<Moment>,
    pub until: Option<Moment>,
}

impl Filter {
    /// Sets one part from text, as it comes from a command line or a query; what is wrong with it otherwise.
    pub fn set(&mut self, name: &str, text: &str, view: &View, now: Micros) -> Result<(), String> {
        let moment = || Moment::parse(text, now).ok_or(format!("{text:?} is no position, no time and no duration"));
        match name {
            "class" => self.class = Some(MODEL.class(text).ok_or(format!("no class {text}"))?),
            "object" => self.object = Some(find_object(view, text)?),
            "principal" => self.principal = Some(text.to_string()),
            "message" => self.message = Some(text.to_string()),
            "kind" => self.kind = Some(Kind::parse(text).ok_or(format!("no kind {text}"))?),
            "outcome" => {
                let found = Outcome::NAMES.iter().find(|(_, name)| *name == text);
                self.outcome = Some(found.ok_or(format!("no outcome {text}: done, refused or failed"))?.0);
            }
            "since" => self.since = Some(moment()?),
            "until" => self.until = Some(moment()?),
            _ => return Err(format!("no filter {name}")),
        }
        Ok(())
    }

    /// Whether nothing at or before this row is wanted.
    pub fn is_before(&self, position: u64, time: Micros) -> bool {
        match self.since {
            None => false,
            Some(Moment::Position(since)) => position < since,
            Some(Moment::Time(since)) => time < since,
        }
    }

    /// Whether nothing at or behind this row is wanted.
    pub fn is_behind(&self, position: u64, time: Micros) -> bool {
        match self.until {
            None => false,
            Some(Moment::Position(until)) => position > until,
            Some(Moment::Time(until)) => time > until,
        }
    }

    pub fn wants(&self, event: &Event) -> bool {
        !self.is_before(event.position, event.time)
            && !self.is_behind(event.position, event.time)
            && self.kind.is_none_or(|kind| event.kind == kind)
            && self.outcome.is_none_or(|outcome| Outcome::of(event) == outcome)
            && self.principal.as_deref().is_none_or(|wanted| event.principal.contains(wanted))
            && self.message.as_deref().is_none_or(|wanted| event.message.eq_ignore_ascii_case(wanted))
            && self.class.is_none_or(|class| self.about_class(event, class))
            && self.object.is_none_or(|object| about(event, object))
    }

    /// What was refused changed nothing, but it was a message of that class.
    fn about_class(&self, event: &Event, class: ClassId) -> bool {
        let called = || event.message.split_once('.').is_some_and(|(name, _)| name == class.name());
        event.body.changes.iter().any(|change| change.class == class) || (event.kind == Kind::Refused && called())
    }

    /// The position behind which to begin.
    pub async fn start(&self, rows: &dyn Rows) -> Result<u64, Lost> {
        Ok(match self.since {
            None => 0,
            Some(Moment::Position(position)) => position.saturating_sub(1),
            Some(Moment::Time(time)) => Moment::Time(time.saturating_sub(1)).position(rows).await?,
        })
    }

    /// The next page of wanted events behind `after`, in order, and the position to go on behind; `None` at the end.
    pub async fn page(&self, rows: &dyn Rows, after: u64) -> Result<Option<(Vec<Event>, u64)>, Lost> {
        let page = rows.behind(after, PAGE).await?;
        let Some(last) = page.last().map(|row| row.position) else { return Ok(None) };
        let mut wanted = Vec::new();
        for row in &page {
            if self.is_behind(row.position, row.time) {
                return Ok((!wanted.is_empty()).then_some((wanted, u64::MAX)));
            }
            let event = super::read(row)?;
            if self.wants(&event) {
                wanted.push(event);
            }
        }
        Ok(Some((wanted, last)))
    }

    /// The newest wanted events, in the log's order: at most `limit`.
    pub async fn newest(&self, rows: &dyn Rows, limit: usize) -> Result<Vec<Event>, Lost> {
        let mut found = Vec::new();
        let mut before = match self.until {
            None => u64::MAX,
            Some(until) => until.position(rows).await?.saturating_add(1),
        };
        'pages: loop {
            let page = rows.before(before, PAGE).await?;
            let Some(oldest) = page.last() else { break };
            before = oldest.position;
            for row in page {
                if self.is_before(row.position, row.time) || found.len() >= limit {
                    break 'pages;
                }
                let event = super::read(&row)?;
                if self.wants(&event) {
                    found.push(event);
                }
            }
        }
        found.reverse();
        Ok(found)
    }
}

/// Whether an object is in the event: changed by it, its task, or in the arguments of what was refused.
fn about(event: &Event, object: Ref) -> bool {
    event.body.task == Some(object)
        || event.body.changes.iter().any(|change| change.reference == object)
        || event.body.args.iter().any(|(_, arg)| arg.as_str().and_then(Ref::parse_uuid) == Some(object))
}

/// An object by reference, uuid or name, as the view has it.
pub fn find_object(view: &View, text: &str) -> Result<Ref, String> {
    if let Some(reference) = Ref::parse(text).filter(|reference| !reference.is_null()) {
        return Ok(reference);
    }
    let classes = || crate::model::CLASS_IDS.iter().copied();
    if let Some(found) = classes().find_map(|class| view.by_uuid(class, text)) {
        return Ok(found);
    }
    let named = classes().flat_map(|class| view.class(class).objects.values().map(move |object| (class, object)));
    let named: Vec<_> = named.filter(|(class, object)| super::tell::name_of(*class, object) == Some(text)).collect();
    match named.as_slice() {
        [(_, object)] => Ok(object.reference),
        [] => Err(format!("no object has the reference, uuid or name {text:?}; for a deleted one, give its reference")),
        several => {
            let listed: Vec<String> =
                several.iter().map(|(class, object)| format!("{} {}", class.name(), object.reference)).collect();
            Err(format!("{text:?} is the name of several objects:\n  {}", listed.join("\n  ")))
        }
    }
}
