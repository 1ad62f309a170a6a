//! Whether clients may come over the network: `host.management_disable` closes
//! what listens there, and any of the `management_reconfigure` opens it again.
//! The Unix socket stays, and with it the way back.

use super::Gateway;
use crate::model::{ClassId, host};
use crate::subscribe::Key;

impl Gateway {
    /// Whether it listens on the network now. A view of the past says nothing of who may look at it.
    pub fn is_managed(&self) -> bool {
        self.read_only || !self.ledger.view().all::<host>().any(|here| here.get(host::management_disabled))
    }

    /// Waits until it should listen on the network, or until it should not.
    pub(super) async fn until_managed(&self, wanted: bool) {
        let waiter = self.subscribers.register(vec![Key::Class(ClassId::host)]);
        while self.is_managed() != wanted {
            waiter.woken().await;
        }
    }
}
