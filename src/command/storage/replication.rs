//! Copies of the database in repositories: one disk each, which the server
//! writes anew as the log grows, whole and without secrets. What is on it is a
//! backup, so another server can open it or be restored from it.
//!
//! ```text
//!   enable ─▶ a disk is made, or the one from before is taken ─▶ replicated ──disable──▶ kept as it is
//! ```
//!
//! Whoever writes the copies is the reconciler's to say; here is only which
//! disks hold one.

use super::{sr, vdi};
use crate::command::attach::{self, object};
use crate::command::draft::Fields;
use crate::command::operation::{self, Begin, DiskWork, Ended};
use crate::command::{Call, Draft, Own, Reading, message};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VDI, pool};
use crate::value::{Ref, Value};
use crate::views::relations::FieldId;
use crate::views::{Object, View};
use std::sync::Arc;

/// Copies that are kept at the same time: each costs reading the whole log.
const COPIES_MAX: usize = 8;
/// The size of a disk for one, in bytes; it can be enlarged.
const BYTES: i64 = 1 << 30;
/// The name of the message that tells of a copy that cannot be written.
const FAILED: &str = "DATABASE_REPLICATION_FAILED";
/// Its priority: somebody should look soon.
const PRIORITY: i64 = 3;

/// The disks that hold a copy of this pool's database, kept current or not.
fn copies(view: &View) -> impl Iterator<Item = &Arc<Object>> {
    let pool = view.all::<pool>().next().map(|pool| pool.reference).unwrap_or_default();
    let field = FieldId(ClassId::VDI, VDI::metadata_of_pool.index as u16);
    view.referrers(field, pool).into_iter().filter_map(|disk| view.find::<VDI>(disk))
}

/// The disks to which the database is copied as it changes.
pub fn current(view: &View) -> impl Iterator<Item = &Arc<Object>> {
    copies(view).filter(|disk| disk.get(VDI::replicated))
}

pub fn assert_supports(reading: &Reading<'_>, call: &Call) -> Result<Value, ApiError> {
    let repository = object::<SR>(reading.view, call.reference(0))?;
    sr::assert_attached(reading.view, repository)?;
    sr::assert_can(repository, "vdi_create").map(|()| Value::Void)
}

/// Once is enough: a repository that has a current copy is left as it is.
pub fn begin_enable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let repository = draft.find::<SR>(call.reference(0))?;
    sr::check(draft.view(), &repository, "vdi_create")?;
    if current(draft.view()).any(|disk| disk.get(VDI::SR) == repository.reference) {
        return Ok(Value::Void);
    }
    if current(draft.view()).count() >= COPIES_MAX {
        return Err(codes::NO_MORE_REDO_LOGS_ALLOWED());
    }
    if let Some(before) = reusable(draft.view(), repository.reference) {
        draft.set(before, VDI::replicated, true);
        return Ok(Value::Void);
    }
    sr::assert_room(&repository, BYTES)?;
    let uuid = draft.ids.draw().uuid_text();
    let disks = vdi::work(&uuid, &repository, BYTES, DiskWork::Make);
    operation::begin(draft, call, Begin { disks, ..Begin::on(ClassId::SR, repository.reference, "vdi_create") })
}

