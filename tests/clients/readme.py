"""The README's examples, run as they stand there against a server of their own.

Of what they print, everything but references, numbers and times must be what the README shows.
"""

import os
import re
import subprocess
import sys
import xmlrpc.client

from harness import PASSWORD, ROOT, Server, binary, case, run, wait_until

WAIT_SECONDS_MAX = 120


def blocks():
    """Every fenced block of the README: its language and its text."""
    with open(os.path.join(ROOT, "README.md")) as readme:
        return re.findall(r"^```(\w+)\n(.*?)^```$", readme.read(), re.MULTILINE | re.DOTALL)


def masked(text):
    text = re.sub(r"OpaqueRef:[-0-9a-f]{36}", "OpaqueRef:…", text)
    return re.sub(r"[0-9a-f]*[0-9][0-9a-f]*", "0", text).split("\n")


class Example:
    """A server with the demo's machines, those that start with the host started."""

    def __init__(self):
        self.server = Server("--demo")
        x = xmlrpc.client.ServerProxy(self.server.url)
        session = x.session.login_with_password("root", PASSWORD, "1.0", "readme test")["Value"]
        for name in ("web-1", "web-2", "database"):
            [vm] = x.VM.get_by_name_label(session, name)["Value"]
            wait_until(lambda: x.VM.get_power_state(session, vm)["Value"] == "Running")
        x.session.logout(session)

    def run(self, command, text):
        """Runs a block; answers what it printed."""
        text = text.replace("http://127.0.0.1:8080", self.server.url).replace("secret", PASSWORD)
        text = text.replace("=" + PASSWORD, "='" + PASSWORD + "'")
        data = os.path.join(self.server.folder, "data")
        path = os.path.dirname(binary()) + os.pathsep + os.environ["PATH"]
        environment = dict(os.environ, PATH=path, XENLEDGER_URL=self.server.url, XENLEDGER_DATA=data)
        done = subprocess.run(
            command, input=text, env=environment, text=True, timeout=WAIT_SECONDS_MAX,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, "it failed with %d:\n%s" % (done.returncode, done.stdout)
        return done.stdout


@case
def every_example_does_what_the_readme_says(example):
    ran = 0
    found = blocks()
    following = found[1:] + [("", "")]
    for (language, text), (next_language, shown) in zip(found, following):
        if language not in ("python", "sh"):
            continue
        command = [sys.executable, "-"] if language == "python" else ["bash", "-e", "-o", "pipefail"]
        printed = example.run(command, text)
        ran += 1
        if next_language == "text":
            assert masked(printed) == masked(shown), "the README shows\n%sbut it is\n%s" % (shown, printed)
    assert ran >= 3, "only %d examples were found" % ran


if __name__ == "__main__":
    example = Example()
    run("the README", example.server, {"live": example})
