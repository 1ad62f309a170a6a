//! From a machine's record to what a driver needs to build it.

use crate::command::device::usb;
use crate::driver::action::{Config, Device, Image, Nic, Repository, Texts};
use crate::error::{ApiError, codes};
use crate::model::{ClassId, PBD, PUSB, SR, VBD, VDI, VIF, VM, VUSB, network};
use crate::value::{Map, Ref};
use crate::views::{Object, View};

/// The uuid in an object's field, as drivers have it.
pub fn uuid(text: &str) -> Ref {
    Ref::parse_uuid(text).unwrap_or_default()
}

pub fn texts(map: &Map) -> Texts {
    map.iter().map(|(key, value)| (key.to_string(), value.as_str().to_string())).collect()
}

/// A machine as it would be started now.
pub fn machine(view: &View, vm: &Object) -> Config {
    let mut options = texts(vm.get(VM::platform));
    options.extend(texts(vm.get(VM::other_config)));
    let devices = view.far(VM::VBDs, vm.reference).into_iter().filter_map(|vbd| view.find::<VBD>(vbd));
    let devices = devices.filter(|vbd| vbd.get(VBD::r#type) == "CD" || !vbd.get(VBD::empty));
    let nics = view.far(VM::VIFs, vm.reference).into_iter().filter_map(|vif| view.find::<VIF>(vif));
    Config {
        machine: uuid(vm.get(VM::uuid)),
        name: vm.get(VM::name_label).to_string(),
        memory: vm.get(VM::memory_dynamic_max),
        memory_max: vm.get(VM::memory_static_max),
        vcpus: vm.get(VM::VCPUs_at_startup),
        vcpus_max: vm.get(VM::VCPUs_max),
        domain_type: domain_type(vm).to_string(),
        boot: boot(vm),
        disks: devices.map(|vbd| device(view, vbd)).collect(),
        nics: nics.map(|vif| nic(view, vif)).collect(),
        scheduler: texts(vm.get(VM::VCPUs_params)),
        options,
        usbs: usbs(view, vm),
        store: texts(vm.get(VM::xenstore_data)),
        paused: false,
    }
}

/// Where the host's USB devices are plugged in that the machine gets.
fn usbs(view: &View, vm: &Object) -> Vec<String> {
    let on = vm.get(VM::scheduled_to_be_resident_on);
    let on = if on.is_null() { vm.get(VM::resident_on) } else { on };
    let vusbs = view.far(VM::VUSBs, vm.reference).into_iter().filter_map(|vusb| view.find::<VUSB>(vusb));
    let devices = vusbs.filter_map(|vusb| usb::device_of(view, vusb.get(VUSB::USB_group), on));
    devices.map(|pusb| pusb.get(PUSB::path).to_string()).collect()
}

/// A machine as it is now, with the devices that are attached.
pub fn running(view: &View, vm: &Object) -> Config {
    let attached = |vbd: &&std::sync::Arc<Object>| vbd.get(VBD::currently_attached);
    let devices = view.far(VM::VBDs, vm.reference).into_iter().filter_map(|vbd| view.find::<VBD>(vbd));
    let nics = view.far(VM::VIFs, vm.reference).into_iter().filter_map(|vif| view.find::<VIF>(vif));
    let nics = nics.filter(|vif| vif.get(VIF::currently_attached));
    Config {
        disks: devices.filter(attached).map(|vbd| device(view, vbd)).collect(),
        nics: nics.map(|vif| nic(view, vif)).collect(),
        ..machine(view, vm)
    }
}

/// The declared type; a machine that does not say has one implied by its boot policy.
fn domain_type(vm: &Object) -> &'static str {
    match vm.get(VM::domain_type) {
        "unspecified" if vm.get(VM::HVM_boot_policy).is_empty() => "pv",
        "unspecified" => "hvm",
        said => said,
    }
}

fn boot(vm: &Object) -> Texts {
    let mut boot = texts(vm.get(VM::HVM_boot_params));
    let named = [
        ("kernel", vm.get(VM::PV_kernel)),
        ("ramdisk", vm.get(VM::PV_ramdisk)),
        ("args", vm.get(VM::PV_args)),
        ("bootloader", vm.get(VM::PV_bootloader)),
        ("bootloader_args", vm.get(VM::PV_bootloader_args)),
        ("legacy_args", vm.get(VM::PV_legacy_args)),
    ];
    let given = named.into_iter().filter(|(_, value)| !value.is_empty());
    boot.extend(given.map(|(key, value)| (key.to_string(), value.to_string())));
    boot
}

/// A disk attachment with what is in it.
pub fn device(view: &View, vbd: &Object) -> Device {
    Device {
        number: vbd.get(VBD::userdevice).to_string(),
        image: image(view, vbd.get(VBD::VDI)),
        writable: vbd.get(VBD::mode) == "RW",
        cd: vbd.get(VBD::r#type) == "CD",
        bootable: vbd.get(VBD::bootable),
    }
}

/// Where a disk is; `None` for a null reference.
pub fn image(view: &View, vdi: Ref) -> Option<Image> {
    let vdi = view.find::<VDI>(vdi)?;
    let sr = view.find::<SR>(vdi.get(VDI::SR))?;
    Some(Image {
        repository: uuid(sr.get(SR::uuid)),
        disk: uuid(vdi.get(VDI::uuid)),
        location: vdi.get(VDI::location).to_string(),
        way: way(view, sr.reference),
    })
}

/// How the repository is reached: by the PBD that is plugged, or by any if none is.
pub fn way(view: &View, sr: Ref) -> Texts {
    let ways = view.far(SR::PBDs, sr).into_iter().filter_map(|pbd| view.find::<PBD>(pbd));
    let way = ways.max_by_key(|pbd| pbd.get(PBD::currently_attached));
    way.map(|pbd| texts(pbd.get(PBD::device_config))).unwrap_or_default()
}

/// Where the disk with that uuid is, whether the view knows it or it is still to be made in that repository.
pub fn image_of(view: &View, disk: &str, sr: &str) -> Image {
    let known = view.by_uuid(ClassId::VDI, disk).and_then(|vdi| image(view, vdi));
    let way = || view.by_uuid(ClassId::SR, sr).map(|sr| way(view, sr)).unwrap_or_default();
    known.unwrap_or_else(|| Image { repository: uuid(sr), disk: uuid(disk), location: disk.to_string(), way: way() })
}

pub fn nic(view: &View, vif: &Object) -> Nic {
    let lan = view.find::<network>(vif.get(VIF::network));
    Nic {
        number: vif.get(VIF::device).to_string(),
        mac: vif.get(VIF::MAC).to_string(),
        mtu: vif.get(VIF::MTU),
        bridge: lan.map(|lan| lan.get(network::bridge).to_string()).unwrap_or_default(),
        rate_kib: rate(vif),
        interface: uuid(vif.get(VIF::uuid)),
    }
}

/// The limit that the interface's `ratelimit` sets.
fn rate(vif: &Object) -> Option<i64> {
    let limited = **vif.get(VIF::qos_algorithm_type) == *"ratelimit";
    let kbps = vif.get(VIF::qos_algorithm_params).get("kbps")?;
    kbps.as_str().parse().ok().filter(|kib| limited && *kib > 0)
}

/// A repository as this host reaches it.
pub fn repository(view: &View, sr: Ref, on: Ref) -> Result<Repository, ApiError> {
    let found = view.find::<SR>(sr).ok_or_else(|| codes::HANDLE_INVALID("SR", sr))?;
    let ways = view.far(SR::PBDs, sr).into_iter().filter_map(|pbd| view.find::<PBD>(pbd));
    let way = ways.into_iter().find(|pbd| pbd.get(PBD::host) == on);
    Ok(Repository {
        uuid: uuid(found.get(SR::uuid)),
        kind: found.get(SR::r#type).to_string(),
        device: way.map(|pbd| texts(pbd.get(PBD::device_config))).unwrap_or_default(),
        bytes: found.get(SR::physical_size),
    })
}
