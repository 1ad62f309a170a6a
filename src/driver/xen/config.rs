//! From a [`Config`] to the text that `xl create` reads: `key = value` lines,
//! where texts stand in double quotes and anything may be in them, so that
//! whatever a name holds is never read as anything else.
//!
//! | domain type | boots |
//! |---|---|
//! | `pv`, `pv_in_pvh` | `PV_kernel` and `PV_ramdisk`, or by a bootloader that finds them on the disk |
//! | `pvh` | `PV_kernel` and `PV_ramdisk`, or by a bootloader |
//! | `hvm` | firmware, in the order of `HVM_boot_params`, or `PV_kernel` and `PV_ramdisk` at once |
//!
//! Must never touch the system: where files are is for its caller to say.

use crate::driver::action::{Config, Device, Nic, Texts};
use crate::error::{ApiError, codes};
use std::path::{Component, Path, PathBuf};

/// The longest part of a machine's name that its domain's name has, in bytes.
const NAME_MAX: usize = 48;

/// Where things are on the host.
pub struct Places<'a> {
    /// The only folders that kernels are read from: whoever may make machines may not read every file of the host.
    pub kernels: &'a [PathBuf],
    /// Where a disk's contents are.
    pub disk: &'a dyn Fn(&crate::driver::action::Image) -> Result<PathBuf, ApiError>,
}

/// The domain's name: unique, since two machines may have the same, and never a number.
pub fn name(config: &Config) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let label: String = config.name.chars().map(plain).take(NAME_MAX).collect();
    let uuid = config.machine.uuid_text();
    format!("{label}-{}", &uuid[..8])
}

/// The configuration of one machine.
pub fn text(config: &Config, places: &Places<'_>) -> Result<String, ApiError> {
    let mut lines = Lines(String::new());
    lines.text("name", &name(config));
    lines.text("uuid", &config.machine.uuid_text());
    lines.text("type", kind(config));
    lines.number("memory", mib(config.memory));
    lines.number("maxmem", mib(config.memory_max.max(config.memory)));
    lines.number("vcpus", config.vcpus.max(1));
    lines.number("maxvcpus", config.vcpus_max.max(config.vcpus).max(1));
    // Nobody but us acts on a domain's end.
    for event in ["on_poweroff", "on_reboot", "on_crash", "on_watchdog"] {
        lines.text(event, "preserve");
    }
    boot(&mut lines, config, places)?;
    scheduler(&mut lines, &config.scheduler);
    if kind(config) == "hvm" {
        platform(&mut lines, config);
    }
    let disks = config.disks.iter().map(|device| disk(device, config, places)).collect::<Result<Vec<_>, _>>()?;
    lines.list("disk", disks.into_iter().flatten());
    lines.list("vif", config.nics.iter().map(nic));
    if !config.usbs.is_empty() {
        return Err(codes::NOT_IMPLEMENTED("USB devices of the host in machines"));
    }
    Ok(lines.0)
}

fn kind(config: &Config) -> &str {
    match &*config.domain_type {
        "hvm" => "hvm",
        "pvh" => "pvh",
        _ => "pv",
    }
}

/// Whole MiB: the least that a configuration can say.
fn mib(bytes: i64) -> i64 {
    (bytes >> 20).max(1)
}

fn boot(lines: &mut Lines, config: &Config, places: &Places<'_>) -> Result<(), ApiError> {
    let said = |key: &str| config.boot.get(key).map(String::as_str).filter(|value| !value.is_empty());
    if let Some(bootloader) = said("bootloader").filter(|_| said("kernel").is_none()) {
        if !matches!(bootloader, "pygrub" | "eliloader") {
            return Err(codes::UNKNOWN_BOOTLOADER(config.machine.uuid_text(), bootloader));
        }
        lines.text("bootloader", "pygrub");
        if let Some(args) = said("bootloader_args") {
            lines.list("bootloader_args", args.split_whitespace().map(str::to_string));
        }
    }
    for (key, field) in [("kernel", "PV_kernel"), ("ramdisk", "PV_ramdisk")] {
        if let Some(path) = said(key) {
            lines.text(key, &kernel(path, field, places.kernels)?);
        }
    }
    let args = [said("args"), said("legacy_args")].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if !args.is_empty() {
        lines.text("cmdline", &args);
    }
    if kind(config) != "hvm" && said("kernel").is_none() && said("bootloader").is_none() {
        let vm = config.machine.uuid_text();
        return Err(codes::BOOTLOADER_FAILED(vm, "the machine has neither PV_kernel nor PV_bootloader"));
    }
    Ok(())
}

/// A kernel's path, if it is in a folder for kernels.
fn kernel(path: &str, field: &str, folders: &[PathBuf]) -> Result<String, ApiError> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let inside = folders.iter().any(|folder| Path::new(path).starts_with(folder));
    let real = Path::new(path).canonicalize().unwrap_or_else(|_| PathBuf::from(path));
    let stays = folders.iter().any(|folder| {
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        real.starts_with(folder)
    });
    if plain && inside && stays {
        return Ok(path.to_string());
    }
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(codes::VALUE_NOT_SUPPORTED(field, path, format!("kernels are read from {} only", folders.join(", "))))
}

