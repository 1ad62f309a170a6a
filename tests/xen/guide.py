"""proto-docs/xen-host.md, word for word: its blocks of commands are run in dom0, but for those that say why not."""

import os
import re

from harness import ROOT, case

PAGE = os.path.join(ROOT, "proto-docs", "xen-host.md")
BLOCK = re.compile(r"(?:<!-- not in the lab: (.*?) -->\n)?```sh\n(.*?)```", re.DOTALL)
LINES_MIN = 25


@case
def the_guide_for_a_Xen_host_is_true(house):
    with open(PAGE) as page:
        blocks = BLOCK.findall(page.read())
    for why_not, script in blocks:
        if why_not:
            print("  not run: %s: %s" % (script.splitlines()[0], why_not))
    # In one shell, as somebody who types them; it shows each line as it reads it.
    script = "set -ev\n" + "".join(script for why_not, script in blocks if not why_not)
    lines = len(script.splitlines())
    assert lines >= LINES_MIN, "only %d lines of commands were found on the page" % lines
    for line in house.run(script, 600).splitlines():
        print("  | " + line)
    [vm] = house.x.VM.get_by_name_label("first")
    assert house.x.VM.get_power_state(vm) == "Halted"
    house.agrees()
