//! The kinds of repositories that can be made, and what each can do.

use crate::command::draft::Fields;
use crate::error::{ApiError, codes};
use crate::model::SM;
use crate::value::{Map, Value};

/// One kind of repository: what an `SM` object says of it.
pub struct Plugin {
    /// The type's name in `SR.type`: `ext`.
    pub kind: &'static str,
    pub name_label: &'static str,
    pub name_description: &'static str,
    /// What it can do, as clients look for it in `SM.features`.
    pub features: &'static [&'static str],
    /// Several hosts can reach it.
    pub shared: bool,
    /// What its disks are: `user`, or `iso` for media.
    pub content_type: &'static str,
    /// The keys that `device_config` must have, with what each means.
    pub configuration: &'static [(&'static str, &'static str)],
}

/// What every repository of disk images can do.
const IMAGES: &[&str] = &[
    "SR_PROBE",
    "SR_UPDATE",
    "VDI_CREATE",
    "VDI_DELETE",
    "VDI_INTRODUCE",
    "VDI_ATTACH",
    "VDI_DETACH",
    "VDI_CLONE",
    "VDI_SNAPSHOT",
    "VDI_RESIZE",
    "VDI_RESIZE_ONLINE",
    "VDI_UPDATE",
    "VDI_MIRROR",
    "VDI_CONFIG_CBT",
    "VDI_RESET_ON_BOOT/2",
];
/// What a repository of media can do: they come and go without us.
const MEDIA: &[&str] = &["SR_PROBE", "SR_UPDATE", "VDI_ATTACH", "VDI_DETACH"];

/// All kinds.
pub const PLUGINS: &[Plugin] = &[
    Plugin {
        kind: "ext",
        name_label: "Local EXT",
        name_description: "Disk images in a file system on a local device",
        features: IMAGES,
        shared: false,
        content_type: "user",
        configuration: &[("device", "the device that holds the file system")],
    },
    Plugin {
        kind: "lvm",
        name_label: "Local LVM",
        name_description: "Disk images in logical volumes of a local device",
        features: IMAGES,
        shared: false,
        content_type: "user",
        configuration: &[("device", "the device that holds the volume group")],
    },
    Plugin {
        kind: "file",
        name_label: "Directory",
        name_description: "Disk images in a directory of the host",
        features: IMAGES,
        shared: false,
        content_type: "user",
        configuration: &[("location", "the directory's path")],
    },
    Plugin {
        kind: "nfs",
        name_label: "NFS",
        name_description: "Disk images in a directory of a file server",
        features: IMAGES,
        shared: true,
        content_type: "user",
        configuration: &[("server", "the server's name or address"), ("serverpath", "the exported path")],
    },
    Plugin {
        kind: "iso",
        name_label: "ISO library",
        name_description: "Images of optical media in a directory",
        features: MEDIA,
        shared: true,
        content_type: "iso",
        configuration: &[("location", "the directory's path, or SERVER:PATH")],
    },
    Plugin {
        kind: "udev",
        name_label: "Removable storage",
        name_description: "Physical drives of the host",
        features: MEDIA,
        shared: false,
        content_type: "iso",
        configuration: &[("location", "where the drives' devices are")],
    },
];

/// The `SM` objects of a new pool.
pub fn sm_plugins() -> Vec<Fields<SM>> {
    let described = PLUGINS.iter().map(|plugin| {
        let features = plugin.features.iter().map(|feature| name_and_version(feature));
        Fields::<SM>::new()
            .with(SM::r#type, plugin.kind)
            .with(SM::name_label, plugin.name_label)
            .with(SM::name_description, plugin.name_description)
            .with(SM::vendor, "xenledger")
            .with(SM::version, "1.0")
            .with(SM::required_api_version, "1.0")
            .with(SM::configuration, Value::map(plugin.configuration.iter().map(|(key, doc)| (*key, Value::text(doc)))))
            .with(SM::capabilities, Value::set(features.clone().map(|(name, _)| Value::text(name))))
            .with(SM::features, Value::map(features.map(|(name, version)| (name, Value::Int(version)))))
    });
    described.collect()
}

/// `VDI_RESET_ON_BOOT/2` is the second version of that feature; without a number it is the first.
fn name_and_version(feature: &'static str) -> (&'static str, i64) {
    match feature.split_once('/') {
        Some((name, version)) => (name, version.parse().expect("BUG: a feature's version is a number")),
        None => (feature, 1),
    }
}

/// The kind of that name, or `SR_UNKNOWN_DRIVER`.
pub fn plugin(kind: &str) -> Result<&'static Plugin, ApiError> {
    PLUGINS.iter().find(|plugin| plugin.kind == kind).ok_or_else(|| codes::SR_UNKNOWN_DRIVER(kind))
}

impl Plugin {
    pub fn can(&self, feature: &str) -> bool {
        self.features.iter().any(|one| name_and_version(one).0 == feature)
    }

    /// Refuses a configuration that lacks a key.
    pub fn check_configuration(&self, device_config: &Map) -> Result<(), ApiError> {
        match self.configuration.iter().find(|(key, _)| !device_config.contains_key(*key)) {
            Some((key, doc)) => {
                let reason = format!("the request is missing {key}, {doc}");
                Err(codes::SR_BACKEND_FAILURE("missing parameter", "", reason))
            }
            None => Ok(()),
        }
    }
}
