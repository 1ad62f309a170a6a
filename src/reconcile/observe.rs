//! Looking at the host: what an operator or a guest did behind our back
//! becomes an event. Nothing is repaired; what should follow from a machine's
//! end begins as an operation of its own, in the same event.
//!
//! A look takes its time, and tells of some moment in it. What it says of a
//! machine whose record changed since the look began is left out, for it may be
//! from before that change; the command checks this once more. So an old look
//! never undoes what an operation did.

use super::report::Reporter;
use crate::command::device::hardware::{self, Hardware};
use crate::command::host::power;
use crate::command::vm::foreign::{self, Foreign};
use crate::command::vm::memory;
use crate::command::vm::observed::{self, End, Observed, State};
use crate::command::{Draft, Own};
use crate::driver::{Action, Driver, Ended, Machine, Observation, Power};
use crate::error::ApiError;
use crate::model::{ClassId, VM, VM_guest_metrics, VM_metrics, host, host_metrics};
use crate::value::{Ref, Value};
use crate::views::Object;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::sync::{Notify, watch};

/// What looks, and remembers what it has told.
pub struct Observer {
    reporter: Arc<Reporter>,
    driver: Arc<dyn Driver>,
    host: Ref,
    /// By machine: what was seen last, and at which change of its record.
    seen: HashMap<Ref, (Machine, u64)>,
    /// Machines that nobody here knew, with their number, in the last look.
    strangers: HashSet<(Ref, i64)>,
    /// What the host had in its slots when that was told last.
    hardware: Option<Arc<Hardware>>,
}

impl Observer {
    pub fn new(reporter: Arc<Reporter>, driver: Arc<dyn Driver>, host: Ref) -> Observer {
        Observer { reporter, driver, host, seen: HashMap::new(), strangers: HashSet::new(), hardware: None }
    }

    /// Looks whenever the driver saw a change or something ended, and at the latest after a while; without end.
    pub async fn run(&mut self, ended: &Notify) {
        let (driver, world) = (self.driver.clone(), self.reporter.ledger.world().clone());
        loop {
            self.round().await;
            tokio::select! {
                () = driver.changes() => {}
                () = ended.notified() => {}
                () = world.sleep(super::ROUND) => {}
            }
        }
    }

    /// Looks once at everything, and tells what is news.
    pub async fn round(&mut self) {
        let (since, before) = {
            let view = self.reporter.ledger.view();
            (view.position, view.find::<host>(self.host).map(|here| here.get(host::boot).clone()))
        };
        let observation = match self.driver.observe().await {
            Ok(observation) => observation,
            Err(error) => return tracing::warn!(%error, "the hypervisor could not be observed"),
        };
        self.booted(before, &observation).await;
        self.equipped(&observation.hardware).await;
        // What was made while the hypervisor was looked at is known by now.
        let view = self.reporter.ledger.view();
        let mut strangers = HashSet::new();
        for (uuid, machine) in &observation.machines {
            // A machine that the view does not know is somebody else's.
            match view.by_uuid(ClassId::VM, &uuid.uuid_text()).and_then(|vm| view.find::<VM>(vm)) {
                Some(vm) if is_ours(vm) => self.look_at(since, vm, *uuid, machine).await,
                Some(vm) if vm.get(VM::foreign) => self.look_at_foreign(*uuid, machine, vm.modified).await,
                Some(_) => {}
                // What was just destroyed may still be in a look from before: a stranger is there twice.
                None => {
                    strangers.insert((*uuid, machine.domid));
                    if self.strangers.contains(&(*uuid, machine.domid)) {
                        self.look_at_foreign(*uuid, machine, 0).await;
                    }
                }
            }
        }
        self.strangers = strangers;
        for vm in view.far(host::resident_VMs, self.host) {
            let Some(vm) = view.find::<VM>(vm) else { continue };
            let uuid = Ref::parse_uuid(vm.get(VM::uuid)).unwrap_or_default();
            if observation.machines.contains_key(&uuid) {
                continue;
            }
            if vm.get(VM::foreign) {
                self.tell_foreign(uuid, None).await;
            } else if is_ours(vm) {
                self.tell(vm, since, GONE, Some(End::Gone)).await;
            }
        }
        self.seen.retain(|uuid, _| observation.machines.contains_key(uuid));
        self.measured(&observation);
    }

