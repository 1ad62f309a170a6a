//! The published roles as objects: references and uuids follow from their
//! names, so that they are the same in every pool.

use super::super::Draft;
use super::super::draft::Fields;
use crate::model::role;
use crate::model::roles::ROLE_NAMES;
use crate::value::{Ref, Value};
use sha2::{Digest, Sha256};

/// What each may do, in the order of [`ROLE_NAMES`].
const DESCRIPTIONS: [&str; 7] = [
    "Does everything, users and roles included",
    "Manages hosts, storage and networks, but not users and roles",
    "Manages machines and the memory and hosts they get",
    "Creates, changes and destroys machines",
    "Starts, stops and looks into machines",
    "Proves itself by a certificate; for updates",
    "Sees everything, changes nothing",
];

/// The reference of the role of that name.
pub fn role_reference(name: &str) -> Ref {
    Ref(derived("role", name))
}

/// A uuid that follows from a name, so that every pool has the same.
fn derived(kind: &str, name: &str) -> [u8; 16] {
    let mut sha = Sha256::new();
    for part in ["xenledger", kind, name] {
        sha.update(part.as_bytes());
        sha.update([0]);
    }
    let digest: [u8; 32] = sha.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    *uuid::Builder::from_custom_bytes(bytes).as_uuid().as_bytes()
}

pub(super) fn publish(draft: &mut Draft) {
    for (nth, name) in ROLE_NAMES.iter().enumerate() {
        let fields = Fields::<role>::new()
            .with(role::uuid, Ref(derived("role uuid", name)).uuid_text())
            .with(role::name_label, *name)
            .with(role::name_description, DESCRIPTIONS[nth])
            .with(role::is_internal, *name == "client-cert")
            .with(role::subroles, subroles(nth));
        draft.create_as(role_reference(name), fields);
    }
}

/// The next less powerful role, whose permissions this one has too; the certificate's stands apart.
fn subroles(nth: usize) -> Value {
    let below = ROLE_NAMES.iter().skip(nth + 1).find(|name| **name != "client-cert");
    let alone = ROLE_NAMES[nth] == "client-cert";
    Value::set(below.filter(|_| !alone).map(|name| Value::Ref(role_reference(name))))
}
