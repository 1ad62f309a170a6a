//! The first event: on an empty view it makes a pool of one host, with
//! everything that clients expect to find. Pure like every decision: what the
//! machine is like comes in as [`HostFacts`], the root user's password as a
//! hash that is sealed already.
//!
//! Must never look at the system itself.

pub mod demo;
mod roles;
mod storage;
mod templates;

pub use roles::role_reference;

use super::draft::Fields;
use super::{Draft, Own};
use crate::error::{ApiError, codes};
use crate::log::Sealed;
use crate::model::{
    API_VERSION, PIF, PIF_metrics, PRODUCT_VERSION, VM, VM_metrics, console, host, host_cpu, host_metrics, network,
    pool, user,
};
use crate::value::{Ref, Value};

/// The name of the event that makes a pool.
pub const FOUND: &str = "pool.create";

const MIB: i64 = 1 << 20;
const GIB: i64 = 1 << 30;

/// What a host is like, as far as its record tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostFacts {
    pub hostname: String,
    /// Where clients reach it: an address, not a name.
    pub address: String,
    pub cpus: i64,
    pub sockets: i64,
    pub cpu_vendor: String,
    pub cpu_model: String,
    pub cpu_mhz: i64,
    pub cpu_family: i64,
    pub cpu_model_number: i64,
    pub cpu_stepping: String,
    pub cpu_flags: String,
    pub memory_bytes: i64,
    /// The kernel of the control domain.
    pub kernel: String,
    /// The hypervisor's version.
    pub xen_version: String,
    /// The interface that the host is managed through.
    pub interface: String,
    pub mac: String,
    /// What joins interfaces on the host: `bridge`, `openvswitch`.
    pub network_backend: String,
    pub threads_per_core: i64,
    /// The processors' features, as words in hexadecimal.
    pub cpu_features: String,
    /// The kinds of domains that the hypervisor can build: `hvm-3.0-x86_64`.
    pub capabilities: Vec<String>,
    pub scheduler: String,
    /// The command line of the hypervisor.
    pub build: Option<String>,
    /// What the host's own firmware says of it: `system-manufacturer`, `system-uuid`.
    pub bios: Vec<(String, String)>,
    /// Mbit/s, both directions at once, and whether there is a link.
    pub link: (i64, bool, bool),
    /// Bytes that the control domain has; `None`: a share of all.
    pub control_memory: Option<i64>,
    /// Bytes that the hypervisor keeps for itself; `None`: a share of all.
    pub overhead: Option<i64>,
    /// The bridge that the interface is on.
    pub bridge: String,
    /// The first repositories; none where the hypervisor has made its own up.
    pub storage: Option<Storage>,
}

/// Folders for the first repositories of a real host.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    pub disks: String,
    pub media: String,
    /// Bytes that the folder for disks can hold.
    pub bytes: i64,
}

impl HostFacts {
    /// Memory of a simulated host: ten thousand machines must fit into it.
    pub const SIMULATED_MEMORY: i64 = 1024 * GIB;
    /// Processors of a simulated host, at least.
    pub const SIMULATED_CPUS: i64 = 16;

    /// The same host as the simulated hypervisor has it: generous where nothing real is used up.
    pub fn simulated(mut self) -> HostFacts {
        self.memory_bytes = HostFacts::SIMULATED_MEMORY;
        self.cpus = self.cpus.max(HostFacts::SIMULATED_CPUS);
        self.xen_version = "4.17.5".into();
        self.network_backend = "openvswitch".into();
        self
    }
}

