"""The Python SDK, unmodified, over HTTP, HTTPS and the Unix socket: every case runs over each."""

import threading
import xmlrpc.client

import XenAPI
from harness import PASSWORD, Server, case, run, wait_until

NULL = "OpaqueRef:NULL"


class Client:
    """How a session is opened over one transport; `x` is one that is logged in already."""

    def __init__(self, open_session):
        self.open_session = open_session
        self.session = self.login()
        self.x = self.session.xenapi

    def login(self, *more):
        session = self.open_session()
        session.login_with_password("root", PASSWORD, *more)
        return session


def over_http(server):
    return Client(lambda: XenAPI.Session(server.url + "/"))


def over_https(server):
    return Client(lambda: XenAPI.Session(server.tls_url, ignore_ssl=True))


def over_unix(server):
    # What `XenAPI.xapi_local()` does, with another path than the one it holds.
    uri = "http://%s/" % server.socket.replace("/", "_")
    return Client(lambda: XenAPI.Session(uri, transport=XenAPI.UDSTransport()))


def failure(call, *arguments):
    """The error that a call must end with, as [code, parameters...]."""
    try:
        value = call(*arguments)
    except XenAPI.Failure as error:
        return error.details
    raise AssertionError("the call succeeded with %r" % (value,))


def same(found, expected):
    assert found == expected, "%r is not %r" % (found, expected)


def template_of(x):
    """A template to make machines of: the first by name that has disks to provision."""
    templates = [
        (record["name_label"], ref)
        for ref, record in x.VM.get_all_records().items()
        if record["is_a_template"] and not record["is_a_snapshot"]
    ]
    assert templates, "there is no template"
    with_disks = [(name, ref) for name, ref in templates if "disks" in x.VM.get_other_config(ref)]
    return min(with_disks or templates)[1]


def machine(x, name):
    """A new machine, halted, with one disk of its own."""
    vm = x.VM.clone(template_of(x), name)
    x.VM.provision(vm)
    if not [v for v in x.VM.get_VBDs(vm) if x.VBD.get_type(v) == "Disk"]:
        attach_disk(x, vm, "0")
    return vm


def default_sr(x):
    return x.pool.get_default_SR(x.pool.get_all()[0])


def new_disk(x, name):
    return x.VDI.create(
        {
            "name_label": name,
            "name_description": "",
            "SR": default_sr(x),
            "virtual_size": str(1 << 30),
            "type": "user",
            "sharable": False,
            "read_only": False,
            "other_config": {},
        }
    )


