//! Networks, interfaces and what joins them.

use super::*;
use crate::model::types::*;
use crate::model::{class, default};

class! {
    /// A network that machines and hosts are joined to; a bridge on every host.
    network, by(vm_admin), create, destroy;
    enums {
        network_operations: "attaching";
        network_default_locking_mode: "unlocked" "disabled";
        network_purpose: "nbd" "insecure_nbd";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Name for people; need not be unique.
        RW name_label: String = "", by(pool_operator);
        /// Longer text for people.
        RW name_description: String = "", by(pool_operator);
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<network_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, network_operations> = {};
        /// Interfaces of machines on it.
        RO VIFs: Set<Ref<VIF>> => VIF.network;
        /// Interfaces of hosts on it; none for a network that stays inside a host.
        RO PIFs: Set<Ref<PIF>> => PIF.network;
        /// Largest packet, in bytes.
        RW MTU: Int = 1500;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>, by(pool_operator);
        /// Name of the bridge on each host.
        CO bridge: String = "";
        /// True if the server makes and removes the bridge; false if it only uses one that is there.
        CO managed: Bool = true;
        /// Binary objects attached to it, by name.
        RO blobs: Map<String, Ref<blob>> = {};
        /// Labels that clients put on it, to group and to search.
        RW tags: Set<String> = {}, by(vm_operator);
        /// What the interfaces on it may send, for those that leave it to the network.
        RO default_locking_mode: network_default_locking_mode = unlocked;
        /// Addresses given to interfaces on the host's own management network.
        RO assigned_ips: Map<Ref<VIF>, String> = {};
        /// What the network may be used for, beside machines.
        RO purpose: Set<network_purpose> = {};
    }
    messages {
        /// Allow a use no longer.
        fn remove_purpose(self: Ref<network>, value: network_purpose) -> Void as pool_admin, task;
        /// Allow a use; NETWORK_INCOMPATIBLE_PURPOSES if another forbids it.
        fn add_purpose(self: Ref<network>, value: network_purpose) -> Void as pool_admin ![NETWORK_INCOMPATIBLE_PURPOSES, VALUE_NOT_SUPPORTED], task;
        /// Choose what interfaces may send; refused while one is attached.
        fn set_default_locking_mode(network: Ref<network>, value: network_default_locking_mode) -> Void as pool_operator ![VIF_IN_USE], task;
        /// Attach a new, empty binary object under a name.
        fn create_new_blob(network: Ref<network>, name: String, mime_type: String, public: Bool) -> Ref<blob> as pool_operator ![MAP_DUPLICATE_KEY, VALUE_NOT_SUPPORTED], task;
    }
}

