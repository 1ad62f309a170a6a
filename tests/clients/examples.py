"""The examples of proto-docs/, run as they stand there against a server of their own.

Each follows a machine that is started and stopped all the time, and must print a power state before its time is over. What
receives deliveries is called by the subscription that the page's own example makes.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import xmlrpc.client

from harness import PASSWORD, ROOT, Server, case, run, wait_until

SECONDS_MAX = 90
PAGES = ("events.md", "subscriptions.md")
COMMANDS = {
    "python": [sys.executable, "-"],
    "js": ["node", "--input-type=module", "-"],
    "sh": ["bash", "-e", "-o", "pipefail"],
}
NEEDED = {"python": [sys.executable], "js": ["node"], "sh": ["bash", "curl"]}
# What an example prints when it does what it should: a power state, or how a task ended.
TOLD = r'power_state.*(Running|Halted)|(success|True|true) Running|"status":"success"'
# What one prints that makes a subscription.
MADE = r'"result":"OpaqueRef:'
# Where the pages let a receiver listen.
PORT = "8090"


def blocks(page):
    """Every example of a page: its language, the heading it stands under, and its text."""
    with open(os.path.join(ROOT, "proto-docs", page)) as text:
        parts = re.split(r"^## (.*)$", text.read(), flags=re.MULTILINE)
    for heading, section in zip(["", *parts[1::2]], parts[::2]):
        for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            yield language, heading, block


class Pool:
    """A server with the demo's machines, one of which never rests."""

    def __init__(self):
        self.server = Server("--demo", "--webhooks-to-private", "--webhooks-over-http")
        self.x = xmlrpc.client.ServerProxy(self.server.url)
        self.session = self.x.session.login_with_password("root", PASSWORD, "1.0", "examples test")["Value"]
        for name in ("web-1", "database"):
            [vm] = self.x.VM.get_by_name_label(self.session, name)["Value"]
            wait_until(lambda: self.x.VM.get_power_state(self.session, vm)["Value"] == "Running")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = str(free.getsockname()[1])
        self.resting = threading.Event()
        self.restless = threading.Thread(target=self.never_rest, daemon=True)
        self.restless.start()

    def never_rest(self):
        x = xmlrpc.client.ServerProxy(self.server.url)
        [vm] = x.VM.get_by_name_label(self.session, "web-1")["Value"]
        while not self.resting.is_set():
            x.VM.hard_shutdown(self.session, vm)
            x.VM.start(self.session, vm, False, False)

    def rest(self):
        self.resting.set()
        self.restless.join()

    def prepared(self, text):
        """An example with this server's address and password."""
        text = text.replace("http://127.0.0.1:8080", self.server.url).replace(PORT, self.port)
        text = text.replace("-u root:secret", "-u 'root:%s'" % PASSWORD).replace("root:secret", "root:" + PASSWORD)
        for quote, between in ('"', ", "), ("'", ", "), ('"', ","):
            written = "{0}root{0}{1}{0}%s{0}".format(quote, between)
            text = text.replace(written % "secret", written % PASSWORD)
        return text

    def told(self, language, text, wanted):
        """Runs an example until it prints what is wanted; answers what it printed until then."""
        process = subprocess.Popen(
            COMMANDS[language], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        )
        # The example and what it started end together.
        end = lambda: subprocess.run(["kill", "-9", "--", "-%d" % process.pid], stderr=subprocess.DEVNULL)
        alarm = threading.Timer(SECONDS_MAX, end)
        alarm.start()
        try:
            process.stdin.write(self.prepared(text))
            process.stdin.close()
            printed = ""
            for line in process.stdout:
                printed += line
                if re.search(wanted, line):
                    return printed
            raise AssertionError("the example in %s printed\n%s" % (language, printed))
        finally:
            alarm.cancel()
            end()
            process.wait()


@case
def every_example_tells_what_the_page_says(pool):
    ran = {"python": 0, "js": 0, "sh": 0}
    try:
        for page in PAGES:
            for language, heading, text in blocks(page):
                assert language in COMMANDS, "%s: nothing runs %s" % (page, language)
                if not all(shutil.which(needed) for needed in NEEDED[language]):
                    print("LEFT OUT: an example in %s: %s is not there" % (language, " or ".join(NEEDED[language])))
                    continue
                print("  %s, %s, in %s" % (page, heading, language), flush=True)
                makes = "subscription.create" in text and PORT in text
                pool.told(language, text, MADE if makes else TOLD)
                ran[language] += 1
    finally:
        pool.rest()
    assert ran["python"] >= 8, ran


if __name__ == "__main__":
    pool = Pool()
    run("the examples", pool.server, {"live": pool})