impl Default for HostFacts {
    /// A small machine that could be anywhere: for tests, and for what the system does not tell.
    fn default() -> HostFacts {
        HostFacts {
            hostname: "localhost".into(),
            address: "127.0.0.1".into(),
            cpus: 4,
            sockets: 1,
            cpu_vendor: "unknown".into(),
            cpu_model: "unknown".into(),
            cpu_mhz: 2000,
            cpu_family: 6,
            cpu_model_number: 0,
            cpu_stepping: "0".into(),
            cpu_flags: String::new(),
            memory_bytes: 16 * GIB,
            kernel: "0.0.0".into(),
            xen_version: "4.17.5".into(),
            interface: "eth0".into(),
            mac: "02:00:00:00:00:01".into(),
            network_backend: "bridge".into(),
            threads_per_core: 1,
            cpu_features: String::new(),
            capabilities: ["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"]
                .map(str::to_string)
                .into(),
            scheduler: "credit2".into(),
            build: None,
            bios: [("bios-vendor", "Xen"), ("system-manufacturer", "Xen"), ("hp-rombios", "")]
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .into(),
            link: (1000, true, true),
            control_memory: None,
            overhead: None,
            bridge: "xenbr0".into(),
            storage: None,
        }
    }
}

/// Makes the pool; refuses where there is one already.
pub fn found(facts: HostFacts, root_password: Sealed) -> Own {
    Box::new(move |draft| make_pool(draft, &facts, root_password))
}

/// Whether a view has no pool yet.
pub fn is_empty(view: &crate::views::View) -> bool {
    view.all::<pool>().next().is_none()
}

fn make_pool(draft: &mut Draft, facts: &HostFacts, root_password: Sealed) -> Result<Value, ApiError> {
    if !is_empty(draft.view()) {
        return Err(codes::OPERATION_NOT_ALLOWED("there is a pool already"));
    }
    roles::publish(draft);
    make_root(draft, root_password);
    let here = make_host(draft, facts);
    make_control_domain(draft, facts, here);
    make_network(draft, facts, here);
    let disks = storage::make(draft, here, facts.storage.as_ref());
    draft.set(here, host::suspend_image_sr, disks);
    draft.set(here, host::crash_dump_sr, disks);
    templates::make(draft);
    let fields = Fields::<pool>::new()
        .with(pool::name_label, &*facts.hostname)
        .with(pool::master, here)
        .with(pool::default_SR, disks)
        .with(pool::suspend_image_SR, disks)
        .with(pool::crash_dump_SR, disks)
        .with(pool::cpu_info, cpu_info(facts))
        .with(pool::restrictions, restrictions());
    Ok(Value::Ref(draft.create(fields)))
}

fn make_root(draft: &mut Draft, password: Sealed) {
    let fields = Fields::<user>::new()
        .with(user::short_name, "root")
        .with(user::fullname, "Local superuser")
        .with(user::is_local_superuser, true)
        .with(user::password, password.seal());
    draft.vault.put.push(password);
    draft.create(fields);
}

fn make_host(draft: &mut Draft, facts: &HostFacts) -> Ref {
    let metrics = Fields::<host_metrics>::new()
        .with(host_metrics::memory_total, facts.memory_bytes)
        .with(host_metrics::live, true)
        .with(host_metrics::last_updated, Value::Time(draft.now));
    let metrics = draft.create(metrics);
    let fields = Fields::<host>::new()
        .with(host::name_label, &*facts.hostname)
        .with(host::name_description, "")
        .with(host::hostname, &*facts.hostname)
        .with(host::address, &*facts.address)
        .with(host::enabled, true)
        .with(host::metrics, metrics)
        .with(host::memory_overhead, facts.overhead.unwrap_or_else(|| memory_overhead(facts.memory_bytes)))
        .with(host::API_version_major, API_VERSION.0)
        .with(host::API_version_minor, API_VERSION.1)
        .with(host::API_version_vendor, "xenledger")
        .with(host::software_version, software_version(facts))
        .with(host::capabilities, Value::set(facts.capabilities.iter().map(|name| Value::text(name))))
        .with(host::sched_policy, &*facts.scheduler)
        .with(host::supported_bootloaders, texts(&["pygrub"]))
        .with(host::cpu_info, cpu_info(facts))
        .with(host::cpu_configuration, Value::map([("cpus", facts.cpus.to_string().into())]))
        .with(host::edition, "xcp-ng")
        .with(host::editions, texts(&["xcp-ng"]))
        .with(host::license_params, license())
        .with(host::power_on_mode, "")
        .with(host::virtual_hardware_platform_versions, Value::set([0, 1, 2].map(Value::Int)))
        .with(host::bios_strings, Value::map(facts.bios.iter().map(|(key, value)| (key, Value::text(value)))))
        .with(host::chipset_info, Value::map([("iommu", "false".into())]))
        .with(host::other_config, boot_times(draft));
    let here = draft.create(fields);
    for number in 0..facts.cpus {
        make_cpu(draft, facts, here, number);
    }
    here
}

