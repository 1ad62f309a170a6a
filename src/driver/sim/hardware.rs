//! What is in the simulated host: the devices of a small server.

use crate::command::device::hardware::{Hardware, Pci, Usb};
use std::sync::{Arc, LazyLock};

type Named = (&'static str, &'static str);

const INTEL: Named = ("8086", "Intel Corporation");
const ETHERNET: Named = ("0200", "Ethernet controller");

/// Machines that can have a piece of an I350 each.
const VIRTUAL_FUNCTIONS: i64 = 7;

/// Address, kind, model, driver, network interface.
const PCI: [(&str, Named, Named, &str, &str); 5] = [
    ("0000:00:14.0", ("0c03", "USB controller"), ("a36d", "Cannon Lake PCH USB 3.1 xHCI"), "xhci_hcd", ""),
    ("0000:00:17.0", ("0106", "SATA controller"), ("a352", "Cannon Lake PCH SATA AHCI"), "ahci", ""),
    ("0000:02:00.0", ETHERNET, ("1533", "I210 Gigabit Network Connection"), "igb", "eth0"),
    ("0000:03:00.0", ETHERNET, ("1521", "I350 Gigabit Network Connection"), "igb", "eth1"),
    ("0000:04:00.0", ("0108", "Non-Volatile memory controller"), ("0a54", "NVMe Datacenter SSD"), "nvme", ""),
];

/// Where, maker, model, serial number, version, Mbit/s.
const USB: [(&str, Named, Named, &str, &str, f64); 3] = [
    ("1-1", ("0951", "Kingston Technology"), ("1666", "DataTraveler 100 G3"), "SIM0001", "3.00", 5000.0),
    ("1-2", ("0529", "Aladdin Knowledge Systems"), ("0001", "HASP copy protection dongle"), "", "1.10", 12.0),
    ("1-3", ("067b", "Prolific Technology"), ("2303", "PL2303 Serial Port"), "", "2.00", 12.0),
];

/// The devices in the simulated host.
pub static HARDWARE: LazyLock<Arc<Hardware>> = LazyLock::new(|| {
    let named = |(number, name): Named| (number.to_string(), name.to_string());
    let pci = PCI.iter().map(|(address, class, device, driver, interface)| Pci {
        address: address.to_string(),
        class: named(*class),
        vendor: named(INTEL),
        device: named(*device),
        driver: driver.to_string(),
        interface: interface.to_string(),
        virtual_functions: if device.0 == "1521" { VIRTUAL_FUNCTIONS } else { 0 },
    });
    let usb = USB.iter().map(|(path, vendor, product, serial, version, speed)| Usb {
        path: path.to_string(),
        vendor: named(*vendor),
        product: named(*product),
        serial: serial.to_string(),
        version: version.to_string(),
        speed: *speed,
    });
    Arc::new(Hardware { pci: pci.collect(), usb: usb.collect() })
});
