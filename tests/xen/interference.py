"""What happens behind the server's back: by an operator with `xl`, by the guests themselves, by the whole machine.

Each case ends in agreement, and prints how long that took from the moment at which `xl list` could show the change.
"""

from harness import case
from house import Guest
from sdk import failure
from truth import domains


def shown(house, guest, condition):
    """A script that ends when `xl list` shows that a domain is gone or has ended, or what else is asked for."""
    return "until %s; do sleep 0.1; done" % (condition % {"uuid": guest.uuid})  # a pause for the guest


GONE = "! xl list -v | grep %(uuid)s | grep -qv -- '---[s-]*[src]'"
STANDS = "xl list -v | grep %(uuid)s | grep -q -- '--p'"
RUNS = "xl list -v | grep %(uuid)s | grep -qv -- '--p'"

# A machine that somebody makes without the server.
FOREIGN = """cat >/tmp/foreign.cfg <<END
name = "foreign"
uuid = "%s"
type = "pv"
memory = 96
kernel = "/boot/guest/vmlinuz"
ramdisk = "/boot/guest/initrd.gz"
extra = "console=hvc0 loglevel=1"
END
xl create -q -e /tmp/foreign.cfg"""


def told(house, guest, state):
    """The log's last word on a machine's state: who, and by what message."""

    def changed(row):
        of_it = [change for change in row["changes"] if change["ref"] == guest.ref]
        return any("power_state" in change.get("fields", {}) for change in of_it)

    row = [row for row in house.log(kind="change", object=guest.ref) if changed(row)][-1]
    assert guest.state == state, guest.state
    assert row["principal"].startswith("host/"), row["principal"]
    print("  the log: position %d, %s by %s" % (row["position"], row["message"], row["principal"]))
    return row


def behind_our_back(house, guest, what, script, condition, state):
    house.run("%s; %s" % (script, shown(house, guest, condition)))
    house.converges(what)
    told(house, guest, state)


@case
def an_operator_meddles_with_xl(house):
    guest = Guest(house, "pvh", devices=False)
    guest.start()
    guest.up()
    name = domains(house)[guest.uuid]["name"]
    behind_our_back(house, guest, "xl pause", "xl pause '%s'" % name, STANDS, "Paused")
    behind_our_back(house, guest, "xl unpause", "xl unpause '%s'" % name, RUNS, "Running")
    behind_our_back(house, guest, "xl shutdown", "xl shutdown '%s'" % name, GONE, "Halted")
    guest.start()
    behind_our_back(house, guest, "xl destroy", "xl destroy '%s'" % name, GONE, "Halted")
    guest.remove()


@case
def guests_end_by_themselves(house):
    x, guest = house.x, Guest(house, "pv", devices=False)
    guest.start()
    guest.up()
    guest.does("poweroff -f")
    behind_our_back(house, guest, "the guest powers off", "true", GONE, "Halted")
    guest.start()
    guest.up()
    guest.does("echo c >/proc/sysrq-trigger")
    behind_our_back(house, guest, "the guest crashes", "true", GONE, "Halted")

    guest.start()
    guest.up()
    since, domid = guest.said(), guest.domid
    guest.does("reboot -f")
    house.run("while xenstore-exists /local/domain/%d; do sleep 0.1; done" % domid)
    house.follows(["vm/" + guest.ref], lambda: guest.domid not in (-1, domid), "it has its new domain")
    house.converges("the guest reboots, from its new domain on")
    guest.up(since)
    x.VM.set_actions_after_crash(guest.ref, "preserve")
    guest.does("echo c >/proc/sysrq-trigger")
    house.run(shown(house, guest, GONE))
    house.converges("the guest crashes, and is restarted or kept as its settings say")
    guest.remove()


@case
def domains_of_others_are_shown_and_left_alone(house):
    x = house.x
    uuid = "0f000000-0000-4000-8000-000000000001"
    house.run(FOREIGN % uuid)
    house.converges("a domain of somebody else appears")
    vm = x.VM.get_by_uuid(uuid)
    print("  it is shown as %r" % x.VM.get_name_label(vm))
    print("  shutting it down is refused: %s" % failure(x.VM.hard_shutdown, vm))
    house.kill()
    house.start()
    assert uuid in domains(house), "it is gone"
    house.agrees()
    house.run("xl destroy foreign")
    house.converges("and goes")
    left = [machine for machine in house.x.VM.get_all_records().values() if machine["uuid"] == uuid]
    assert not [machine for machine in left if machine["power_state"] != "Halted"], left


@case
def the_whole_machine_loses_its_power(house):
    guest, paused = Guest(house, "pv", devices=False), Guest(house, "pvh", devices=False)
    guest.start()
    paused.start()
    house.x.VM.pause(paused.ref)
    house.lab.restart()
    house.set_up()
    house.start()
    house.converges("after a power cut, from the server's first answer on")
    assert (guest.state, paused.state) == ("Halted", "Halted")
    guest.start()
    guest.remove()
    paused.remove()
    house.verify()