fn make_cpu(draft: &mut Draft, facts: &HostFacts, here: Ref, number: i64) {
    let fields = Fields::<host_cpu>::new()
        .with(host_cpu::host, here)
        .with(host_cpu::number, number)
        .with(host_cpu::vendor, &*facts.cpu_vendor)
        .with(host_cpu::modelname, &*facts.cpu_model)
        .with(host_cpu::speed, facts.cpu_mhz)
        .with(host_cpu::family, facts.cpu_family)
        .with(host_cpu::model, facts.cpu_model_number)
        .with(host_cpu::stepping, &*facts.cpu_stepping);
    draft.create(fields);
}

fn make_control_domain(draft: &mut Draft, facts: &HostFacts, here: Ref) {
    let memory = facts.control_memory.unwrap_or_else(|| control_domain_memory(facts.memory_bytes));
    let vcpus = facts.cpus.clamp(1, 16);
    let metrics = Fields::<VM_metrics>::new()
        .with(VM_metrics::memory_actual, memory)
        .with(VM_metrics::VCPUs_number, vcpus)
        .with(VM_metrics::start_time, Value::Time(draft.now))
        .with(VM_metrics::last_updated, Value::Time(draft.now))
        .with(VM_metrics::current_domain_type, "pv");
    let metrics = draft.create(metrics);
    let fields = Fields::<VM>::new()
        .with(VM::name_label, format!("Control domain on host: {}", facts.hostname))
        .with(VM::name_description, "The domain which manages physical devices and manages other domains")
        .with(VM::is_control_domain, true)
        .with(VM::domid, 0)
        .with(VM::power_state, "Running")
        .with(VM::resident_on, here)
        .with(VM::affinity, here)
        .with(VM::metrics, metrics)
        .with(VM::domain_type, "pv")
        .with(VM::memory_target, memory)
        .with(VM::memory_static_max, memory)
        .with(VM::memory_dynamic_max, memory)
        .with(VM::memory_dynamic_min, memory)
        .with(VM::memory_static_min, memory)
        .with(VM::VCPUs_max, vcpus)
        .with(VM::VCPUs_at_startup, vcpus)
        .with(VM::actions_after_crash, "restart");
    let domain = draft.create(fields);
    draft.create(Fields::<console>::new().with(console::VM, domain).with(console::protocol, "vt100"));
    draft.set(here, host::control_domain, domain);
}

fn make_network(draft: &mut Draft, facts: &HostFacts, here: Ref) {
    let network = Fields::<network>::new()
        .with(network::name_label, format!("Pool-wide network associated with {}", facts.interface))
        .with(network::bridge, &*facts.bridge);
    let network = draft.create(network);
    let metrics = Fields::<PIF_metrics>::new()
        .with(PIF_metrics::speed, facts.link.0)
        .with(PIF_metrics::duplex, facts.link.1)
        .with(PIF_metrics::carrier, facts.link.2)
        .with(PIF_metrics::device_name, &*facts.interface)
        .with(PIF_metrics::last_updated, Value::Time(draft.now));
    let metrics = draft.create(metrics);
    let fields = Fields::<PIF>::new()
        .with(PIF::device, &*facts.interface)
        .with(PIF::network, network)
        .with(PIF::host, here)
        .with(PIF::MAC, &*facts.mac)
        .with(PIF::MTU, 1500)
        .with(PIF::VLAN, -1)
        .with(PIF::metrics, metrics)
        .with(PIF::physical, true)
        .with(PIF::currently_attached, true)
        .with(PIF::ip_configuration_mode, "DHCP")
        .with(PIF::IP, &*facts.address)
        .with(PIF::management, true);
    draft.create(fields);
}

