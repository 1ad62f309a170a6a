"""Ansible's XenServer modules of the collection community.general, unmodified, run by `ansible` on this machine.

`$ANSIBLE` is the command; where its collection is, is in Ansible's own environment variables.
"""

import json
import os
import subprocess
import sys

import XenAPI
from harness import PASSWORD, Server, case, run

ANSIBLE_SECONDS_MAX = 180


class Ansible:
    """Runs one module against one server; `x` is a session beside it to look at what came of it."""

    def __init__(self, server, url):
        self.folder = os.path.join(server.folder, "results")
        self.environment = dict(
            os.environ,
            XENSERVER_HOST=url,
            XENSERVER_USER="root",
            XENSERVER_PASSWORD=PASSWORD,
            XENSERVER_VALIDATE_CERTS="false",
            ANSIBLE_HOME=os.path.join(server.folder, "ansible"),
            ANSIBLE_REMOTE_TMP=os.path.join(server.folder, "remote"),
            ANSIBLE_LOCALHOST_WARNING="False",
            ANSIBLE_PYTHON_INTERPRETER=sys.executable,
            LC_ALL="C.UTF-8",
        )
        session = XenAPI.Session(server.url)
        session.login_with_password("root", PASSWORD)
        self.x = session.xenapi

    def __call__(self, module, **arguments):
        command = [os.environ.get("ANSIBLE", "ansible"), "localhost", "--connection", "local", "--tree", self.folder]
        command += ["--module-name", "community.general." + module, "--args", json.dumps(arguments)]
        ended = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=ANSIBLE_SECONDS_MAX
        )
        result = os.path.join(self.folder, "localhost")
        if not os.path.exists(result):
            raise AssertionError("no result: %s%s" % (ended.stdout, ended.stderr))
        with open(result) as file:
            answer = json.load(file)
        os.remove(result)
        answer["failed"] = ended.returncode != 0
        return answer

    def instance(self, module, **arguments):
        """What a module that succeeded tells of the machine."""
        answer = self(module, **arguments)
        assert not answer.get("failed"), answer.get("msg", answer)
        return answer["instance"]


def template_of(x):
    """The first template by name, among those whose name only one has."""
    names = [vm["name_label"] for vm in x.VM.get_all_records().values() if vm["is_a_template"]]
    return min(name for name in names if names.count(name) == 1)


def machine(ansible, name):
    x = ansible.x
    found = x.VM.get_by_name_label(name)
    if found:
        return found[0]
    vm = x.VM.clone(x.VM.get_by_name_label(template_of(x))[0], name)
    x.VM.provision(vm)
    return vm


@case
def guest_info_tells_of_a_machine(ansible):
    vm = machine(ansible, "told of")
    found = ansible.instance("xenserver_guest_info", name="told of")
    assert found["uuid"] == ansible.x.VM.get_uuid(vm)
    assert found["state"] == "poweredoff" and not found["is_template"]
    assert found["hardware"]["num_cpus"] == int(ansible.x.VM.get_VCPUs_max(vm))
    assert len(found["disks"]) == len([v for v in ansible.x.VM.get_VBDs(vm) if ansible.x.VBD.get_type(v) == "Disk"])


@case
def guest_info_finds_by_uuid(ansible):
    uuid = ansible.x.VM.get_uuid(machine(ansible, "by uuid"))
    assert ansible.instance("xenserver_guest_info", uuid=uuid)["name"] == "by uuid"


@case
def guest_info_fails_for_a_name_that_nobody_has(ansible):
    answer = ansible("xenserver_guest_info", name="nobody")
    assert answer["failed"] and "not found" in answer["msg"], answer


@case
def a_wrong_password_is_reported(ansible):
    answer = ansible("xenserver_guest_info", name="nobody", password="wrong")
    assert answer["failed"] and "SESSION_AUTHENTICATION_FAILED" in answer["msg"], answer


@case
def guest_powerstate_takes_a_machine_through_its_states(ansible):
    vm = machine(ansible, "powered")
    for state, told, power_state in [
        ("powered-on", "poweredon", "Running"),
        ("suspended", "suspended", "Suspended"),
        ("powered-on", "poweredon", "Running"),
        ("restarted", "poweredon", "Running"),
        ("reboot-guest", "poweredon", "Running"),
        ("shutdown-guest", "poweredoff", "Halted"),
    ]:
        answer = ansible("xenserver_guest_powerstate", name="powered", state=state, state_change_timeout=60)
        assert not answer.get("failed"), (state, answer.get("msg"))
        assert answer["changed"] and answer["instance"]["state"] == told, (state, answer)
        assert ansible.x.VM.get_power_state(vm) == power_state, state


@case
def guest_powerstate_changes_nothing_twice(ansible):
    machine(ansible, "still")
    answer = ansible("xenserver_guest_powerstate", name="still", state="powered-off")
    assert not answer.get("failed"), answer
    assert answer["instance"]["state"] == "poweredoff" and not answer["changed"], answer


@case
def guest_powerstate_waits_for_an_address(ansible):
    vm = machine(ansible, "addressed")
    x = ansible.x
    if not x.VM.get_VIFs(vm):
        network = x.network.get_all()[0]
        x.VIF.create(
            {
                "VM": vm,
                "network": network,
                "device": "0",
                "MAC": "",
                "MTU": "1500",
                "other_config": {},
                "qos_algorithm_type": "",
                "qos_algorithm_params": {},
            }
        )
    found = ansible.instance(
        "xenserver_guest_powerstate",
        name="addressed",
        state="powered-on",
        wait_for_ip_address=True,
        state_change_timeout=60,
    )
    assert found["networks"][0]["ip"], found["networks"]


@case
def guest_makes_a_machine_of_a_template(ansible):
    found = ansible.instance(
        "xenserver_guest",
        name="made by ansible",
        template=template_of(ansible.x),
        state="poweredon",
        hardware={"num_cpus": 2, "memory_mb": 512},
    )
    assert found["state"] == "poweredon" and found["hardware"]["num_cpus"] == 2, found
    vm = ansible.x.VM.get_by_name_label("made by ansible")[0]
    assert ansible.x.VM.get_power_state(vm) == "Running"
    gone = ansible("xenserver_guest", name="made by ansible", state="absent", force=True)
    assert not gone.get("failed"), gone
    assert ansible.x.VM.get_by_name_label("made by ansible") == []


if __name__ == "__main__":
    server = Server(tls=True)
    run("ansible", server, {"http": Ansible(server, server.url), "https": Ansible(server, server.tls_url)})
