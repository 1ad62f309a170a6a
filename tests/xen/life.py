"""A machine's life: every power state, by its own guest's word."""

from harness import case
from house import MIB, Guest
from sdk import failure


@case
def the_host_is_the_one_that_xen_tells_of(house):
    x = house.x
    host = x.host.get_record(x.host.get_all()[0])
    info = dict(line.split(":", 1) for line in house.run("xl info").splitlines() if ":" in line)
    info = {name.strip(): value.strip() for name, value in info.items()}
    print("  xen_version %s: %s" % (info["xen_version"], info["xen_commandline"]))
    assert host["software_version"]["xen"].startswith(info["xen_version"]), host["software_version"]
    assert len(host["host_CPUs"]) == int(info["nr_cpus"]), host["host_CPUs"]
    total = int(x.host_metrics.get_memory_total(host["metrics"]))
    told = int(info["total_memory"])
    assert abs(total // MIB - told) <= 1, "%d, and xl says %d" % (total // MIB, told)
    assert " ".join(host["capabilities"]).split() == info["xen_caps"].split(), host["capabilities"]
    house.agrees()


def what_it_tells_is_seen(house, guest):
    """What its agent writes to the store, and its console."""
    x = house.x
    known = lambda: (ref := x.VM.get_guest_metrics(guest.ref)) != "OpaqueRef:NULL" and ref
    metrics = house.follows(["vm/" + guest.ref], known, "there are guest metrics")
    addresses = lambda: x.VM_guest_metrics.get_networks(metrics).values()
    house.follows(["vm_guest_metrics"], lambda: guest.address in addresses(), "its address is known")
    [console] = [x.console.get_record(ref) for ref in x.VM.get_consoles(guest.ref)]
    assert console["protocol"] == "vt100", console
    with house.opened(console["location"]) as terminal:
        terminal.sendall(b"echo CONSOLE-$((40 + 2))\n")
        shown = b""
        while b"CONSOLE-42" not in shown:
            assert (more := terminal.recv(4096)), "the console ended: %s" % shown
            shown += more


def whole_life(house, kind):
    x, guest = house.x, Guest(house, kind)
    guest.up(guest.start())
    assert guest.state == "Running" and x.VM.get_resident_on(guest.ref) == x.host.get_all()[0]
    assert x.VM_metrics.get_start_time(x.VM.get_metrics(guest.ref)).value > "20260101"
    what_it_tells_is_seen(house, guest)

    x.VM.pause(guest.ref)
    house.agrees()
    before = guest.ticks()
    house.run("sleep 2")
    assert guest.ticks() == before, "it counts while it is paused"
    x.VM.unpause(guest.ref)
    house.agrees()
    guest.says("GUEST-TICK %d" % (before + 1))

    # The counter goes on where it stood: it is the same guest, in another domain.
    before, since, domid = guest.ticks(), guest.said(), guest.domid
    x.VM.suspend(guest.ref)
    assert guest.state == "Suspended"
    house.agrees()
    before = guest.ticks()
    x.VM.resume(guest.ref, False, False)
    house.agrees()
    guest.says("GUEST-TICK %d" % (before + 2), since)
    assert guest.domid != domid
    assert not house.run("tail -c +%d %s | grep GUEST-UP || true" % (since + 1, guest.console)), "it booted anew"

    since = guest.said()
    x.VM.clean_reboot(guest.ref)
    house.agrees()
    x.VM.hard_reboot(guest.ref)  # long before it is up again
    house.agrees()
    guest.up(since)

    x.VM.clean_shutdown(guest.ref)
    assert guest.state == "Halted"
    house.agrees()
    guest.remove()


@case
def a_PV_machine_lives(house):
    whole_life(house, "pv")


@case
def a_PVH_machine_lives(house):
    whole_life(house, "pvh")


@case
def a_machine_starts_paused(house):
    x = house.x
    for kind in ("pv", "pvh"):
        guest = Guest(house, kind, devices=False)
        x.VM.start(guest.ref, True, False)
        assert guest.state == "Paused"
        house.agrees()
        assert guest.said() == 0, "it ran"
        x.VM.unpause(guest.ref)
        house.agrees()
        x.VM.hard_shutdown(guest.ref)
        house.agrees()
        guest.remove()


@case
def a_start_that_cannot_be_is_refused_and_leaves_nothing(house):
    x, guest = house.x, Guest(house, "pvh")
    x.VM.set_PV_kernel(guest.ref, "/boot/guest/nothing")
    status, error = house.done(x.Async.VM.start(guest.ref, False, False))
    assert status == "failure" and error, (status, error)
    print("  a kernel that is not there: %s" % error)
    house.agrees()
    x.VM.set_PV_kernel(guest.ref, "/boot/guest/vmlinuz")
    x.VM.set_memory_limits(guest.ref, str(64 * MIB), str(1 << 40), str(1 << 40), str(1 << 40))
    error = failure(x.VM.start, guest.ref, False, False)
    assert error[0] in ("HOST_NOT_ENOUGH_FREE_MEMORY", "NO_HOSTS_AVAILABLE"), error
    house.agrees()
    guest.remove()
