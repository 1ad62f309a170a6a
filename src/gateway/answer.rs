//! What a call is answered with, and how it is written: records straight from
//! the view into the output, without a copy in between.

use super::event_from::EventFrom;
use crate::model::{CLASSES, ClassId};
use crate::subscribe::delivered::Delivered;
use crate::subscribe::events::Changed;
use crate::value::rendering::Shared;
use crate::value::{Encode, Ref, Value};
use crate::views::read::{ReadView, Sight};
use crate::views::{Object, Token};
use std::sync::Arc;

/// The answer to a call, not yet in any wire's form.
pub enum Answer {
    Value(Value),
    /// One object's record.
    Record(Sight, ClassId, Arc<Object>),
    /// All records of a class, by reference.
    Records(Sight, ClassId),
    /// The records of some of them.
    Selected(Sight, ClassId, Vec<Arc<Object>>),
    /// What `event.from` answers.
    Batch {
        sight: Sight,
        changed: Vec<Changed>,
        token: Token,
        /// The same for all who get the same.
        shared: Arc<Shared>,
    },
    /// What `subscription.poll` answers.
    Polled {
        events: Vec<Arc<Delivered>>,
        cursor: String,
        lag: u64,
    },
    /// What `event.next` answers.
    Events(Vec<Told>),
    /// Not known yet; only for a caller who is content with that.
    Later(Arc<EventFrom>),
    /// In XML without the usual struct around it: `system.*`.
    Raw(Value),
}

/// One event as `event.next` tells it.
pub struct Told {
    pub id: u64,
    pub time: i64,
    pub class: ClassId,
    pub reference: Ref,
    pub operation: &'static str,
    pub object: Option<Arc<Object>>,
    /// What was there then, as far as it may be seen.
    pub sight: Sight,
}

impl From<Value> for Answer {
    fn from(value: Value) -> Answer {
        Answer::Value(value)
    }
}

/// Lower-case names of all classes, as events spell them.
static EVENT_NAMES: std::sync::LazyLock<Vec<String>> =
    std::sync::LazyLock::new(|| CLASSES.iter().map(|class| class.name.to_ascii_lowercase()).collect());

impl Answer {
    /// Writes the answer.
    pub fn render<E: Encode>(&self, out: &mut E) {
        match self {
            Answer::Value(value) | Answer::Raw(value) => out.value(value),
            Answer::Record(sight, class, object) => sight.read().render(*class, object, out),
            Answer::Records(sight, class) => {
                let read = sight.read();
                render_records(read, *class, read.objects(*class), out);
            }
            Answer::Selected(sight, class, objects) => {
                render_records(sight.read(), *class, objects.iter(), out);
            }
            Answer::Batch { sight, changed, token, shared } => {
                out.shared(shared, &|out| render_batch(sight.read(), changed, *token, out));
            }
            Answer::Polled { events, cursor, lag } => {
                out.begin_struct();
                out.name("events");
                out.begin_array();
                events.iter().for_each(|event| event.put(out));
                out.end_array();
                out.name("cursor");
                out.text(cursor);
                out.name("lag");
                out.int(*lag as i64);
                out.end_struct();
            }
            Answer::Later(_) => unreachable!("BUG: this is waited for, and not written"),
            Answer::Events(told) => {
                out.begin_array();
                for event in told {
                    let time = format!("{}.", event.time / 1_000_000);
                    begin_event(event.id, &time, event.class, event.operation, event.reference, out);
                    snapshot(event.sight.read(), event.class, event.object.as_deref(), out);
                    out.end_struct();
                }
                out.end_array();
            }
        }
    }
}

/// Records after which the length of all is known well enough.
const TYPICAL: usize = 64;

fn render_records<'o, E: Encode>(
    read: ReadView<'_>,
    class: ClassId,
    objects: impl Iterator<Item = &'o Arc<Object>>,
    out: &mut E,
) {
    let most = objects.size_hint().1.unwrap_or(0);
    out.begin_struct();
    for (nth, object) in objects.enumerate() {
        if nth == TYPICAL && most > nth {
            out.expect((most - nth) as f64 / nth as f64);
        }
        object.reference.with_text(|text| out.name(text));
        read.render(class, object, out);
    }
    out.end_struct();
}

fn render_batch<E: Encode + ?Sized>(read: ReadView<'_>, changed: &[Changed], token: Token, out: &mut E) {
    out.begin_struct();
    out.name("events");
    out.begin_array();
    for change in changed {
        begin_event(change.position, "0.0", change.class, change.operation, change.reference, out);
        snapshot(read, change.class, change.object.as_deref(), out);
        out.end_struct();
    }
    out.end_array();
    out.name("valid_ref_counts");
    out.begin_struct();
    for (class, count) in read.counts() {
        out.name(&EVENT_NAMES[class as usize]);
        out.count(count);
    }
    out.end_struct();
    out.name("token");
    out.text(&token.to_string());
    out.end_struct();
}

fn begin_event<E: Encode + ?Sized>(id: u64, time: &str, class: ClassId, operation: &str, reference: Ref, out: &mut E) {
    out.begin_struct();
    out.name("id");
    out.text(itoa::Buffer::new().format(id));
    out.name("timestamp");
    out.text(time);
    out.name("class");
    out.text(&EVENT_NAMES[class as usize]);
    out.name("operation");
    out.text(operation);
    out.name("ref");
    out.reference(reference);
}

fn snapshot<E: Encode + ?Sized>(read: ReadView<'_>, class: ClassId, object: Option<&Object>, out: &mut E) {
    if let Some(object) = object {
        out.name("snapshot");
        read.render(class, object, out);
    }
}
