"""The server under test in dom0, and the guests that the cases make: what all scenarios share.

A guest is driven over the API by the unmodified Python SDK; what is behind it is looked at, or meddled with, by scripts
in dom0. After every step `House.agrees` compares the two (see truth.py).
"""

import json
import os
import re
import socket
import sys
import threading
import time
import urllib.request
from datetime import datetime

import XenAPI
from truth import disagreements

PASSWORD = "correct horse battery staple"
DATA = "/var/lib/xenledger/data"
LOG = "/data/server.log"
CONSOLES = "/var/log/xen/console"
BRIDGE = "guests0"
MIB = 1 << 20
ANSWER_SECONDS_MAX = 300
EVENT_SECONDS_MAX = 30.0
# What the issue asks for; what takes longer is shown loudly, and fails only beyond the last one.
CONVERGE_SECONDS_WANTED = 2.0
CONVERGE_SECONDS_MAX = 300
CLEAR_SECONDS_MAX = 30
# To measure the clock a PVH guest traps thousands of times into the hypervisor with nobody there to take a fault; the
# emulated processor now and then gives it one (a triple fault at boot). It is told the rate instead. What takes it seconds
# to boot and is not looked at is left out: a second processor that is taken away again, its ciphers' tests.
KERNEL_ARGUMENTS = "console=hvc0 loglevel=1 nokaslr mitigations=off tsc_early_khz=2600000 maxcpus=1 cryptomgr.notests"

# Reads on where a file goes on until a line matches. It starts no other process: each takes time from the processors that
# the guest needs, and tail looks once a second.
FOLLOWS = r"""
exec 4<> <(:)
pause() { [ $SECONDS -lt $seconds_max ] || exit 1; read -r -t 0.1 -u 4; }
until [ -e $file ]; do pause; done
exec 3<$file
LC_ALL=C read -r -N $since -u 3 skipped
while :; do
    while IFS= read -r -u 3 line; do
        line=$begun$line; begun=
        [[ $line =~ $pattern ]] && { echo "$line"; exit; }
    done
    begun+=$line
    pause
done
"""


def say(text):
    print("  " + text)
    sys.stdout.flush()


