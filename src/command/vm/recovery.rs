//! Machines brought from a saved database into this pool: each with its uuid,
//! its devices and its interfaces. Their disks have to be here already, under
//! their uuids, and their networks, under uuids or names: what is saved is what
//! is known of a machine, not what is on its disks.
//!
//! Must never know where a saved database is.

use super::copies;
use super::placement::attached;
use crate::command::attach::object;
use crate::command::draft::Fields;
use crate::command::{Call, Draft, Own};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, SR, VBD, VDI, VIF, VM, VM_appliance, VM_metrics, host, network};
use crate::value::{Ref, Value};
use crate::views::relations::{HOLDING, holds};
use crate::views::{Object, View};
use std::sync::Arc;

/// What a call of a session on a saved database is about.
pub struct Saved {
    view: Arc<View>,
    machines: Vec<Arc<Object>>,
    appliance: Option<Arc<Object>>,
}

impl Saved {
    /// The machine, or the appliance with its machines, that the call names. A machine of an appliance comes with it.
    pub fn of(view: Arc<View>, call: &Call) -> Result<Saved, ApiError> {
        let named = call.reference(0);
        let (machines, appliance) = match call.message.class {
            ClassId::VM_appliance => {
                let appliance = object::<VM_appliance>(&view, named)?.clone();
                let members = view.far(VM_appliance::VMs, named).into_iter();
                (members.filter_map(|vm| view.find::<VM>(vm).cloned()).collect(), Some(appliance))
            }
            _ => (vec![object::<VM>(&view, named)?.clone()], None),
        };
        let alone = machines.first().filter(|_| appliance.is_none()).map(|machine| machine.get(VM::appliance));
        match alone.filter(|appliance| !appliance.is_null()) {
            Some(appliance) => Err(codes::VM_IS_PART_OF_AN_APPLIANCE(named, appliance)),
            None => Ok(Saved { view, machines, appliance }),
        }
    }

    /// Whether all that the machines need is here, and none of them is.
    pub fn check(&self, here: &View) -> Result<(), ApiError> {
        self.machines.iter().try_for_each(|machine| self.check_machine(here, machine))
    }