def attach_disk(x, vm, device):
    vdi = new_disk(x, "disk " + device)
    return x.VBD.create(
        {
            "VM": vm,
            "VDI": vdi,
            "userdevice": device,
            "bootable": False,
            "mode": "RW",
            "type": "Disk",
            "unpluggable": True,
            "empty": False,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )


def discard(x, vm):
    """Removes a machine and its disks, whatever state it is in."""
    if x.VM.get_power_state(vm) != "Halted":
        x.VM.hard_shutdown(vm)
    vdis = [x.VBD.get_VDI(vbd) for vbd in x.VM.get_VBDs(vm) if x.VBD.get_type(vbd) == "Disk"]
    x.VM.destroy(vm)
    for vdi in vdis:
        if vdi != NULL:
            x.VDI.destroy(vdi)


def finished(x, task):
    """A task's record once it is no longer pending."""
    wait_until(lambda: x.task.get_status(task) != "pending")
    return x.task.get_record(task)


# --- sessions ---


@case
def login_takes_two_three_and_four_arguments(client):
    for more in [(), ("1.0",), ("1.0", "a test")]:
        session = client.login(*more)
        assert session.handle.startswith("OpaqueRef:"), session.handle
        session.xenapi.session.logout()


@case
def a_wrong_password_is_refused(client):
    session = client.open_session()
    error = failure(session.login_with_password, "root", "wrong")
    same(error[0], "SESSION_AUTHENTICATION_FAILED")


@case
def the_sdk_finds_the_api_version(client):
    major, minor = client.login().API_version.split(".")
    assert int(major) >= 2 and int(minor) >= 0


@case
def a_session_knows_its_host(client):
    host = client.x.session.get_this_host(client.session.handle)
    assert host in client.x.host.get_all()


@case
def after_logout_the_reference_is_invalid(client):
    session = client.login()
    handle = session.handle
    session.xenapi.session.logout()
    answer = client.session.VM.get_all(handle)
    same(answer["Status"], "Failure")
    same(answer["ErrorDescription"][0], "SESSION_INVALID")


@case
def the_sdk_logs_in_again_when_its_session_has_ended(client):
    session = client.login()
    client.session.session.logout(session.handle)
    assert session.xenapi.pool.get_all()


@case
def a_login_leaves_other_sessions_alone(client):
    first, second = client.login(), client.login()
    assert first.handle != second.handle
    second.xenapi.session.logout()
    same(client.session.pool.get_all(first.handle)["Status"], "Success")


# --- reading ---


@case
def a_new_pool_has_what_clients_look_for(client):
    x = client.x
    same(len(x.pool.get_all()), 1)
    host = x.pool.get_master(x.pool.get_all()[0])
    same(x.host.get_all(), [host])
    assert any(vm["is_control_domain"] and vm["domid"] == "0" for vm in x.VM.get_all_records().values())
    assert any(vm["is_a_template"] for vm in x.VM.get_all_records().values())
    types = {sr["type"] for sr in x.SR.get_all_records().values()}
    assert "iso" in types and len(types) > 1, types
    assert x.SR.get_record(default_sr(x))["PBDs"]
    assert all(pif["network"] in x.network.get_all() for pif in x.PIF.get_all_records().values())
    assert x.PIF.get_all()


@case
def the_product_version_is_dotted_numbers(client):
    host = client.x.host.get_all()[0]
    version = client.x.host.get_software_version(host)["product_version"]
    assert len([int(part) for part in version.split(".")]) >= 2, version


@case
def values_have_the_types_that_the_sdk_expects(client):
    x = client.x
    vm = x.VM.get_record(template_of(x))
    assert isinstance(vm["VCPUs_max"], str) and int(vm["VCPUs_max"]) > 0
    assert isinstance(vm["is_a_template"], bool)
    assert isinstance(vm["other_config"], dict) and isinstance(vm["tags"], list)
    assert isinstance(vm["HVM_shadow_multiplier"], float)
    assert isinstance(vm["snapshot_time"], xmlrpc.client.DateTime)
    same(vm["snapshot_time"].value, "19700101T00:00:00Z")
    same(vm["snapshot_of"], NULL)
    same(vm["name_description"], x.VM.get_name_description(template_of(x)))


@case
def records_are_the_same_whichever_way_they_are_read(client):
    x = client.x
    for name in ["pool", "host", "SR", "network", "PIF", "VM", "VDI", "VBD", "VIF", "PBD"]:
        messages = getattr(x, name)
        records = messages.get_all_records()
        same(sorted(records), sorted(messages.get_all()))
        for ref, record in records.items():
            same(messages.get_by_uuid(record["uuid"]), ref)
            same(messages.get_uuid(ref), record["uuid"])
            assert set(messages.get_record(ref)) == set(record), name


@case
def objects_are_found_by_name(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "name to find")
    same(x.VM.get_by_name_label("name to find"), [vm])
    same(x.VM.get_by_name_label("no such name"), [])
    x.VM.destroy(vm)


@case
def objects_are_found_by_an_expression(client):
    found = client.x.VM.get_all_records_where('field "is_control_domain" = "true"')
    assert found and all(vm["is_control_domain"] for vm in found.values())
    both = 'field "is_control_domain" = "true" and field "power_state" = "Halted"'
    same(client.x.VM.get_all_records_where(both), {})


@case
def names_keep_every_character(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "x")
    for name in ["", " two  blanks ", "<&>\"']]>", "Grüße, 世界 🐍", "line\nbreak\ttab"]:
        x.VM.set_name_label(vm, name)
        same(x.VM.get_name_label(vm), name)
    x.VM.destroy(vm)


# --- a machine's life ---


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
    x.VM.set_name_description(vm, "before")
    snapshot = x.VM.snapshot(vm, "taken")
    x.VM.set_name_description(vm, "after")
    x.VM.start(vm, False, False)
    x.VM.revert(snapshot)
    same(x.VM.get_name_description(vm), "before")
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


# --- tasks ---


@case
def an_asynchronous_call_is_followed_by_polling(client):
    x = client.x
    vm = machine(x, "polled")
    task = x.Async.VM.start(vm, False, False)
    record = finished(x, task)
    same((record["status"], record["result"], record["error_info"]), ("success", "", []))
    same(record["progress"], 1.0)
    assert record["finished"].value >= record["created"].value
    same(x.VM.get_power_state(vm), "Running")
    x.task.destroy(task)
    same(failure(x.task.get_status, task), ["HANDLE_INVALID", "task", task])
    discard(x, vm)


@case
def a_tasks_result_is_a_wrapped_reference(client):
    x = client.x
    task = x.Async.VM.clone(template_of(x), "by a task")
    same(finished(x, task)["status"], "success")
    result = x.task.get_result(task)
    assert result.startswith("<value>OpaqueRef:") and result.endswith("</value>"), result
    vm = result.removeprefix("<value>").removesuffix("</value>")
    same(x.VM.get_name_label(vm), "by a task")
    x.task.destroy(task)
    x.VM.destroy(vm)


@case
def a_task_that_fails_says_why(client):
    x = client.x
    vm = machine(x, "failing")
    task = x.Async.VM.clean_shutdown(vm)
    same(finished(x, task)["status"], "failure")
    same(x.task.get_error_info(task), ["VM_BAD_POWER_STATE", vm, "running", "halted"])
    x.task.destroy(task)
    discard(x, vm)


@case
def a_task_is_followed_by_events(client):
    x = client.x
    vm = machine(x, "watched")
    task = x.Async.VM.start(vm, False, False)
    token, status = "", "pending"
    while status == "pending":
        batch = x.event_from(["task/" + task], token, 30.0)
        assert batch["events"], "the task never ended"
        token = batch["token"]
        for event in batch["events"]:
            same((event["class"], event["ref"]), ("task", task))
            status = event["snapshot"]["status"]
    same(status, "success")
    x.task.destroy(task)
    discard(x, vm)


# --- events ---


@case
def events_from_the_beginning_are_all_that_lives(client):
    x = client.x
    batch = x.event_from(["vm", "host"], "", 10.0)
    same({event["operation"] for event in batch["events"]}, {"add"})
    same({event["class"] for event in batch["events"]}, {"vm", "host"})
    refs = [event["ref"] for event in batch["events"]]
    same(sorted(refs), sorted(x.VM.get_all() + x.host.get_all()))
    for event in batch["events"]:
        assert isinstance(event["id"], str) and isinstance(event["timestamp"], str)
        assert event["snapshot"]["uuid"]
    counts = batch["valid_ref_counts"]
    same((counts["vm"], counts["host"]), (len(x.VM.get_all()), 1))


@case
def a_watcher_sees_a_machine_come_start_and_go(client):
    x = client.x
    token = x.event_from(["vm"], "", 10.0)["token"]
    seen = []

    def watch():
        watcher, now = client.login().xenapi, token
        while not any(operation == "del" for operation, _ in seen):
            batch = watcher.event_from(["vm"], now, 30.0)
            assert batch["token"] >= now
            now = batch["token"]
            for event in batch["events"]:
                if event["ref"] == vm:
                    snapshot = event.get("snapshot")
                    same(snapshot is None, event["operation"] == "del")
                    seen.append((event["operation"], snapshot and snapshot["power_state"]))

    vm = machine(x, "came")
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    wait_until(lambda: ("add", "Halted") in seen)
    x.VM.start(vm, False, False)
    wait_until(lambda: ("mod", "Running") in seen)
    discard(x, vm)
    watcher.join(60)
    assert not watcher.is_alive() and seen[-1] == ("del", None), seen


@case
def a_subscription_to_one_object_hears_of_no_other(client):
    x = client.x
    one, other = (x.VM.clone(template_of(x), name) for name in ("one", "other"))
    token = x.event_from(["vm/" + one], "", 10.0)["token"]
    x.VM.set_name_label(other, "not to be heard")
    x.VM.set_name_label(one, "to be heard")
    batch = x.event_from(["vm/" + one], token, 10.0)
    same([event["ref"] for event in batch["events"]], [one])
    same(batch["events"][0]["snapshot"]["name_label"], "to be heard")
    for vm in (one, other):
        x.VM.destroy(vm)


@case
def a_quiet_subscription_times_out_with_a_token(client):
    x = client.x
    token = x.event_from(["vm"], "", 10.0)["token"]
    batch = x.event_from(["vm"], token, 0.2)
    same(batch["events"], [])
    assert batch["token"] >= token
    same(x.event_from(["vm"], batch["token"], 0)["events"], [])


@case
def both_spellings_of_event_from_answer(client):
    call = getattr(client.x.event, "from")
    same(call(["host"], "", 1.0)["events"][0]["class"], "host")
    same(client.x.event_from(["HOST"], "", 1.0)["events"][0]["class"], "host")


@case
def an_injected_event_is_delivered(client):
    x = client.x
    pool = x.pool.get_all()[0]
    token = x.event_from(["pool"], "", 10.0)["token"]
    injected = x.event.inject("pool", pool)
    batch = x.event_from(["pool"], token, 10.0)
    same([(event["operation"], event["ref"]) for event in batch["events"]], [("mod", pool)])
    assert batch["token"] > injected


@case
def tokens_that_cannot_be_resumed_are_refused(client):
    x = client.x
    token = x.event_from(["vm"], "", 10.0)["token"]
    position, lineage = token.split(",")
    future = "%020d,%s" % (int(position) + 1000000, lineage)
    same(failure(x.event_from, ["vm"], future, 1.0)[0], "EVENTS_LOST")
    foreign = "%s,%020d" % (position, int(lineage) ^ 1)
    same(failure(x.event_from, ["vm"], foreign, 1.0)[0], "EVENTS_LOST")
    same(failure(x.event_from, ["vm"], "nonsense", 1.0)[0], "EVENT_FROM_TOKEN_PARSE_FAILURE")


@case
def registered_events_tell_every_change(client):
    x = client.login().xenapi
    vm = x.VM.clone(template_of(x), "registered")
    same(failure(x.event.next)[0], "SESSION_NOT_REGISTERED")
    x.event.register(["vm"])
    for name in ("first", "second"):
        x.VM.set_name_label(vm, name)
    names = []
    while len(names) < 2:
        names += [e["snapshot"]["name_label"] for e in x.event.next() if e["ref"] == vm]
    same(names, ["first", "second"])
    x.event.unregister(["vm"])
    same(failure(x.event.next)[0], "SESSION_NOT_REGISTERED")
    x.VM.destroy(vm)


@case
def logout_wakes_a_blocked_call(client):
    waiter = client.login()
    token = waiter.xenapi.event_from(["vm_appliance"], "", 0.1)["token"]
    answers = []

    def block():
        call = getattr(client.open_session().event, "from")
        answers.append(call(waiter.handle, ["vm_appliance"], token, 60.0))

    thread = threading.Thread(target=block, daemon=True)
    thread.start()
    client.session.session.logout(waiter.handle)
    thread.join(30)
    assert answers, "the call still waits"
    same(answers[0]["ErrorDescription"][0], "SESSION_INVALID")


# --- errors ---


@case
def a_message_in_the_wrong_state_names_both_states(client):
    x = client.x
    vm = machine(x, "states")
    same(failure(x.VM.clean_shutdown, vm), ["VM_BAD_POWER_STATE", vm, "running", "halted"])
    x.VM.start(vm, False, False)
    same(failure(x.VM.start, vm, False, False), ["VM_BAD_POWER_STATE", vm, "halted", "running"])
    same(failure(x.VM.unpause, vm), ["VM_BAD_POWER_STATE", vm, "paused", "running"])
    discard(x, vm)


@case
def an_unknown_reference_is_named(client):
    ref = "OpaqueRef:00000000-0000-4000-8000-000000000000"
    same(failure(client.x.VM.get_record, ref), ["HANDLE_INVALID", "VM", ref])
    same(failure(client.x.VM.start, ref, False, False), ["HANDLE_INVALID", "VM", ref])
    same(failure(client.x.VM.get_record, "not a reference"), ["HANDLE_INVALID", "VM", "not a reference"])


@case
def an_unknown_message_is_named(client):
    same(failure(client.x.VM.no_such), ["MESSAGE_METHOD_UNKNOWN", "VM.no_such"])
    same(failure(client.x.no_such.get_all), ["MESSAGE_METHOD_UNKNOWN", "no_such.get_all"])


@case
def a_wrong_number_of_arguments_is_counted(client):
    same(failure(client.x.VM.get_record), ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "2", "1"])
    error = failure(client.x.VM.get_record, NULL, "more")
    same(error, ["MESSAGE_PARAMETER_COUNT_MISMATCH", "VM.get_record", "2", "3"])