class House:
    """One dom0 with a server in it. `driver` is what the server is told to drive."""

    def __init__(self, lab, driver="xen"):
        self.lab, self.driver = lab, driver
        self.run = lab.run
        self.convergence = []
        # What the log has said of power states, and up to which position it was read.
        self.logged, self.read_to = {}, 0
        self.guests = 0
        self.unanswered = 0
        self.set_up()
        self.start()
        # Its session lives on in every server that follows.
        self.session = XenAPI.Session(self.lab.url + "/")
        self.session.xenapi.login_with_password("root", PASSWORD, "1.0", "lab")
        self.x = self.session.xenapi

    def set_up(self):
        """What an administrator does once, and after each boot."""
        # Whoever looks has to be answered, however busy the guests are.
        self.run(
            "xl sched-credit2 -d Domain-0 -w 4096;"
            "ln -sfn /data /var/lib/xenledger; mkdir -p /usr/local/bin /run/xenledger;"
            "ln -sf /data/bin/xenledger /usr/local/bin/;"
            "for more in /data/device-model-*.tar; do [ ! -e $more ] || tar -C / -xf $more; done;"
            "ip link add %s type bridge; ip addr add 10.77.0.1/24 dev %s; ip link set %s up" % (BRIDGE, BRIDGE, BRIDGE)
        )

    # -- the server

    def start(self):
        """Starts the server. Its log goes on in `LOG`."""
        self.run(
            "cd /data; export XENLEDGER_ROOT_PASSWORD='%s' RUST_LOG=info;"
            "setsid xenledger serve --driver %s --data %s --listen 0.0.0.0:8080 --unix /run/xenledger/socket"
            " >>%s 2>&1 </dev/null & echo $! >/data/server.pid" % (PASSWORD, self.driver, DATA, LOG)
        )
        self.wait(self._answers, "the server answers", pause=0.2)

    def _answers(self):
        try:
            with urllib.request.urlopen(self.lab.url + "/healthz", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            self.unanswered += 1
            # To ask this costs the server's own time.
            if self.unanswered % 30 == 0 and not self.run("kill -0 $(cat /data/server.pid) 2>/dev/null && echo lives || true"):
                raise AssertionError("the server ended:\n" + self.run("tail -n 20 " + LOG))
            return False

    def kill(self):
        """`kill -9`."""
        self.run("read -r pid </data/server.pid; kill -9 $pid; while kill -0 $pid 2>/dev/null; do sleep 0.02; done")

    def stop(self, failed=False):
        """The end of all cases."""
        spent = self.run("cut -d ' ' -f 14-17 /proc/$(cat /data/server.pid)/stat").split()
        own, children = [(int(spent[at]) + int(spent[at + 1])) / 100 for at in (0, 2)]
        say("the last server has used %.1f s of a processor, its children %.1f s" % (own, children))
        if self.convergence:
            say("convergence, in seconds after `xl list` could show it, or after the server was up again:")
            for what, seconds in self.convergence:
                late = "" if seconds <= CONVERGE_SECONDS_WANTED else "   !!! MORE THAN %g s" % CONVERGE_SECONDS_WANTED
                say("%6.2f %s%s" % (seconds, what, late))
        if failed:
            say("in the end:\n" + self.run("xl list -v"))
        self.lab.remove()

    def opened(self, location):
        """The console at a location, as a client opens it: what is sent is typed, what is received is shown."""
        path = "/console" + location.partition("/console")[2]
        terminal = socket.create_connection(("127.0.0.1", self.lab.api), ANSWER_SECONDS_MAX)
        head = "CONNECT %s HTTP/1.0\r\nCookie: session_id=%s\r\n\r\n" % (path, self.session._session)
        terminal.sendall(head.encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            assert (byte := terminal.recv(1)), "no console: %s" % answer
            answer += byte
        assert b" 200 " in answer.splitlines()[0], answer
        return terminal

    @property
    def network(self):
        """The network that stands for the bridge."""
        for ref, network in self.x.network.get_all_records().items():
            if network["bridge"] == BRIDGE:
                return ref
        record = {"name_label": "guests", "name_description": "", "MTU": "1500", "other_config": {}}
        return self.x.network.create(dict(record, bridge=BRIDGE, managed=False))

    # -- waiting and comparing

    def wait(self, reached, what, seconds_max=ANSWER_SECONDS_MAX, pause=0.1):
        """Looks until it is so; running out of time is a failure."""
        deadline = time.monotonic() + seconds_max
        while not (found := reached()):
            assert time.monotonic() < deadline, "waited %d s in vain until %s" % (seconds_max, what)
            time.sleep(pause)
        return found

    def follows(self, classes, reached, what, seconds_max=ANSWER_SECONDS_MAX):
        """The same, looking whenever the server tells of a change to one of these classes or objects."""
        deadline, token = time.monotonic() + seconds_max, ""
        while not (found := reached()):
            assert time.monotonic() < deadline, "waited %d s in vain until %s" % (seconds_max, what)
            token = self.x.event_from(classes, token, EVENT_SECONDS_MAX)["token"]
        return found

    def pending(self):
        query = 'field "status" = "pending" or field "status" = "cancelling"'
        return list(self.x.task.get_all_records_where(query).values())

    def disagreements(self):
        return disagreements(self)

    def agrees(self):
        """Hypervisor, store, API and log say the same now, and nothing is pending."""
        found = self.disagreements()
        assert not found, "; ".join(found)

    def converges(self, what):
        """Waits until all agree, and notes how long that took from now, which is when `xl list` could show it, without the
        time that the server's `xl` itself took."""
        began = time.monotonic()
        settled = began
        self.follows(["task"], lambda: not self.pending(), "nothing is pending", CONVERGE_SECONDS_MAX)
        while True:
            asked = time.monotonic()  # looking costs seconds here, which are not the server's
            found = self.disagreements()
            if not found:
                break
            settled = time.monotonic()
            assert asked < began + CONVERGE_SECONDS_MAX, "; ".join(found)
        took = max(asked, settled) - began
        self.convergence.append((what, max(took - self.xl_worked(time.monotonic() - began), 0)))
        say("%5.2f s: %s" % self.convergence[-1][::-1])

    def xl_worked(self, seconds):
        """For how many of the last seconds `xl` worked for the server, as that one's log says."""
        now, *lines = self.run("echo $EPOCHREALTIME; tail -n 200 " + LOG).splitlines()
        since, last, works, worked = float(now) - seconds, 0.0, 0, 0.0
        for line in lines:
            if "the view is there" in line:
                works = 0  # who was killed says no more
            change = 1 if "xl begun" in line else -1 if "xl ended" in line else 0
            if change:
                at = datetime.fromisoformat(line.split("Z ")[0] + "+00:00").timestamp()
                worked += max(at - max(last, since), 0) * (works > 0)
                last, works = at, max(works + change, 0)
        return worked

    def clear(self):
        """Away with all machines, wherever a case left them."""
        x = self.x
        if not self._answers():
            self.start()
        self.follows(["task"], lambda: not self.pending(), "nothing is pending")
        for ref, vm in x.VM.get_all_records().items():
            if not (vm["is_a_template"] or vm["is_control_domain"]):
                if x.VM.get_power_state(ref) != "Halted":
                    x.VM.hard_shutdown(ref)
                x.VM.destroy(ref)
        # What died by itself may still be on its way out.
        deadline = time.monotonic() + CLEAR_SECONDS_MAX
        while self.disagreements() and time.monotonic() < deadline:
            time.sleep(1)
        self.agrees()

    def verify(self):
        """The log is whole, and folds to the views: said by the program itself, beside the server."""
        self.run("xenledger log verify --data " + DATA)

    def log(self, **filters):
        """Rows of the log, oldest first."""
        query = "&".join("%s=%s" % pair for pair in filters.items())
        request = urllib.request.Request("%s/log?session_id=%s&%s" % (self.lab.url, self.session._session, query))
        with urllib.request.urlopen(request, timeout=ANSWER_SECONDS_MAX) as answer:
            return [json.loads(line) for line in answer.read().decode().splitlines()]

    # -- work

    def meanwhile(self, script):
        """Runs a script in dom0 beside what follows; the result joins it."""
        failure = []

        def work():
            try:
                self.run(script)
            except Exception as error:  # whatever it is, it is told where it is waited for
                failure.append(error)

        thread = threading.Thread(target=work)
        thread.start()

        def join():
            thread.join()
            if failure:
                raise failure[0]

        return join

    def done(self, task):
        """Waits for a task, and gives its status and its error."""
        status = lambda: self.x.task.get_status(task)
        self.follows(["task/" + task], lambda: status() not in ("pending", "cancelling"), "the task ends")
        return status(), self.x.task.get_error_info(task)

    def succeeds(self, *tasks):
        for task in tasks:
            status, error = self.done(task)
            assert status == "success", "%s: %s" % (status, error)


class Guest:
    """A machine made over the API, with a disk that has a mark on it, and an interface, or without devices. In it runs
    guest/init."""

    def __init__(self, house, kind, memory_mib=96, devices=True):
        house.guests += 1
        self.house, self.kind, self.devices = house, kind, devices
        self.started = 0
        self.name = "%s-%d" % (kind, house.guests)
        self.address = "10.77.0.%d" % (house.guests + 1)
        x = house.x
        self.ref = x.VM.create(self._record(memory_mib * MIB))
        self.uuid = x.VM.get_uuid(self.ref)
        if devices:
            self.disk("0", "MARK-" + self.name)
            self.interface("0")

    def _record(self, memory):
        texts = dict.fromkeys(
            "name_description PV_bootloader PV_legacy_args PV_bootloader_args HVM_boot_policy PCI_bus".split(), ""
        )
        maps = {key: {} for key in "HVM_boot_params VCPUs_params platform other_config xenstore_data".split()}
        bytes = dict.fromkeys("memory_static_max memory_dynamic_max memory_dynamic_min".split(), str(memory))
        return {
            **texts,
            **maps,
            **bytes,
            "memory_static_min": str(64 * MIB),
            "name_label": self.name,
            "recommendations": "",
            "domain_type": self.kind,
            "is_a_template": False,
            "user_version": "1",
            "affinity": "OpaqueRef:NULL",
            "VCPUs_max": "2",
            "VCPUs_at_startup": "1",
            "PV_kernel": "/boot/guest/vmlinuz",
            "PV_ramdisk": "/boot/guest/initrd.gz",
            "PV_args": KERNEL_ARGUMENTS + (" lab.ip=" + self.address) * self.devices,
            "actions_after_shutdown": "destroy",
            "actions_after_reboot": "restart",
            "actions_after_crash": "destroy",
        }

    def disk(self, device, mark=None):
        """A new disk on it; the mark is written to its file."""
        x = self.house.x
        sr = x.pool.get_default_SR(x.pool.get_all()[0])
        vdi = x.VDI.create(
            {
                "name_label": "%s %s" % (self.name, device),
                "name_description": "",
                "SR": sr,
                "virtual_size": str(8 * MIB),
                "type": "user",
                "sharable": False,
                "read_only": False,
                "other_config": {},
            }
        )
        if mark:
            uuid = x.VDI.get_uuid(vdi)
            find = "file=$(find /data/data/disks -name '%s*' | grep .)" % uuid
            self.house.run("%s && printf %s | dd conv=notrunc of=$file 2>&1" % (find, mark))
        return vdi, self.attach(vdi, device)

    def attach(self, vdi, device, mode="RW"):
        """A disk's place on it."""
        record = {
            "VM": self.ref,
            "VDI": vdi,
            "userdevice": device,
            "bootable": False,
            "mode": mode,
            "type": "Disk",
            "unpluggable": True,
            "empty": False,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
        return self.house.x.VBD.create(record)

    def interface(self, device, **more):
        record = {"VM": self.ref, "network": self.house.network, "device": device, "MAC": "", "MTU": "1500"}
        record.update({"other_config": {}, "qos_algorithm_type": "", "qos_algorithm_params": {}}, **more)
        return self.house.x.VIF.create(record)

    # -- what the guest says and does

    @property
    def state(self):
        return self.house.x.VM.get_power_state(self.ref)

    @property
    def domid(self):
        return int(self.house.x.VM.get_domid(self.ref))

    @property
    def console(self):
        """The file that everything goes to that the guest says, in all its domains' lives."""
        return "%s/guest-%s-%s.log" % (CONSOLES, self.name, self.uuid[:8])

    def said(self):
        """How much it has said: where to look on from."""
        return int(self.house.run("cat %s 2>/dev/null | wc -c" % self.console))

    def says(self, pattern, since=0, seconds_max=ANSWER_SECONDS_MAX):
        """Waits until it says something; the first line that matches."""
        values = (self.console, since, seconds_max, pattern)
        script = "file=%s; since=%d; seconds_max=%d; pattern='%s'\n" % values + FOLLOWS
        line = self.house.run(script, seconds_max + 60).strip()
        say("%s: %s" % (self.name, line))
        return line

    def ticks(self):
        """Where its counter is now."""
        last = self.house.run("tr -d '\\r' <%s | grep -a GUEST-TICK | tail -n 1" % self.console)
        return int(re.search(r"GUEST-TICK (\d+)", last)[1])

    def does(self, command):
        """Types a line on its console."""
        self.house.run("echo '%s' >$(xenstore-read /local/domain/%d/console/tty)" % (command, self.domid))

    def up(self, since=None):
        """Waits until it is up, has found its disk's mark, and reached the host; since its last start."""
        since = self.started if since is None else since
        self.says("GUEST-UP", since)
        if not self.devices:
            return
        assert self.says("GUEST-DISK xvda", since).endswith("MARK-" + self.name)
        self.says("GUEST-PING ok", since)

    def start(self):
        """Starts it, and what it had said before that."""
        self.started = self.said()
        self.house.x.VM.start(self.ref, False, False)
        self.house.agrees()
        return self.started

    def remove(self):
        """Away with it, whatever it does."""
        self.take_away()
        self.house.agrees()

    def take_away(self):
        """The same, without a look at whether all agree then."""
        x = self.house.x
        if self.state != "Halted":
            x.VM.hard_shutdown(self.ref)
        disks = [x.VBD.get_VDI(vbd) for vbd in x.VM.get_VBDs(self.ref)]
        x.VM.destroy(self.ref)
        for vdi in disks:
            x.VDI.destroy(vdi)
