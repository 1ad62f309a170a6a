"""One machine with real Xen on it, in QEMU: how it is started, spoken to and ended.

It knows dom0 as a place to run scripts in, and nothing of what they do there. `Lab` is started from a snapshot of the
booted machine, made when there is none; `restart` is what a power cut is: QEMU is killed, and the machine boots again
from the hypervisor on, with the disk that it had. The disk holds the program under test and its data.
"""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
import zlib

MEMORY_MIB = 4096
DOM0_MIB = 1024
DISK = "24G"  # sparse
BOOT_SECONDS_MAX = 300
SCRIPT_SECONDS_MAX = 180
# SMAP has to be off: before version 9.1 QEMU checks it on dom0's way back to its own programs. SVM and NPT are what PVH
# and HVM guests need.
CPU = "qemu64,+svm,+npt"
# Nobody spies on anybody here: what processors need against that is left out, which an emulated one pays for dearly.
XEN_OPTIONS = "console=com1 com1=115200,8n1 vga=none loglvl=warning guest_loglvl=warning spec-ctrl=no"
XEN_OPTIONS += " dom0_mem=%dM,max:%dM" % (DOM0_MIB, DOM0_MIB)
DOM0_OPTIONS = "console=hvc0 loglevel=4 rdinit=/init nokaslr mitigations=off"