class! {
    /// A network interface of a machine.
    VIF, by(vm_admin), create, destroy;
    enums {
        vif_operations: "attach" "plug" "unplug";
        vif_locking_mode: "network_default" "locked" "unlocked" "disabled";
        vif_ipv4_configuration_mode: "None" "Static" "DHCP";
        vif_ipv6_configuration_mode: "None" "Static" "Autoconf";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// What a client may do with it now; empty while nothing may be done.
        RO allowed_operations: Set<vif_operations> = {}, derived;
        /// Operations that have been accepted and not ended: task reference to operation.
        RO current_operations: Map<String, vif_operations> = {};
        /// Its number in the machine, as text: `0` is the first.
        CO device: String;
        /// The network that it is joined to.
        CO network: Ref<network>;
        /// The machine that it belongs to.
        CO VM: Ref<VM>;
        /// Its hardware address, six pairs in hexadecimal; drawn by the server if empty at creation.
        CO MAC: String;
        /// Largest packet, in bytes.
        CO MTU: Int;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String>;
        /// True if it is plugged in; while the machine is off, whether it will be at the start.
        CO currently_attached: Bool = false;
        /// Error code of the last plug or unplug; 0 for none.
        RO status_code: Int;
        /// What that error was about.
        RO status_detail: String;
        /// What the driver says, by key.
        RO runtime_properties: Map<String, String>;
        /// How its traffic is limited; `ratelimit` or empty.
        RW qos_algorithm_type: String;
        /// The limit: `kbps`.
        RW qos_algorithm_params: Map<String, String>;
        /// Ways to limit that this host knows.
        RO qos_supported_algorithms: Set<String>;
        /// No longer used.
        RO metrics: Ref<VIF_metrics> = null, removed;
        /// True if the server drew the hardware address; a copy then gets another.
        RO MAC_autogenerated: Bool = false;
        /// What it may send; `network_default` leaves it to the network.
        CO locking_mode: vif_locking_mode = network_default;
        /// With `locked`: the IPv4 addresses that it may use.
        CO ipv4_allowed: Set<String> = {};
        /// With `locked`: the IPv6 addresses that it may use.
        CO ipv6_allowed: Set<String> = {};
        /// How its IPv4 address is set from the outside; None for not at all.
        RO ipv4_configuration_mode: vif_ipv4_configuration_mode = None;
        /// That address, with the prefix length; empty if none.
        RO ipv4_addresses: Set<String> = {};
        /// That gateway; empty if none.
        RO ipv4_gateway: String = "";
        /// How its IPv6 address is set from the outside; None for not at all.
        RO ipv6_configuration_mode: vif_ipv6_configuration_mode = None;
        /// Those addresses, with their prefix length.
        RO ipv6_addresses: Set<String> = {};
        /// That gateway; empty if none.
        RO ipv6_gateway: String = "";
        /// VLAN tags that it may use; empty for no limit.
        CO trunks: Set<Int> = {}, prototyped;
    }
    messages {
        /// Replace the VLAN tags that it may use.
        fn set_trunks(self: Ref<VIF>, value: Set<Int>) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Forbid a VLAN tag.
        fn remove_trunks(self: Ref<VIF>, value: Int) -> Void as vm_admin, task, prototyped;
        /// Allow a VLAN tag.
        fn add_trunks(self: Ref<VIF>, value: Int) -> Void as vm_admin ![VALUE_NOT_SUPPORTED], task, prototyped;
        /// Set its IPv6 address from the outside.
        fn configure_ipv6(self: Ref<VIF>, mode: vif_ipv6_configuration_mode, address: String, gateway: String) -> Void as vm_operator ![INVALID_CIDR_ADDRESS_SPECIFIED, INVALID_IP_ADDRESS_SPECIFIED], task;
        /// Set its IPv4 address from the outside.
        fn configure_ipv4(self: Ref<VIF>, mode: vif_ipv4_configuration_mode, address: String, gateway: String) -> Void as vm_operator ![INVALID_CIDR_ADDRESS_SPECIFIED, INVALID_IP_ADDRESS_SPECIFIED], task;
        /// Forbid an IPv6 address.
        fn remove_ipv6_allowed(self: Ref<VIF>, value: String) -> Void as pool_operator, task;
        /// Allow an IPv6 address.
        fn add_ipv6_allowed(self: Ref<VIF>, value: String) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Replace the IPv6 addresses that it may use.
        fn set_ipv6_allowed(self: Ref<VIF>, value: Set<String>) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Forbid an IPv4 address.
        fn remove_ipv4_allowed(self: Ref<VIF>, value: String) -> Void as pool_operator, task;
        /// Allow an IPv4 address.
        fn add_ipv4_allowed(self: Ref<VIF>, value: String) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Replace the IPv4 addresses that it may use.
        fn set_ipv4_allowed(self: Ref<VIF>, value: Set<String>) -> Void as pool_operator ![INVALID_VALUE, VALUE_NOT_SUPPORTED], task;
        /// Choose what it may send.
        fn set_locking_mode(self: Ref<VIF>, value: vif_locking_mode) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Join it to another network, also while it is plugged in.
        fn move(self: Ref<VIF>, network: Ref<network>) -> Void as vm_admin ![OTHER_OPERATION_IN_PROGRESS, NETWORK_SRIOV_INSUFFICIENT_CAPACITY], task;
        /// Take it out without asking the machine.
        fn unplug_force(self: Ref<VIF>) -> Void as vm_admin ![DEVICE_ALREADY_DETACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE], task;
        /// Take it out of the running machine.
        fn unplug(self: Ref<VIF>) -> Void as vm_admin ![DEVICE_ALREADY_DETACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE], task;
        /// Put it into the running machine.
        fn plug(self: Ref<VIF>) -> Void as vm_admin ![DEVICE_ALREADY_ATTACHED, OPERATION_NOT_ALLOWED, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE, NETWORK_SRIOV_INSUFFICIENT_CAPACITY], task;
    }
}

