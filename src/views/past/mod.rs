//! Looking back: the view at any position, what happened to one object, who
//! did what, and what differs between two moments. All of it comes from the
//! log's rows; nothing here changes anything, and nothing is kept beyond a few
//! views that were asked for last.
//!
//! ```text
//!   a moment ──▶ its position ─┬▶ nearest view kept at or before it ──replay the rows between──▶ view, kept
//!                              └▶ nearer to the present: its rows are taken back ──▶ view
//! ```

pub mod diff;
pub mod filter;
pub mod tell;

use super::relations::HOLDING;
use super::{Object, View, replay, undo};
use crate::event::{Event, Operation};
use crate::log::StorageError;
use crate::log::rows::{Moment, PAGE, Rows};
use crate::model::{ClassId, Ty};
use crate::value::{Ref, Value};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// Views of the past that are kept for the next question: as many as a comparison needs, for each may be as large as
/// the present.
const KEPT_MAX: usize = 2;

/// Questions answered at the same time: each reads the log, and none of them is urgent.
const QUESTIONS_MAX: usize = 4;

/// Why the past could not be told.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("position {position} is not there yet: the log ends at {head}")]
    Future { position: u64, head: u64 },
    #[error("row {position} of the log cannot be read: {why}")]
    Unreadable { position: u64, why: String },
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Folds the rows behind `view` up to and with `position`; `progress` hears how far it is, page by page.
pub async fn forward(
    rows: &dyn Rows,
    mut view: View,
    position: u64,
    mut progress: impl FnMut(u64),
) -> Result<View, Lost> {
    while view.position < position {
        let page = rows.behind(view.position, PAGE).await?;
        let wanted = page.partition_point(|row| row.position <= position);
        for row in &page[..wanted] {
            let event = read(row)?;
            replay(&mut view, &event);
            view.hash = row.hash;
        }
        progress(view.position);
        if wanted < page.len() || page.is_empty() {
            break;
        }
    }
    Ok(view)
}

/// The view at a position that is not behind that of `view`: its newest events are taken back. It is the same but for
/// the members of sets, which may have another order; who needs the state's hash folds forward.
pub async fn backward(
    rows: &dyn Rows,
    mut view: View,
    position: u64,
    mut progress: impl FnMut(u64),
) -> Result<View, Lost> {
    let mut before = view.position.saturating_add(1);
    loop {
        let page = rows.before(before, PAGE).await?;
        for row in &page {
            if row.position <= position {
                (view.lineage, view.position, view.time, view.hash) = (row.lineage, row.position, row.time, row.hash);
                return Ok(view);
            }
            undo(&mut view, &read(row)?);
            before = row.position;
        }
        if page.is_empty() {
            return Ok(View::default());
        }
        progress(before);
    }
}

fn read(row: &crate::log::Row) -> Result<Event, Lost> {
    row.event().map_err(|error| Lost::Unreadable { position: row.position, why: error.to_string() })
}

/// Puts the accounts and sessions of `present` into a view of the past, as of that moment.
pub fn with_accounts_of(view: &mut View, present: &View) {
    for class in [ClassId::user, ClassId::subject, ClassId::session] {
        let then: Vec<_> = view.class(class).objects.values().cloned().collect();
        for object in then {
            view.take(class, object.reference);
        }
        let position = view.position;
        for object in present.class(class).objects.values() {
            view.put(class, Arc::new(Object { created: position, modified: position, ..(**object).clone() }));
            view.class_mut(class).note(position, object.reference);
        }
    }
}

/// Puts a session of another view into this one, as of now: whoever looks at a saved database has to be there.
pub fn with_session(view: &mut View, own: &Object) {
    let mut object = Object { created: view.position, modified: view.position, ..own.clone() };
    for field in &HOLDING[ClassId::session as usize] {
        let ty = ClassId::session.def().fields[*field].ty;
        let Ty::Ref(class) = ty else { continue };
        if view.object(class, object.record[*field].as_ref()).is_none() {
            object.record[*field] = Value::Ref(Ref::NULL);
        }
    }
    view.class_mut(ClassId::session).note(object.modified, object.reference);
    view.put(ClassId::session, Arc::new(object));
}

