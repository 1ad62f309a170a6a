//! What the machine that the server runs on tells about itself: read once,
//! when a pool is made. What it does not tell keeps its default.

use crate::command::bootstrap::HostFacts;
use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::path::Path;

/// Reads the facts from the system. Never fails: a fact that cannot be read is guessed.
pub fn read() -> HostFacts {
    let mut facts = HostFacts::default();
    processors(&text("/proc/cpuinfo"), &mut facts);
    if let Some(bytes) = memory(&text("/proc/meminfo")) {
        facts.memory_bytes = bytes;
    }
    replace(&mut facts.hostname, &text("/proc/sys/kernel/hostname"));
    replace(&mut facts.kernel, &text("/proc/sys/kernel/osrelease"));
    if let Some(interface) = default_interface(&text("/proc/net/route")) {
        replace(&mut facts.mac, &text(format!("/sys/class/net/{interface}/address")));
        facts.interface = interface;
    }
    if let Some(version) = xen_version() {
        facts.xen_version = version;
    }
    if let Some(address) = own_address() {
        facts.address = address.to_string();
    }
    facts
}

fn text(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn replace(fact: &mut String, read: &str) {
    let read = read.trim();
    if !read.is_empty() {
        *fact = read.to_string();
    }
}

/// `/proc/cpuinfo`: one block a processor, the first stands for all.
fn processors(cpuinfo: &str, facts: &mut HostFacts) {
    let mut first: HashMap<&str, &str> = HashMap::new();
    let (mut cpus, mut sockets) = (0, std::collections::BTreeSet::new());
    for (name, value) in cpuinfo.lines().filter_map(|line| line.split_once(':')) {
        let (name, value) = (name.trim(), value.trim());
        cpus += i64::from(name == "processor");
        if name == "physical id" {
            sockets.insert(value);
        }
        first.entry(name).or_insert(value);
    }
    if cpus > 0 {
        facts.cpus = cpus;
        facts.sockets = (sockets.len() as i64).max(1);
    }
    let told = |name: &str| first.get(name).copied().unwrap_or_default();
    let number = |name: &str| told(name).parse::<f64>().ok().map(|number| number as i64);
    replace(&mut facts.cpu_vendor, told("vendor_id"));
    replace(&mut facts.cpu_model, told("model name"));
    replace(&mut facts.cpu_stepping, told("stepping"));
    replace(&mut facts.cpu_flags, told("flags"));
    facts.cpu_mhz = number("cpu MHz").unwrap_or(facts.cpu_mhz);
    facts.cpu_family = number("cpu family").unwrap_or(facts.cpu_family);
    facts.cpu_model_number = number("model").unwrap_or(facts.cpu_model_number);
}

/// `/proc/meminfo`, in bytes.
fn memory(meminfo: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// `/proc/net/route`: the interface whose destination is everything.
fn default_interface(routes: &str) -> Option<String> {
    let mut columns = routes.lines().skip(1).map(|line| line.split_whitespace());
    columns.find_map(|mut columns| {
        let interface = columns.next()?;
        (columns.next()? == "00000000").then(|| interface.to_string())
    })
}

fn xen_version() -> Option<String> {
    let part = |name: &str| text(format!("/sys/hypervisor/version/{name}")).trim().to_string();
    let (major, minor, extra) = (part("major"), part("minor"), part("extra"));
    (!major.is_empty()).then(|| format!("{major}.{minor}{extra}"))
}

/// The address that this machine would speak from. Connecting a datagram socket sends nothing.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("192.0.2.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_and_the_first_is_described() {
        let mut facts = HostFacts::default();
        let block = |n: u32, socket: u32| {
            format!(
                "processor\t: {n}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: A: B\n\
                 stepping\t: 7\ncpu MHz\t\t: 2499.998\nphysical id\t: {socket}\nflags\t\t: fpu vme\n\n"
            )
        };
        processors(&(block(0, 0) + &block(1, 0) + &block(2, 1)), &mut facts);
        assert_eq!((facts.cpus, facts.sockets, facts.cpu_mhz, facts.cpu_model_number), (3, 2, 2499, 85));
        assert_eq!((&*facts.cpu_model, &*facts.cpu_flags), ("A: B", "fpu vme"));
    }

    #[test]
    fn what_is_not_told_keeps_its_default() {
        let mut facts = HostFacts::default();
        processors("", &mut facts);
        assert_eq!(facts, HostFacts::default());
        assert_eq!(memory("nonsense"), None);
        assert_eq!(memory("MemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(
            default_interface("Iface\tDestination\neth1\t0000A8C0\t0\neth0\t00000000\t1\n"),
            Some("eth0".into())
        );
        assert_eq!(default_interface(""), None);
    }
}