    /// What is only measured is in no event: when something was seen, and how much memory the host has left.
    fn measured(&self, observation: &Observation) {
        let view = self.reporter.ledger.view();
        let now = Value::Time(self.reporter.ledger.world().now());
        let mut told = Vec::with_capacity(2 * observation.machines.len() + 2);
        if let Some(here) = view.find::<host>(self.host) {
            let (class, metrics) = (ClassId::host_metrics, here.get(host::metrics));
            let free = Value::Int(memory::free(&view, self.host));
            told.push((class, metrics, host_metrics::memory_free.index, free));
            told.push((class, metrics, host_metrics::last_updated.index, now.clone()));
        }
        for (uuid, machine) in &observation.machines {
            let known = view.by_uuid(ClassId::VM, &uuid.uuid_text()).and_then(|vm| view.find::<VM>(vm));
            let Some(vm) = known.filter(|_| !matches!(machine.power, Power::Ended(_))) else { continue };
            told.push((ClassId::VM_metrics, vm.get(VM::metrics), VM_metrics::last_updated.index, now.clone()));
            if machine.guest.is_some() {
                let (class, guest) = (ClassId::VM_guest_metrics, vm.get(VM::guest_metrics));
                told.push((class, guest, VM_guest_metrics::last_updated.index, now.clone()));
            }
        }
        told.retain(|(_, reference, ..)| !reference.is_null());
        view.measured.tell(told);
    }

    /// A domain that nobody made here is shown, and nothing is done about it.
    async fn look_at_foreign(&mut self, uuid: Ref, machine: &Machine, modified: u64) {
        if self.seen.get(&uuid).is_some_and(|(seen, at)| seen == machine && *at == modified) {
            return;
        }
        self.seen.insert(uuid, (machine.clone(), modified));
        let seen = Foreign {
            name: machine.name.clone(),
            domid: machine.domid,
            memory: machine.memory,
            vcpus: machine.vcpus,
            paused: machine.power == Power::Paused,
        };
        self.tell_foreign(uuid, Some(seen)).await;
    }

    /// `None`: the domain is gone.
    async fn tell_foreign(&self, uuid: Ref, seen: Option<Foreign>) {
        let on = self.host;
        let decide = || -> Own {
            let seen = seen.clone();
            Box::new(move |draft| foreign::observed(draft, on, &uuid.uuid_text(), seen.as_ref()))
        };
        if self.reporter.is_news("host.observed", decide())
            && let Err(error) = self.reporter.tell("host.observed", 0, decide()).await
        {
            tracing::warn!(machine = %uuid.uuid_text(), %error, "an observation could not be written");
        }
    }

    async fn look_at(&mut self, since: u64, vm: &Object, uuid: Ref, machine: &Machine) {
        if vm.modified > since {
            return; // the next look tells
        }
        if matches!(machine.power, Power::Ended(_)) {
            return self.look_at_ended(since, vm, uuid, machine).await;
        }
        if self.seen.get(&uuid).is_some_and(|(seen, at)| seen == machine && *at == vm.modified) {
            return;
        }
        self.seen.insert(uuid, (machine.clone(), vm.modified));
        self.tell(vm, since, seen(machine), None).await;
    }

    /// What ended is told of, and cleared away once the view knows, unless something follows on it that does so.
    async fn look_at_ended(&self, since: u64, vm: &Object, uuid: Ref, machine: &Machine) {
        if !is_over(vm) {
            tracing::info!(machine = %uuid.uuid_text(), domid = machine.domid, how = ?machine.power, "a machine ended by itself");
            self.tell(vm, since, GONE, end(machine.power)).await;
        }
        let view = self.reporter.ledger.view();
        if view.find::<VM>(vm.reference).is_some_and(|vm| is_ours(vm) && is_over(vm)) {
            self.clear_away(uuid).await;
        }
    }

