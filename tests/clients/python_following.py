"""The Python SDK follows tasks and events."""

import threading

import XenAPI
from harness import case, wait_until
from sdk import discard, failure, machine, run_over_every_transport, same, template_of


def finished(x, task):
    """A task's record once it is no longer pending."""
    wait_until(lambda: x.task.get_status(task) != "pending")
    return x.task.get_record(task)


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
def an_asynchronous_call_that_cannot_be_carried_out_says_why(client):
    x = client.x
    vm = machine(x, "failing")
    expected = ["VM_BAD_POWER_STATE", vm, "running", "halted"]
    # Refused at once where that can be told at once; a client must expect a task that fails as well.
    try:
        task = x.Async.VM.clean_shutdown(vm)
        same(finished(x, task)["status"], "failure")
        same(x.task.get_error_info(task), expected)
        x.task.destroy(task)
    except XenAPI.Failure as error:
        same(error.details, expected)
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


if __name__ == "__main__":
    run_over_every_transport("python, following")