class! {
    /// No longer used.
    VIF_metrics, by(vm_admin), removed;
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Kilobytes read per second; no longer measured.
        RO io_read_kbs: Float = 0.0, removed, volatile;
        /// Kilobytes written per second; no longer measured.
        RO io_write_kbs: Float = 0.0, removed, volatile;
        /// When this was measured.
        RO last_updated: DateTime, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
}

class! {
    /// A network interface of a host: a card, or a bond, VLAN or tunnel on top of cards.
    PIF, by(pool_operator);
    enums {
        pif_igmp_status: "enabled" "disabled" "unknown";
        ip_configuration_mode: "None" "DHCP" "Static";
        ipv6_configuration_mode: "None" "DHCP" "Static" "Autoconf";
        primary_address_type: "IPv4" "IPv6";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Its name on the host, as in `eth0`.
        CO device: String;
        /// The network that it is joined to.
        CO network: Ref<network>;
        /// The host that it is in.
        CO host: Ref<host>;
        /// Its hardware address, six pairs in hexadecimal.
        CO MAC: String;
        /// Largest packet, in bytes.
        CO MTU: Int;
        /// Its VLAN tag; -1 for none.
        CO VLAN: Int;
        /// What is measured on it.
        RO metrics: Ref<PIF_metrics>;
        /// True for a card; false for what is stacked on cards.
        RO physical: Bool = false;
        /// True if it is up.
        RO currently_attached: Bool = true;
        /// How the host gets its IPv4 address here; None for no address.
        RO ip_configuration_mode: ip_configuration_mode = None;
        /// IPv4 address; empty if none.
        RO IP: String = "";
        /// Its mask, in four numbers; empty if none.
        RO netmask: String = "";
        /// IPv4 gateway; empty if none.
        RO gateway: String = "";
        /// Name servers, with commas between; empty if none.
        RO DNS: String = "";
        /// The bond that it is a part of; null if none.
        RO bond_slave_of: Ref<Bond> = null;
        /// The bond that it stands for; empty if none.
        RO bond_master_of: Set<Ref<Bond>> => Bond.master;
        /// The VLAN whose untagged side it is; null if none.
        RO VLAN_master_of: Ref<VLAN> = null;
        /// VLANs on top of it.
        RO VLAN_slave_of: Set<Ref<VLAN>> => VLAN.tagged_PIF;
        /// True if clients reach the host here.
        RO management: Bool = false;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// True if it must not be taken down, for instance because storage needs it.
        RO disallow_unplug: Bool = false;
        /// The tunnel whose inner side it is; empty if none.
        RO tunnel_access_PIF_of: Set<Ref<tunnel>> => tunnel.access_PIF;
        /// Tunnels that go over it.
        RO tunnel_transport_PIF_of: Set<Ref<tunnel>> => tunnel.transport_PIF;
        /// How the host gets its IPv6 address here; None for no address.
        RO ipv6_configuration_mode: ipv6_configuration_mode = None;
        /// IPv6 addresses, with their prefix length.
        RO IPv6: Set<String> = {};
        /// IPv6 gateway; empty if none.
        RO ipv6_gateway: String = "";
        /// The kind of address that management uses here.
        RO primary_address_type: primary_address_type = IPv4;
        /// True if the server brings it up and down; false if it only looks.
        CO managed: Bool = true;
        /// Settings of the card, such as `gro`.
        RO properties: Map<String, String> = {};
        /// What the card can do.
        RO capabilities: Set<String> = {};
        /// Whether its bridge forwards multicast only where it is asked for.
        RO igmp_snooping_status: pif_igmp_status = unknown;
        /// Virtual function networks that it provides.
        RO sriov_physical_PIF_of: Set<Ref<network_sriov>> => network_sriov.physical_PIF;
        /// The virtual function network whose logical side it is.
        RO sriov_logical_PIF_of: Set<Ref<network_sriov>> => network_sriov.logical_PIF;
        /// The card as a PCI device; null if unknown.
        RO PCI: Ref<PCI> = null;
    }
    messages {
        /// Change one setting of the card.
        fn set_property(self: Ref<PIF>, name: String, value: String) -> Void as pool_operator ![CANNOT_CHANGE_PIF_PROPERTIES, INVALID_VALUE, OTHER_OPERATION_IN_PROGRESS, PIF_UNMANAGED], task;
        /// Forget it without touching the host.
        fn db_forget(self: Ref<PIF>) -> Void as pool_operator ![OTHER_OPERATION_IN_PROGRESS], task;
        /// Record one without touching the host.
        fn db_introduce(device: String, network: Ref<network>, host: Ref<host>, MAC: String, MTU: Int, VLAN: Int, physical: Bool, ip_configuration_mode: ip_configuration_mode, IP: String, netmask: String, gateway: String, DNS: String, bond_slave_of: Ref<Bond>, VLAN_master_of: Ref<VLAN>, management: Bool, other_config: Map<String, String>, disallow_unplug: Bool, ipv6_configuration_mode: ipv6_configuration_mode, IPv6: Set<String>, ipv6_gateway: String, primary_address_type: primary_address_type, managed: Bool, properties: Map<String, String>) -> Ref<PIF> as pool_operator ![DUPLICATE_PIF_DEVICE_NAME, MAC_INVALID, PIF_VLAN_EXISTS, VLAN_TAG_INVALID], task;
        /// Bring it up.
        fn plug(self: Ref<PIF>) -> Void as pool_operator ![TRANSPORT_PIF_NOT_CONFIGURED, CANNOT_PLUG_BOND_SLAVE, OTHER_OPERATION_IN_PROGRESS, PIF_UNMANAGED], task;
        /// Forbid, or allow, taking it down.
        fn set_disallow_unplug(self: Ref<PIF>, value: Bool) -> Void as pool_operator ![OTHER_OPERATION_IN_PROGRESS, CLUSTERING_ENABLED, VALUE_NOT_SUPPORTED], task;
        /// Take it down; refused where it carries management or must not be unplugged.
        fn unplug(self: Ref<PIF>) -> Void as pool_operator ![HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN, VIF_IN_USE, PIF_DOES_NOT_ALLOW_UNPLUG, PIF_HAS_FCOE_SR_IN_USE, OTHER_OPERATION_IN_PROGRESS, PIF_IS_MANAGEMENT_INTERFACE, PIF_UNMANAGED], task;
        /// Forget an interface that the host no longer has.
        fn forget(self: Ref<PIF>) -> Void as pool_operator ![PIF_TUNNEL_STILL_EXISTS, CLUSTERING_ENABLED, OTHER_OPERATION_IN_PROGRESS, PIF_ALREADY_BONDED, PIF_IS_MANAGEMENT_INTERFACE, PIF_IS_NOT_PHYSICAL, PIF_VLAN_STILL_EXISTS, VIF_IN_USE, PIF_SRIOV_STILL_EXISTS], task;
        /// Record an interface of the host that is not known yet.
        fn introduce(host: Ref<host>, MAC: String, device: String, managed: Bool) -> Ref<PIF> as pool_operator ![DUPLICATE_PIF_DEVICE_NAME, MAC_INVALID, MAC_STILL_EXISTS], task;
        /// Look for new interfaces and record them.
        fn scan(host: Ref<host>) -> Void as pool_operator, task;
        /// Choose the kind of address that management uses.
        fn set_primary_address_type(self: Ref<PIF>, primary_address_type: primary_address_type) -> Void as pool_operator ![VALUE_NOT_SUPPORTED], task;
        /// Change how the host gets its IPv6 address here.
        fn reconfigure_ipv6(self: Ref<PIF>, mode: ipv6_configuration_mode, IPv6: String, gateway: String, DNS: String) -> Void as pool_operator ![CLUSTERING_ENABLED, INVALID_CIDR_ADDRESS_SPECIFIED, INVALID_IP_ADDRESS_SPECIFIED, OTHER_OPERATION_IN_PROGRESS, PIF_IS_MANAGEMENT_INTERFACE, PIF_UNMANAGED], task;
        /// Change how the host gets its IPv4 address here; Static needs address and mask.
        fn reconfigure_ip(self: Ref<PIF>, mode: ip_configuration_mode, IP: String, netmask: String, gateway: String, DNS: String) -> Void as pool_operator ![CLUSTERING_ENABLED, INVALID_IP_ADDRESS_SPECIFIED, OTHER_OPERATION_IN_PROGRESS, PIF_IS_MANAGEMENT_INTERFACE, PIF_UNMANAGED], task;
        /// Remove a VLAN interface; use `VLAN.destroy`.
        fn destroy(self: Ref<PIF>) -> Void as pool_operator ![PIF_IS_PHYSICAL, PIF_IS_MANAGEMENT_INTERFACE, VIF_IN_USE], task, deprecated;
        /// Make a VLAN interface; use `VLAN.create`.
        fn create_VLAN(device: String, network: Ref<network>, host: Ref<host>, VLAN: Int) -> Ref<PIF> as pool_operator ![VLAN_TAG_INVALID, CANNOT_ADD_VLAN_TO_BOND_SLAVE, NETWORK_ALREADY_CONNECTED, PIF_DEVICE_NOT_FOUND, PIF_IS_VLAN, PIF_VLAN_EXISTS, IS_TUNNEL_ACCESS_PIF], task, deprecated;
    }
}

