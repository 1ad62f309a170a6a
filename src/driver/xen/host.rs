//! What the host is like, as `xl info` and `/sys` tell; and its bridges.

use crate::command::bootstrap::HostFacts;
use crate::command::operation::OfHost;
use crate::driver::Facts;
use crate::error::{ApiError, codes};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The longest name that the kernel lets an interface have, in bytes.
const NAME_MAX: usize = 15;
const CLASS: &str = "/sys/class/net";
/// Files that the host's firmware fills, and the keys that clients know.
const FIRMWARE: [(&str, &str); 8] = [
    ("bios_vendor", "bios-vendor"),
    ("bios_version", "bios-version"),
    ("sys_vendor", "system-manufacturer"),
    ("product_name", "system-product-name"),
    ("product_version", "system-version"),
    ("product_serial", "system-serial-number"),
    ("board_vendor", "baseboard-manufacturer"),
    ("product_uuid", "system-uuid"),
];

/// `xl info`: `name : value` lines.
pub fn info(text: &str) -> BTreeMap<&str, &str> {
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.trim(), value.trim())).collect()
}

fn mib(text: &str, name: &str) -> Option<i64> {
    Some(info(text).get(name)?.parse::<i64>().ok()? << 20)
}

/// Bytes that no domain has.
pub fn free_memory(text: &str) -> Option<i64> {
    mib(text, "free_memory")
}

/// What shares the processors out: `credit2`.
pub fn scheduler(text: &str) -> String {
    info(text).get("xen_scheduler").unwrap_or(&"credit2").to_string()
}

/// Puts what the hypervisor tells over what the control domain sees of itself.
pub fn learn(text: &str, facts: &mut HostFacts) {
    let told = info(text);
    let number = |name: &str| told.get(name)?.parse::<f64>().ok().map(|number| number as i64);
    if let Some(bytes) = mib(text, "total_memory") {
        facts.memory_bytes = bytes;
    }
    if let Some(cpus) = number("nr_cpus").filter(|cpus| *cpus > 0) {
        facts.cpus = cpus;
        let per_socket = number("cores_per_socket").unwrap_or(1) * number("threads_per_core").unwrap_or(1);
        facts.sockets = (cpus / per_socket.max(1)).max(1);
        facts.threads_per_core = number("threads_per_core").unwrap_or(1);
    }
    facts.cpu_mhz = number("cpu_mhz").unwrap_or(facts.cpu_mhz);
    let said = |name: &str, otherwise: &str| told.get(name).map_or(otherwise, |value| value).to_string();
    facts.xen_version = said("xen_version", &facts.xen_version);
    facts.scheduler = said("xen_scheduler", &facts.scheduler);
    facts.cpu_features = said("hw_caps", &facts.cpu_features).replace(':', "-");
    if let Some(capabilities) = told.get("xen_caps") {
        facts.capabilities = capabilities.split_whitespace().map(str::to_string).collect();
    }
    facts.build = told.get("xen_commandline").map(|line| line.to_string());
}

/// What files under `class` (`/sys/class`) tell: the firmware's names, and the interface that the host is reached by.
pub fn learn_devices(class: &Path, facts: &mut HostFacts) {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default().trim().to_string();
    let named = FIRMWARE.iter().map(|(file, key)| (key.to_string(), read(&class.join("dmi/id").join(file))));
    let named: Vec<(String, String)> = named.filter(|(_, value)| !value.is_empty()).collect();
    if !named.is_empty() {
        facts.bios = named;
    }
    let net = class.join("net");
    let own = net.join(&facts.interface);
    // The address may be the bridge's, whose device is the first of its ports that is one.
    let ports = fs::read_dir(own.join("brif")).into_iter().flatten().flatten();
    let mut ports: Vec<String> = ports.filter_map(|port| port.file_name().into_string().ok()).collect();
    ports.sort();
    if own.join("bridge").exists() {
        facts.bridge = facts.interface.clone();
        if let Some(device) = ports.into_iter().find(|port| net.join(port).join("device").exists()) {
            facts.interface = device;
        }
    } else if let Some(bridge) =
        fs::read_link(own.join("brport/bridge")).ok().and_then(|to| to.file_name()?.to_str().map(str::to_string))
    {
        facts.bridge = bridge;
    }
    facts.link = link(&net, &facts.interface);
}

