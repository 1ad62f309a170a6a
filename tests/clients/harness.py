"""Starts a server for a test script, and runs the script's cases.

It knows how the program is started and stopped, and nothing of the API. A script declares cases with `@case`, and ends with
`run(...)`; each case prints one line, and the last line says how many passed and failed.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PASSWORD = "correct horse battery staple"
READY_SECONDS_MAX = 120
STOP_SECONDS_MAX = 30


def binary():
    """The program under test: `$XENLEDGER_BIN`, or what cargo built last for debugging."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.environ.get("XENLEDGER_BIN", os.path.join(target, "debug", "xenledger"))


class Server:
    """One running server with a data folder of its own, deleted at the end."""

    def __init__(self, *arguments, tls=False, unix=False):
        # The Python SDK writes a socket's path with `_` for `/`: so no `_` may be in it.
        self.folder = os.path.join(tempfile.gettempdir(), "xenledger-" + secrets.token_hex(6))
        os.mkdir(self.folder, 0o700)
        command = [binary(), "serve", "--data", os.path.join(self.folder, "data"), "--listen", "127.0.0.1:0"]
        command += ["--driver", "sim", "--sim-speed", "50"]
        if tls:
            command += ["--listen-tls", "127.0.0.1:0"]
        if unix:
            command += ["--unix", os.path.join(self.folder, "socket")]
        self.log = open(os.path.join(self.folder, "stderr"), "w+")
        self.process = subprocess.Popen(
            command + list(arguments),
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=dict(os.environ, XENLEDGER_ROOT_PASSWORD=PASSWORD),
        )
        self.addresses = {}
        self._wait_until_ready(1 + tls + unix)

    def _wait_until_ready(self, listeners):
        # A server that never says so is killed, which ends the reading below.
        alarm = threading.Timer(READY_SECONDS_MAX, self.process.kill)
        alarm.start()
        for line in self.process.stdout:
            if line.startswith("listening on "):
                address = line.removeprefix("listening on ").strip()
                self.addresses[address.split(":")[0]] = address
            if len(self.addresses) == listeners:
                break
        alarm.cancel()
        if len(self.addresses) < listeners:
            self.stop(failed=True)
            raise SystemExit("the server did not become ready")
        # What it prints later is read too, so that a full pipe never stops it.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    @property
    def url(self):
        return self.addresses["http"]

    @property
    def tls_url(self):
        return self.addresses["https"]

    @property
    def socket(self):
        return self.addresses["unix"].removeprefix("unix:")

    def stop(self, failed=False):
        """Ends the process; shows the end of its log when something failed."""
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            print("  the server did not stop within %d s" % STOP_SECONDS_MAX)
            self.process.kill()
            self.process.wait()
        if failed:
            self.log.seek(0)
            print("  the end of the server's log:")
            for line in self.log.readlines()[-20:]:
                print("  | " + line.rstrip())
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)


CASES = []


def case(function):
    """Declares a case: its name, with blanks for `_`, is what it shows."""
    CASES.append((function.__name__.replace("_", " "), function))
    return function


def wait_until(what, seconds_max=60, pause=0.02):
    """Looks until `what()` is true. Running out of time is a failure, not a measurement."""
    deadline = time.monotonic() + seconds_max
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < deadline, "waited %d s in vain" % seconds_max
        time.sleep(pause)


def run(title, server, rounds):
    """Runs every case once a round; `rounds` maps a round's name to the argument of its cases. Exits."""
    only = sys.argv[1:]
    passed = failed = 0
    # A run that is ended from outside stops its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for name, argument in rounds.items():
            for label, function in CASES:
                if only and not any(word in label for word in only):
                    continue
                began = time.monotonic()
                try:
                    function(argument)
                    passed += 1
                    print("ok   %s: %s (%.1f s)" % (name, label, time.monotonic() - began))
                except Exception as error:  # a case may fail in any way: all are reported alike
                    failed += 1
                    print("FAIL %s: %s: %s: %s" % (name, label, type(error).__name__, error))
                    for line in traceback.format_tb(error.__traceback__)[1:]:
                        print("  | " + line.strip().replace("\n", "\n  | "))
                sys.stdout.flush()
    finally:
        server.stop(failed=failed > 0)
    print("%s: %d passed, %d failed" % (title, passed, failed))
    sys.exit(1 if failed else 0)