class! {
    /// What is measured on an interface of a host.
    PIF_metrics, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Kilobytes received per second; no longer measured.
        RO io_read_kbs: Float = 0.0, removed, volatile;
        /// Kilobytes sent per second; no longer measured.
        RO io_write_kbs: Float = 0.0, removed, volatile;
        /// True if a cable is in and the other end answers.
        RO carrier: Bool;
        /// Number of the card's maker.
        RO vendor_id: String;
        /// Name of the card's maker.
        RO vendor_name: String;
        /// Number of the card's model.
        RO device_id: String;
        /// Name of the card's model.
        RO device_name: String;
        /// Speed of the link in Mbit/s; 0 if down or unknown.
        RO speed: Int;
        /// True if both directions work at once.
        RO duplex: Bool;
        /// Where the card is on the PCI bus; `N/A` for what is not a card.
        RO pci_bus_path: String;
        /// When this was measured.
        RO last_updated: DateTime, volatile;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
}

class! {
    /// Interfaces of a host that work as one.
    Bond, by(pool_operator);
    enums {
        bond_mode: "balance-slb" "active-backup" "lacp";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The interface that stands for the bond.
        CO master: Ref<PIF> = null;
        /// The interfaces that work as one.
        RO slaves: Set<Ref<PIF>> => PIF.bond_slave_of;
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// The one whose hardware address the bond has.
        RO primary_slave: Ref<PIF> = null;
        /// How traffic is spread: balance-slb, active-backup or lacp.
        RO mode: bond_mode = "balance-slb";
        /// Settings, by key, such as `hashing_algorithm`.
        RO properties: Map<String, String> = {};
        /// How many of the interfaces have a link.
        RO links_up: Int = 0;
        /// True if the hardware address follows the interfaces.
        RO auto_update_mac: Bool = true;
    }
    messages {
        /// Change one setting.
        fn set_property(self: Ref<Bond>, name: String, value: String) -> Void as pool_operator ![INVALID_VALUE], task;
        /// Choose how traffic is spread.
        fn set_mode(self: Ref<Bond>, value: bond_mode) -> Void as pool_operator, task;
        /// Take the bond apart; the interfaces keep its addresses where they can.
        fn destroy(self: Ref<Bond>) -> Void as pool_operator ![OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE], task;
        /// Let interfaces of one host work as one.
        fn create(network: Ref<network>, members: Set<Ref<PIF>>, MAC: String, mode: bond_mode, properties: Map<String, String> = {}) -> Ref<Bond> as pool_operator ![NETWORK_UNMANAGED, PIF_BOND_NEEDS_MORE_MEMBERS, PIF_ALREADY_BONDED, PIF_VLAN_EXISTS, PIF_IS_NOT_PHYSICAL, PIF_UNMANAGED, PIF_CANNOT_BOND_CROSS_HOST, INCOMPATIBLE_PIF_PROPERTIES, PIF_BOND_MORE_THAN_ONE_IP, NETWORK_ALREADY_CONNECTED, MAC_INVALID, INVALID_VALUE, OTHER_OPERATION_IN_PROGRESS, VM_BAD_POWER_STATE], task;
    }
}

