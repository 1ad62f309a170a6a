//! Blobs: small pieces of data that belong to an object. A record says how
//! large one is and what kind; the contents are in the vault, from which they
//! can be erased, and the log has their digest.
//!
//! Contents come and go over HTTP: [`write`] is what the server itself decides
//! when they have come, [`vault_id`] says where they are.

use super::draft::Fields;
use super::{Call, Draft, Own, generic, secret};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Key, MODEL, blob};
use crate::value::{Map, Ref, Value};
use crate::views::Object;

/// The largest blob, in bytes: every one is written within a batch of the log.
pub const BYTES_MAX: usize = 1 << 20;
/// What a blob is of which nobody said it.
pub const UNSAID: &str = "application/octet-stream";

type Answer = Result<Value, ApiError>;

/// `blob.create(mime_type, public)`
pub(super) fn create(draft: &mut Draft, call: &Call) -> Answer {
    Ok(Value::Ref(add(draft, call.text(0), call.bool(1))))
}

/// `blob.destroy(self)`
pub(super) fn destroy(draft: &mut Draft, call: &Call) -> Answer {
    draft.find::<blob>(call.reference(0))?;
    remove(draft, call.reference(0));
    Ok(Value::Void)
}

/// `create_new_blob(self, name, mime_type, public)` of every class that has blobs.
pub(super) fn create_new(draft: &mut Draft, call: &Call) -> Answer {
    let (class, owner) = (call.message.class, call.reference(0));
    draft.object(class, owner)?;
    let field = MODEL.field(class, "blobs").expect("BUG: the message is bound where there are blobs");
    let made = add(draft, call.text(2), call.bool(3));
    generic::add_to(draft, class, owner, field, call.text(1).to_string(), Value::Ref(made))?;
    Ok(Value::Ref(made))
}

/// Adds an empty blob.
fn add(draft: &mut Draft, mime_type: &str, public: bool) -> Ref {
    let mime_type = if mime_type.is_empty() { UNSAID } else { mime_type };
    let fields = Fields::<blob>::new().with(blob::mime_type, mime_type).with(blob::public, public);
    let fields = fields.with(blob::last_updated, Value::Time(draft.now));
    draft.create(fields)
}

/// Takes a blob away, contents included.
pub fn remove(draft: &mut Draft, reference: Ref) {
    if let Ok(gone) = draft.find::<blob>(reference) {
        draft.vault.erase.extend(vault_id(&gone));
        draft.delete::<blob>(reference);
    }
}

/// Takes away all blobs that a map of an object that goes names.
pub fn remove_all<C: crate::model::Declared, T>(draft: &mut Draft, owner: &Object, blobs: Key<C, T>) {
    let named: &Map = owner.record[blobs.index].as_map();
    for reference in named.values().map(Value::as_ref).collect::<Vec<_>>() {
        remove(draft, reference);
    }
}

/// The vault's id of a blob's contents; `None` for one that is empty.
pub fn vault_id(found: &Object) -> Option<Ref> {
    Ref::parse_uuid(found.get(blob::sealed))
}

/// New contents for a blob, in place of the old.
pub fn write(reference: Ref, contents: Vec<u8>) -> Own {
    Box::new(move |draft| {
        let before = draft.find::<blob>(reference)?;
        if contents.len() > BYTES_MAX {
            return Err(codes::VALUE_NOT_SUPPORTED("size", contents.len(), format!("more than {BYTES_MAX} bytes")));
        }
        draft.vault.erase.extend(vault_id(&before));
        let (id, digest) = secret::seal(draft, &contents);
        draft.set(reference, blob::sealed, id);
        draft.set(reference, blob::digest, digest);
        draft.set(reference, blob::size, contents.len() as i64);
        draft.set(reference, blob::last_updated, Value::Time(draft.now));
        Ok(Value::Void)
    })
}

/// The blob of a reference or a uuid, as a client names it.
pub fn named(view: &crate::views::View, text: &str) -> Option<Ref> {
    let by_reference = Ref::parse(text).filter(|reference| view.find::<blob>(*reference).is_some());
    by_reference.or_else(|| view.by_uuid(ClassId::blob, text))
}
