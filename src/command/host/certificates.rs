//! Certificates: the authorities and the single servers that the pool trusts,
//! the lists of what was revoked, and the record of the server's own. Whole
//! certificates are in the log: nothing in them is secret.
//!
//! Must never know keys, or the files of the server's own certificate.

use super::x509::{self, Shown};
use super::{Call, Draft, Reading};
use crate::command::draft::Fields;
use crate::error::{ApiError, codes};
use crate::model::{Certificate, host, pool};
use crate::value::{Ref, Value, format_time};
use crate::views::{Object, View};
use std::sync::Arc;

/// Certificates that the pool may trust, and lists that it may have.
const INSTALLED_MAX: usize = 1000;
/// Characters of a name.
const NAME_MAX: usize = 255;

fn only_pool(draft: &Draft) -> Result<Arc<Object>, ApiError> {
    let found = draft.view().all::<pool>().next().cloned();
    found.ok_or_else(|| codes::HANDLE_INVALID("pool", Ref::NULL))
}

/// Names are names of files on every host.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= NAME_MAX && !name.starts_with('.') && name.chars().all(fits)
}

fn assert_room(count: usize) -> Result<(), ApiError> {
    let full = || codes::OPERATION_NOT_ALLOWED(format!("there are {INSTALLED_MAX} already"));
    if count < INSTALLED_MAX { Ok(()) } else { Err(full()) }
}

