//! Some of what comes behind a position: events as they are told, by the
//! batches in which they became durable, so that what many are sent alike is
//! put together once.
//!
//! Must never know how an event is sent.

use super::delivered::Delivered;
use crate::value::rendering::{Rendering, Weight};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// What is told of a batch, in order.
#[derive(Default)]
pub struct Told {
    events: Vec<Arc<Delivered>>,
    /// What all streams send of the whole.
    framed: Rendering,
}

impl From<Vec<Arc<Delivered>>> for Told {
    fn from(events: Vec<Arc<Delivered>>) -> Told {
        Told { events, framed: Rendering::default() }
    }
}

impl Told {
    /// Events of a batch that is kept, their renderings counted there.
    pub(super) fn counted(events: Vec<Delivered>, weight: &Weight) -> Told {
        let events = events.into_iter().map(|event| Arc::new(event.counted(weight)));
        Told { events: events.collect(), framed: Rendering::counted(weight) }
    }

    /// The events from the first one behind a position on, at most so many.
    fn behind(self: &Arc<Told>, after: u64, most: usize) -> Part {
        let first = self.events.partition_point(|event| event.position <= after);
        let last = self.events.len().min(first.saturating_add(most));
        Part { told: self.clone(), range: first..last }
    }
}

/// Events of one batch that follow one another.
pub struct Part {
    told: Arc<Told>,
    range: Range<usize>,
}

impl Part {
    pub fn events(&self) -> &[Arc<Delivered>] {
        &self.told.events[self.range.clone()]
    }

    /// Whether the batch has more behind them.
    fn is_cut(&self) -> bool {
        self.range.end < self.told.events.len()
    }

    /// The events one behind the other as `frame` writes each; of a whole batch made once for all, who all have the same
    /// `frame`.
    pub fn framed(&self, frame: impl Fn(&mut Vec<u8>, &Delivered)) -> Bytes {
        let (own, whole) = (Rendering::default(), self.range.len() == self.told.events.len());
        let framed = if whole { &self.told.framed } else { &own };
        framed.get_or_write(|out| self.events().iter().for_each(|event| frame(out, event))).clone()
    }
}

/// See the module.
pub struct Page {
    /// None is empty.
    pub parts: Vec<Part>,
    /// Everything up to here was looked at.
    pub reached: u64,
    /// There is more behind it now.
    pub more: bool,
}

impl Page {
    /// Nothing, up to a position.
    pub fn empty(reached: u64) -> Page {
        Page { parts: Vec::new(), reached, more: false }
    }

    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// How many events it has.
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| part.range.len()).sum()
    }

    pub fn events(&self) -> impl Iterator<Item = &Arc<Delivered>> {
        self.parts.iter().flat_map(Part::events)
    }

    /// The position of the last event.
    pub fn last(&self) -> Option<u64> {
        Some(self.parts.last()?.events().last()?.position)
    }

    /// Adds what comes behind a position of what is told of the next batch, up to `max` events in all; false if that was
    /// not everything.
    pub(super) fn add(&mut self, told: &Arc<Told>, after: u64, max: usize) -> bool {
        let part = told.behind(after, max - self.len());
        let all = !part.is_cut();
        if !part.events().is_empty() {
            self.parts.push(part);
        }
        all
    }

    /// Leaves out what comes behind the last event of a batch that was made before; if there is none, nothing.
    pub fn end_at(&mut self, last: u64) {
        let kept = self.events().filter(|event| event.position <= last).count();
        if kept == 0 || kept == self.len() {
            return;
        }
        let mut left = kept;
        self.parts.retain_mut(|part| {
            part.range.end = part.range.end.min(part.range.start + left);
            left -= part.range.len();
            !part.range.is_empty()
        });
        self.reached = self.last().unwrap_or(self.reached);
        self.more = true;
    }
}
