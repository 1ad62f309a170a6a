//! Getting the view back: from the store and the log's tail, or from the whole
//! log. The one way in which the server and the tools begin.
//!
//! ```text
//!   store loaded, its last event in the log ──▶ fold the tail ──────▶ view
//!   no store, not to be believed, of another log ──▶ fold all rows ──▶ view
//! ```

use super::View;
use super::replay::Replay;
use super::store::{self, Mark};
use crate::event::Event;
use crate::log::sqlite::LogReader;
use crate::log::verify::{Broken, Chain, verify};
use crate::log::{Hash, Head};
use std::path::Path;

/// How the view came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct How {
    /// What the store had and the log confirmed; `None` when all of the log was read.
    pub stored: Option<Mark>,
    /// The rows of the log that were folded.
    pub folded: u64,
}

/// Restores the view of a data folder at the log's present end. `progress` hears position and end, page by page.
pub async fn restore(reader: &LogReader, data: &Path, progress: impl FnMut(u64, u64)) -> Result<(View, How), Broken> {
    restore_from(store::load(data).await, reader, progress).await
}

/// The same from what the store had, for who has loaded it already.
pub async fn restore_from(
    kept: Option<View>,
    reader: &LogReader,
    mut progress: impl FnMut(u64, u64),
) -> Result<(View, How), Broken> {
    let head = reader.head().await?;
    let (view, chain, stored) = match confirmed(kept, reader).await? {
        Some((view, chain)) => {
            let mark = Mark::of(&view);
            (view, chain, Some(mark))
        }
        None => (View::default(), Chain::default(), None),
    };
    let mut replay = Replay::behind(view);
    let each = |event: &Event, hash: &Hash| {
        replay.event(event, hash);
        Ok(())
    };
    let verified = verify(reader, chain, each, |_, position| progress(position, head.position.max(position))).await?;
    Ok((replay.end(), How { stored, folded: verified.rows }))
}

/// The view of a log that is not this server's, checked and folded whole; one of more objects than `most` is refused.
pub async fn folded(reader: &LogReader, most: usize) -> Result<View, Broken> {
    const LOOK_EVERY: u64 = 1_000;
    let mut replay = Replay::behind(View::default());
    let each = |event: &Event, hash: &Hash| {
        replay.event(event, hash);
        let look = event.position.is_multiple_of(LOOK_EVERY);
        if look && replay.view().counts().map(|(_, count)| count).sum::<usize>() > most {
            return Err(format!("it has more than {most} objects"));
        }
        Ok(())
    };
    verify(reader, Chain::default(), each, |_, _| {}).await?;
    Ok(replay.end())
}

/// Tells of a long replay in the server's own log, now and then.
pub fn told() -> impl FnMut(u64, u64) {
    const EVERY: u64 = 100_000;
    let mut next = EVERY;
    move |position, end| {
        if position >= next {
            tracing::info!(position, end, "reading the log");
            next = position + EVERY;
        }
    }
}

/// The view in the store, if the log has its last event.
pub async fn stored(reader: &LogReader, data: &Path) -> Result<Option<View>, Broken> {
    Ok(confirmed(store::load(data).await, reader).await?.map(|(view, _)| view))
}