/// The disk from when this was enabled before, if nobody does anything with it.
fn reusable(view: &View, sr: Ref) -> Option<Ref> {
    let mut found = copies(view).filter(|disk| {
        let whole = disk.get(VDI::managed) && !disk.get(VDI::missing) && !disk.get(VDI::read_only);
        let original = disk.get(VDI::r#type) == "metadata" && !disk.get(VDI::is_a_snapshot);
        let free = attach::assert_free(ClassId::VDI, disk).is_ok() && !vdi::is_used(view, disk.reference, |_| true);
        disk.get(VDI::SR) == sr && whole && original && free
    });
    found.next().map(|disk| disk.reference)
}

pub fn enabled(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<SR>(ended.object)?;
    let of = draft.view().all::<pool>().next().cloned().ok_or_else(|| codes::INTERNAL_ERROR("there is no pool"))?;
    // Somebody else may have been faster: then this one stays as it was made.
    let first = !current(draft.view()).any(|disk| disk.get(VDI::SR) == ended.object);
    let fields = Fields::<VDI>::new()
        .with(VDI::name_label, "Database of the pool")
        .with(VDI::name_description, "A copy that the server keeps current while replication is enabled")
        .with(VDI::SR, ended.object)
        .with(VDI::r#type, "metadata")
        .with(VDI::managed, true)
        .with(VDI::metadata_of_pool, of.reference)
        .with(VDI::replicated, first);
    vdi::appear(draft, fields, ended)?;
    Ok(Value::Void)
}

/// The copies stay, as they are.
pub fn disable(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let repository = draft.find::<SR>(call.reference(0))?;
    let here: Vec<Ref> = current(draft.view())
        .filter(|disk| disk.get(VDI::SR) == repository.reference)
        .map(|disk| disk.reference)
        .collect();
    for disk in here {
        draft.set(disk, VDI::replicated, false);
        draft.set(disk, VDI::metadata_latest, false);
    }
    Ok(Value::Void)
}

/// What became of a copy: the first that is written is told of, and the first that is not.
pub fn told(disk: Ref, outcome: Result<(), String>) -> Own {
    Box::new(move |draft| {
        let Ok(held) = draft.find::<VDI>(disk) else { return Ok(Value::Void) };
        if !held.get(VDI::replicated) {
            return Ok(Value::Void);
        }
        draft.set(disk, VDI::metadata_latest, outcome.is_ok());
        if let Err(why) = outcome {
            let about = held.get(VDI::uuid).to_string();
            message::raise(draft, FAILED, PRIORITY, "VDI", &about, &why);
        }
        Ok(Value::Void)
    })
}

/// Whether a session can be opened on what the disk holds: it is a copy of a database that nobody writes to.
pub fn assert_opens(view: &View, disk: Ref) -> Result<(), ApiError> {
    let disk = object::<VDI>(view, disk)?;
    let kind = disk.get(VDI::r#type);
    if kind != "metadata" {
        return Err(codes::VDI_INCOMPATIBLE_TYPE(disk.reference, kind));
    }
    if disk.get(VDI::replicated) {
        return Err(codes::VDI_CONTAINS_METADATA_OF_THIS_POOL(disk.reference, disk.get(VDI::metadata_of_pool)));
    }
    vdi::check(view, disk, "copy")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::operation::Facts;
    use crate::command::storage::tests::{Lab, lab};

    fn house() -> Lab {
        let mut lab = lab();
        let disks = lab.disks;
        lab.bench.given(move |draft| draft.create(Fields::<pool>::new()));
        lab.bench.given(move |draft| draft.set(disks, SR::physical_size, 1i64 << 40));
        lab
    }

    fn enable(lab: &mut Lab) -> Ref {
        let disks = lab.disks;
        lab.bench.run("SR.enable_database_replication", vec![disks.into()], Facts::default()).expect("enabled");
        current(&lab.bench.view).next().expect("a disk").reference
    }

    fn code<T: std::fmt::Debug>(answer: Result<T, ApiError>) -> &'static str {
        answer.expect_err("refused").code
    }

    #[test]
    fn a_disk_that_holds_the_database_is_the_servers_until_it_is_disabled() {
        let mut lab = house();
        let disk = enable(&mut lab);
        let again = lab.bench.call("SR.enable_database_replication", vec![lab.disks.into()]);
        assert_eq!((again, current(&lab.bench.view).count()), (Ok(Value::Void), 1));
        for message in ["VDI.destroy", "VDI.forget"] {
            assert_eq!(code(lab.bench.call(message, vec![disk.into()])), "VDI_IN_USE", "{message}");
        }
        let vm = lab.machine("Running");
        let device = lab.device(vm, disk, "Disk", "RO", "0").expect("it may be meant for later");
        assert_eq!(code(lab.bench.call("VBD.plug", vec![device.into()])), "VDI_IN_USE");
        assert_eq!(code(assert_opens(&lab.bench.view, disk)), "VDI_CONTAINS_METADATA_OF_THIS_POOL");
        lab.bench.call("SR.disable_database_replication", vec![lab.disks.into()]).expect("disabled");
        assert_eq!(assert_opens(&lab.bench.view, disk), Ok(()));
        assert_eq!(current(&lab.bench.view).count(), 0);
        let other = lab.disk(10);
        assert_eq!(code(assert_opens(&lab.bench.view, other)), "VDI_INCOMPATIBLE_TYPE");
        let again = lab.bench.call("SR.enable_database_replication", vec![lab.disks.into()]);
        assert_eq!(again, Ok(Value::Void), "nothing has to be made");
        assert_eq!(current(&lab.bench.view).next().map(|disk| disk.reference), Some(disk), "it is taken again");
    }

    #[test]
    fn copies_are_where_disks_can_be_made_and_few() {
        let mut lab = house();
        let media = lab.bench.call("SR.enable_database_replication", vec![lab.media.into()]);
        assert_eq!(code(media), "SR_OPERATION_NOT_SUPPORTED");
        for _ in 0..COPIES_MAX {
            lab.disks = lab.repository("ext", "device");
            let disks = lab.disks;
            lab.bench.given(move |draft| draft.set(disks, SR::physical_size, 1i64 << 40));
            enable(&mut lab);
        }
        lab.disks = lab.repository("ext", "device");
        let more = lab.bench.call("SR.enable_database_replication", vec![lab.disks.into()]);
        assert_eq!(code(more), "NO_MORE_REDO_LOGS_ALLOWED");
    }

    #[test]
    fn a_copy_of_a_copy_is_not_kept_current() {
        let mut lab = house();
        let disk = enable(&mut lab);
        lab.bench.own(move |draft| told(disk, Ok(()))(draft)).expect("told");
        assert!(lab.bench.view.find::<VDI>(disk).expect("there").get(VDI::metadata_latest));
        let args = vec![disk.into(), Value::Ref(lab.disks), Value::Ref(Ref::NULL), Value::Ref(Ref::NULL)];
        let copy = lab.bench.run("VDI.copy", args, Facts::default()).expect("copied");
        let copied = lab.bench.view.find::<VDI>(copy).expect("there");
        assert_eq!((copied.get(VDI::replicated), copied.get(VDI::metadata_latest)), (false, false));
        assert_eq!(assert_opens(&lab.bench.view, copy), Ok(()));
        lab.bench.own(move |draft| told(disk, Err("full".into()))(draft)).expect("told");
        assert!(!lab.bench.view.find::<VDI>(disk).expect("there").get(VDI::metadata_latest));
        let messages: Vec<_> = lab.bench.view.all::<crate::model::message>().collect();
        assert_eq!(messages.len(), 1);
        assert_eq!(&**messages[0].get(crate::model::message::name), FAILED);
    }
}