    /// Sends what was seen of a machine by a look that began at that position, unless it says nothing new.
    async fn tell(&self, vm: &Object, since: u64, observed: Observed, end: Option<End>) {
        let (vm, on) = (vm.reference, self.host);
        let again = observed.clone();
        if !self.reporter.is_news("host.observed", observe(vm, on, since, again, end)) {
            return;
        }
        let told = self.reporter.tell("host.observed", 0, observe(vm, on, since, observed, end)).await;
        if let Err(error) = told {
            tracing::warn!(machine = %vm, %error, "an observation could not be written");
        }
    }

    /// Removes what is left of a machine that ended and that the view knows to have ended.
    async fn clear_away(&self, uuid: Ref) {
        let (progress, _) = watch::channel(0.0);
        if let Err(error) = self.driver.act(Ref::NULL, &Action::Clear(uuid), &progress).await {
            tracing::warn!(machine = %uuid.uuid_text(), %error, "a dead machine could not be cleared away");
        }
    }

    /// What the host has in its slots, when that is not what was told last.
    async fn equipped(&mut self, hardware: &Arc<Hardware>) {
        if self.hardware.as_ref() == Some(hardware) {
            return;
        }
        let (on, seen) = (self.host, hardware.clone());
        let decide = move || -> Own {
            let seen = seen.clone();
            Box::new(move |draft| hardware::observed(draft, on, &seen))
        };
        if self.reporter.is_news("host.equipped", decide())
            && let Err(error) = self.reporter.tell("host.equipped", 0, decide()).await
        {
            return tracing::warn!(%error, "the devices of a host could not be written");
        }
        self.hardware = Some(hardware.clone());
    }

    /// After a boot of the host, its machines are gone, and those that should start with it do.
    async fn booted(&self, before: Option<Arc<str>>, observation: &Observation) {
        if before.is_none_or(|boot| *boot == *observation.boot) {
            return;
        }
        let (on, boot) = (self.host, observation.boot.clone());
        let there: Vec<Ref> = observation.machines.keys().copied().collect();
        let decide: Own = Box::new(move |draft| power::booted(draft, on, &boot, &there));
        if let Err(error) = self.reporter.tell("host.booted", 0, decide).await {
            tracing::warn!(%error, "the boot of a host could not be written");
        }
    }
}

const GONE: Observed = Observed { state: State::Halted, domid: -1, memory: None, vcpus: None, guest: None };

/// Control domains are the host's own.
fn is_ours(vm: &Object) -> bool {
    !vm.get(VM::is_control_domain)
        && !vm.get(VM::is_a_template)
        && !vm.get(VM::foreign)
        && vm.get(VM::current_operations).is_empty()
}

/// Nothing of it is left on the host, as far as the view knows.
fn is_over(vm: &Object) -> bool {
    matches!(vm.get(VM::power_state), "Halted" | "Suspended")
}

/// How a machine ended by itself.
fn end(power: Power) -> Option<End> {
    match power {
        Power::Ended(Ended::PowerOff) => Some(End::Shutdown),
        Power::Ended(Ended::Reboot) => Some(End::Reboot),
        Power::Ended(Ended::Crash) => Some(End::Crash),
        Power::Running | Power::Paused => None,
    }
}

fn seen(machine: &Machine) -> Observed {
    let state = match machine.power {
        Power::Running => State::Running,
        Power::Paused => State::Paused,
        Power::Ended(_) => return GONE,
    };
    Observed {
        state,
        domid: machine.domid,
        memory: Some(machine.memory),
        vcpus: Some(machine.vcpus),
        guest: machine.guest.clone(),
    }
}

/// What was seen, if the machine is still as it was at that position.
fn observe(vm: Ref, on: Ref, since: u64, seen: Observed, end: Option<End>) -> Own {
    Box::new(move |draft| {
        if draft.find::<VM>(vm)?.modified > since {
            return Ok(Value::Void);
        }
        observed::observe(draft, vm, on, &seen)?;
        if let Some(message) = end.and_then(|end| observed::after_end(draft.view(), vm, end)) {
            follow(draft, message, vm)?;
        }
        Ok(Value::Void)
    })
}

/// Begins what should follow; if it may not be, what was seen is so all the same.
fn follow(draft: &mut Draft, message: &'static str, vm: Ref) -> Result<(), ApiError> {
    if let Err(error) = observed::begin(draft, message, vm) {
        tracing::warn!(machine = %vm, %error, "what should have followed was not allowed");
    }
    Ok(())
}
