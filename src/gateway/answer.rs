//! What a call is answered with, and how it is written: records straight from
//! the view into the output, without a copy in between.

use crate::model::{CLASSES, ClassId};
use crate::subscribe::events::Changed;
use crate::value::{Encode, Ref, Value};
use crate::views::read::{ReadView, Scope};
use crate::views::{Object, View};
use std::sync::Arc;

/// The answer to a call, not yet in any wire's form.
pub enum Answer {
    Value(Value),
    /// One object's record.
    Record(Arc<View>, ClassId, Arc<Object>),
    /// All records of a class, by reference.
    Records(Arc<View>, ClassId),
    /// The records of some of them.
    Selected(Arc<View>, ClassId, Vec<Arc<Object>>),
    /// What `event.from` answers.
    Batch {
        view: Arc<View>,
        changed: Vec<Changed>,
        token: String,
    },
    /// What `event.next` answers.
    Events(Arc<View>, Vec<Told>),
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
            Answer::Record(view, class, object) => ReadView::new(view, Scope::All).render(*class, object, out),
            Answer::Records(view, class) => {
                let read = ReadView::new(view, Scope::All);
                render_records(&read, *class, read.objects(*class), out);
            }
            Answer::Selected(view, class, objects) => {
                render_records(&ReadView::new(view, Scope::All), *class, objects.iter(), out);
            }
            Answer::Batch { view, changed, token } => render_batch(view, changed, token, out),
            Answer::Events(view, told) => {
                out.begin_array();
                for event in told {
                    let time = format!("{}.", event.time / 1_000_000);
                    begin_event(event.id, &time, event.class, event.operation, event.reference, out);
                    snapshot(view, event.class, event.object.as_deref(), out);
                    out.end_struct();
                }
                out.end_array();
            }
        }
    }
}

fn render_records<'o, E: Encode>(
    read: &ReadView<'_>,
    class: ClassId,
    objects: impl Iterator<Item = &'o Arc<Object>>,
    out: &mut E,
) {
    out.begin_struct();
    for object in objects {
        object.reference.with_text(|text| out.name(text));
        read.render(class, object, out);
    }
    out.end_struct();
}

fn render_batch<E: Encode>(view: &View, changed: &[Changed], token: &str, out: &mut E) {
    out.begin_struct();
    out.name("events");
    out.begin_array();
    for change in changed {
        begin_event(change.position, "0.0", change.class, change.operation, change.reference, out);
        snapshot(view, change.class, change.object.as_deref(), out);
        out.end_struct();
    }
    out.end_array();
    out.name("valid_ref_counts");
    out.begin_struct();
    for (class, count) in view.counts() {
        out.name(&EVENT_NAMES[class as usize]);
        out.count(count);
    }
    out.end_struct();
    out.name("token");
    out.text(token);
    out.end_struct();
}

fn begin_event<E: Encode>(id: u64, time: &str, class: ClassId, operation: &str, reference: Ref, out: &mut E) {
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

fn snapshot<E: Encode>(view: &View, class: ClassId, object: Option<&Object>, out: &mut E) {
    if let Some(object) = object {
        out.name("snapshot");
        ReadView::new(view, Scope::All).render(class, object, out);
    }
}
