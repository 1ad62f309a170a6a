//! Domains that others made on a host: shown as machines, named as they are,
//! and left alone. Every message that would change one is refused; when its
//! domain goes, so does its record.
//!
//! Must never begin an operation.

use super::state;
use crate::command::draft::Fields;
use crate::command::{Call, Draft};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, Ty, VM, VM_metrics};
use crate::value::{Ref, Value};
use crate::views::View;

const DESCRIPTION: &str = "A domain that others made: it is shown here and left alone";

/// What is seen of such a domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Foreign {
    pub name: String,
    pub domid: i64,
    /// Bytes.
    pub memory: i64,
    pub vcpus: i64,
    pub paused: bool,
}

/// Brings the record of the domain with that uuid up to date; `None`: it is gone.
pub fn observed(draft: &mut Draft, on: Ref, uuid: &str, seen: Option<&Foreign>) -> Result<Value, ApiError> {
    let known = draft.view().by_uuid(ClassId::VM, uuid);
    let foreign = known.is_some_and(|vm| draft.get(vm, VM::foreign, |foreign| foreign).unwrap_or(false));
    match (seen, known) {
        // It became one of ours meanwhile.
        (_, Some(_)) if !foreign => {}
        (None, Some(vm)) => {
            let metrics = draft.get(vm, VM::metrics, |metrics| metrics)?;
            if draft.find::<VM_metrics>(metrics).is_ok() {
                draft.delete::<VM_metrics>(metrics);
            }
            draft.delete::<VM>(vm);
        }
        (Some(seen), Some(vm)) => show(draft, vm, on, seen)?,
        (Some(seen), None) => {
            let fields = Fields::<VM>::new()
                .with(VM::uuid, uuid)
                .with(VM::name_description, DESCRIPTION)
                .with(VM::foreign, true)
                .with(VM::actions_after_crash, "destroy");
            let vm = draft.create(fields);
            show(draft, vm, on, seen)?;
        }
        (None, None) => {}
    }
    Ok(Value::Void)
}

fn show(draft: &mut Draft, vm: Ref, on: Ref, seen: &Foreign) -> Result<(), ApiError> {
    draft.set(vm, VM::name_label, seen.name.as_str());
    draft.set(vm, VM::power_state, if seen.paused { "Paused" } else { "Running" });
    draft.set(vm, VM::resident_on, on);
    draft.set(vm, VM::domid, seen.domid);
    for limit in [VM::memory_static_max, VM::memory_dynamic_max, VM::memory_dynamic_min, VM::memory_target] {
        draft.set(vm, limit, seen.memory);
    }
    draft.set(vm, VM::VCPUs_max, seen.vcpus);
    draft.set(vm, VM::VCPUs_at_startup, seen.vcpus);
    let metrics = state::metrics_of(draft, vm)?;
    draft.set(metrics, VM_metrics::memory_actual, seen.memory);
    draft.set(metrics, VM_metrics::VCPUs_number, seen.vcpus);
    Ok(())
}

/// Refuses a call that would change a machine of others, or give it a device.
pub fn assert_own(view: &View, call: &Call) -> Result<(), ApiError> {
    let named = call.message.params.iter().zip(&call.args).filter_map(|(param, arg)| match (param.ty, arg) {
        (Ty::Ref(ClassId::VM), arg) => Some(arg.as_ref()),
        (Ty::Record(ClassId::VBD | ClassId::VIF | ClassId::VUSB | ClassId::VTPM), Value::Map(fields)) => {
            fields.get("VM").map(Value::as_ref)
        }
        _ => None,
    });
    match named.into_iter().find(|vm| view.find::<VM>(*vm).is_some_and(|vm| vm.get(VM::foreign))) {
        Some(vm) => Err(codes::OPERATION_NOT_ALLOWED(format!("{vm} is a domain that others made"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::model::host;

    const UUID: &str = "11111111-2222-4333-8444-555555555555";

    fn seen(paused: bool) -> Foreign {
        Foreign { name: "theirs".into(), domid: 7, memory: 1 << 27, vcpus: 2, paused }
    }

    #[test]
    fn what_others_made_is_shown_and_left_alone() {
        let mut bench = Bench::default();
        let here = bench.given(|draft| draft.create(Fields::<host>::new())).as_ref();
        bench.own(move |draft| observed(draft, here, UUID, Some(&seen(false)))).expect("seen");
        let vm = bench.view.by_uuid(ClassId::VM, UUID).expect("shown");
        let machine = bench.view.find::<VM>(vm).expect("shown");
        assert_eq!((&**machine.get(VM::name_label), machine.get(VM::power_state)), ("theirs", "Running"));
        assert_eq!((machine.get(VM::domid), machine.get(VM::resident_on)), (7, here));
        assert_eq!(bench.allowed(ClassId::VM, vm), [] as [&str; 0]);
        for (name, args) in [
            ("VM.hard_shutdown", vec![vm.into()]),
            ("VM.pause", vec![vm.into()]),
            ("VM.destroy", vec![vm.into()]),
            ("VM.power_state_reset", vec![vm.into()]),
            ("VM.set_name_label", vec![vm.into(), "mine".into()]),
            ("VM.set_is_a_template", vec![vm.into(), true.into()]),
        ] {
            let refused = bench.call(name, args).expect_err(name);
            assert_eq!(refused.code, "OPERATION_NOT_ALLOWED", "{name}");
        }
        bench.own(move |draft| observed(draft, here, UUID, Some(&seen(true)))).expect("seen");
        assert_eq!(bench.view.find::<VM>(vm).expect("shown").get(VM::power_state), "Paused");
        bench.own(move |draft| observed(draft, here, UUID, None)).expect("gone");
        assert_eq!(bench.view.by_uuid(ClassId::VM, UUID), None);
        assert_eq!(bench.view.all::<VM_metrics>().count(), 0);
    }

    #[test]
    fn a_machine_of_ours_is_never_taken_for_one_of_others() {
        let mut bench = Bench::default();
        let vm = bench.given(|draft| draft.create(Fields::<VM>::new().with(VM::uuid, UUID))).as_ref();
        bench.own(move |draft| observed(draft, Ref::NULL, UUID, Some(&seen(false)))).expect("nothing");
        assert_eq!(bench.view.find::<VM>(vm).expect("there").get(VM::power_state), "Halted");
        bench.own(move |draft| observed(draft, Ref::NULL, UUID, None)).expect("nothing");
        assert!(bench.view.find::<VM>(vm).is_some());
    }
}