fn is_trusted(certificate: &Object) -> bool {
    matches!(certificate.get(Certificate::r#type), "ca" | "pinned")
}

fn named(view: &View, name: &str) -> Option<Ref> {
    let mut all = view.all::<Certificate>().filter(|one| one.get(Certificate::r#type) == "ca");
    all.find(|one| **one.get(Certificate::name) == *name).map(|one| one.reference)
}

fn described(pem: &str, shown: &Shown) -> Fields<Certificate> {
    Fields::<Certificate>::new()
        .with(Certificate::not_before, Value::Time(shown.not_before))
        .with(Certificate::not_after, Value::Time(shown.not_after))
        .with(Certificate::fingerprint, &*shown.sha256)
        .with(Certificate::fingerprint_sha256, &*shown.sha256)
        .with(Certificate::fingerprint_sha1, &*shown.sha1)
        .with(Certificate::content, pem)
}

/// `pool.install_ca_certificate`, and by its old name `pool.certificate_install`.
pub(super) fn install(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (name, pem) = (call.text(0), call.text(1));
    if !is_name(name) {
        return Err(codes::CERTIFICATE_NAME_INVALID(name));
    }
    if named(draft.view(), name).is_some() {
        return Err(codes::CERTIFICATE_ALREADY_EXISTS(name));
    }
    let shown = x509::read(pem).ok_or_else(|| codes::CERTIFICATE_CORRUPT(name))?;
    assert_room(draft.view().all::<Certificate>().count())?;
    draft.create(described(pem, &shown).with(Certificate::name, name).with(Certificate::r#type, "ca"));
    Ok(Value::Void)
}

/// `pool.uninstall_ca_certificate`; with `force` also one that is not there.
pub(super) fn uninstall(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (name, force) = (call.text(0), call.args.get(1) == Some(&Value::Bool(true)));
    match named(draft.view(), name) {
        Some(found) => draft.delete::<Certificate>(found),
        None if force => {}
        None => return Err(codes::CERTIFICATE_DOES_NOT_EXIST(name)),
    }
    Ok(Value::Void)
}

pub(super) fn list(reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let all = reading.view.all::<Certificate>().filter(|one| one.get(Certificate::r#type) == "ca");
    let names = all.map(|one| one.get(Certificate::name)).filter(|name| !name.is_empty());
    Ok(Value::set(names.map(|name| Value::text(name))))
}

/// `pool.install_trusted_certificate`: an authority, or one server's own.
pub(super) fn trust(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    let (authority, pem, purpose) = (call.bool(1), call.text(2), call.args[3].clone());
    if !authority && purpose.as_set().is_empty() {
        return Err(codes::CERTIFICATE_LACKS_PURPOSE());
    }
    let shown = x509::read(pem).ok_or_else(codes::TRUSTED_CERTIFICATE_INVALID)?;
    let now = format_time(draft.now);
    if draft.now > shown.not_after {
        return Err(codes::TRUSTED_CERTIFICATE_EXPIRED(now, format_time(shown.not_after)));
    }
    if draft.now < shown.not_before {
        return Err(codes::TRUSTED_CERTIFICATE_NOT_VALID_YET(now, format_time(shown.not_before)));
    }
    let same = |one: &Arc<Object>| is_trusted(one) && **one.get(Certificate::fingerprint_sha256) == *shown.sha256;
    if draft.view().all::<Certificate>().any(same) {
        return Err(codes::TRUSTED_CERTIFICATE_ALREADY_EXISTS(shown.sha256));
    }
    assert_room(draft.view().all::<Certificate>().count())?;
    let kind = if authority { "ca" } else { "pinned" };
    draft.create(described(pem, &shown).with(Certificate::r#type, kind).with(Certificate::purpose, purpose));
    Ok(Value::Void)
}

pub(super) fn distrust(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    draft.find::<pool>(call.reference(0))?;
    let found = draft.find::<Certificate>(call.reference(1))?;
    if !is_trusted(&found) {
        return Err(codes::NOT_TRUSTED_CERTIFICATE(found.reference));
    }
    draft.delete::<Certificate>(found.reference);
    Ok(Value::Void)
}

pub(super) fn install_revocations(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let own = only_pool(draft)?;
    let (name, pem) = (call.text(0), call.text(1));
    let mut lists = own.get(pool::revocations).clone();
    if !is_name(name) {
        return Err(codes::CRL_NAME_INVALID(name));
    }
    if lists.contains_key(name) {
        return Err(codes::CRL_ALREADY_EXISTS(name));
    }
    if !x509::is_revocation_list(pem) {
        return Err(codes::CRL_CORRUPT(name));
    }
    assert_room(lists.len())?;
    lists.insert(Arc::from(name), Value::text(pem));
    draft.set(own.reference, pool::revocations, Value::Map(Arc::new(lists)));
    Ok(Value::Void)
}

pub(super) fn uninstall_revocations(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let own = only_pool(draft)?;
    let mut lists = own.get(pool::revocations).clone();
    if lists.remove(call.text(0)).is_none() {
        return Err(codes::CRL_DOES_NOT_EXIST(call.text(0)));
    }
    let left = if lists.is_empty() { Value::empty_map() } else { Value::Map(Arc::new(lists)) };
    draft.set(own.reference, pool::revocations, left);
    Ok(Value::Void)
}

pub(super) fn list_revocations(reading: &Reading<'_>, _call: &Call) -> Result<Value, ApiError> {
    let lists = reading.view.all::<pool>().next().map(|pool| pool.get(pool::revocations));
    Ok(Value::set(lists.into_iter().flat_map(|lists| lists.keys()).map(|name| Value::text(name))))
}

pub(super) fn enable_verification(draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    let own = only_pool(draft)?.reference;
    draft.set(own, pool::tls_verification_enabled, true);
    verify_on_hosts(draft, true);
    Ok(Value::Void)
}

/// On this host only, for when certificates are what stands in the way.
pub(super) fn disable_verification_here(draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    verify_on_hosts(draft, false);
    Ok(Value::Void)
}

pub(super) fn enable_verification_here(draft: &mut Draft, _call: &Call) -> Result<Value, ApiError> {
    if !only_pool(draft)?.get(pool::tls_verification_enabled) {
        return Err(codes::TLS_VERIFICATION_NOT_ENABLED_IN_POOL());
    }
    verify_on_hosts(draft, true);
    Ok(Value::Void)
}

/// The pool's hosts are this one.
fn verify_on_hosts(draft: &mut Draft, on: bool) {
    let hosts: Vec<Ref> = draft.view().all::<host>().map(|held| held.reference).collect();
    for here in hosts {
        draft.set(here, host::tls_verification_enabled, on);
    }
}

/// Notes which certificate the server has now; nothing if it is the one known.
pub fn note_own(draft: &mut Draft, here: Ref, pem: &str) -> Result<Value, ApiError> {
    draft.find::<host>(here)?;
    let shown = x509::read(pem).ok_or_else(codes::SERVER_CERTIFICATE_INVALID)?;
    let own = draft.far(host::certificates, here).into_iter().filter_map(|one| draft.find::<Certificate>(one).ok());
    let own: Vec<Arc<Object>> = own.filter(|one| one.get(Certificate::r#type) == "host").collect();
    if own.iter().any(|one| **one.get(Certificate::fingerprint_sha256) == *shown.sha256) {
        return Ok(Value::Void);
    }
    own.iter().for_each(|before| draft.delete::<Certificate>(before.reference));
    draft.create(described(pem, &shown).with(Certificate::host, here).with(Certificate::r#type, "host"));
    Ok(Value::Void)
}

#[cfg(test)]
mod tests {
    use super::super::x509::tests::made;
    use super::*;
    use crate::command::bench::Bench;

    fn lab() -> (Bench, Ref) {
        let mut bench = Bench::default();
        let here = bench.given(|draft| {
            draft.create(Fields::<pool>::new());
            draft.create(Fields::<host>::new())
        });
        (bench, here.as_ref())
    }

    fn code(bench: &mut Bench, name: &str, args: Vec<Value>) -> &'static str {
        bench.call(name, args).map_or_else(|error| error.code, |_| "done")
    }

    #[test]
    fn authorities_have_names() {
        let (mut bench, _) = lab();
        let pem = made("authority", (1970, 2030));
        let install = |name: &str, pem: &str| vec![Value::text(name), Value::text(pem)];
        for (name, text, seen) in [
            ("../one", &*pem, "CERTIFICATE_NAME_INVALID"),
            ("", &*pem, "CERTIFICATE_NAME_INVALID"),
            ("one.pem", "nonsense", "CERTIFICATE_CORRUPT"),
            ("one.pem", &*pem, "done"),
            ("one.pem", &*pem, "CERTIFICATE_ALREADY_EXISTS"),
        ] {
            assert_eq!(code(&mut bench, "pool.install_ca_certificate", install(name, text)), seen, "{name}");
        }
        let found = bench.view.all::<Certificate>().next().expect("there").clone();
        assert_eq!((found.get(Certificate::r#type), &**found.get(Certificate::name)), ("ca", "one.pem"));
        assert!(found.get(Certificate::not_after) > found.get(Certificate::not_before));
        let forced = |force: bool| vec!["two".into(), force.into()];
        assert_eq!(code(&mut bench, "pool.uninstall_ca_certificate", forced(false)), "CERTIFICATE_DOES_NOT_EXIST");
        assert_eq!(code(&mut bench, "pool.uninstall_ca_certificate", forced(true)), "done");
        assert_eq!(code(&mut bench, "pool.certificate_uninstall", vec!["one.pem".into()]), "done");
        assert_eq!(bench.view.all::<Certificate>().count(), 0);
    }

    #[test]
    fn what_is_trusted_is_valid_now_and_for_something() {
        let (mut bench, here) = lab();
        let own = bench.view.all::<pool>().next().expect("there").reference;
        let ldaps = Value::set(["ldaps".into()]);
        let trust =
            |pem: &str, ca: bool, purpose: &Value| vec![own.into(), ca.into(), Value::text(pem), purpose.clone()];
        let pem = made("server", (1960, 2030));
        let cases = [
            (trust(&pem, false, &Value::empty_set()), "CERTIFICATE_LACKS_PURPOSE"),
            (trust("nonsense", true, &ldaps), "TRUSTED_CERTIFICATE_INVALID"),
            (trust(&made("old", (1955, 1960)), true, &ldaps), "TRUSTED_CERTIFICATE_EXPIRED"),
            (trust(&made("new", (2020, 2030)), true, &ldaps), "TRUSTED_CERTIFICATE_NOT_VALID_YET"),
            (trust(&pem, false, &ldaps), "done"),
            (trust(&pem, true, &ldaps), "TRUSTED_CERTIFICATE_ALREADY_EXISTS"),
        ];
        for (args, seen) in cases {
            assert_eq!(code(&mut bench, "pool.install_trusted_certificate", args), seen);
        }
        let trusted = bench.view.all::<Certificate>().next().expect("there").reference;
        bench.own(move |draft| note_own(draft, here, &pem)).expect("noted");
        let server = bench.view.far(host::certificates, here);
        assert_eq!(server.len(), 1);
        let distrust = |which: Ref| vec![own.into(), which.into()];
        let refused = code(&mut bench, "pool.uninstall_trusted_certificate", distrust(server[0]));
        assert_eq!(refused, "NOT_TRUSTED_CERTIFICATE");
        assert_eq!(code(&mut bench, "pool.uninstall_trusted_certificate", distrust(trusted)), "done");
        let other = made("other", (1960, 2030));
        bench.own(move |draft| note_own(draft, here, &other)).expect("noted");
        let after = bench.view.far(host::certificates, here);
        assert!(after.len() == 1 && after != server, "a new certificate takes the old one's place");
    }

    #[test]
    fn lists_of_revoked_certificates() {
        let (mut bench, _) = lab();
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec!["authority".to_string()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::CrlSign];
        let issuer = rcgen::Issuer::new(params, key);
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2034, 1, 1),
            crl_number: rcgen::SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let pem = list.signed_by(&issuer).expect("signed").pem().expect("PEM");
        let install = |name: &str, pem: &str| vec![Value::text(name), Value::text(pem)];
        assert_eq!(code(&mut bench, "pool.crl_install", install("a/b", &pem)), "CRL_NAME_INVALID");
        let certificate = made("one", (2020, 2030));
        assert_eq!(code(&mut bench, "pool.crl_install", install("one", &certificate)), "CRL_CORRUPT");
        assert_eq!(code(&mut bench, "pool.crl_install", install("one", &pem)), "done");
        assert_eq!(code(&mut bench, "pool.crl_install", install("one", &pem)), "CRL_ALREADY_EXISTS");
        assert_eq!(code(&mut bench, "pool.crl_uninstall", vec!["two".into()]), "CRL_DOES_NOT_EXIST");
        assert_eq!(code(&mut bench, "pool.crl_uninstall", vec!["one".into()]), "done");
    }

    #[test]
    fn a_host_verifies_what_the_pool_does() {
        let (mut bench, here) = lab();
        let verifies =
            |bench: &Bench| bench.view.find::<host>(here).expect("there").get(host::tls_verification_enabled);
        let again = "host.emergency_reenable_tls_verification";
        assert_eq!(code(&mut bench, again, vec![]), "TLS_VERIFICATION_NOT_ENABLED_IN_POOL");
        bench.call("pool.enable_tls_verification", vec![]).expect("enabled");
        assert!(verifies(&bench));
        bench.call("host.emergency_disable_tls_verification", vec![]).expect("disabled");
        assert!(!verifies(&bench));
        bench.call(again, vec![]).expect("enabled");
        assert!(verifies(&bench));
    }
}
