"""A fully virtualised machine, with Debian's device model. It boots in about a minute on an emulated processor, which was seen
to shut one down by a triple fault while its kernel patched its own code: the case fails then, and is not begun anew.
"""

from harness import case
from house import Guest


@case
def an_HVM_machine_lives(house):
    x, guest = house.x, Guest(house, "hvm", memory_mib=192)
    x.VM.set_HVM_boot_policy(guest.ref, "BIOS order")
    since = guest.start()
    guest.up(since)
    [console] = [x.console.get_record(ref) for ref in x.VM.get_consoles(guest.ref)]
    assert console["protocol"] == "rfb", console
    with house.opened(console["location"]) as screen:
        greeting = screen.recv(12)
    assert greeting.startswith(b"RFB 003."), greeting

    x.VM.pause(guest.ref)
    house.agrees()
    x.VM.unpause(guest.ref)
    house.agrees()

    since = guest.said()
    x.VM.suspend(guest.ref)
    house.agrees()
    before = guest.ticks()
    x.VM.resume(guest.ref, False, False)
    house.agrees()
    guest.says("GUEST-TICK %d" % (before + 2), since)

    since = guest.said()
    x.VM.clean_reboot(guest.ref)
    house.agrees()
    guest.up(since)

    guest.does("poweroff -f")
    house.follows(["vm/" + guest.ref], lambda: guest.state == "Halted", "the machine is Halted")
    house.converges("an HVM guest powers off")

    x.VM.start(guest.ref, True, False)
    assert guest.state == "Paused"
    house.agrees()
    x.VM.hard_shutdown(guest.ref)
    house.agrees()
    guest.remove()
    house.verify()
