//! The feed: what comes behind a position for somebody who wants it. Who keeps
//! up is served from memory, who does not from the log, in pages; what is
//! told is the same.
//!
//! ```text
//!   position ─┬─ among the recent batches ─▶ told once for all who want the same
//!             └─ before them ─▶ the view of then ─▶ rows folded on, a page at a time
//! ```
//!
//! Must never know how anything is sent.

use super::Subscribers;
use super::delivered::Want;
use super::page::{Page, Told};
use super::past::{self, Past};
use super::recent::Look;
use crate::error::{ApiError, codes};
use crate::event::{Event, Kind};
use crate::log::rows::Rows;
use crate::log::writer::Ledger;
use crate::log::{Row, StorageError};
use crate::views::{Effect, View, fold};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Events in one page, whatever was asked for.
pub const PAGE_MAX: usize = 1_000;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Feed(Arc<Inner>);

struct Inner {
    ledger: Ledger,
    subscribers: Subscribers,
    rows: Box<dyn Rows>,
    past: Mutex<Past>,
}

/// How far somebody looked, and whether there is more behind it now.
pub struct Reached {
    pub position: u64,
    pub more: bool,
}

impl Feed {
    pub fn new(ledger: Ledger, subscribers: Subscribers, rows: impl Rows) -> Feed {
        Feed(Arc::new(Inner { ledger, subscribers, rows: Box::new(rows), past: Mutex::default() }))
    }

    /// At most `max` events behind a position, never a part of one.
    pub async fn page(&self, after: u64, want: &Arc<Want>, max: usize) -> Result<Page, ApiError> {
        let max = max.clamp(1, PAGE_MAX);
        match self.0.subscribers.recent(after) {
            Some(batches) => {
                let mut page = Page::empty(after);
                for batch in batches {
                    if !page.add(&batch.told(want), after, max) {
                        page.reached = page.last().unwrap_or(after);
                        page.more = true;
                        return Ok(page);
                    }
                    page.reached = batch.view.position;
                }
                Ok(page)
            }
            None => self.page_of_log(after, want, max).await,
        }
    }

    /// The same until something is found or there is no more.
    pub async fn next(&self, after: u64, want: &Arc<Want>, max: usize) -> Result<Page, ApiError> {
        let mut page = self.page(after, want, max).await?;
        while page.is_empty() && page.more {
            page = self.page(page.reached, want, max).await?;
        }
        Ok(page)
    }

    /// Shows every event behind a position with what it did, a page at most, until it is enough.
    pub async fn walk(
        &self,
        after: u64,
        mut show: impl FnMut(&Event, &[Effect], Look<'_>) -> bool,
    ) -> Result<Reached, ApiError> {
        let Some(batches) = self.0.subscribers.recent(after) else { return self.walk_log(after, show).await };
        let mut position = after;
        for batch in batches {
            let enough = !batch.each(|event, effects, look| {
                let more = event.position <= after || show(event, effects, look);
                position = position.max(event.position);
                more
            });
            if enough {
                return Ok(Reached { position, more: true });
            }
            position = batch.view.position;
        }
        Ok(Reached { position, more: false })
    }

    async fn page_of_log(&self, after: u64, want: &Want, max: usize) -> Result<Page, ApiError> {
        let mut events = Vec::new();
        let shown = self.walk_log(after, |event, effects, look| {
            events.extend(want.tell(event, effects, look).map(Arc::new));
            events.len() < max
        });
        let Reached { position, more } = shown.await?;
        let mut page = Page { more, ..Page::empty(position) };
        page.add(&Arc::new(Told::from(events)), after, max);
        Ok(page)
    }

    async fn walk_log(
        &self,
        after: u64,
        mut show: impl FnMut(&Event, &[Effect], Look<'_>) -> bool,
    ) -> Result<Reached, ApiError> {
        let head = self.0.ledger.view();
        let rows = self.0.rows.behind(after, past::ROWS).await.map_err(unreadable)?;
        // What is not published yet is not told yet.
        let rows: Vec<Row> = rows.into_iter().take_while(|row| row.position <= head.position).collect();
        let Some(first) = rows.first() else { return Ok(Reached { position: after, more: false }) };
        if first.position > after + 1 && first.kind != Kind::Lineage {
            return Err(codes::EVENTS_LOST());
        }
        let mut past = self.0.past.lock().await;
        let mut view = View::clone(&*self.at(&mut past, after, &head).await?);
        let mut position = after;
        for row in &rows {
            let event: Event = row.event().map_err(|error| unreadable(StorageError(error.to_string())))?;
            let effects = fold(&mut view, &event);
            position = row.position;
            if !show(&event, &effects, &mut || Arc::new(view.clone())) {
                break;
            }
        }
        past.remember(position, Arc::new(view));
        Ok(Reached { position, more: position < head.position })
    }

    /// The view after a position.
    pub async fn view_at(&self, position: u64) -> Result<Arc<View>, ApiError> {
        let head = self.0.ledger.view();
        self.at(&mut *self.0.past.lock().await, position, &head).await
    }

    /// A view that somebody will come back to.
    pub async fn remember(&self, view: &Arc<View>) {
        self.0.past.lock().await.remember(view.position, view.clone());
    }

    async fn at(&self, past: &mut Past, position: u64, head: &Arc<View>) -> Result<Arc<View>, ApiError> {
        let near = [Some(head.clone()), self.0.subscribers.near(position)];
        past.at(position, near, &*self.0.rows).await.map_err(unreadable)
    }
}

fn unreadable(error: StorageError) -> ApiError {
    tracing::error!(%error, "the log could not be read for a subscriber");
    codes::INTERNAL_ERROR("the log cannot be read now")
}
