"""What the hypervisor, its store, the API and the log say of every machine, and where they differ.

It only looks. The hypervisor is asked by `xl`, the store by its own tools, the API by the Python SDK, and the log is read.
"""

import re
from concurrent.futures import ThreadPoolExecutor

# Name, number, MiB, processors, state, seconds, uuid, how it ended.
DOMAIN = re.compile(r"^(.*?) +(\d+) +(\d+) +(\d+) +([-rbpsXdcw]{6}) +([\d.]+) +([-0-9a-f]{36}) +(\S+)")
LIVES = {"Running": False, "Paused": True}  # whether it stands still
# The store's numbers of disks: xvda, xvdb, and so on; and of the four that a machine with firmware has, hda to hdd.
DISKS = {str(51712 + 16 * number): str(number) for number in range(16)}
DISKS.update({"768": "0", "832": "1", "5632": "2", "5696": "3"})


def domains(house):
    """Every domain but dom0, by uuid, with what the store has for it."""
    # Only the guests' own part: the control domain has as much again for its back ends. One may go meanwhile.
    each = "[ $domid = 0 ] || xenstore-ls -f /local/domain/$domid || true"
    stored = "for domid in $(xenstore-list /local/domain); do %s; done" % each
    said = house.run("xl list -v; echo ===; " + stored)
    listed, _, stored = said.partition("===")
    nodes = dict(re.findall(r'^/local/domain/(\S+) = "(.*)"$', stored, re.MULTILINE))
    found = {}
    for line in listed.splitlines()[1:]:
        match = DOMAIN.match(line)
        assert match, "xl list says %r" % line
        name, domid, memory, processors, state, _, uuid, _ = match.groups()
        if domid == "0":
            continue
        assert uuid not in found, "two domains are %s" % uuid
        below = {path[len(domid) + 1 :]: value for path, value in nodes.items() if path.startswith(domid + "/")}
        found[uuid] = {
            "name": name,
            "domid": int(domid),
            "memory": int(memory),
            "processors": int(processors),
            "paused": state[2] == "p",
            "over": state[3] == "s" or state[5] == "d",
            "store": below,
        }
    return found


def children(store, folder):
    return {path[len(folder) + 1 :].split("/")[0] for path in store if path.startswith(folder + "/")} - {""}


def last_power_states(house):
    """The newest power state of each machine that the log has, and None for one that is gone. Each row is read once."""
    states = house.logged
    for row in house.log(kind="change", since=house.read_to + 1):
        house.read_to = row["position"]
        for change in row.get("changes", []):  # what sets what is so already changes nothing
            if change["class"] == "VM":
                ref, fields = change["ref"], change.get("fields", {})
                if change["op"] == "del":
                    states[ref] = None
                elif change["op"] == "add":
                    states[ref] = fields.get("power_state", "Halted")
                elif "power_state" in fields:
                    states[ref] = fields["power_state"]["new"]
    return states


def disagreements(house):
    """Where they differ, as sentences. Both sides are asked at the same time."""
    with ThreadPoolExecutor(1) as beside:
        behind = beside.submit(domains, house)
        told = what_is_told(house)
    return differences(behind.result(), *told)


def what_is_told(house):
    """What the API and the log say: machines, disks, interfaces, what is pending, the log's last word on power states."""
    x = house.x
    pending = house.pending()
    logged = last_power_states(house)
    return x.VM.get_all_records(), x.VBD.get_all_records(), x.VIF.get_all_records(), pending, logged


def differences(behind, machines, vbds, vifs, pending, logged):
    """Where what is behind and what is told differ, as sentences."""
    machines = {ref: vm for ref, vm in machines.items() if not (vm["is_a_template"] or vm["is_control_domain"])}
    known = {vm["uuid"] for vm in machines.values()}
    found = ["%s is still pending" % task["name_label"] for task in pending]
    found += ["nobody knows domain %(domid)d, %(name)s" % behind[uuid] for uuid in set(behind) - known]
    for ref, vm in machines.items():
        wrong = list(of_machine(vm, behind.get(vm["uuid"])))
        if logged.get(ref) != vm["power_state"]:
            wrong.append("the log says %s" % logged.get(ref))
        if vm["current_operations"]:
            wrong.append("operations are left: %s" % vm["current_operations"])
        domain = behind.get(vm["uuid"])
        if domain and not domain["name"].startswith("foreign"):
            own = [vbds[ref] for ref in vm["VBDs"]], [vifs[ref] for ref in vm["VIFs"]]
            wrong += of_devices(*own, domain["store"])
        found += ["%s is %s, and %s" % (vm["name_label"], vm["power_state"], text) for text in wrong]
    return found


def of_machine(vm, domain):
    """What is wrong between a machine's record and its domain."""
    if vm["power_state"] not in LIVES:
        if domain:
            yield "there is domain %(domid)d" % domain
        if vm["domid"] != "-1" or vm["resident_on"] != "OpaqueRef:NULL":
            yield "domid is %s, resident_on %s" % (vm["domid"], vm["resident_on"])
        return
    if not domain:
        yield "there is no domain"
        return
    if int(vm["domid"]) != domain["domid"]:
        yield "domid is %s, and it has domain %d" % (vm["domid"], domain["domid"])
    if domain["over"]:
        yield "its domain has ended"
    if domain["paused"] != LIVES[vm["power_state"]]:
        yield "its domain %s" % ("stands still" if domain["paused"] else "runs")
    if not domain["store"].get("vm", "").endswith(vm["uuid"]):
        yield "the store says it is %s" % domain["store"].get("vm")


def of_devices(vbds, vifs, store):
    """What is wrong between the devices that are attached and those in the store."""
    wanted = {vbd["userdevice"] for vbd in vbds if vbd["currently_attached"] and not vbd["empty"]}
    there = {DISKS.get(device, device) for device in children(store, "device/vbd")}
    if wanted != there:
        yield "disks %s are attached, and the store has %s" % (sorted(wanted), sorted(there))
    wanted = {vif["device"]: vif["MAC"] for vif in vifs if vif["currently_attached"]}
    there = {device: store["device/vif/%s/mac" % device] for device in children(store, "device/vif")}
    if wanted != there:
        yield "interfaces %s are attached, and the store has %s" % (wanted, there)