/// What the hypervisor and the control domain keep for the host itself.
fn memory_overhead(total: i64) -> i64 {
    128 * MIB + total / 128
}

/// The control domain's share: a sixteenth, between 1 and 8 GiB, never more than half.
fn control_domain_memory(total: i64) -> i64 {
    (total / 16).clamp(GIB, 8 * GIB).min(total / 2)
}

fn software_version(facts: &HostFacts) -> Value {
    let api = format!("{}.{}", API_VERSION.0, API_VERSION.1);
    let text = |text: &str| Value::text(text);
    Value::map([
        ("product_brand", text("xenledger")),
        ("product_version", text(PRODUCT_VERSION)),
        ("product_version_text", text(PRODUCT_VERSION)),
        ("product_version_text_short", text("8.3")),
        ("platform_name", text("XCP")),
        ("platform_version", text("3.4.0")),
        ("build_number", text(env!("CARGO_PKG_VERSION"))),
        ("hostname", text("localhost")),
        ("xapi", text(&api)),
        ("xapi_build", text(env!("CARGO_PKG_VERSION"))),
        ("xen", text(&facts.xen_version)),
        ("linux", text(&facts.kernel)),
        ("network_backend", text(&facts.network_backend)),
        ("db_schema", text("5.780")),
    ])
}

fn cpu_info(facts: &HostFacts) -> Value {
    let number = |number: i64| Value::from(number.to_string());
    Value::map([
        ("cpu_count", number(facts.cpus)),
        ("socket_count", number(facts.sockets)),
        ("threads_per_core", number(facts.threads_per_core)),
        ("vendor", Value::text(&facts.cpu_vendor)),
        ("modelname", Value::text(&facts.cpu_model)),
        ("speed", number(facts.cpu_mhz)),
        ("family", number(facts.cpu_family)),
        ("model", number(facts.cpu_model_number)),
        ("stepping", Value::text(&facts.cpu_stepping)),
        ("flags", Value::text(&facts.cpu_flags)),
        ("features", Value::text(&facts.cpu_features)),
        ("features_pv", "".into()),
        ("features_hvm", "".into()),
    ])
}

/// Nothing is restricted; clients look features up here before they offer them.
fn restrictions() -> Value {
    let features = [
        "restrict_vlan",
        "restrict_pool",
        "restrict_rbac",
        "restrict_checkpoint",
        "restrict_cbt",
        "restrict_storage_xen_motion",
    ];
    Value::map(features.map(|feature| (feature, "false".into())))
}

fn license() -> Value {
    Value::map([("restrict_rbac", "false".into()), ("expiry", "20990101T00:00:00Z".into())])
}

/// Clients compute uptimes from these; seconds since 1970, as a float's text.
fn boot_times(draft: &Draft) -> Value {
    let now = Value::from(format!("{}.", draft.now / 1_000_000));
    Value::map([("boot_time", now.clone()), ("agent_start_time", now)])
}

