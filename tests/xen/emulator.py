"""How the emulated processor fails guests, and how that is told from what the server does to them.

Guests that QEMU's nested virtualization runs die now and then, the more often they trap: of three that only read a port, in
a dom0 without the server, up to nine in five minutes (QEMU 7.2). They die in two ways, both of which show:

- The hypervisor says that a guest ended in a triple fault. Its next instruction is the hypervisor's own, where no guest can
  get, or one of its own of which it never took a fault. To Xen that is a reboot.
- An interrupt is delivered a second time at the first instruction of whoever takes it, with interrupts off, as no processor
  does. If the first one came out of a program, the kernel panics, and its trace on the guest's console has that instruction.
"""

import re

TRIPLE_FAULT = r"\bd\d+v\d+ Triple fault"
DELIVERED_TWICE = r"RIP: 0010:asm_\w+\+0x0/"
SLIP = re.compile("%s|%s" % (TRIPLE_FAULT, DELIVERED_TWICE))


def slipped(said):
    """Whether that is in what the hypervisor and the guests have said."""
    return SLIP.search(said) is not None