/// The physical network devices under `class`, with their addresses, and those that have a link.
pub fn interfaces(class: &Path) -> Facts {
    let mut facts = Facts { of_host: Box::new(OfHost::default()), ..Facts::default() };
    let Ok(devices) = fs::read_dir(class) else { return facts };
    for device in devices.flatten() {
        let path = device.path();
        let Some(name) = device.file_name().to_str().map(str::to_string) else { continue };
        if !path.join("device").exists() {
            continue; // bridges, back ends, loopback
        }
        let read = |what: &str| fs::read_to_string(path.join(what)).unwrap_or_default().trim().to_string();
        if read("carrier") == "1" {
            facts.of_host.links.push(name.clone());
        }
        facts.interfaces.push((name, read("address")));
    }
    facts.interfaces.sort();
    facts.of_host.links.sort();
    facts
}

/// Mbit/s and whether both directions at once, as the device's own files tell.
pub fn link(class: &Path, device: &str) -> (i64, bool, bool) {
    let read = |what: &str| fs::read_to_string(class.join(device).join(what)).unwrap_or_default().trim().to_string();
    let speed = read("speed").parse().unwrap_or(0).max(0);
    (speed, read("duplex") != "half", read("carrier") == "1")
}

fn exists(device: &str) -> bool {
    Path::new(CLASS).join(device).exists()
}

/// Makes a bridge that machines are to be on, where there is none of that name.
pub fn make_bridge(bridge: &str) -> Result<(), ApiError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if bridge.is_empty() || bridge.len() > NAME_MAX || bridge.starts_with(['-', '.']) || !bridge.chars().all(plain) {
        return Err(codes::INVALID_VALUE("bridge", bridge));
    }
    if exists(bridge) {
        return Ok(());
    }
    let made = ip(&["link", "add", "name", bridge, "type", "bridge"]);
    if !exists(bridge) {
        return made;
    }
    ip(&["link", "set", "dev", bridge, "up"])
}

/// Moves an interface to a bridge.
pub fn move_to_bridge(interface: &str, bridge: &str) -> Result<(), ApiError> {
    ip(&["link", "set", "dev", interface, "master", bridge])
}

fn ip(args: &[&str]) -> Result<(), ApiError> {
    let failed = |reason: String| {
        tracing::warn!(args = args.join(" "), reason, "the network could not be changed");
        Err(codes::INTERNAL_ERROR("the host's network could not be changed"))
    };
    match Command::new("ip").args(args).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => failed(String::from_utf8_lossy(&output.stderr).trim().to_string()),
        Err(error) => failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = include_str!("recorded/info.txt");

    #[test]
    fn the_host_is_described_as_the_hypervisor_does() {
        let mut facts = HostFacts::default();
        learn(INFO, &mut facts);
        assert_eq!((facts.memory_bytes >> 20, facts.cpus, facts.sockets, facts.cpu_mhz), (2047, 2, 1, 2596));
        assert_eq!((&*facts.xen_version, &*facts.scheduler), ("4.17.7", "credit2"));
        assert_eq!(facts.capabilities.len(), 4);
        assert_eq!(facts.capabilities[0], "xen-3.0-x86_64");
        assert!(facts.cpu_features.starts_with("178bf3fd-"));
        assert_eq!(free_memory(INFO), Some(901 << 20));
        assert_eq!(scheduler(INFO), "credit2");
    }

    #[test]
    fn what_is_not_told_stays() {
        let mut facts = HostFacts::default();
        learn("nonsense", &mut facts);
        assert_eq!(facts, HostFacts::default());
        assert_eq!((free_memory(""), scheduler("")), (None, "credit2".to_string()));
    }

    #[test]
    fn only_devices_are_interfaces() {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, real, carrier) in [("eth0", true, "1"), ("eth1", true, "0"), ("xenbr0", false, "1")] {
            let path = folder.path().join(name);
            fs::create_dir_all(if real { path.join("device") } else { path.clone() }).expect("made");
            fs::write(path.join("address"), "02:00:00:00:00:01\n").expect("written");
            fs::write(path.join("carrier"), carrier).expect("written");
            fs::write(path.join("speed"), "10000\n").expect("written");
        }
        let facts = interfaces(folder.path());
        let names: Vec<&str> = facts.interfaces.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["eth0", "eth1"]);
        assert_eq!(facts.of_host.links, ["eth0"]);
        assert_eq!(link(folder.path(), "eth0"), (10000, true, true));
        assert_eq!(link(folder.path(), "none"), (0, true, false));
    }

    #[test]
    fn a_bridge_has_a_name_that_an_interface_may_have() {
        for name in ["", "-x", "a b", "a/b", "sixteen-letters-", "x;y"] {
            assert_eq!(make_bridge(name).expect_err(name).code, "INVALID_VALUE", "{name}");
        }
    }
}