/// What the store had, if the log has its last event, and the chain behind that event.
async fn confirmed(kept: Option<View>, reader: &LogReader) -> Result<Option<(View, Chain)>, Broken> {
    let Some(view) = kept.filter(|view| view.position > 0) else { return Ok(None) };
    let rows = reader.read(view.position - 1, 1).await?;
    match rows.first() {
        Some(row) if (row.position, row.lineage, row.hash) == (view.position, view.lineage, view.hash) => {
            let head = Head { lineage: row.lineage, position: row.position, time: row.time, hash: row.hash };
            Ok(Some((view, Chain::behind(head, row.term))))
        }
        _ => {
            let position = view.position;
            tracing::warn!(position, "the store is of another log; it is made anew from this one");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::sqlite::SqliteLog;
    use crate::log::{Appended, Port, Row, VaultChanges};
    use crate::model::{VDI, VM};
    use crate::value::Ref;
    use crate::views::store::tests::{assert_same, change, sample, world};
    use crate::views::store::{FILE, Store};

    struct Server {
        data: tempfile::TempDir,
        log: SqliteLog,
        term: u64,
        view: View,
        world: crate::world::World,
    }

    impl Server {
        async fn start() -> Server {
            let data = tempfile::tempdir().expect("a temporary folder");
            let mut log = SqliteLog::open(data.path()).await.expect("a log");
            let (term, _) = log.open().await.expect("it opens");
            let mut server = Server { data, log, term, view: View::default(), world: world() };
            server.more().await;
            server
        }

        /// Appends some events.
        async fn more(&mut self) {
            let before = self.view.position;
            let mut rows = sample(&mut self.view, &self.world);
            if before == 0 {
                assert_eq!(rows[0].term, self.term);
            }
            self.append(before, std::mem::take(&mut rows)).await;
        }

        async fn append(&mut self, after: u64, rows: Vec<Row>) {
            let appended = self.log.append(self.term, after, rows, VaultChanges::default()).await;
            assert!(matches!(appended, Appended::Done), "{appended:?}");
        }

        async fn restored(&self) -> How {
            let (view, how) = restore(&self.log.reader(), self.data.path(), |_, _| {}).await.expect("a whole log");
            assert_same(&view, &self.view);
            how
        }

        async fn store(&self) -> Store {
            let mut store = Store::open(self.data.path(), None).await.expect("a new store");
            store.write(&self.view).await.expect("written");
            store
        }
    }

    #[tokio::test]
    async fn without_a_store_the_whole_log_is_read() {
        let server = Server::start().await;
        let how = server.restored().await;
        assert_eq!(how, How { stored: None, folded: server.view.position });
    }

    #[tokio::test]
    async fn with_a_store_only_the_tail_is_read() {
        let mut server = Server::start().await;
        drop(server.store().await);
        let stored = Some(Mark::of(&server.view));
        assert_eq!(server.restored().await, How { stored, folded: 0 });
        let before = server.view.position;
        server.more().await;
        assert_eq!(server.restored().await, How { stored, folded: server.view.position - before });
    }

    #[tokio::test]
    async fn a_damaged_store_is_replaced() {
        let server = Server::start().await;
        let store = server.store().await;
        store.close(&server.view).await.expect("closed");
        let file = server.data.path().join(FILE);
        let whole = std::fs::read(&file).expect("readable");
        for length in [0, 100, 4096, whole.len() / 2] {
            std::fs::write(&file, &whole[..length]).expect("written");
            assert_eq!(server.restored().await.stored, None, "cut to {length} bytes");
            drop(server.store().await);
            assert!(server.restored().await.stored.is_some(), "made anew after {length} bytes");
        }
    }

    #[tokio::test]
    async fn a_store_of_another_log_is_replaced() {
        let mut server = Server::start().await;
        let mut store = server.store().await;
        let vm = server.view.all::<VM>().next().expect("a machine").reference;
        let mut other = server.view.clone();
        change(&mut other, &server.world, move |draft| draft.set(vm, VM::name_label, "other"));
        store.write(&other).await.expect("written");
        // The store is ahead of the log.
        assert_eq!(server.restored().await.stored, None);
        // The log has another event at that position.
        let vdis: Vec<Ref> = server.view.all::<VDI>().map(|vdi| vdi.reference).collect();
        let row = change(&mut server.view, &server.world, move |draft| draft.set(vdis[0], VDI::name_label, "x"));
        let before = row.position - 1;
        server.append(before, vec![row]).await;
        assert_eq!(server.restored().await.stored, None);
    }

    #[tokio::test]
    async fn a_broken_log_is_not_gone_on_with() {
        let mut server = Server::start().await;
        let mut row = change(&mut server.view, &server.world, |_| {});
        row.hash[0] ^= 1;
        let before = row.position - 1;
        server.append(before, vec![row]).await;
        let restored = restore(&server.log.reader(), server.data.path(), |_, _| {}).await;
        let position = before + 1;
        assert!(matches!(restored, Err(Broken::Row { position: at, .. }) if at == position));
    }
}
