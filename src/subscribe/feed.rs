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
use super::delivered::{Delivered, Want};
use super::past::{self, Past};
use crate::error::{ApiError, codes};
use crate::event::{Event, Kind};
use crate::log::rows::Rows;
use crate::log::writer::Ledger;
use crate::log::{Row, StorageError};
use crate::views::{View, fold};
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

/// Some of what comes behind a position.
pub struct Page {
    pub events: Vec<Arc<Delivered>>,
    /// Everything up to here was looked at.
    pub reached: u64,
    /// There is more behind it now.
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
                let mut page = Page { events: Vec::new(), reached: after, more: false };
                for batch in batches {
                    let told = batch.told(want);
                    let mut fresh = told.iter().filter(|event| event.position > after);
                    page.events.extend(fresh.by_ref().take(max - page.events.len()).cloned());
                    if fresh.next().is_some() {
                        page.reached = page.events.last().map_or(after, |event| event.position);
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
        while page.events.is_empty() && page.more {
            page = self.page(page.reached, want, max).await?;
        }
        Ok(page)
    }

    async fn page_of_log(&self, after: u64, want: &Arc<Want>, max: usize) -> Result<Page, ApiError> {
        let head = self.0.ledger.view();
        let rows = self.0.rows.behind(after, past::ROWS).await.map_err(unreadable)?;
        // What is not published yet is not told yet.
        let rows: Vec<Row> = rows.into_iter().take_while(|row| row.position <= head.position).collect();
        let mut page = Page { events: Vec::new(), reached: after, more: false };
        let Some(first) = rows.first() else { return Ok(page) };
        if first.position > after + 1 && first.kind != Kind::Lineage {
            return Err(codes::EVENTS_LOST());
        }
        let mut past = self.0.past.lock().await;
        let near = [Some(head.clone()), self.0.subscribers.near(after)];
        let view = past.at(after, near, &*self.0.rows).await.map_err(unreadable)?;
        let mut view = View::clone(&view);
        for row in &rows {
            let event: Event = row.event().map_err(|error| unreadable(StorageError(error.to_string())))?;
            let effects = fold(&mut view, &event);
            page.reached = row.position;
            page.events.extend(want.tell(&event, &effects, || Arc::new(view.clone())).map(Arc::new));
            if page.events.len() >= max {
                break;
            }
        }
        page.more = page.reached < head.position;
        past.remember(page.reached, Arc::new(view));
        Ok(page)
    }
}

fn unreadable(error: StorageError) -> ApiError {
    tracing::error!(%error, "the log could not be read for a subscriber");
    codes::INTERNAL_ERROR("the log cannot be read now")
}
