"""The Python SDK takes machines through their lives, with disks, interfaces and snapshots."""

from harness import case, wait_until
from sdk import NULL, attach_disk, default_sr, discard, failure, machine, run_over_every_transport, same, template_of


@case
def a_machine_is_made_of_a_template(client):
    x = client.x
    vm = machine(x, "made")
    record = x.VM.get_record(vm)
    same((record["name_label"], record["is_a_template"], record["power_state"]), ("made", False, "Halted"))
    assert "start" in record["allowed_operations"] and "clean_shutdown" not in record["allowed_operations"]
    same(record["domid"], "-1")
    discard(x, vm)


@case
def a_template_cannot_be_started(client):
    template = template_of(client.x)
    same(failure(client.x.VM.start, template, False, False), ["VM_IS_TEMPLATE", template])


@case
def a_machine_starts_pauses_suspends_and_shuts_down(client):
    x = client.x
    vm = machine(x, "life")
    steps = [
        (x.VM.start, (False, False), "Running"),
        (x.VM.pause, (), "Paused"),
        (x.VM.unpause, (), "Running"),
        (x.VM.suspend, (), "Suspended"),
        (x.VM.resume, (False, False), "Running"),
        (x.VM.clean_reboot, (), "Running"),
        (x.VM.hard_reboot, (), "Running"),
        (x.VM.clean_shutdown, (), "Halted"),
        (x.VM.start, (True, False), "Paused"),
        (x.VM.unpause, (), "Running"),
        (x.VM.hard_shutdown, (), "Halted"),
    ]
    for message, arguments, state in steps:
        message(vm, *arguments)
        record = x.VM.get_record(vm)
        same(record["power_state"], state)
        same(record["current_operations"], {})
        same(int(record["domid"]) > 0, state in ("Running", "Paused"))
        same(record["resident_on"] != NULL, state in ("Running", "Paused"))
    discard(x, vm)


@case
def short_forms_of_start_and_resume_are_accepted(client):
    x = client.x
    vm = machine(x, "short")
    x.VM.start(vm, False)
    x.VM.suspend(vm)
    x.VM.resume(vm, False)
    same(x.VM.get_power_state(vm), "Running")
    discard(x, vm)


@case
def a_running_machine_has_metrics_and_a_guest(client):
    x = client.x
    vm = machine(x, "metrics")
    x.VM.start(vm, False, False)
    metrics = x.VM_metrics.get_record(x.VM.get_metrics(vm))
    assert metrics["start_time"].value > "20200101", metrics["start_time"]
    guest = wait_until(lambda: (ref := x.VM.get_guest_metrics(vm)) != NULL and ref)
    assert isinstance(x.VM_guest_metrics.get_record(guest)["networks"], dict)
    discard(x, vm)


@case
def a_disk_is_plugged_into_a_running_machine_and_unplugged(client):
    x = client.x
    vm = machine(x, "disks")
    x.VM.start(vm, False, False)
    vbd = attach_disk(x, vm, "5")
    vdi = x.VBD.get_VDI(vbd)
    assert vbd in x.VM.get_VBDs(vm) and vbd in x.VDI.get_VBDs(vdi)
    x.VBD.plug(vbd)
    assert x.VBD.get_currently_attached(vbd)
    x.VBD.unplug(vbd)
    assert not x.VBD.get_currently_attached(vbd)
    x.VBD.destroy(vbd)
    x.VDI.destroy(vdi)
    same(failure(x.VDI.get_record, vdi)[0], "HANDLE_INVALID")
    discard(x, vm)


@case
def an_interface_is_plugged_into_a_running_machine_and_unplugged(client):
    x = client.x
    vm = machine(x, "interfaces")
    x.VM.start(vm, False, False)
    vif = x.VIF.create(
        {
            "VM": vm,
            "network": x.network.get_all()[0],
            "device": "4",
            "MAC": "",
            "MTU": "1500",
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )
    record = x.VIF.get_record(vif)
    same(record["ipv4_addresses"], [])
    same(len(record["MAC"].split(":")), 6)
    x.VIF.plug(vif)
    assert x.VIF.get_currently_attached(vif)
    x.VIF.unplug(vif)
    x.VIF.destroy(vif)
    assert vif not in x.VM.get_VIFs(vm)
    discard(x, vm)


@case
def a_snapshot_belongs_to_its_machine(client):
    x = client.x
    vm = machine(x, "original")
    snapshot = x.VM.snapshot(vm, "taken")
    record = x.VM.get_record(snapshot)
    same((record["is_a_snapshot"], record["snapshot_of"]), (True, vm))
    assert record["snapshot_time"].value > "20200101"
    same(x.VM.get_snapshots(vm), [snapshot])
    same(x.VM.get_parent(vm), snapshot)
    same(len(record["VBDs"]), len(x.VM.get_VBDs(vm)))
    discard(x, snapshot)
    same(x.VM.get_snapshots(vm), [])
    discard(x, vm)


@case
def revert_brings_back_what_the_snapshot_holds(client):
    x = client.x
    vm = machine(x, "reverted")
    x.VM.add_to_other_config(vm, "now", "before")
    snapshot = x.VM.snapshot(vm, "taken")
    x.VM.remove_from_other_config(vm, "now")
    x.VM.add_to_other_config(vm, "now", "after")
    x.VM.start(vm, False, False)
    x.VM.revert(snapshot)
    same(x.VM.get_other_config(vm)["now"], "before")
    same(x.VM.get_power_state(vm), "Halted")
    assert x.VM.get_VBDs(vm) and not set(x.VM.get_VBDs(vm)) & set(x.VM.get_VBDs(snapshot))
    discard(x, snapshot)
    discard(x, vm)


@case
def a_checkpoint_holds_a_running_machines_memory(client):
    x = client.x
    vm = machine(x, "checkpointed")
    x.VM.start(vm, False, False)
    checkpoint = x.VM.checkpoint(vm, "memory")
    same(x.VM.get_power_state(checkpoint), "Suspended")
    same(x.VM.get_power_state(vm), "Running")
    x.VM.hard_shutdown(vm)
    x.VM.revert(checkpoint)
    same(x.VM.get_power_state(vm), "Suspended")
    x.VM.resume(vm, False, False)
    same(x.VM.get_power_state(vm), "Running")
    discard(x, vm)
    discard(x, checkpoint)


@case
def clone_and_copy_make_machines_with_disks_of_their_own(client):
    x = client.x
    vm = machine(x, "first")
    disks = {x.VBD.get_VDI(v) for v in x.VM.get_VBDs(vm)} - {NULL}
    for other in [x.VM.clone(vm, "cloned"), x.VM.copy(vm, "copied", default_sr(x)), x.VM.copy(vm, "copied", NULL)]:
        others = {x.VBD.get_VDI(v) for v in x.VM.get_VBDs(other)} - {NULL}
        same(len(others), len(disks))
        assert not others & disks
        assert x.VM.get_uuid(other) != x.VM.get_uuid(vm)
        discard(x, other)
    discard(x, vm)


@case
def a_destroyed_machine_is_gone(client):
    x = client.x
    vm = machine(x, "gone")
    uuid = x.VM.get_uuid(vm)
    vbds = x.VM.get_VBDs(vm)
    discard(x, vm)
    same(failure(x.VM.get_record, vm), ["HANDLE_INVALID", "VM", vm])
    same(failure(x.VM.get_by_uuid, uuid), ["UUID_INVALID", "VM", uuid])
    assert vm not in x.VM.get_all() and not set(vbds) & set(x.VBD.get_all())


if __name__ == "__main__":
    run_over_every_transport("python, machines")
