"""Disks, networks, processors and memory of a running machine."""

from harness import case
from house import MIB, Guest
from truth import domains


def seen(house, guest, command, file, pattern):
    """What the guest answers to a command on a file of a new device, which Linux makes a moment after it has told Xen that
    it is connected to it."""
    since = guest.said()
    guest.does("until test -e %s; do sleep 1; done; echo GUEST-SEES $(%s %s)" % (file, command, file))
    return guest.says("^GUEST-SEES.*%s" % pattern, since)


def disks(house, guest):
    """One comes and goes with what the guest wrote to it, comes again read-only, and is deleted."""
    x = house.x
    vdi, vbd = guest.disk("3", "SECOND-DISK")
    x.VBD.plug(vbd)
    house.agrees()
    seen(house, guest, "head -c 11", "/dev/xvdd", "SECOND-DISK")
    guest.does("echo WRITTEN-BY-GUEST >/dev/xvdd; sync; echo GUEST-WROTE")
    guest.says("^GUEST-WROTE")
    x.VBD.unplug(vbd)
    house.agrees()
    file = house.run("find /data/data/disks -name '%s*'" % x.VDI.get_uuid(vdi))
    assert house.run("head -c 16 " + file) == "WRITTEN-BY-GUEST"
    x.VBD.destroy(vbd)
    vbd = guest.attach(vdi, "3", "RO")
    x.VBD.plug(vbd)
    house.agrees()
    seen(house, guest, "cat", "/sys/block/xvdd/ro", "1")
    x.VBD.unplug(vbd)
    house.agrees()
    x.VBD.destroy(vbd)
    x.VDI.destroy(vdi)
    house.run("! test -e " + file)


def interfaces(house, guest):
    """One comes with its address and its limit, and goes."""
    x = house.x
    limit = {"qos_algorithm_type": "ratelimit", "qos_algorithm_params": {"kbps": "1000"}}
    vif = guest.interface("2", MAC="00:16:3e:12:34:56", **limit)
    x.VIF.plug(vif)
    house.agrees()
    seen(house, guest, "cat", "/sys/class/net/eth1/address", "00:16:3e:12:34:56")
    assert "vif%d.2" % guest.domid in house.run("ls /sys/class/net/guests0/brif")
    assert house.run("xenstore-read /local/domain/0/backend/vif/%d/2/rate" % guest.domid), "no limit of its rate"
    x.VIF.unplug(vif)
    house.agrees()
    assert "vif%d.2" % guest.domid not in house.run("ls /sys/class/net/guests0/brif")


@case
def devices_of_a_PV_machine_come_and_go(house):
    guest = Guest(house, "pv")
    guest.up(guest.start())
    disks(house, guest)
    interfaces(house, guest)
    guest.remove()


@case
def devices_of_a_PVH_machine_come_and_go(house):
    guest = Guest(house, "pvh")
    guest.up(guest.start())
    disks(house, guest)
    interfaces(house, guest)
    guest.remove()


def scheduled(house, guest):
    """Weight and cap that the hypervisor has for it."""
    weight, cap = house.run("xl sched-credit2 -d %d | awk 'END { print $(NF-1), $NF }'" % guest.domid).split()
    return int(weight), int(cap)


def pinned(house, guest):
    """The processor that its last one runs on."""
    return house.run("xl vcpu-list %d | awk 'END { print $7 }'" % guest.domid)


def given_processors(house, guest):
    """Its share is changed while it lives, and a second processor is given to it."""
    x = house.x
    x.VM.add_to_VCPUs_params_live(guest.ref, "weight", "128")
    x.VM.add_to_VCPUs_params_live(guest.ref, "mask", "0")
    house.agrees()
    assert scheduled(house, guest)[0] == 128, scheduled(house, guest)
    assert pinned(house, guest) == "0", pinned(house, guest)
    x.VM.set_VCPUs_number_live(guest.ref, "2")
    house.agrees()
    online = [domains(house)[guest.uuid]["store"]["cpu/%d/availability" % cpu] for cpu in (0, 1)]
    assert online == ["online", "online"], online


@case
def scheduler_parameters_are_kept_and_changed(house):
    x, guest = house.x, Guest(house, "pv", devices=False)
    x.VM.set_VCPUs_params(guest.ref, {"weight": "512", "cap": "50", "mask": "1"})
    guest.start()
    assert scheduled(house, guest) == (512, 50), scheduled(house, guest)
    assert pinned(house, guest) == "1", pinned(house, guest)
    given_processors(house, guest)
    guest.remove()


@case
def memory_and_processors_are_given_and_taken(house):
    x, guest = house.x, Guest(house, "pvh", memory_mib=192, devices=False)
    x.VM.set_memory_dynamic_range(guest.ref, str(96 * MIB), str(192 * MIB))
    guest.up(guest.start())

    def has(low, high):
        return low <= domains(house)[guest.uuid]["memory"] <= high

    x.VM.set_memory_dynamic_range(guest.ref, str(128 * MIB), str(128 * MIB))
    house.wait(lambda: has(120, 132), "its balloon has grown", pause=1)
    assert int(domains(house)[guest.uuid]["store"]["memory/target"]) // 1024 in range(124, 132)
    house.agrees()
    x.VM.set_memory_dynamic_range(guest.ref, str(176 * MIB), str(176 * MIB))
    house.wait(lambda: has(168, 180), "its balloon has shrunk", pause=1)
    metrics = x.VM.get_metrics(guest.ref)
    actual = lambda: int(x.VM_metrics.get_memory_actual(metrics)) // MIB
    house.wait(lambda: 160 <= actual() <= 192, "VM_metrics.memory_actual follows", pause=1)
    given_processors(house, guest)
    guest.remove()
