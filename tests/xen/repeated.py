"""What a case that failed shows, and when it begins anew."""

import emulator
from house import CONSOLES, LOG, say

REPEATED_MAX = 2
MARK = "/data/case-began"
# Of each of dom0's files that are shown.
LINES = 60


def repeated(function):
    """A case that begins anew when it failed and the emulated processor had failed a guest meanwhile, but not for ever. One
    that fails shows what was behind it, and leaves nothing to the next."""

    def case(house):
        for left in reversed(range(REPEATED_MAX + 1)):
            since = marked(house)
            try:
                return function(house)
            except Exception as error:  # however it failed
                slipped = False
                try:
                    came = what_came(house, since)
                    slipped = emulator.slipped(came)
                    for line in came.splitlines():
                        say("| " + line)
                    house.clear()
                except Exception as more:  # dom0 may be what failed
                    say("what it left is still there: %s" % more)
                if not (slipped and left):
                    raise
                say("!!! the emulated processor failed a guest; once more, after: %s" % error)

    return case


def marked(house):
    """Where the hypervisor's console is now. What dom0's files are given later is newer than the mark."""
    house.run("touch " + MARK)
    return len(house.lab.said())


def what_came(house, since):
    """What the hypervisor has said since then, and the end of what the server and the guests have."""
    newer = "find %s %s/guest-*.log -newer %s" % (LOG, CONSOLES, MARK)
    files = newer + " | while read -r file; do echo \"$file:\"; tail -n %d \"$file\"; done" % LINES
    return "the hypervisor:\n%s\n%s" % (house.lab.said(since), house.run(files))
