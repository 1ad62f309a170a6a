//! Questions about machines: answered from one view, changing nothing.

use super::allowed;
use super::memory::machine_of;
use super::{boot, placement};
use crate::command::{Call, Reading};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VIF, VM, network};
use crate::value::{Ref, Value};
use crate::views::Object;
use crate::views::read::{ReadView, Scope};
use std::collections::BTreeSet;

/// How many interfaces a machine can have.
const VIFS_MAX: u32 = 7;

type Answer = Result<Value, ApiError>;

/// `VM.get_possible_hosts(vm)`
pub fn possible_hosts(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    Ok(Value::set(placement::possible(reading.view, &machine).into_iter().map(Value::Ref)))
}

/// `VM.assert_can_boot_here(self, host)`
pub fn assert_can_boot_here(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    placement::assert_can_run(reading.view, &machine, call.reference(1))?;
    Ok(Value::Void)
}

/// `VM.assert_operation_valid(self, op)`
pub fn assert_operation_valid(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    allowed::check(reading.view, &machine, call.text(1))?;
    Ok(Value::Void)
}

/// `VM.get_allowed_VBD_devices(vm)`
pub fn allowed_vbd_devices(reading: &Reading<'_>, call: &Call) -> Answer {
    machine_of(reading, call)?;
    let free = crate::command::storage::vbd::free_places(reading.view, call.reference(0));
    Ok(Value::set(free.into_iter().map(Value::from)))
}

/// `VM.get_allowed_VIF_devices(vm)`
pub fn allowed_vif_devices(reading: &Reading<'_>, call: &Call) -> Answer {
    machine_of(reading, call)?;
    let vifs = reading.view.far(VM::VIFs, call.reference(0));
    let taken = vifs.into_iter().filter_map(|vif| reading.view.find::<VIF>(vif)?.get(VIF::device).parse::<u32>().ok());
    let taken: BTreeSet<u32> = taken.collect();
    let free = (0..VIFS_MAX).filter(|device| !taken.contains(device));
    Ok(Value::set(free.map(|device| Value::from(device.to_string()))))
}

/// `VM.get_boot_record(self)`: the machine as it was when it booted.
pub fn boot_record(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    let mut then = Object::clone(&machine);
    for (field, value) in boot::recorded(&machine) {
        then.record[field] = value;
    }
    Ok(ReadView::new(reading.view, &Scope::All).record(ClassId::VM, &then))
}

/// `VM.get_cooperative(self)`: no guest is suspected of keeping memory that it should give back.
pub fn cooperative(reading: &Reading<'_>, call: &Call) -> Answer {
    machine_of(reading, call)?;
    Ok(Value::Bool(true))
}

/// `VM.query_services(self)`
pub fn query_services(reading: &Reading<'_>, call: &Call) -> Answer {
    machine_of(reading, call)?;
    Err(codes::NOT_SYSTEM_DOMAIN(call.reference(0)))
}

/// `VM.retrieve_wlb_recommendations(vm)`: there is no such service.
pub fn wlb_recommendations(_: &Reading<'_>, _: &Call) -> Answer {
    Err(codes::WLB_NOT_INITIALIZED())
}

/// `VM.assert_agile(self)`: whether any host could take it over.
pub fn assert_agile(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    for sr in repositories(reading, &machine) {
        let shared = reading.view.find::<SR>(sr).is_some_and(|sr| sr.get(SR::shared));
        if !shared {
            return Err(codes::HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED(sr));
        }
    }
    for vif in reading.view.far(VM::VIFs, machine.reference) {
        let Some(wire) = reading.view.find::<VIF>(vif).map(|vif| vif.get(VIF::network)) else { continue };
        if reading.view.far(network::PIFs, wire).is_empty() {
            return Err(codes::HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED(wire));
        }
    }
    Ok(Value::Void)
}

/// `VM.get_SRs_required_for_recovery(self, session_to)`
pub fn srs_required(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    Ok(Value::set(repositories(reading, &machine).into_iter().map(Value::Ref)))
}

/// `VM.assert_can_be_recovered(self, session_to)`
pub fn assert_can_be_recovered(reading: &Reading<'_>, call: &Call) -> Answer {
    let machine = machine_of(reading, call)?;
    let appliance = machine.get(VM::appliance);
    if !appliance.is_null() {
        return Err(codes::VM_IS_PART_OF_AN_APPLIANCE(machine.reference, appliance));
    }
    Ok(Value::Void)
}

/// Where the machine's disks are.
pub(super) fn repositories(reading: &Reading<'_>, machine: &Object) -> BTreeSet<Ref> {
    let devices = reading.view.far(VM::VBDs, machine.reference).into_iter();
    let disks = devices.filter_map(|vbd| reading.view.find::<VBD>(vbd)).filter(|vbd| vbd.get(VBD::r#type) == "Disk");
    disks.filter_map(|vbd| reading.view.find::<VDI>(vbd.get(VBD::VDI))).map(|disk| disk.get(VDI::SR)).collect()
}
