//! Views as they were: for subscribers that are behind what is kept in
//! memory. The nearest view at hand is taken forward or back, event by event,
//! so it costs how far somebody is behind, not how long the log is.
//!
//! Must never know who asks.

use crate::log::StorageError;
use crate::log::rows::Rows;
use crate::views::{View, replay, undo};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows read at a time; what one step of the executor may be kept from others.
pub const ROWS: usize = 250;
/// Views remembered, so that the next page begins where the last one ended.
const VIEWS_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub struct Past {
    views: VecDeque<(u64, Arc<View>)>,
}

impl Past {
    /// Remembers the view after a position.
    pub fn remember(&mut self, position: u64, view: Arc<View>) {
        if self.views.iter().any(|(known, _)| *known == position) {
            return;
        }
        if self.views.len() >= VIEWS_MAX {
            self.views.pop_front();
        }
        self.views.push_back((position, view));
    }

    /// The view after a position; `newest` is one that may serve to begin with.
    pub async fn at(
        &mut self,
        position: u64,
        newest: [Option<Arc<View>>; 2],
        rows: &dyn Rows,
    ) -> Result<Arc<View>, StorageError> {
        let given = newest.into_iter().flatten().map(|view| (view.position, view));
        let known = self.views.iter().cloned().chain(given);
        let genesis = (0, Arc::new(View::default()));
        let nearest = known.chain([genesis]).min_by_key(|(at, _)| at.abs_diff(position));
        let (at, view) = nearest.expect("BUG: there is always the beginning");
        if at == position {
            return Ok(view);
        }
        let mut view = View::clone(&view);
        if at < position {
            forward(&mut view, at, position, rows).await?;
        } else {
            back(&mut view, at, position, rows).await?;
        }
        view.position = position;
        let view = Arc::new(view);
        self.remember(position, view.clone());
        Ok(view)
    }
}

async fn forward(view: &mut View, from: u64, to: u64, rows: &dyn Rows) -> Result<(), StorageError> {
    let mut reached = from;
    while reached < to {
        let page = rows.behind(reached, ROWS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        reached = last.position;
        for row in page.iter().filter(|row| row.position <= to) {
            replay(view, &row.event().map_err(|error| StorageError(error.to_string()))?);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn back(view: &mut View, from: u64, to: u64, rows: &dyn Rows) -> Result<(), StorageError> {
    let mut before = from + 1;
    while before > to + 1 {
        let page = rows.before(before, ROWS).await?;
        let Some(last) = page.last() else { return Ok(()) };
        before = last.position;
        for row in page.iter().filter(|row| row.position > to) {
            undo(view, &row.event().map_err(|error| StorageError(error.to_string()))?);
        }
        tokio::task::yield_now().await;
    }
    Ok(())
}