class! {
    /// A tagged network on top of an interface of a host.
    VLAN, by(pool_operator);
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The interface that carries the tagged packets.
        CO tagged_PIF: Ref<PIF> = null;
        /// The interface that shows them without the tag.
        RO untagged_PIF: Ref<PIF> = null;
        /// The tag, 0 to 4094.
        CO tag: Int = (-1);
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
    }
    messages {
        /// Remove it and its untagged interface.
        fn destroy(self: Ref<VLAN>) -> Void as pool_operator ![PIF_IS_MANAGEMENT_INTERFACE, VIF_IN_USE], task;
        /// Make one and join it to a network. VLAN_TAG_INVALID for a tag out of range, PIF_VLAN_EXISTS for one in
        /// use.
        fn create(tagged_PIF: Ref<PIF>, tag: Int, network: Ref<network>) -> Ref<VLAN> as pool_operator ![CANNOT_ADD_VLAN_TO_BOND_SLAVE, NETWORK_ALREADY_CONNECTED, PIF_IS_VLAN, PIF_VLAN_EXISTS, VLAN_TAG_INVALID, IS_TUNNEL_ACCESS_PIF], task;
    }
}

class! {
    /// A network between hosts, carried inside another.
    tunnel, by(pool_operator);
    enums {
        tunnel_protocol: "gre" "vxlan";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The interface that machines see.
        CO access_PIF: Ref<PIF> = null;
        /// The interface that the packets go over.
        CO transport_PIF: Ref<PIF> = null;
        /// Whether it works: `active`, `key`.
        RW status: Map<String, String> = {"active": "false"};
        /// Keys and values for clients to use; every key is kept.
        RW other_config: Map<String, String> = {};
        /// How packets are wrapped.
        RW protocol: tunnel_protocol = gre;
    }
    messages {
        /// Remove it and its access interface.
        fn destroy(self: Ref<tunnel>) -> Void as pool_operator ![PIF_IS_MANAGEMENT_INTERFACE, VIF_IN_USE, OTHER_OPERATION_IN_PROGRESS], task;
        /// Make one over an interface and join it to a network.
        fn create(transport_PIF: Ref<PIF>, network: Ref<network>, protocol: tunnel_protocol = gre) -> Ref<tunnel> as pool_operator ![OPENVSWITCH_NOT_ACTIVE, TRANSPORT_PIF_NOT_CONFIGURED, IS_TUNNEL_ACCESS_PIF, NETWORK_UNMANAGED, NETWORK_ALREADY_CONNECTED, PIF_UNMANAGED, CANNOT_ADD_TUNNEL_TO_BOND_SLAVE, CANNOT_ADD_TUNNEL_TO_SRIOV_LOGICAL], task;
    }
}