/// What a server answers questions about the past from.
pub struct Past {
    rows: Box<dyn Rows>,
    /// Oldest question first. Held while a view is made: two at a time would only make each other slow.
    kept: Mutex<Vec<Arc<View>>>,
    turns: Semaphore,
}

impl Past {
    pub fn new(rows: impl Rows) -> Arc<Past> {
        Arc::new(Past { rows: Box::new(rows), kept: Mutex::default(), turns: Semaphore::new(QUESTIONS_MAX) })
    }

    /// Waits until a question may be asked, and keeps its turn for as long as the answer lives.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.turns.acquire().await.expect("BUG: nobody closes it")
    }

    pub fn rows(&self) -> &dyn Rows {
        &*self.rows
    }

    /// The view at a moment not after `present`.
    pub async fn at(&self, moment: Moment, present: Arc<View>) -> Result<Arc<View>, Lost> {
        let position = moment.position(self.rows()).await?;
        if position > present.position {
            match moment {
                Moment::Position(_) => return Err(Lost::Future { position, head: present.position }),
                Moment::Time(_) => return Ok(present), // rows came in between
            }
        }
        if position == present.position {
            return Ok(present);
        }
        let mut kept = self.kept.lock().await;
        let nearest = kept.iter().filter(|view| view.position <= position).max_by_key(|view| view.position);
        let start = nearest.map(|view| View::clone(view)).unwrap_or_default();
        let view = Arc::new(forward(self.rows(), start, position, |_| {}).await?);
        kept.retain(|other| other.position != view.position);
        kept.push(view.clone());
        if kept.len() > KEPT_MAX {
            kept.remove(0);
        }
        Ok(view)
    }

    /// The same for whom the order of sets' members says nothing: from the present, where that is nearer.
    pub async fn near(&self, moment: Moment, present: Arc<View>) -> Result<Arc<View>, Lost> {
        let position = moment.position(self.rows()).await?;
        let kept = self.kept.lock().await;
        let behind = kept.iter().map(|view| view.position).filter(|kept| *kept <= position).max().unwrap_or(0);
        drop(kept);
        match present.position.checked_sub(position) {
            Some(back @ 1..) if back < position - behind => {
                let view = backward(self.rows(), View::clone(&present), position, |_| {}).await?;
                Ok(Arc::new(view))
            }
            _ => self.at(moment, present).await,
        }
    }

    /// What happened to one object behind `after`, oldest first: at most `limit` events.
    pub async fn history(
        &self,
        class: ClassId,
        reference: Ref,
        field: Option<usize>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Event>, Lost> {
        history(self.rows(), class, reference, field, after, limit).await
    }
}

/// The events that changed one object, or one field of it, each with that change alone.
pub async fn history(
    rows: &dyn Rows,
    class: ClassId,
    reference: Ref,
    field: Option<usize>,
    mut after: u64,
    limit: usize,
) -> Result<Vec<Event>, Lost> {
    let named = format!("\"{}\"", reference.uuid_text());
    let mut found = Vec::new();
    loop {
        let page = rows.behind(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.position;
        // Most rows are of other objects: their text alone says so.
        for row in page.iter().filter(|row| row.payload.contains(&named)) {
            let mut event = read(row)?;
            event.body.changes.retain_mut(|change| {
                (change.class, change.reference) == (class, reference) && keep_field(&mut change.operation, field)
            });
            if !event.body.changes.is_empty() {
                found.push(event);
            }
            if found.len() >= limit {
                return Ok(found);
            }
        }
    }
}

/// Whether a change says something of the field; leaves only that in it.
fn keep_field(operation: &mut Operation, field: Option<usize>) -> bool {
    let Some(field) = field else { return true };
    match operation {
        Operation::Add(values) => {
            values.retain(|(index, _)| *index == field);
            true // at its default it says so too
        }
        Operation::Mod(deltas) => {
            deltas.retain(|(index, _)| *index == field);
            !deltas.is_empty()
        }
        Operation::Del(_) => true,
    }
}

#[cfg(test)]
mod tests;
