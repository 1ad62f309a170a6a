//! All classes, in the published order.

mod access;
mod appliances;
mod devices;
mod guests;
mod hosts;
mod machines;
mod networks;
mod pools;
mod storage;
mod subscriptions;

pub use access::*;
pub use appliances::*;
pub use devices::*;
pub use guests::*;
pub use hosts::*;
pub use machines::*;
pub use networks::*;
pub use pools::*;
pub use storage::*;
pub use subscriptions::*;

use super::{Class, Declared};

macro_rules! classes {
    ($($class:ident)*) => {
        /// A class, by its place in [`CLASSES`].
        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum ClassId { $($class),* }

        /// Every class, in the published order, our extensions last.
        pub static CLASSES: &[&Class] = &[$(<$class as Declared>::DEF),*];

        /// Every class's id, in the same order.
        pub const CLASS_IDS: &[ClassId] = &[$(ClassId::$class),*];
    };
}

classes! {
    session auth subject role task event pool pool_patch pool_update VM VM_metrics VM_guest_metrics VMPP VMSS VM_appliance DR_task host host_crashdump host_patch host_metrics host_cpu network VIF VIF_metrics PIF PIF_metrics Bond VLAN SM SR sr_stat probe_result LVHD VDI VBD VBD_metrics PBD crashdump VTPM console user data_source blob message secret tunnel network_sriov PCI PGPU GPU_group VGPU VGPU_type PVS_site PVS_server PVS_proxy PVS_cache_storage Feature SDN_controller vdi_nbd_server_info PUSB USB_group VUSB Cluster Cluster_host Certificate Repository Observer VM_group Host_driver Driver_variant Caller Rate_limit log subscription
}
