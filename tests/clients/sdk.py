"""What the scripts that drive the unmodified Python SDK share: how it connects, and how a machine is made."""

import XenAPI
from harness import PASSWORD, Server, run

NULL = "OpaqueRef:NULL"


class Client:
    """How a session is opened over one transport; `x` is one that is logged in already."""

    def __init__(self, open_session):
        self.open_session = open_session
        self.session = self.login()
        self.x = self.session.xenapi

    def login(self, *more):
        session = self.open_session()
        session.login_with_password("root", PASSWORD, *more)
        return session


def over_http(server):
    return Client(lambda: XenAPI.Session(server.url + "/"))


def over_https(server):
    return Client(lambda: XenAPI.Session(server.tls_url, ignore_ssl=True))


def over_unix(server):
    # What `XenAPI.xapi_local()` does, with another path than the one it holds.
    uri = "http://%s/" % server.socket.replace("/", "_")
    return Client(lambda: XenAPI.Session(uri, transport=XenAPI.UDSTransport()))


def failure(call, *arguments):
    """The error that a call must end with, as [code, parameters...]."""
    try:
        value = call(*arguments)
    except XenAPI.Failure as error:
        return error.details
    raise AssertionError("the call succeeded with %r" % (value,))


def same(found, expected):
    assert found == expected, "%r is not %r" % (found, expected)


def template_of(x):
    """A template to make machines of: the first by name that has disks to provision."""
    templates = [
        (record["name_label"], ref)
        for ref, record in x.VM.get_all_records().items()
        if record["is_a_template"] and not record["is_a_snapshot"]
    ]
    assert templates, "there is no template"
    with_disks = [(name, ref) for name, ref in templates if "disks" in x.VM.get_other_config(ref)]
    return min(with_disks or templates)[1]


def machine(x, name):
    """A new machine, halted, with one disk of its own."""
    vm = x.VM.clone(template_of(x), name)
    x.VM.provision(vm)
    if not [v for v in x.VM.get_VBDs(vm) if x.VBD.get_type(v) == "Disk"]:
        attach_disk(x, vm, "0")
    return vm


def default_sr(x):
    return x.pool.get_default_SR(x.pool.get_all()[0])


def new_disk(x, name):
    return x.VDI.create(
        {
            "name_label": name,
            "name_description": "",
            "SR": default_sr(x),
            "virtual_size": str(1 << 30),
            "type": "user",
            "sharable": False,
            "read_only": False,
            "other_config": {},
        }
    )


def attach_disk(x, vm, device):
    vdi = new_disk(x, "disk " + device)
    return x.VBD.create(
        {
            "VM": vm,
            "VDI": vdi,
            "userdevice": device,
            "bootable": False,
            "mode": "RW",
            "type": "Disk",
            "unpluggable": True,
            "empty": False,
            "other_config": {},
            "qos_algorithm_type": "",
            "qos_algorithm_params": {},
        }
    )


def discard(x, vm):
    """Removes a machine and its disks, whatever state it is in."""
    if x.VM.get_power_state(vm) != "Halted":
        x.VM.hard_shutdown(vm)
    vdis = [x.VBD.get_VDI(vbd) for vbd in x.VM.get_VBDs(vm) if x.VBD.get_type(vbd) == "Disk"]
    x.VM.destroy(vm)
    for vdi in vdis:
        if vdi != NULL:
            x.VDI.destroy(vdi)


def run_over_every_transport(title):
    """Runs the declared cases over HTTP, HTTPS and the Unix socket of one server. Exits."""
    server = Server(tls=True, unix=True)
    run(title, server, {"http": over_http(server), "https": over_https(server), "unix": over_unix(server)})
