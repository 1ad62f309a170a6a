//! Reading the log for those who look back: by position, by time, in pages.
//!
//! [`Rows`] is all that they see of storage, so that they work on a log in
//! memory too. Must never know what an event means.

use super::archive::Archive;
use super::memory::MemoryLog;
use super::sqlite::LogReader;
use super::{Head, Port, Row, StorageError};
use crate::value::{Micros, parse_time};
use std::pin::Pin;

/// Rows on their way out of storage.
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, StorageError>> + Send + 'a>>;

/// Rows read at once.
pub const PAGE: usize = 1000;

/// A log to look back into, archived rows included.
pub trait Rows: Send + Sync + 'static {
    /// Rows behind `after`, in order, at most `limit`; only an empty page is the end.
    fn behind(&self, after: u64, limit: usize) -> Reading<'_, Vec<Row>>;

    /// Rows before `before`, newest first, at most `limit`; only an empty page is the end.
    fn before(&self, before: u64, limit: usize) -> Reading<'_, Vec<Row>>;

    /// Where the log ends.
    fn end(&self) -> Reading<'_, Head>;

    /// The newest range that is archived.
    fn archived(&self) -> Reading<'_, Option<Archive>>;
}

impl Rows for LogReader {
    fn behind(&self, after: u64, limit: usize) -> Reading<'_, Vec<Row>> {
        Box::pin(self.read(after, limit))
    }

    fn before(&self, before: u64, limit: usize) -> Reading<'_, Vec<Row>> {
        Box::pin(self.read_back(before, limit))
    }

    fn end(&self) -> Reading<'_, Head> {
        Box::pin(self.head())
    }

    fn archived(&self) -> Reading<'_, Option<Archive>> {
        Box::pin(LogReader::archived(self))
    }
}

impl Rows for MemoryLog {
    fn behind(&self, after: u64, limit: usize) -> Reading<'_, Vec<Row>> {
        let mut port = self.another();
        Box::pin(async move { port.read(after, limit).await })
    }

    fn before(&self, before: u64, limit: usize) -> Reading<'_, Vec<Row>> {
        let rows = self.newest(before, limit);
        Box::pin(async move { Ok(rows) })
    }

    fn end(&self) -> Reading<'_, Head> {
        let mut port = self.another();
        Box::pin(async move { port.head().await })
    }

    fn archived(&self) -> Reading<'_, Option<Archive>> {
        let newest = MemoryLog::archived(self);
        Box::pin(async move { Ok(newest) })
    }
}

/// When: a position of the log, or a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    Position(u64),
    Time(Micros),
}

impl Moment {
    /// Reads a position, a time (`2026-11-22T19:56:26`, `20261122T19:56:26Z`), a day, or how long ago (`90s`, `15m`,
    /// `2h`, `7d`).
    pub fn parse(text: &str, now: Micros) -> Option<Moment> {
        if let Ok(position) = text.parse() {
            return Some(Moment::Position(position));
        }
        let time = ago(text).map(|ago| now.saturating_sub(ago)).or_else(|| parse_time(text));
        let time = time.or_else(|| fine_time(text)).or_else(|| parse_time(&format!("{text}T00:00:00")));
        time.map(Moment::Time)
    }

    /// The position of the last row that is not after the moment; 0 if all are.
    pub async fn position(self, rows: &dyn Rows) -> Result<u64, StorageError> {
        match self {
            Moment::Position(position) => Ok(position),
            Moment::Time(time) => position_at(rows, time).await,
        }
    }
}

/// A time with a fraction of a second, as the log prints it.
fn fine_time(text: &str) -> Option<Micros> {
    Some(text.parse::<jiff::Timestamp>().ok()?.as_microsecond())
}

/// How long a text says: `90s`, `15m`, `2h`, `7d`.
pub fn ago(text: &str) -> Option<Micros> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds: i64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(seconds * 1_000_000)
}

/// Halves the log until the row is found: times never fall. A lineage's jump is crossed by asking for what is behind.
async fn position_at(rows: &dyn Rows, time: Micros) -> Result<u64, StorageError> {
    let end = rows.end().await?;
    if end.time <= time {
        return Ok(end.position);
    }
    // The row behind `low` is not after the time, or there is none; the row behind `high` is after it.
    let (mut low, mut high) = (0, end.position);
    let mut found = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        match rows.behind(middle, 1).await?.first() {
            Some(row) if row.time <= time => (found, low) = (row.position, row.position),
            _ => high = middle,
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::log::{Appended, VaultChanges, hash};

    const NOW: Micros = 1_700_000_000_000_000;

    #[test]
    fn moments_are_positions_times_and_durations() {
        let time = |text| match Moment::parse(text, NOW) {
            Some(Moment::Time(time)) => time,
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(Moment::parse("42", NOW), Some(Moment::Position(42)));
        assert_eq!(time("90s"), NOW - 90_000_000);
        assert_eq!(time("2d"), NOW - 172_800_000_000);
        assert_eq!(time("2023-11-14T22:13:20Z"), NOW);
        assert_eq!(time("20231114T22:13:20"), NOW);
        assert_eq!(time("2023-11-14T22:13:20.000001Z"), NOW + 1);
        assert!(time("2023-11-14") < NOW);
        assert_eq!(Moment::parse("yesterday", NOW), None);
    }

    #[tokio::test]
    async fn a_time_is_found_across_a_gap() {
        let mut log = MemoryLog::new();
        let (term, head) = log.open().await.expect("open");
        let mut previous = head.hash;
        for (position, time) in [(1, 10), (2, 20), (3, 20), (1000, 30), (1001, 40)] {
            let kind = if position == 1000 { Kind::Lineage } else { Kind::Change };
            let lineage = if position >= 1000 { 2 } else { 1 };
            let event = crate::event::Event {
                kind,
                lineage,
                term,
                position,
                time,
                principal: "timer".into(),
                message: "".into(),
                request: "".into(),
                cause: 0,
                body: Default::default(),
            };
            let row = Row::of(&event, &previous);
            previous = hash::of_row(&previous, &row);
            let expected = log.head().await.expect("head").position;
            let appended = log.append(term, expected, vec![row], VaultChanges::default()).await;
            assert!(matches!(appended, Appended::Done), "{appended:?}");
        }
        for (time, position) in [(9, 0), (10, 1), (19, 1), (20, 3), (29, 3), (30, 1000), (39, 1000), (99, 1001)] {
            assert_eq!(Moment::Time(time).position(&log).await.expect("found"), position, "at {time}");
        }
    }
}