class Dom0Error(Exception):
    """A script in dom0 ended with another status than 0."""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Lab:
    """The running machine. `image` is what the script of that name made; `program` goes to /data/bin, `more` to /data."""

    def __init__(self, image, program, logs, more=()):
        self.image = image
        self.folder = tempfile.mkdtemp(prefix="xenlab-")
        self.agent, self.api = free_port(), free_port()
        self.console = os.path.join(logs, "xen-console.log")
        self.qemu = None
        open(self.console, "w").close()
        self._make_disk(program, more)
        snapshot = os.path.join(image, "booted-%s" % self._kind())
        if os.path.exists(snapshot):
            self._boot(snapshot)
        else:
            self._boot()
            self._save(snapshot)
        self._enter()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.api

    def run(self, script, seconds_max=SCRIPT_SECONDS_MAX):
        """Runs a script in dom0 and returns what it prints, without the last line's end."""
        output, status = self._ask("run", script.encode(), seconds_max)
        if status != 0:
            raise Dom0Error("%s\nended with %d:\n%s" % (script.strip(), status, output))
        return output

    def said(self, since=0):
        """What the machine's own console has shown, of the hypervisor and of dom0, from a character on."""
        with open(self.console, errors="replace") as console:
            return console.read()[since:]

    def restart(self):
        """Cuts the power, and boots again."""
        self.stop()
        self._boot()
        self._enter()

    def stop(self):
        if self.qemu:
            self.qemu.send_signal(signal.SIGKILL)
            self.qemu.wait()
            self.qemu = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_disk(self, program, more):
        content = os.path.join(self.folder, "content")
        os.makedirs(os.path.join(content, "bin"))
        subprocess.run(["strip", "-o", os.path.join(content, "bin", "xenledger"), program], check=True)
        for file in more:
            shutil.copy(file, content)
        self.disk = os.path.join(self.folder, "disk")
        make = ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-d", content, self.disk, DISK]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(content)

    def _kind(self):
        """What a snapshot is only good for: this QEMU, and this machine."""
        said = subprocess.run(["qemu-system-x86_64", "--version"], check=True, capture_output=True, text=True).stdout
        machine = "%s %s %s %d" % (CPU, XEN_OPTIONS, DOM0_OPTIONS, MEMORY_MIB)
        return "%s-%08x" % (said.split()[3].strip("("), zlib.crc32(machine.encode()))

    def _boot(self, snapshot=None):
        began = time.monotonic()
        file = lambda name: os.path.join(self.image, name)
        forward = "hostfwd=tcp:127.0.0.1:%d-:%d"
        # However this process ends, the machine does not outlive it.
        command = ["setpriv", "--pdeathsig", "KILL"]
        command += ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi,tb-size=1024"]
        command += ["-cpu", CPU, "-smp", "2", "-m", str(MEMORY_MIB)]
        command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
        command += ["-kernel", file("xen"), "-append", XEN_OPTIONS]
        command += ["-initrd", "%s %s,%s" % (file("vmlinux"), DOM0_OPTIONS, file("dom0.cpio"))]
        command += ["-chardev", "file,id=console,append=on,path=" + self.console, "-serial", "chardev:console"]
        command += ["-qmp", "unix:%s,server=on,wait=off" % os.path.join(self.folder, "monitor")]
        net = ["user", "id=net", "restrict=on", forward % (self.agent, 80), forward % (self.api, 8080)]
        command += ["-netdev", ",".join(net), "-device", "virtio-net-pci,netdev=net,romfile="]
        command += ["-drive", "if=virtio,format=raw,cache=unsafe,file=" + self.disk]
        if snapshot:
            command += ["-incoming", "exec:cat " + snapshot]
        self.qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        if snapshot:  # what was saved while it stood still stands still
            self._wait(lambda: self._monitor("query-status")["status"] == "paused")
            self._monitor("cont")
        self._wait(lambda: self._ask("run", b"xl list", 10)[1] == 0)
        after = "its snapshot" if snapshot else "a cold start"
        print("  Xen answers %.1f s after %s" % (time.monotonic() - began, after))

    def _enter(self):
        """What a snapshot cannot hold: the time, and the disk, which is another one in every run."""
        self.run("date -u -s @%d >/dev/null; mount /dev/vda /data" % time.time())

    def _save(self, snapshot):
        """Writes the machine's state to a file, and lets it go on."""
        began = time.monotonic()
        self.run("sync; echo 3 >/proc/sys/vm/drop_caches")
        self._monitor("stop")
        self._monitor("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        self._monitor("migrate", uri="exec:cat >%s.new" % snapshot)
        self._wait(lambda: self._monitor("query-migrate")["status"] == "completed")
        for older in glob.glob(os.path.join(self.image, "booted-*[0-9a-f]")):
            os.remove(older)
        os.rename(snapshot + ".new", snapshot)
        self._monitor("cont")
        size = os.path.getsize(snapshot) >> 20
        print("  a snapshot of it: %d MiB in %.1f s" % (size, time.monotonic() - began))

    def _wait(self, reached):
        """Looks until something is reached that QEMU or dom0 may not be able to answer yet."""
        deadline = time.monotonic() + BOOT_SECONDS_MAX
        while True:
            try:
                if reached():
                    return
            except (OSError, ValueError):
                pass
            assert self.qemu.poll() is None, "QEMU ended with %s" % self.qemu.returncode
            assert time.monotonic() < deadline, "the machine is not up after %d s" % BOOT_SECONDS_MAX
            time.sleep(0.1)

    def _ask(self, what, body, seconds_max):
        """Posts something to dom0: its output, and the status in the last line."""
        request = urllib.request.Request("http://127.0.0.1:%d/cgi-bin/%s" % (self.agent, what), data=body)
        with urllib.request.urlopen(request, timeout=seconds_max) as answer:
            output, _, status = answer.read().decode(errors="replace").rpartition("\nSTATUS ")
        return output.rstrip("\n"), int(status)

    def _monitor(self, command, **arguments):
        """One command of QEMU's own protocol."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(os.path.join(self.folder, "monitor"))
            lines = connection.makefile("rw")
            json.loads(lines.readline())  # the greeting
            for message in [{"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}]:
                lines.write(json.dumps(message) + "\n")
                lines.flush()
                answer = {}
                while not {"return", "error"} & set(answer):  # events stand between
                    answer = json.loads(lines.readline())
        assert "return" in answer, "%s: %s" % (command, answer)
        return answer["return"]