/// Weight and cap as the schedulers have them, and the processors that it may run on.
fn scheduler(lines: &mut Lines, params: &Texts) {
    let number = |key: &str| params.get(key).and_then(|value| value.parse::<i64>().ok());
    if let Some(weight) = number("weight") {
        lines.number("cpu_weight", weight);
    }
    if let Some(cap) = number("cap") {
        lines.number("cap", cap);
    }
    if let Some(mask) = params.get("mask").and_then(|mask| processors(mask)) {
        lines.text("cpus", &mask);
    }
}

/// `0,2,3`, as `xl` takes it; `None` for what names no processor.
pub fn processors(mask: &str) -> Option<String> {
    // Between two semicolons stand the processors of one vCPU; a domain's are those of the first.
    let first = mask.split(';').next()?.trim();
    let numbers: Option<Vec<String>> =
        first.split(',').map(|number| number.trim().parse::<u32>().ok().map(|number| number.to_string())).collect();
    numbers.map(|numbers| numbers.join(","))
}

/// What a fully virtualised machine has around it.
fn platform(lines: &mut Lines, config: &Config) {
    let said = |key: &str| config.options.get(key).map(String::as_str);
    lines.text("serial", "pty");
    lines.number("vnc", 1);
    lines.text("vnclisten", "127.0.0.1");
    lines.text("boot", config.boot.get("order").map_or("cd", String::as_str));
    if config.boot.get("firmware").is_some_and(|firmware| firmware == "uefi") {
        lines.text("firmware", "ovmf");
    }
    let flags =
        [("acpi", "acpi", true), ("apic", "apic", true), ("pae", "pae", true), ("nx", "nx", true)].into_iter().chain([
            ("viridian", "viridian", false),
            ("hpet", "hpet", true),
            ("usb", "usb", true),
            ("nested-virt", "nestedhvm", false),
        ]);
    for (key, option, otherwise) in flags {
        lines.number(option, i64::from(said(key).map_or(otherwise, |value| matches!(value, "1" | "true"))));
    }
    if said("usb_tablet").is_none_or(|value| matches!(value, "1" | "true")) {
        lines.text("usbdevice", "tablet");
    }
    if let Some(vga) = said("vga").filter(|vga| matches!(*vga, "std" | "cirrus" | "none" | "qxl")) {
        lines.text("vga", if vga == "std" { "stdvga" } else { vga });
    }
    if let Some(mib) = said("videoram").and_then(|value| value.parse().ok()) {
        lines.number("videomem", mib);
    }
    if let Some(seconds) = said("timeoffset").and_then(|value| value.parse().ok()) {
        lines.number("rtc_timeoffset", seconds);
    }
}

/// One disk; `None` for an empty drive of a machine that has no drives.
fn disk(device: &Device, config: &Config, places: &Places<'_>) -> Result<Option<String>, ApiError> {
    let hvm = kind(config) == "hvm";
    if device.image.is_none() && !hvm {
        return Ok(None);
    }
    let path = device.image.as_ref().map(|image| (places.disk)(image)).transpose()?;
    disk_spec(device, hvm, path.as_deref()).map(Some)
}

/// A disk as configurations and `block-attach` name it. The target is last: it goes to the end.
pub fn disk_spec(device: &Device, hvm: bool, path: Option<&Path>) -> Result<String, ApiError> {
    let access = if device.writable && !device.cd { "rw" } else { "ro" };
    let kind = if device.cd && hvm { ",devtype=cdrom" } else { "" };
    // Fully virtualised machines have their disks from the device model; for the others a loop device is made.
    let script = if hvm { "" } else { ",script=block" };
    let path = path.map(|path| path.display().to_string()).unwrap_or_default();
    if path.chars().any(char::is_control) {
        return Err(codes::INVALID_VALUE("location", path));
    }
    Ok(format!("format=raw,vdev={},access={access}{kind}{script},target={path}", vdev(device, hvm)))
}

/// How the guest sees the disk: `xvda`; with emulated disks the first four are `hda`.
pub fn vdev(device: &Device, hvm: bool) -> String {
    crate::command::vm::state::device_name(&device.number, hvm)
}

/// One interface as configurations and `network-attach` name it.
pub fn nic(nic: &Nic) -> String {
    let mut spec = format!("mac={},bridge={},devid={}", nic.mac, nic.bridge, nic.number);
    if let Some(rate) = nic.rate_kib {
        spec.push_str(&format!(",rate={rate}KB/s"));
    }
    spec
}

/// The lines of a configuration.
struct Lines(String);