@case
def a_map_takes_a_key_once(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "maps")
    x.VM.add_to_other_config(vm, "key", "value")
    error = failure(x.VM.add_to_other_config, vm, "key", "other")
    same((error[0], error[1], error[2], error[4]), ("MAP_DUPLICATE_KEY", "VM", "other_config", "key"))
    same(x.VM.get_other_config(vm)["key"], "value")
    x.VM.remove_from_other_config(vm, "key")
    x.VM.remove_from_other_config(vm, "key")
    assert "key" not in x.VM.get_other_config(vm)
    x.VM.destroy(vm)


@case
def a_set_holds_a_value_once(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "sets")
    for _ in range(2):
        x.VM.add_tags(vm, "tag")
    same(x.VM.get_tags(vm), ["tag"])
    x.VM.remove_tags(vm, "tag")
    same(x.VM.get_tags(vm), [])
    x.VM.destroy(vm)


@case
def an_unknown_value_of_an_enum_is_refused(client):
    x = client.x
    vm = x.VM.clone(template_of(x), "enums")
    failure(x.VM.set_actions_after_crash, vm, "no_such_action")
    x.VM.destroy(vm)


if __name__ == "__main__":
    server = Server(tls=True, unix=True)
    run("python", server, {"http": over_http(server), "https": over_https(server), "unix": over_unix(server)})