fn texts(texts: &[&str]) -> Value {
    Value::set(texts.iter().map(|text| Value::text(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Command, Decision, Intent, Principal, decide};
    use crate::event::{Event, Kind};
    use crate::model::{CLASSES, PBD, SR, VBD, role};
    use crate::views::{View, fold};

    fn own(message: &'static str, body: Own) -> Command {
        Command {
            principal: Principal::server("bootstrap"),
            address: "".into(),
            auth: "".into(),
            request: "".into(),
            cause: 0,
            now: 1_000_000,
            seed: [3; 32],
            body: Intent::Own { message, kind: Kind::Change, decide: body },
        }
    }

    fn step(view: &mut View, command: Command) -> Result<Decision, ApiError> {
        let mut decision = decide(view, command)?;
        let event = Event {
            kind: Kind::Change,
            lineage: 1,
            term: 1,
            position: view.position + 1,
            time: 1_000_000,
            principal: "bootstrap".into(),
            message: decision.message.clone(),
            request: "".into(),
            cause: 0,
            body: decision.body.take().expect("an event"),
        };
        fold(view, &event);
        Ok(decision)
    }

    fn founded() -> View {
        let mut view = View::default();
        let password = Sealed::new(Ref([9; 16]), [1; 16], b"hash");
        step(&mut view, own(FOUND, found(HostFacts::default().simulated(), password))).expect("founded");
        step(&mut view, own(demo::DEMO, demo::add())).expect("demo");
        view
    }

    #[test]
    fn the_same_seed_makes_the_same_pool() {
        assert_eq!(founded().state_hash(), founded().state_hash());
    }

    #[test]
    fn a_new_pool_has_what_clients_expect_to_find() {
        let view = founded();
        let pool = view.all::<pool>().next().expect("a pool");
        let here = view.find::<host>(pool.get(pool::master)).expect("its host");
        let domain = view.find::<VM>(here.get(host::control_domain)).expect("its control domain");
        assert_eq!((domain.get(VM::power_state), domain.get(VM::domid)), ("Running", 0));
        assert_eq!(domain.get(VM::resident_on), here.reference);
        assert_eq!(view.find::<SR>(pool.get(pool::default_SR)).map(|sr| &**sr.get(SR::content_type)), Some("user"));
        assert!(view.all::<PBD>().all(|pbd| pbd.get(PBD::currently_attached)));
        assert_eq!(view.all::<PBD>().count(), 2);
        assert_eq!(view.all::<VM>().filter(|vm| vm.get(VM::is_default_template)).count(), 4);
        assert_eq!(view.all::<VBD>().count(), 4);
        assert!(view.all::<PIF>().any(|pif| pif.get(PIF::management)));
        assert_eq!(view.all::<role>().count(), 7);
        assert!(view.find::<role>(role_reference("pool-admin")).is_some());
        let version = here.get(host::software_version).get("product_version").expect("a version").as_str();
        assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version}");
    }

    #[test]
    fn nothing_dangles_and_every_uuid_is_one() {
        let view = founded();
        for class in CLASSES {
            for object in view.class(class.id).objects.values() {
                for (field, value) in class.fields.iter().zip(object.record.iter()) {
                    let target = crate::views::relations::holds(field.ty).filter(|_| field.far.is_none());
                    for reference in value.references(field.ty) {
                        let target = target.expect("only fields that hold references have some");
                        assert!(view.object(target, reference).is_some(), "{}.{}", class.name, field.name);
                    }
                }
                let uuid = crate::model::MODEL.field(class.id, "uuid").expect("all have one here");
                let uuid = object.record[uuid].as_str();
                assert_eq!(view.by_uuid(class.id, uuid), Some(object.reference), "{} {uuid}", class.name);
            }
        }
    }

    #[test]
    fn a_pool_is_made_once() {
        let mut view = founded();
        let password = Sealed::new(Ref([9; 16]), [1; 16], b"hash");
        let again = step(&mut view, own(FOUND, found(HostFacts::default(), password)));
        assert_eq!(again.err().expect("refused").code, "OPERATION_NOT_ALLOWED");
        let before = view.all::<VM>().count();
        let idle = decide(&view, own(demo::DEMO, demo::add())).expect("nothing to do");
        assert!(idle.body.is_none(), "{before} machines are there already");
    }
}
