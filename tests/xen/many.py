"""Many machines at once, and whatever comes."""

import os
import random
import re
import time
from datetime import datetime
from statistics import median

import XenAPI
from harness import case
from house import LOG, Guest, say
from truth import domains

LONG = "XENLEDGER_LONG" in os.environ
GUESTS = 20 if LONG else 6
SOAK_SECONDS = 900 if LONG else 120
SEED = int(os.environ.get("XENLEDGER_SEED", "1"))
SOAK_GUESTS = 3
STARTS = 7


@case
def many_start_and_stop_at_once(house):
    x = house.x
    guests = [Guest(house, ("pv", "pv", "pvh")[at % 3], memory_mib=80) for at in range(GUESTS)]
    began = time.monotonic()
    tasks = [x.Async.VM.start(guest.ref, False, False) for guest in guests]
    # None waits for the others: what is asked of one that is done is answered while they start.
    house.succeeds(*tasks)
    say("%d machines have started in %.1f s" % (GUESTS, time.monotonic() - began))
    house.agrees()
    for guest in guests:
        guest.up()
    began = time.monotonic()
    house.succeeds(*[x.Async.VM.hard_shutdown(guest.ref) for guest in guests])
    say("and have ended in %.1f s" % (time.monotonic() - began))
    house.agrees()
    for guest in guests:
        guest.remove()


@case
def the_server_takes_little_time_of_its_own(house):
    """In a VM.start: from the call's acceptance to `xl`'s start, and from `xl`'s end to the task's. Printed, not judged."""
    guest, before, after, whole = Guest(house, "pv", devices=False), [], [], []
    for _ in range(STARTS):
        since = house.x.event.get_current_id()
        house.x.VM.start(guest.ref, False, False)
        house.x.VM.hard_shutdown(guest.ref)
        rows = house.log(kind="change", object=guest.ref, since=since)
        began = next(row for row in rows if row["message"] == "VM.start")
        follows = [row for row in rows if row.get("cause") == began["position"]]
        ended = next(row for row in follows if "power_state" in str(row["changes"]))
        began, ended = began["time"], ended["time"]
        lines = house.run("tail -n 1000 " + LOG).splitlines()
        lines = [line for line in lines if began < line[: len(began)] < ended]
        xl = [line[: len(began)] for line in lines if re.search("xl (begun|ended)", line)]
        assert len(xl) >= 2, "the server's log says nothing of xl: %s" % lines
        before.append(seconds(began, xl[0]) * 1000)
        after.append(seconds(xl[-1], ended) * 1000)
        whole.append(seconds(began, ended) * 1000)
    own = [sum(parts) for parts in zip(before, after)]
    figures = (median(whole), median(own), STARTS, os.environ.get("XENLAB_PROFILE", "unknown"))
    say("a VM.start of %.0f ms has %.0f ms of the server's own, p50 of %d (at most 50, aim 15; profile %s)" % figures)
    say("%.0f ms of them are before xl, %.0f after it" % (median(before), median(after)))
    guest.remove()


def seconds(early, late):
    return (datetime.fromisoformat(late) - datetime.fromisoformat(early)).total_seconds()


@case
def random_operations_with_faults(house):
    """Calls and faults, drawn from a seed; whatever a call answers, all agree in the end."""
    dice = random.Random(SEED)
    guests = [Guest(house, ("pv", "pvh")[number % 2], memory_mib=80, devices=False) for number in range(SOAK_GUESTS)]
    spare = {guest: guest.disk("5")[1] for guest in guests}
    calls = {
        "start": lambda x, g: x.Async.VM.start(g.ref, False, False),
        "resume": lambda x, g: x.Async.VM.resume(g.ref, False, False),
        "suspend": lambda x, g: x.Async.VM.suspend(g.ref),
        "pause": lambda x, g: x.Async.VM.pause(g.ref),
        "unpause": lambda x, g: x.Async.VM.unpause(g.ref),
        "hard_reboot": lambda x, g: x.Async.VM.hard_reboot(g.ref),
        "hard_shutdown": lambda x, g: x.Async.VM.hard_shutdown(g.ref),
        "plug": lambda x, g: x.Async.VBD.plug(spare[g]),
        "unplug": lambda x, g: x.Async.VBD.unplug(spare[g]),
    }
    faults = ["kill -9", "xl destroy", "xl pause", "guest poweroff"]
    counts = {"done": 0, "failed": 0, "refused": 0, "faults": 0}
    end = time.monotonic() + SOAK_SECONDS
    while time.monotonic() < end:
        tasks = []
        for guest in guests:
            if dice.random() < 0.8:
                # Mostly what can be, sometimes what cannot.
                allowed = [name for name in house.x.VM.get_allowed_operations(guest.ref) if name in calls]
                name = dice.choice(allowed if allowed and dice.random() < 0.8 else sorted(calls))
                try:
                    tasks.append(calls[name](house.x, guest))
                except XenAPI.Failure:
                    counts["refused"] += 1
        if dice.random() < 0.4:
            counts["faults"] += 1
            fault(house, dice.choice(faults), dice.choice(guests), dice.random())
        house.converges("soak: %d calls and faults" % sum(counts.values()))
        for task in tasks:
            counts["done" if house.done(task)[0] == "success" else "failed"] += 1
    say("seed %d: %s" % (SEED, counts))
    assert counts["done"] > 0, "nothing was done"
    for guest in guests:
        # What was done to it may show late, as a reboot: it is not to come back while it is taken away.
        house.x.VM.set_actions_after_reboot(guest.ref, "destroy")
    house.converges("soak: nobody comes back")
    for guest in guests:
        guest.take_away()
    house.converges("soak: all are gone")
    house.verify()


def fault(house, what, guest, fraction):
    """Something that the server did not ask for; it may find nothing to be done to."""
    house.run("sleep %.2f" % (fraction * 2))
    domain = domains(house).get(guest.uuid)
    if what == "kill -9":
        house.kill()
        house.start()
    elif domain and what == "guest poweroff":
        house.run("echo 'poweroff -f' >$(xenstore-read /local/domain/%d/console/tty) || true" % domain["domid"])
    elif domain and what.startswith("xl"):
        house.run("%s %d || true" % (what, domain["domid"]))
