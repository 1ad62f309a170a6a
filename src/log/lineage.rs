//! A new lineage: what a restored log goes on with. Whatever was told of the
//! history that is gone is answered with EVENTS_LOST, for its positions are
//! below, and its lineage is another one.
//!
//! The row that begins it is an event like others: sessions end, since those
//! that ended after the backup would be back, and every subscription goes on
//! where the backup knows it, under the new lineage. That change of its cursor
//! is what it is told of the gap.

use super::{Appended, Head, Port, Row, StorageError};
use crate::command::{self, Command, Draft, Principal};
use crate::event::{Event, Kind};
use crate::model::{session, subscription};
use crate::value::{Ref, Value};
use crate::views::{Token, View, replay};
use crate::world::World;
use serde_json::Value as Json;
use std::sync::Arc;

/// The message of a lineage's first row.
pub const MESSAGE: &str = "log.restore";

/// Begins a new lineage behind a log's last row, whose view is `view`, and brings the view to it.
pub async fn begin(port: &mut impl Port, term: u64, view: &mut View, world: &World) -> Result<Head, StorageError> {
    let lineage = world.random_u64();
    let position = (view.position + 1).max(world.now().max(0) as u64);
    let old = Token::of(view);
    let decide = Box::new(move |draft: &mut Draft<'_>| {
        draft.args = vec![(Arc::from("behind"), Json::from(old.to_string()))];
        for key in draft.view().all::<session>().map(|held| held.reference).collect::<Vec<Ref>>() {
            draft.delete::<session>(key);
        }
        for held in draft.view().all::<subscription>().cloned().collect::<Vec<_>>() {
            let reached = Token { position: held.get(subscription::acknowledged) as u64, lineage };
            draft.set(held.reference, subscription::cursor, reached.to_string());
        }
        Ok(Value::Void)
    });
    let operator = Principal::server("restore");
    let command = Command::own(&operator, world, Kind::Lineage, MESSAGE, decide);
    let (now, principal) = (command.now, command.principal.name.clone());
    let decision = command::decide(view, command).map_err(|error| StorageError(error.to_string()))?;
    let event = Event {
        kind: Kind::Lineage,
        lineage,
        term,
        position,
        time: now.max(view.time),
        principal,
        message: decision.message,
        request: "".into(),
        cause: 0,
        body: decision.body.unwrap_or_default(),
    };
    let row = Row::of(&event, &view.hash);
    let head = Head { lineage, position, time: event.time, hash: row.hash };
    match port.append(term, view.position, vec![row], decision.vault).await {
        Appended::Done => {}
        other => return Err(StorageError(format!("the new lineage was not begun: {other:?}"))),
    }
    replay(view, &event);
    view.hash = head.hash;
    Ok(head)
}