    fn check_machine(&self, here: &View, machine: &Object) -> Result<(), ApiError> {
        if let Some(there) = here.by_uuid(ClassId::VM, machine.get(VM::uuid)) {
            return Err(codes::DUPLICATE_VM(there));
        }
        for vbd in self.devices(machine).filter(|vbd| vbd.get(VBD::r#type) == "Disk") {
            let Some(disk) = self.view.find::<VDI>(vbd.get(VBD::VDI)) else { continue };
            let repository = self.view.find::<SR>(disk.get(VDI::SR));
            let there = repository.and_then(|sr| here.by_uuid(ClassId::SR, sr.get(SR::uuid)));
            if !there.is_some_and(|sr| here.all::<host>().any(|host| attached(here, sr, host.reference))) {
                return Err(codes::VM_REQUIRES_SR(machine.reference, disk.get(VDI::SR)));
            }
            if here.by_uuid(ClassId::VDI, disk.get(VDI::uuid)).is_none() {
                return Err(codes::VM_REQUIRES_VDI(machine.reference, disk.reference));
            }
        }
        for vif in self.interfaces(machine) {
            if self.network_here(here, vif.get(VIF::network)).is_none() {
                return Err(codes::VM_REQUIRES_NETWORK(machine.reference, vif.get(VIF::network)));
            }
        }
        Ok(())
    }

    fn devices(&self, machine: &Object) -> impl Iterator<Item = &Arc<Object>> {
        self.view.far(VM::VBDs, machine.reference).into_iter().filter_map(|vbd| self.view.find::<VBD>(vbd))
    }

    fn interfaces(&self, machine: &Object) -> impl Iterator<Item = &Arc<Object>> {
        self.view.far(VM::VIFs, machine.reference).into_iter().filter_map(|vif| self.view.find::<VIF>(vif))
    }

    /// The network of that uuid, or the only one of that name.
    fn network_here(&self, here: &View, saved: Ref) -> Option<Ref> {
        let saved = self.view.find::<network>(saved)?;
        let same = here.by_uuid(ClassId::network, saved.get(network::uuid));
        let name: &str = saved.get(network::name_label);
        let mut named = here.all::<network>().filter(|held| **held.get(network::name_label) == *name);
        same.or_else(|| match (named.next(), named.next()) {
            (Some(only), None) => Some(only.reference),
            _ => None,
        })
    }

    /// Brings them all, or none.
    pub fn bring(self) -> Own {
        Box::new(move |draft| {
            self.check(draft.view())?;
            let appliance = self.appliance.as_ref().map_or(Ref::NULL, |saved| appliance_here(draft, saved));
            for machine in &self.machines {
                self.bring_machine(draft, machine, appliance);
            }
            Ok(Value::Void)
        })
    }

    fn bring_machine(&self, draft: &mut Draft, machine: &Object, appliance: Ref) {
        let metrics = draft.create(Fields::<VM_metrics>::new().with(VM_metrics::install_time, Value::Time(draft.now)));
        let fields = copies::at_rest(machine, metrics)
            .with(VM::uuid, machine.get(VM::uuid).clone())
            .with(VM::version, machine.get(VM::version) + 1)
            .with(VM::appliance, appliance);
        let vm = draft.create(known(draft, fields));
        for vbd in self.devices(machine) {
            let disk = self.view.find::<VDI>(vbd.get(VBD::VDI));
            let disk = disk.and_then(|disk| draft.view().by_uuid(ClassId::VDI, disk.get(VDI::uuid)));
            let fields = copies::device_at_rest(vbd)
                .with(VBD::VM, vm)
                .with(VBD::VDI, disk.unwrap_or(Ref::NULL))
                .with(VBD::empty, disk.is_none());
            draft.create(known(draft, fields));
        }
        for vif in self.interfaces(machine) {
            let wire = self.network_here(draft.view(), vif.get(VIF::network)).unwrap_or(Ref::NULL);
            let fields = copies::interface_at_rest(vif).with(VIF::VM, vm).with(VIF::network, wire);
            draft.create(known(draft, fields));
        }
    }
}

/// The appliance of that uuid, or a new one with it.
fn appliance_here(draft: &mut Draft, saved: &Object) -> Ref {
    if let Some(there) = draft.view().by_uuid(ClassId::VM_appliance, saved.get(VM_appliance::uuid)) {
        return there;
    }
    let fields = Fields::<VM_appliance>::like(saved)
        .with(VM_appliance::uuid, saved.get(VM_appliance::uuid).clone())
        .with(VM_appliance::current_operations, Value::empty_map())
        .with(VM_appliance::allowed_operations, Value::empty_set());
    draft.create(fields)
}

/// A record without references to what is not here.
fn known<C: crate::model::Declared>(draft: &Draft, mut fields: Fields<C>) -> Fields<C> {
    let view = draft.view();
    for &field in &HOLDING[C::ID as usize] {
        let ty = C::ID.def().fields[field].ty;
        let Some(class) = holds(ty) else { continue };
        if fields.record[field].references(ty).into_iter().any(|target| view.object(class, target).is_none()) {
            fields.record[field] = crate::value::zero(ty);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::bench::Bench;
    use crate::model::MODEL;

    /// A pool with an appliance of two machines on one network, as it was saved; then it has neither machines nor appliance.
    fn lost() -> (Bench, Arc<View>, Ref) {
        let mut bench = Bench::default();
        let lan = bench.given(|draft| draft.create(Fields::<network>::new().with(network::name_label, "lan"))).as_ref();
        let appliance = bench.given(|draft| draft.create(Fields::<VM_appliance>::new())).as_ref();
        for name in ["one", "two"] {
            let fields = move || Fields::<VM>::new().with(VM::name_label, name).with(VM::appliance, appliance);
            let vm = bench.given(move |draft| draft.create(fields())).as_ref();
            bench.given(move |draft| {
                draft.create(Fields::<VIF>::new().with(VIF::VM, vm).with(VIF::network, lan).with(VIF::device, "0"))
            });
        }
        let saved = Arc::new(bench.view.clone());
        for vm in saved.all::<VM>().map(|vm| vm.reference) {
            bench.given(move |draft| draft.delete::<VM>(vm));
        }
        bench.given(move |draft| draft.delete::<VM_appliance>(appliance));
        (bench, saved, appliance)
    }

    fn call(name: &str, about: Ref) -> Call {
        let message = MODEL.message(name).expect("a message of the model");
        Call { message, args: vec![about.into(), Ref::NULL.into(), false.into()], background: false }
    }

    #[test]
    fn an_appliance_comes_back_with_its_machines() {
        let (mut bench, saved, appliance) = lost();
        let one = saved.all::<VM>().next().expect("a machine").reference;
        let alone = Saved::of(saved.clone(), &call("VM.recover", one)).err().map(|error| error.code);
        assert_eq!(alone, Some("VM_IS_PART_OF_AN_APPLIANCE"));
        let brought =
            || Saved::of(saved.clone(), &call("VM_appliance.recover", appliance)).expect("it is saved").bring();
        bench.own(brought()).expect("recovered");
        let uuids = |view: &View| {
            let mut uuids: Vec<String> = view.all::<VM>().map(|vm| vm.get(VM::uuid).to_string()).collect();
            uuids.sort();
            uuids
        };
        assert_eq!(uuids(&bench.view), uuids(&saved));
        let back = bench.view.all::<VM_appliance>().next().expect("it is back").reference;
        assert_eq!(bench.view.far(VM_appliance::VMs, back).len(), 2);
        assert!(bench.view.all::<VM>().all(|vm| bench.view.far(VM::VIFs, vm.reference).len() == 1));
        assert_eq!(bench.own(brought()).expect_err("they are here").code, "DUPLICATE_VM");
    }

    #[test]
    fn all_that_machines_need_is_here_or_none_comes() {
        let (mut bench, saved, appliance) = lost();
        let lan = bench.view.all::<network>().next().expect("the network").reference;
        bench.given(move |draft| draft.delete::<network>(lan));
        let brought =
            || Saved::of(saved.clone(), &call("VM_appliance.recover", appliance)).expect("it is saved").bring();
        assert_eq!(bench.own(brought()).expect_err("no network").code, "VM_REQUIRES_NETWORK");
        assert_eq!(bench.view.all::<VM>().count(), 0);
        // Another one of that name takes its place, as long as it is the only one.
        let named = || Fields::<network>::new().with(network::name_label, "lan");
        bench.given(move |draft| draft.create(named()));
        bench.own(brought()).expect("recovered");
        assert_eq!(bench.view.all::<VM>().count(), 2);
    }
}
