//! Secrets: their values are in the vault and in nothing else. A record holds
//! the vault's id and the digest that shows later which value it was.
//!
//! Reading a value takes the vault, so it does not happen here: [`vault_id`]
//! says for a call which secret its answer is.

use super::draft::Fields;
use super::{Call, Draft, generic};
use crate::error::{ApiError, codes};
use crate::log::Sealed;
use crate::model::{ClassId, PBD, secret};
use crate::value::{Map, Ref, Value};
use crate::views::View;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::Arc;

/// The vault's id of the secret that a call asks for; `None` for every call that asks for none. The caller
/// fetches it: the value is the call's answer, or `HANDLE_INVALID` if it was erased meanwhile.
pub fn vault_id(view: &View, call: &Call) -> Option<Result<Ref, ApiError>> {
    (call.message.full_name == "secret.get_value").then(|| {
        let found = super::attach::object::<secret>(view, call.reference(0))?;
        Ok(Ref::parse_uuid(found.get(secret::sealed)).unwrap_or(Ref::NULL))
    })
}

pub(super) fn create(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.args.clear();
    let given = call.args[0].as_map();
    let value = given.get("value").ok_or_else(|| codes::FIELD_TYPE_ERROR("value"))?.as_str().to_string();
    let mut others = given.clone();
    others.remove("value");
    let record = generic::constructed(draft, ClassId::secret, &Value::Map(Arc::new(others)))?;
    let mut fields = Fields::<secret>::new();
    fields.record = record;
    let fields = sealed_into(draft, fields, &value);
    Ok(Value::Ref(draft.create(fields)))
}

pub(super) fn destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<secret>(call.reference(0))?;
    remove(draft, call.reference(0));
    Ok(Value::Void)
}

pub(super) fn set_value(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.args.clear();
    let before = draft.find::<secret>(call.reference(0))?;
    draft.vault.erase.extend(Ref::parse_uuid(before.get(secret::sealed)));
    let (id, digest) = seal(draft, call.text(1).as_bytes());
    draft.set(before.reference, secret::sealed, id);
    draft.set(before.reference, secret::digest, digest);
    Ok(Value::Void)
}

/// Puts a value into the vault; gives the vault's id and the digest of nonce and value.
pub(super) fn seal(draft: &mut Draft, value: &[u8]) -> (String, String) {
    let id = draft.ids.draw();
    let mut nonce = [0; 16];
    draft.ids.fill(&mut nonce);
    let digest = Sha256::new().chain_update(nonce).chain_update(value).finalize();
    draft.vault.put.push(Sealed { id, nonce, value: value.to_vec().into() });
    let hexadecimal = digest.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("BUG: writing to memory succeeds");
        text
    });
    (id.uuid_text(), hexadecimal)
}

fn sealed_into(draft: &mut Draft, fields: Fields<secret>, value: &str) -> Fields<secret> {
    let (id, digest) = seal(draft, value.as_bytes());
    fields.with(secret::sealed, id).with(secret::digest, digest)
}

/// Takes a secret away, and its value out of the vault.
pub fn remove(draft: &mut Draft, reference: Ref) {
    if let Ok(gone) = draft.find::<secret>(reference) {
        draft.vault.erase.extend(Ref::parse_uuid(gone.get(secret::sealed)));
        draft.delete::<secret>(reference);
    }
}

/// A secret that the server itself keeps.
pub fn keep(draft: &mut Draft, value: &str) -> Ref {
    let fields = sealed_into(draft, Fields::new(), value);
    draft.create(fields)
}

/// The map with every `*password` replaced by a `*password_secret` that names a secret: configurations of
/// devices are shown to everybody and written to the log.
pub fn hide_passwords(draft: &mut Draft, config: &Map) -> Value {
    let mut hidden = Map::new();
    for (key, value) in config {
        if key.ends_with("password") {
            let reference = keep(draft, value.as_str());
            let uuid = draft.get(reference, secret::uuid, |uuid| uuid.clone()).expect("BUG: it was just created");
            hidden.insert(Arc::from(format!("{key}_secret")), Value::String(uuid));
        } else {
            hidden.insert(key.clone(), value.clone());
        }
    }
    if hidden.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(hidden)) }
}

/// Removes the secrets that a configuration names, once no other configuration does.
pub fn drop_passwords(draft: &mut Draft, config: &Map) {
    for (key, value) in config.iter().filter(|(key, _)| key.ends_with("password_secret")) {
        let named = draft.view().all::<PBD>().filter(|pbd| pbd.get(PBD::device_config).get(key) == Some(value));
        if named.count() <= 1
            && let Some(reference) = draft.view().by_uuid(ClassId::secret, value.as_str())
        {
            remove(draft, reference);
        }
    }
}
