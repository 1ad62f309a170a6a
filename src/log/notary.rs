//! The notary: signs the head now and then, notes it in the log, and leaves
//! the newest checkpoint in a file. Must never sign a head that is not durable:
//! it takes the published view's.

use super::Head;
use super::signed::{self, Signer, write_whole};
use super::writer::Ledger;
use crate::command::{Command, Draft, Principal};
use crate::event::Kind;
use crate::model::pool;
use crate::value::Value;
use crate::views::View;
use serde_json::Value as Json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The message of a checkpoint's row.
const MESSAGE: &str = "log.checkpoint";

/// See the module.
pub struct Notary {
    ledger: Ledger,
    signer: Arc<Signer>,
    /// Where the newest checkpoint is left.
    file: PathBuf,
    /// Up to where the log was signed, the note about it included.
    signed: u64,
}

/// The checkpoint of a view's head.
pub fn checkpoint(signer: &Signer, view: &View) -> String {
    let head = Head { lineage: view.lineage, position: view.position, time: view.time, hash: view.hash };
    signer.sign(&origin(view), &head)
}

/// The name of this log in its checkpoints.
pub fn origin(view: &View) -> String {
    let uuid = view.all::<pool>().next().map(|pool| pool.get(pool::uuid).to_string());
    signed::origin(&uuid.unwrap_or_default())
}

impl Notary {
    pub fn new(ledger: Ledger, signer: Arc<Signer>, file: PathBuf) -> Notary {
        Notary { ledger, signer, file, signed: 0 }
    }

    /// Signs whenever that time has passed and something happened, until the server stops.
    pub async fn run(mut self, every: Duration, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.sign().await;
            tokio::select! {
                () = self.ledger.world().sleep(every) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Signs the head, unless nothing happened since the last time.
    pub async fn sign(&mut self) {
        let view = self.ledger.view();
        if view.position <= self.signed {
            return;
        }
        let note = checkpoint(&self.signer, &view);
        if let Err(error) = write_whole(&self.file, &note) {
            tracing::error!(%error, file = %self.file.display(), "the checkpoint could not be written");
        }
        let decide = Box::new(move |draft: &mut Draft<'_>| {
            draft.args = vec![(Arc::from("note"), Json::from(note))];
            Ok(Value::Void)
        });
        let notary = Principal::server("notary");
        let command = Command::own(&notary, self.ledger.world(), Kind::Checkpoint, MESSAGE, decide);
        match self.ledger.submit(command).await {
            Ok(accepted) => self.signed = accepted.position,
            Err(error) => tracing::warn!(%error, "the checkpoint could not be noted in the log"),
        }
    }
}
