"""Drives the server in a dom0 on real Xen with the unmodified Python SDK, and compares all sides after every step.

`$XENLAB_IMAGE` is the folder that `image` made, `$XENLEDGER_BIN` the program, `$XENLAB_LOGS` where the machine's own console
is kept, `$XENLAB_DRIVER` what the server drives, `$XENLAB_PARTS` the files with cases. Arguments choose cases by parts of
their names; `hold` only starts everything and says how it is reached.
"""

import importlib
import os
import signal
import sys
import time

sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clients"))

from harness import CASES, binary, run
from house import PASSWORD, House, say
from lab import Lab
from repeated import repeated


def hold(house):
    say("the API: %s, as root with the password %r" % (house.lab.url, PASSWORD))
    say("a script for dom0: POST it to http://127.0.0.1:%d/cgi-bin/run" % house.lab.agent)
    say("all of it ends when this is interrupted")
    try:
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parts = os.environ.get("XENLAB_PARTS", "guide life devices interference killed many").split()
    more = [os.environ["XENLAB_DEVICE_MODEL"]] if "XENLAB_DEVICE_MODEL" in os.environ else []
    lab = Lab(os.environ["XENLAB_IMAGE"], binary(), os.environ.get("XENLAB_LOGS", "/tmp"), more)
    try:
        house = House(lab, os.environ.get("XENLAB_DRIVER", "xen"))
        if sys.argv[1:] == ["hold"]:
            return hold(house)
        for part in parts:
            importlib.import_module(part)
        CASES[:] = [(label, repeated(function)) for label, function in CASES]
        run("xen", house, {"xen": house})
    finally:
        lab.remove()


if __name__ == "__main__":
    main()
