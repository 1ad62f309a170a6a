//! Which blocks of a disk changed: noted from some time on, asked for between
//! two snapshots, and all that is left of a snapshot whose data was dropped.
//!
//! ```text
//!   disk ──enable_cbt──▶ noted ──snapshot──▶ snapshot ──data_destroy──▶ cbt_metadata
//!        ◀─disable_cbt──                        └──── list_changed_blocks ────┘
//! ```

use super::vdi::{self, ready, work};
use crate::command::operation::{self, Begin, DiskWork, Ended};
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI};
use crate::value::Value;
use crate::views::Object;

/// Bytes of a disk whose changed blocks can be asked for: the answer, a bit for each 64 KiB, is kept with its task.
pub const SIZE_MAX: i64 = 2 << 40;

/// What the kind of disk and its bookkeeping keep from happening to it.
pub(super) fn check(vdi: &Object, operation: &str) -> Result<(), ApiError> {
    let (kind, noted) = (vdi.get(VDI::r#type), vdi.get(VDI::cbt_enabled));
    let wrong_kind = || Err(codes::VDI_INCOMPATIBLE_TYPE(vdi.reference, kind));
    if kind == "cbt_metadata"
        && matches!(operation, "clone" | "copy" | "snapshot" | "resize" | "resize_online" | "mirror" | "set_on_boot")
    {
        return wrong_kind();
    }
    match operation {
        "enable_cbt" | "disable_cbt" => {
            if vdi.get(VDI::is_a_snapshot) {
                return Err(codes::OPERATION_NOT_ALLOWED("the disk is a snapshot"));
            }
            if !matches!(kind, "system" | "user") {
                return wrong_kind();
            }
            assert_persistent(vdi)
        }
        "data_destroy" if !vdi.get(VDI::is_a_snapshot) => {
            Err(codes::OPERATION_NOT_ALLOWED("the disk is not a snapshot"))
        }
        "data_destroy" | "list_changed_blocks" if !noted => Err(codes::VDI_NO_CBT_METADATA(vdi.reference)),
        "list_changed_blocks" if vdi.get(VDI::virtual_size) > SIZE_MAX => {
            Err(codes::OPERATION_NOT_ALLOWED(format!("the disk is larger than {SIZE_MAX} bytes")))
        }
        "mirror" if noted => Err(codes::VDI_CBT_ENABLED(vdi.reference)),
        "mirror" => assert_persistent(vdi),
        _ => Ok(()),
    }
}

/// A disk that goes back to its beginning has no history to tell of.
fn assert_persistent(vdi: &Object) -> Result<(), ApiError> {
    match vdi.get(VDI::on_boot) {
        "reset" => Err(codes::VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION()),
        _ => Ok(()),
    }
}

/// `enable_cbt` and `disable_cbt`; nothing happens where it is so already.
pub fn begin_tracking(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let operation = call.message.name;
    let (vdi, repository) = ready(draft, call, operation)?;
    let on = operation == "enable_cbt";
    if vdi.get(VDI::cbt_enabled) == on {
        return Ok(Value::Void);
    }
    let on_disk = if on { "vdi_enable_cbt" } else { "vdi_disable_cbt" };
    let also = [(ClassId::SR, repository.reference, on_disk)];
    operation::begin(draft, call, Begin { also: &also, ..Begin::on(ClassId::VDI, vdi.reference, operation) })
}

pub fn tracked(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<VDI>(ended.object)?;
    draft.set(ended.object, VDI::cbt_enabled, true);
    Ok(Value::Void)
}

pub fn untracked(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    draft.find::<VDI>(ended.object)?;
    draft.set(ended.object, VDI::cbt_enabled, false);
    Ok(Value::Void)
}

/// A snapshot's data goes; what was dropped already stays so.
pub fn begin_data_destroy(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    let (vdi, repository) = ready(draft, call, "data_destroy")?;
    if vdi.get(VDI::r#type) == "cbt_metadata" {
        return Ok(Value::Void);
    }
    let disks = work(vdi.get(VDI::uuid), &repository, vdi.get(VDI::virtual_size), DiskWork::Empty);
    let also = [(ClassId::SR, repository.reference, "vdi_data_destroy")];
    operation::begin(
        draft,
        call,
        Begin { also: &also, disks, ..Begin::on(ClassId::VDI, vdi.reference, "data_destroy") },
    )
}

/// What is left is no disk for any machine.
pub fn data_destroyed(draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let vdi = draft.find::<VDI>(ended.object)?;
    for vbd in draft.far(VDI::VBDs, vdi.reference) {
        draft.delete::<VBD>(vbd);
    }
    draft.set(vdi.reference, VDI::r#type, "cbt_metadata");
    super::disk::resize(draft, vdi.reference, vdi.get(VDI::virtual_size), ended.facts.physical_bytes.unwrap_or(0));
    Ok(Value::Void)
}

/// Both disks are held: neither may change while they are compared.
pub fn begin_list(draft: &mut Draft, call: &Call) -> Result<Value, ApiError> {
    const NAME: &str = "list_changed_blocks";
    let (from, repository) = ready(draft, call, NAME)?;
    let to = draft.find::<VDI>(call.reference(1))?;
    vdi::check(draft.view(), &to, NAME)?;
    let theirs = draft.find::<SR>(to.get(VDI::SR))?;
    super::sr::check(draft.view(), &theirs, "vdi_list_changed_blocks")?;
    let also = [
        (ClassId::VDI, to.reference, NAME),
        (ClassId::SR, repository.reference, "vdi_list_changed_blocks"),
        (ClassId::SR, theirs.reference, "vdi_list_changed_blocks"),
    ];
    operation::begin(draft, call, Begin { also: &also, ..Begin::on(ClassId::VDI, from.reference, NAME) })
}

pub fn listed(_draft: &mut Draft, ended: &Ended) -> Result<Value, ApiError> {
    let changed = ended.facts.changed_blocks.as_deref();
    changed.map(Value::text).ok_or_else(|| codes::SR_BACKEND_FAILURE("no changed blocks were told", "", ""))
}

#[cfg(test)]
mod tests {
    use super::super::tests::lab;
    use crate::command::operation::Facts;
    use crate::model::{ClassId, SR, VBD, VDI};
    use crate::value::Value;

    #[test]
    fn a_snapshot_keeps_only_the_note_of_what_changed() {
        let mut lab = lab();
        let disk = lab.disk(100);
        let code = |lab: &mut super::super::tests::Lab, name: &str, args| {
            lab.bench.call(name, args).expect_err("refused").code.to_string()
        };
        assert_eq!(code(&mut lab, "VDI.list_changed_blocks", vec![disk.into(), disk.into()]), "VDI_NO_CBT_METADATA");
        lab.bench.run("VDI.enable_cbt", vec![disk.into()], Facts::default()).expect("noted");
        assert_eq!(lab.bench.call("VDI.enable_cbt", vec![disk.into()]), Ok(Value::Void), "it is so already");
        assert!(lab.bench.view.find::<VDI>(disk).expect("there").get(VDI::cbt_enabled));
        assert_eq!(code(&mut lab, "VDI.set_on_boot", vec![disk.into(), "reset".into()]), "VDI_CBT_ENABLED");
        assert_eq!(code(&mut lab, "VDI.data_destroy", vec![disk.into()]), "OPERATION_NOT_ALLOWED");
        let facts = || Facts { physical_bytes: Some(30), ..Facts::default() };
        let snapshot = lab.bench.run("VDI.snapshot", vec![disk.into()], facts()).expect("taken");
        assert!(lab.bench.view.find::<VDI>(snapshot).expect("there").get(VDI::cbt_enabled));
        assert_eq!(code(&mut lab, "VDI.disable_cbt", vec![snapshot.into()]), "OPERATION_NOT_ALLOWED");
        let vm = lab.machine("Halted");
        let vbd = lab.device(vm, snapshot, "Disk", "RO", "0").expect("made");
        let empty = Facts { physical_bytes: Some(0), ..Facts::default() };
        lab.bench.run("VDI.data_destroy", vec![snapshot.into()], empty).expect("dropped");
        let left = lab.bench.view.find::<VDI>(snapshot).expect("there").clone();
        assert_eq!((left.get(VDI::r#type), left.get(VDI::physical_utilisation)), ("cbt_metadata", 0));
        assert!(lab.bench.view.find::<VBD>(vbd).is_none(), "no machine has what is left");
        assert_eq!(lab.bench.view.find::<SR>(lab.disks).expect("there").get(SR::physical_utilisation), 50);
        assert_eq!(lab.bench.call("VDI.data_destroy", vec![snapshot.into()]), Ok(Value::Void), "it is so already");
        for gone in ["VDI.snapshot", "VDI.clone"] {
            assert_eq!(code(&mut lab, gone, vec![snapshot.into()]), "VDI_INCOMPATIBLE_TYPE", "{gone}");
        }
        let allowed = lab.bench.allowed(ClassId::VDI, snapshot);
        assert_eq!(allowed, ["destroy", "forget", "update", "data_destroy", "list_changed_blocks"]);
    }

    #[test]
    fn changed_blocks_are_what_the_driver_says() {
        let mut lab = lab();
        let disk = lab.disk(100);
        lab.bench.run("VDI.enable_cbt", vec![disk.into()], Facts::default()).expect("noted");
        let facts = || Facts { physical_bytes: Some(0), ..Facts::default() };
        let one = lab.bench.run("VDI.snapshot", vec![disk.into()], facts()).expect("taken");
        let list = vec![one.into(), disk.into()];
        let task = lab.bench.call("VDI.list_changed_blocks", list.clone()).expect("begun").as_ref();
        assert!(!lab.bench.allowed(ClassId::VDI, disk).contains(&"snapshot".to_string()), "both are held");
        let told = Facts { changed_blocks: Some("gA==".into()), ..Facts::default() };
        assert_eq!(lab.bench.complete(task, told), Ok(Value::text("<value>gA==</value>")));
        let vm = lab.machine("Running");
        let vbd = lab.device(vm, disk, "Disk", "RW", "0").expect("made");
        lab.attach(vbd);
        assert_eq!(lab.bench.call("VDI.list_changed_blocks", list).expect_err("written now").code, "VDI_IN_USE");
        lab.bench.run("VDI.snapshot", vec![disk.into()], facts()).expect("taken");
    }
}
