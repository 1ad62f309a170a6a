//! What the writer does for the archives: between two batches, on the one
//! connection that writes.

use super::super::archive::Archive;
use super::ledger::Job;
use super::{Ledger, Port, StorageError, Writer};
use std::sync::Arc;
use tokio::sync::oneshot;

/// The lane of what the keeper wants.
const KEEPER: &str = "archive";

/// What the keeper of the archives wants.
pub enum Archiving {
    Seal(Archive, oneshot::Sender<Result<(), StorageError>>),
    Trim { to: u64, limit: usize, gone: oneshot::Sender<Result<usize, StorageError>> },
}

impl Ledger {
    /// Notes that a range is archived. Its file and its `seal` row must be durable.
    pub async fn seal(&self, archive: Archive) -> Result<(), StorageError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Archiving::Seal(archive, answer), answered).await
    }

    /// Deletes archived rows up to and with `to`, at most `limit`; says how many went.
    pub async fn trim(&self, to: u64, limit: usize) -> Result<usize, StorageError> {
        let (gone, answered) = oneshot::channel();
        self.ask(Archiving::Trim { to, limit, gone }, answered).await
    }

    async fn ask<T>(
        &self,
        wanted: Archiving,
        answered: oneshot::Receiver<Result<T, StorageError>>,
    ) -> Result<T, StorageError> {
        let keeper: Arc<str> = Arc::from(KEEPER);
        let sent = self.jobs.send(&keeper, Job::Archiving(wanted)).is_ok();
        let answer = if sent { answered.await.ok() } else { None };
        answer.unwrap_or_else(|| Err(StorageError("the writer has stopped".into())))
    }
}

impl<P: Port> Writer<P> {
    pub(super) async fn archive(&mut self, wanted: Archiving) {
        let writes = self.doubt.is_none() && !self.stepped_down;
        let unwritten = || Err(StorageError("the log cannot be written now".into()));
        match wanted {
            Archiving::Seal(_, answer) if !writes => drop(answer.send(unwritten())),
            Archiving::Trim { gone, .. } if !writes => drop(gone.send(unwritten().map(|()| 0))),
            Archiving::Seal(archive, answer) => drop(answer.send(self.port.seal(self.term, archive).await)),
            Archiving::Trim { to, limit, gone } => drop(gone.send(self.port.trim(self.term, to, limit).await)),
        }
    }
}
