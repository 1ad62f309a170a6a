//! Tests of machines on a small view: one host, two repositories, a network.

mod copies;
mod groups;
mod insides;
mod lifecycle;
mod memory;
mod migrate;
mod observed;
mod property;

use crate::command::draft::Fields;
use crate::command::operation::{self, Facts};
use crate::command::{Call, Command, Decision, Draft, Intent, Principal, decide};
use crate::error::ApiError;
use crate::event::{Event, Kind};
use crate::model::{MODEL, PBD, SR, VBD, VDI, VIF, VM, VM_metrics, host, host_metrics, network, task};
use crate::value::{Micros, Ref, Value};
use crate::views::{Object, View, fold};
use std::sync::Arc;

pub const GIB: i64 = 1 << 30;

/// A view, and the commands that change it.
pub struct Site {
    pub view: View,
    pub host: Ref,
    pub sr: Ref,
    pub lan: Ref,
    now: Micros,
    drawn: u64,
    next_domid: i64,
}

impl Site {
    pub fn new() -> Site {
        let nobody = Ref::NULL;
        let mut site = Site {
            view: View::default(),
            host: nobody,
            sr: nobody,
            lan: nobody,
            now: 1_000_000,
            drawn: 0,
            next_domid: 1,
        };
        let made = site.own(|draft| {
            let metrics = draft.create(
                Fields::<host_metrics>::new().with(host_metrics::memory_total, 16 * GIB).with(host_metrics::live, true),
            );
            let here = draft.create(
                Fields::<host>::new().with(host::enabled, true).with(host::metrics, metrics).with(host::address, "h"),
            );
            let sr = draft.create(Fields::<SR>::new().with(SR::r#type, "file").with(SR::physical_size, 1000 * GIB));
            draft.create(
                Fields::<PBD>::new().with(PBD::host, here).with(PBD::SR, sr).with(PBD::currently_attached, true),
            );
            let lan = draft.create(Fields::<network>::new());
            Ok(Value::set([here.into(), sr.into(), lan.into()]))
        });
        let made = made.expect("made");
        (site.host, site.sr, site.lan) =
            (made.as_set()[0].as_ref(), made.as_set()[1].as_ref(), made.as_set()[2].as_ref());
        site
    }

    /// A halted machine with a disk and an interface.
    pub fn machine(&mut self) -> Ref {
        let (sr, lan) = (self.sr, self.lan);
        let made = self.own(move |draft| {
            let metrics = draft.create(Fields::<VM_metrics>::new());
            let vm = draft.create(
                Fields::<VM>::new()
                    .with(VM::name_label, "one")
                    .with(VM::metrics, metrics)
                    .with(VM::domid, -1)
                    .with(VM::memory_static_min, GIB / 2)
                    .with(VM::memory_dynamic_min, GIB)
                    .with(VM::memory_dynamic_max, GIB)
                    .with(VM::memory_static_max, GIB)
                    .with(VM::VCPUs_max, 2)
                    .with(VM::VCPUs_at_startup, 2)
                    .with(VM::HVM_boot_policy, "BIOS order"),
            );
            let disk =
                Fields::<VDI>::new().with(VDI::SR, sr).with(VDI::virtual_size, 8 * GIB).with(VDI::r#type, "user");
            let disk = draft.create(disk.with(VDI::managed, true));
            let vbd = Fields::<VBD>::new().with(VBD::VM, vm).with(VBD::VDI, disk).with(VBD::userdevice, "0");
            draft.create(vbd.with(VBD::mode, "RW").with(VBD::r#type, "Disk").with(VBD::bootable, true));
            let vif = Fields::<VIF>::new().with(VIF::VM, vm).with(VIF::network, lan).with(VIF::device, "0");
            draft.create(vif.with(VIF::MAC, "02:00:00:00:00:01"));
            Ok(vm.into())
        });
        made.expect("made").as_ref()
    }

    /// Decides without applying.
    pub fn try_call(&self, name: &str, args: Vec<Value>) -> Result<Decision, ApiError> {
        let message = MODEL.message(name).unwrap_or_else(|| panic!("{name} is a message"));
        decide(&self.view, self.command(Intent::Call(Call { message, args, background: true })))
    }

    /// Decides and applies; the result is a task's reference where the call became an operation.
    pub fn call(&mut self, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let decision = self.try_call(name, args)?;
        Ok(self.apply(decision))
    }

    pub fn own(
        &mut self,
        work: impl FnOnce(&mut Draft) -> Result<Value, ApiError> + Send + 'static,
    ) -> Result<Value, ApiError> {
        let body = Intent::Own { message: "test", kind: Kind::Change, decide: Box::new(work) };
        let decision = decide(&self.view, self.command(body))?;
        Ok(self.apply(decision))
    }

    /// Ends the operation as a driver would.
    pub fn complete(&mut self, task: Ref) -> Result<Value, ApiError> {
        self.next_domid += 1;
        let facts = Facts { domid: Some(self.next_domid), ..Facts::default() };
        self.own(move |draft| operation::complete(draft, task, facts))
    }

    /// Calls, and ends the operation if it became one.
    pub fn done(&mut self, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let reference = self.call(name, args)?.as_ref();
        let pending = self.get::<task>(reference).get(task::status) == "pending";
        if pending {
            self.complete(reference)?;
        }
        Ok(Value::text(self.get::<task>(reference).get(task::result)))
    }

    pub fn get<C: crate::model::Declared>(&self, reference: Ref) -> Arc<Object> {
        self.view.find::<C>(reference).expect("it is there").clone()
    }

    pub fn power_state(&self, vm: Ref) -> &'static str {
        self.get::<VM>(vm).get(VM::power_state)
    }

    pub fn allowed(&self, vm: Ref) -> Vec<String> {
        let machine = self.get::<VM>(vm);
        machine.get(VM::allowed_operations).iter().map(|operation| operation.as_str().to_string()).collect()
    }

    fn command(&self, body: Intent) -> Command {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.drawn.to_be_bytes());
        Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: "".into(),
            request: "".into(),
            cause: 0,
            now: self.now,
            seed,
            body,
        }
    }

    fn apply(&mut self, decision: Decision) -> Value {
        self.drawn += 1;
        self.now += 1_000_000;
        let event = Event {
            kind: decision.kind,
            lineage: 1,
            term: 1,
            position: self.view.position + 1,
            time: self.now,
            principal: "user/test".into(),
            message: decision.message,
            request: "".into(),
            cause: 0,
            body: decision.body.unwrap_or_default(),
        };
        let stored = event.body.to_payload();
        let read = crate::event::Body::from_payload(crate::event::SCHEMA, &stored).expect("it is readable");
        assert_eq!(read, event.body, "the persisted form loses nothing: {stored}");
        fold(&mut self.view, &event);
        decision.result
    }
}
