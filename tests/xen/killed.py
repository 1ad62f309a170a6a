"""`kill -9` of the server at the steps of every operation: whoever comes next brings it to an end, once.

A step is recognised from outside: the call was accepted; `xl` works; `xl` has ended.
"""

import os

from harness import case
from house import Guest, say
from truth import domains

STEPS = ["the call was accepted", "xl works"] + ["xl has ended"] * ("XENLEDGER_LONG" in os.environ)
WORKS = "ps | grep -Eq ' xl ([^ ]* )*%s'"
UNTIL = "n=0; until %s; do n=$((n+1)); [ $n -lt 5000 ] || exit 9; sleep 0.05; done; "
# Operations for which the guest itself has to do something.
ASKED = ("clean_reboot", "clean_shutdown", "suspend")
LOOKS = "touch /tmp/looks; "


def killed(house, guest, what, step, begin, verb):
    """Begins an operation, kills the server at a step of it, starts another, and waits for agreement."""
    wait = LOOKS + UNTIL % (WORKS % verb)
    if step == "xl has ended":
        wait += UNTIL % ("! " + WORKS % verb)
    accepted = step == "the call was accepted"
    if accepted:
        join = house.kill
    else:
        join = house.meanwhile(wait + "kill -9 $(cat /data/server.pid)")
        house.run("until rm /tmp/looks 2>/dev/null; do sleep 0.1; done")
    task = begin()
    join()
    house.start()
    house.converges("killed when %s: %s" % (step, what))
    status, error = house.done(task)
    say("%s ended as %s %s, the machine is %s" % (what, status, error or "", guest.state))
    domains(house)  # none is doubled
    return status


def at_every_step(house, guest, message, arguments, verb, before, after):
    """The operation is begun from `before` at every step; it ends in `before` or `after`, and never half-way."""
    for step in STEPS:
        reach(house, guest, before, awake=message in ASKED)
        begin = lambda: getattr(house.x.Async.VM, message)(guest.ref, *arguments)
        status = killed(house, guest, "VM." + message, step, begin, verb)
        assert guest.state in ([after] if status == "success" else [before, after, "Halted"]), guest.state


def reach(house, guest, state, awake):
    """Brings the machine to where an operation begins; awake: its guest has to answer."""
    x = house.x
    if guest.state == "Suspended" and state != "Suspended":
        x.VM.resume(guest.ref, False, False)
    if guest.state == "Halted" and state != "Halted":
        since = guest.start()
        if awake:
            guest.up(since)
    if guest.state == "Running" and state == "Halted":
        x.VM.hard_shutdown(guest.ref)
    if guest.state == "Running" and state == "Suspended":
        x.VM.suspend(guest.ref)
    assert guest.state == state, guest.state
    house.agrees()


@case
def the_server_is_killed_while_machines_start_and_end(house):
    guest = Guest(house, "pv", devices=False)
    ends = "(shutdown|reboot|create|destroy)"
    for message, arguments, verb, before, after in [
        ("start", [False, False], "create", "Halted", "Running"),
        ("clean_reboot", [], ends, "Running", "Running"),
        ("clean_shutdown", [], ends, "Running", "Halted"),
        ("hard_shutdown", [], "destroy", "Running", "Halted"),
    ]:
        at_every_step(house, guest, message, arguments, verb, before, after)
    guest.remove()
    house.verify()


@case
def the_server_is_killed_while_memory_is_saved_and_restored(house):
    guest = Guest(house, "pvh", devices=False)
    at_every_step(house, guest, "suspend", [], "save", "Running", "Suspended")
    at_every_step(house, guest, "resume", [False, False], "restore", "Suspended", "Running")
    guest.remove()
    house.verify()


@case
def the_server_is_killed_while_a_disk_is_plugged(house):
    guest = Guest(house, "pv", devices=False)
    guest.up(guest.start())
    _, vbd = guest.disk("4")
    for step in STEPS:
        if house.x.VBD.get_currently_attached(vbd):
            house.x.VBD.unplug(vbd)
        killed(house, guest, "VBD.plug", step, lambda: house.x.Async.VBD.plug(vbd), "block-attach")
    guest.remove()
    house.verify()
