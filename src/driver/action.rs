//! What a driver can be asked to do, and what it must know to do it. Each is
//! one step with one mark; every one may be asked for again after a crash.

use crate::value::Ref;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names and values, as configurations have them.
pub type Texts = BTreeMap<String, String>;

/// One thing to do. Machines are named by their uuids.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Nothing to be done in the hypervisor; the operation only has to end.
    Nothing,
    /// Build the machine and let it run, unless the configuration says paused.
    Start(Box<Config>),
    /// Build the machine from its image, let it run, and remove the image.
    Resume(Box<Config>, Image),
    Pause(Ref),
    Unpause(Ref),
    Shutdown {
        machine: Ref,
        how: Manner,
    },
    /// Take away what is left of a machine that ended by itself; one that lives is left alone.
    Clear(Ref),
    /// End the machine and build it anew from this configuration.
    Reboot {
        config: Box<Config>,
        clean: bool,
    },
    /// Build the machine anew around its memory, and let it go on as it was: a new domain and new device models, with
    /// the devices of this configuration.
    Renew(Box<Config>),
    /// Write the machine's memory to an image and end it.
    Suspend {
        machine: Ref,
        image: Image,
    },
    /// Bytes that the machine should have now.
    Memory {
        machine: Ref,
        target: i64,
    },
    Vcpus {
        machine: Ref,
        count: i64,
    },
    /// `weight`, `cap`, `mask`.
    Scheduler {
        machine: Ref,
        params: Texts,
    },
    /// A key of the emergency kind, or an interrupt, to the guest.
    Signal {
        machine: Ref,
        signal: String,
    },
    AttachDisk {
        machine: Ref,
        device: Device,
    },
    DetachDisk {
        machine: Ref,
        device: Device,
    },
    /// An interface of the same number moves to the new one's bridge.
    AttachNic {
        machine: Ref,
        nic: Nic,
    },
    DetachNic {
        machine: Ref,
        nic: Nic,
    },
    /// Put a disc in, or take it out: the device says which.
    Media {
        machine: Ref,
        device: Device,
    },
    /// Make and remove disks, in that order, all or none; while the machine stands still, if there is one.
    Disks {
        machine: Option<Ref>,
        /// The machine does not go on afterwards: it is ended, hard, before its disks go.
        ends: bool,
        work: Vec<Disk>,
        options: Texts,
    },
    Resize {
        disk: Image,
        bytes: i64,
    },
    /// Note which blocks of a disk are written, from now on, or stop that.
    Track {
        disk: Image,
        bytes: i64,
        on: bool,
    },
    /// Look in which blocks of the second, which has so many bytes, two disks differ.
    Compare {
        from: Image,
        to: Image,
        bytes: i64,
    },
    /// Look how large a disk is and what it takes.
    Measure(Image),
    /// Look which disks are in a repository.
    Scan(Repository),
    /// Look which repositories there are on a device.
    Probe(Repository),
    /// Make a repository where there is none.
    CreateRepository(Repository),
    /// Remove a repository and all that is in it.
    DestroyRepository(Repository),
    AttachRepository(Repository),
    DetachRepository(Repository),
    /// Interfaces of running machines move to the new ones' bridges, all or none.
    MoveNics(Vec<(Ref, Nic)>),
    /// Take a USB device of the host away from a machine: where it is plugged in.
    DetachUsb {
        machine: Ref,
        path: String,
    },
    /// Look which USB devices the host has.
    FindUsb,
    /// Restart the host, or switch it off or on.
    Host(HostWork),
    /// Press debug keys of the hypervisor.
    Keys(String),
    /// Look which network devices the host has.
    FindInterfaces,
    /// Bring an interface of the host up or down, or give it its addresses.
    Interface(Interface),
}

/// What is done to a whole host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostWork {
    Reboot,
    Off,
    On,
}

/// How a machine is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The guest is asked, and waited for.
    Clean,
    Hard,
    /// The guest is asked, and ended if it does not answer in time.
    CleanThenHard,
}

/// A machine to be built.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {
    pub machine: Ref,
    pub name: String,
    /// Bytes at start, and at most.
    pub memory: i64,
    pub memory_max: i64,
    /// Processors at start, and at most.
    pub vcpus: i64,
    pub vcpus_max: i64,
    /// `hvm`, `pv`, `pvh`, `pv_in_pvh`.
    pub domain_type: String,
    /// `kernel`, `ramdisk`, `args`, `bootloader`, or for firmware `order` and `firmware`.
    pub boot: Texts,
    pub disks: Vec<Device>,
    pub nics: Vec<Nic>,
    /// USB devices of the host that it gets: where they are plugged in.
    #[serde(default)]
    pub usbs: Vec<String>,
    pub scheduler: Texts,
    /// `platform`, and over it `other_config`: what drivers give a meaning of their own.
    pub options: Texts,
    /// What the guest finds in its store.
    pub store: Texts,
    /// Leave it paused.
    pub paused: bool,
}

/// A disk on a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its number on the machine: `0`, or a name: `hdd`.
    pub number: String,
    /// `None`: an empty drive.
    pub image: Option<Image>,
    pub writable: bool,
    pub cd: bool,
    pub bootable: bool,
}

/// Where a disk's contents are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The uuid of the storage repository.
    pub repository: Ref,
    /// The uuid of the disk.
    pub disk: Ref,
    /// What the repository calls it, if that is something else.
    pub location: String,
    /// How the host reaches the repository: the PBD's `device_config`.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub way: Texts,
}

/// A network interface on a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Nic {
    pub number: String,
    pub mac: String,
    pub mtu: i64,
    pub bridge: String,
    /// KiB a second that the machine may send; `None`: as many as it likes.
    #[serde(default)]
    pub rate_kib: Option<i64>,
    /// The uuid of the VIF.
    pub interface: Ref,
}

/// An interface of the host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Interface {
    pub device: String,
    /// -1: untagged.
    pub vlan: i64,
    pub bridge: String,
    pub up: bool,
    /// `mode`, `address`, `netmask`, `gateway`, `dns`, and for IPv6 the same with `6_` in front; what is not named stays.
    pub addresses: Texts,
}

/// A storage repository as its host sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    pub uuid: Ref,
    /// `file`, `lvm`, `iso`.
    pub kind: String,
    /// Where it is: the PBD's `device_config`.
    pub device: Texts,
    pub bytes: i64,
}

/// A disk to be made or removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Disk {
    pub image: Image,
    pub bytes: i64,
    pub work: DiskWork,
}

/// What is done to a disk.
#[derive(Clone, Debug, PartialEq)]
pub enum DiskWork {
    /// Make it, empty.
    Make,
    /// Make it with another one's contents, which may be shared until written.
    Clone(Image),
    /// Make it with a full copy of another one.
    Copy(Image),
    /// Make it with a full copy of another one, which goes; machines that had that one have this one from then on.
    Move(Image),
    /// Keep it, without its contents: only which blocks changed stays known.
    Empty,
    /// Make it and write the machine's memory to it.
    Memory,
    /// Remove it.
    Remove,
}