impl Lines {
    fn text(&mut self, key: &str, value: &str) {
        self.0.push_str(&format!("{key} = {}\n", quoted(value)));
    }

    fn number(&mut self, key: &str, value: i64) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<String> = values.map(|value| quoted(&value)).collect();
        if !values.is_empty() {
            self.0.push_str(&format!("{key} = [ {} ]\n", values.join(", ")));
        }
    }
}

/// In double quotes, as `xl` reads them: it knows these escapes and misreads numbers. Other control characters, which
/// nobody needs, become blanks.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push(' '),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::action::Image;
    use crate::value::Ref;

    fn texts(pairs: &[(&str, &str)]) -> Texts {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn machine(kind: &str, boot: &[(&str, &str)]) -> Config {
        let image = Image { disk: Ref([9; 16]), ..Image::default() };
        let disk = Device { number: "0".into(), image: Some(image), writable: true, cd: false, bootable: true };
        let drive = Device { number: "3".into(), image: None, writable: false, cd: true, bootable: false };
        let nic = Nic {
            number: "0".into(),
            mac: "02:00:00:00:00:01".into(),
            mtu: 1500,
            bridge: "xenbr0".into(),
            rate_kib: Some(512),
            interface: Ref([3; 16]),
        };
        Config {
            machine: Ref([1; 16]),
            name: "web \"1\"\nkernel = 'x'".into(),
            memory: 512 << 20,
            memory_max: 1 << 30,
            vcpus: 1,
            vcpus_max: 2,
            domain_type: kind.into(),
            boot: texts(boot),
            disks: vec![disk, drive],
            nics: vec![nic],
            usbs: Vec::new(),
            scheduler: texts(&[("weight", "512"), ("cap", "50"), ("mask", "0,1;1")]),
            options: texts(&[("viridian", "true"), ("vga", "std"), ("videoram", "8"), ("acpi", "1")]),
            store: Texts::new(),
            paused: false,
        }
    }

    fn generated(config: &Config) -> Result<String, ApiError> {
        let kernels = [PathBuf::from("/boot/guest")];
        let disk = |image: &Image| Ok(PathBuf::from(format!("/srv/{}.img", image.disk.uuid_text())));
        text(config, &Places { kernels: &kernels, disk: &disk })
    }

    const KERNEL: &[(&str, &str)] =
        &[("kernel", "/boot/guest/vmlinuz"), ("ramdisk", "/boot/guest/initrd"), ("args", "console=hvc0 quiet")];

    #[test]
    fn configurations_are_what_they_were() {
        let expected = [
            ("pvh", KERNEL, include_str!("recorded/pvh.cfg")),
            ("pv", &[("bootloader", "pygrub"), ("bootloader_args", "-q --entry=1")], include_str!("recorded/pv.cfg")),
            ("hvm", &[("order", "cdn"), ("firmware", "uefi")], include_str!("recorded/hvm.cfg")),
        ];
        for (kind, boot, expected) in expected {
            assert_eq!(generated(&machine(kind, boot)).expect("generated"), expected, "{kind}");
        }
    }

    #[test]
    fn what_a_name_holds_is_never_read_as_anything_else() {
        let text = generated(&machine("pvh", KERNEL)).expect("generated");
        assert_eq!(text.lines().filter(|line| line.starts_with("kernel")).count(), 1);
        assert_eq!(quoted("a\"b\\c\né\r"), "\"a\\\"b\\\\c\\né \"");
        let config = Config { name: "7".into(), ..machine("pvh", KERNEL) };
        assert!(name(&config).parse::<u32>().is_err(), "a name is never taken for a number");
    }

    #[test]
    fn kernels_come_from_their_folders_alone() {
        for path in ["/etc/shadow", "/boot/guest/../../etc/shadow", "/boot/guests/x", "boot/guest/x"] {
            let refused = generated(&machine("pvh", &[("kernel", path)])).expect_err(path);
            assert_eq!(refused.code, "VALUE_NOT_SUPPORTED", "{path}");
        }
        let folder = tempfile::tempdir().expect("a folder");
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).expect("linked");
        let refused =
            kernel(folder.path().join("link").to_str().expect("a path"), "PV_kernel", &[folder.path().into()]);
        assert_eq!(refused.expect_err("it leads elsewhere").code, "VALUE_NOT_SUPPORTED");
    }

    #[test]
    fn what_boots_nothing_is_refused() {
        assert_eq!(generated(&machine("pvh", &[])).expect_err("refused").code, "BOOTLOADER_FAILED");
        let refused = generated(&machine("pv", &[("bootloader", "/bin/sh")])).expect_err("refused");
        assert_eq!(refused.code, "UNKNOWN_BOOTLOADER");
    }

    #[test]
    fn masks_name_processors() {
        assert_eq!(processors("0, 2 ,3"), Some("0,2,3".into()));
        assert_eq!(processors("0,1;2"), Some("0,1".into()));
        assert_eq!(processors("all"), None);
    }
}