class! {
    /// A network of virtual functions of one card.
    network_sriov;
    enums {
        sriov_configuration_mode: "sysfs" "modprobe" "manual" "unknown";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// The card.
        CO physical_PIF: Ref<PIF> = null;
        /// The interface that stands for its virtual functions.
        CO logical_PIF: Ref<PIF> = null;
        /// True if the host must restart before it can be used.
        RO requires_reboot: Bool = false;
        /// How the card is told to offer virtual functions.
        RO configuration_mode: sriov_configuration_mode = unknown;
    }
    messages {
        /// How many virtual functions are free.
        fn get_remaining_capacity(self: Ref<network_sriov>) -> Int as read_only, task;
        /// Stop offering virtual functions.
        fn destroy(self: Ref<network_sriov>) -> Void as pool_operator ![PIF_VLAN_STILL_EXISTS, VIF_IN_USE, OTHER_OPERATION_IN_PROGRESS], task;
        /// Let a card offer virtual functions to the machines of a network.
        fn create(pif: Ref<PIF>, network: Ref<network>) -> Ref<network_sriov> as pool_operator ![NETWORK_UNMANAGED, PIF_IS_NOT_PHYSICAL, PIF_UNMANAGED, PIF_IS_NOT_SRIOV_CAPABLE, NETWORK_SRIOV_ALREADY_ENABLED, NETWORK_ALREADY_CONNECTED, OTHER_OPERATION_IN_PROGRESS], task;
    }
}

class! {
    /// A program that controls the switches of all hosts.
    SDN_controller;
    enums {
        sdn_controller_protocol: "ssl" "pssl";
    }
    fields {
        /// Identifies the object; never used again for another.
        RO uuid: String;
        /// Who connects to whom: ssl from here, pssl to here.
        CO protocol: sdn_controller_protocol = ssl;
        /// IP address; empty with pssl.
        CO address: String = "";
        /// TCP port; 0 with pssl.
        CO port: Int = 0;
    }
    messages {
        /// Do without it.
        fn forget(self: Ref<SDN_controller>) -> Void as pool_operator, task;
        /// Hand the switches over to a controller.
        fn introduce(protocol: sdn_controller_protocol, address: String, port: Int) -> Ref<SDN_controller> as pool_operator, task;
    }
}
