//! A whole server without its front door, on a simulated clock: a writer over
//! a log in memory, the simulated hypervisor, the reconciler. It can be killed
//! at any moment and started again.

use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use xenledger::command::bootstrap::{self, HostFacts};
use xenledger::command::draft::Fields;
use xenledger::command::{Call, Command, Draft, Intent, Own, Principal};
use xenledger::driver::sim::{Options, Sim};
use xenledger::driver::{Driver, Power};
use xenledger::error::ApiError;
use xenledger::event::Kind;
use xenledger::log::memory::MemoryLog;
use xenledger::log::writer::{Accepted, Ledger, Published, Writer};
use xenledger::log::{Port, Row, Sealed};
use xenledger::model::{ClassId, MODEL, VBD, VDI, VM, host, pool, task};
use xenledger::reconcile::{Reconciler, timers};
use xenledger::subscribe::Subscribers;
use xenledger::value::{Ref, Value};
use xenledger::views::{View, fold};
use xenledger::world::World;

pub const GIB: i64 = 1 << 30;
const STEP: Duration = Duration::from_millis(50);
/// Enough turns for every task of the server to do what it can.
const TURNS: usize = 60;

pub struct House {
    pub world: World,
    log: MemoryLog,
    folder: TempDir,
    options: Options,
    running: Option<Running>,
}

struct Running {
    ledger: Ledger,
    sim: Arc<Sim>,
    parts: Vec<JoinHandle<()>>,
}

impl House {
    /// A server with a new pool, started.
    pub async fn new(seed: u64) -> House {
        House::with(Options::default(), seed).await
    }

    /// The same, with another fate of its hypervisor.
    pub async fn with(options: Options, seed: u64) -> House {
        let mut house = House::unreconciled(seed).await;
        house.options = options;
        house.kill().await;
        house.start(true).await;
        house
    }

    /// A server with a new pool, of which only the writer runs.
    pub async fn unreconciled(seed: u64) -> House {
        let world = World::simulated(1_700_000_000_000_000, seed);
        let folder = tempfile::tempdir().expect("a folder");
        let (log, options) = (MemoryLog::new(), Options::default());
        let mut house = House { world, log, folder, options, running: None };
        house.start(false).await;
        let mut nonce = [0; 16];
        house.world.fill(&mut nonce);
        let id = xenledger::world::Ids::new(house.world.seed()).draw();
        let password = Sealed { id, nonce, value: zeroize::Zeroizing::new(b"none".to_vec()) };
        house.own(bootstrap::found(HostFacts::default().simulated(), password)).await.expect("a pool");
        house
    }

    /// Starts what is not running, from the log and the hypervisor's journal.
    pub async fn start(&mut self, reconciled: bool) {
        let mut port = self.log.another();
        let (term, _) = port.open().await.expect("the log opens");
        let view = self.replayed().await;
        let subscribers = Subscribers::default();
        let told = subscribers.clone();
        let publish = Box::new(move |batch: Arc<Published>| told.publish(batch));
        let (writer, ledger) = Writer::new(port, term, view, self.world.clone(), publish);
        let sim = Sim::open(self.folder.path(), self.world.clone(), self.options.clone()).expect("the journal opens");
        let sim = Arc::new(sim);
        let mut parts = vec![tokio::spawn(writer.run()), tokio::spawn(subscribers.clone().run())];
        if reconciled {
            let here = ledger.view().all::<host>().next().expect("a host").reference;
            let reconciler = Reconciler::new(ledger.clone(), sim.clone(), here).expect("the host is there");
            parts.push(tokio::spawn(reconciler.run(subscribers, CancellationToken::new())));
            parts.push(tokio::spawn(timers::run(ledger.clone(), Default::default, CancellationToken::new())));
        }
        self.running = Some(Running { ledger, sim, parts });
    }

    /// Ends everything but the log and the journal, wherever it is.
    pub async fn kill(&mut self) {
        let running = self.running.take().expect("it runs");
        for part in &running.parts {
            part.abort();
        }
        for part in running.parts {
            drop(part.await);
        }
    }

    /// The state that the log tells of.
    pub async fn replayed(&self) -> View {
        let mut port = self.log.another();
        let mut view = View::default();
        view.lineage = 77;
        for row in port.read(0, usize::MAX).await.expect("readable") {
            fold(&mut view, &row.event().expect("readable"));
            view.hash = row.hash;
        }
        view
    }

    /// The changes that the log has by that message.
    pub async fn told(&self, message: &str) -> Vec<Row> {
        let rows = self.log.another().read(0, usize::MAX).await.expect("readable");
        rows.into_iter().filter(|row| &*row.message == message).collect()
    }

    fn now(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    pub fn sim(&self) -> &Arc<Sim> {
        &self.now().sim
    }

    pub fn view(&self) -> Arc<View> {
        self.now().ledger.view()
    }

    /// Lets everybody do what can be done without time going by.
    pub async fn settle(&self) {
        for _ in 0..TURNS {
            tokio::task::yield_now().await;
        }
    }

    pub async fn pass(&self, milliseconds: u64) {
        self.settle().await;
        for _ in 0..milliseconds / STEP.as_millis() as u64 {
            self.world.advance(STEP);
            self.settle().await;
        }
    }

    /// Lets time go by until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&View) -> bool) {
        for _ in 0..2_000 {
            self.settle().await;
            if so(&self.view()) {
                return;
            }
            self.world.advance(STEP);
        }
        let view = self.view();
        let tasks: Vec<String> = view.all::<task>().map(|task| format!("{:?}", task.record)).collect();
        panic!("it never came to this: {what}\n{}", tasks.join("\n"));
    }

    fn command(&self, body: Intent) -> Command {
        Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: Arc::default(),
            request: Arc::default(),
            cause: 0,
            now: self.world.now(),
            seed: self.world.seed(),
            body,
        }
    }

    pub async fn own(&self, decide: Own) -> Result<Accepted, ApiError> {
        let body = Intent::Own { message: "test", kind: Kind::Change, decide };
        self.now().ledger.submit(self.command(body)).await
    }

    /// Makes a call; the task that it became, if it became one.
    pub async fn call(&self, message: &str, args: Vec<Value>) -> Ref {
        let message = MODEL.message(message).unwrap_or_else(|| panic!("{message} is a message"));
        let call = Call { message, args, background: false };
        let answer = self.now().ledger.submit(self.command(Intent::Call(call))).await;
        let accepted = answer.unwrap_or_else(|error| panic!("{}: {error}", message.full_name));
        accepted.pending.unwrap_or_default()
    }

    /// Makes a call and waits for its end, if it is not done at once.
    pub async fn done(&self, message: &str, args: Vec<Value>) {
        let task = self.call(message, args).await;
        if task.is_null() {
            return;
        }
        self.until(message, |view| !is_pending(view, task)).await;
        assert_eq!(self.status(task), "success", "{message}: {:?}", self.error(task));
    }

    pub fn status(&self, task: Ref) -> &'static str {
        self.view().find::<task>(task).expect("a task").get(task::status)
    }

    pub fn error(&self, task: Ref) -> Vec<String> {
        let view = self.view();
        let task = view.find::<task>(task).expect("a task");
        task.get(task::error_info).iter().map(|part| part.as_str().to_string()).collect()
    }

    pub fn power(&self, vm: Ref) -> &'static str {
        self.view().find::<VM>(vm).expect("a machine").get(VM::power_state)
    }

    pub fn domid(&self, vm: Ref) -> i64 {
        self.view().find::<VM>(vm).expect("a machine").get(VM::domid)
    }

    pub fn uuid(&self, vm: Ref) -> Ref {
        Ref::parse_uuid(self.view().find::<VM>(vm).expect("a machine").get(VM::uuid)).expect("a uuid")
    }

    pub fn sr(&self) -> Ref {
        self.view().all::<pool>().next().expect("a pool").get(pool::default_SR)
    }

    /// A disk of one GiB that nobody uses.
    pub async fn disk(&self) -> Ref {
        let sr = self.sr();
        let made = self.own(Box::new(move |draft| Ok(Value::Ref(add_disk(draft, sr))))).await;
        made.expect("a disk").result.as_ref()
    }

    /// A halted machine of one GiB with a disk; it restarts after reboots, and does `after_crash` after crashes.
    pub async fn machine(&self, after_crash: &'static str, options: &[(&'static str, &'static str)]) -> Ref {
        let sr = self.sr();
        let options = Value::map(options.iter().map(|(key, value)| (*key, Value::from(*value))));
        let made = self.own(Box::new(move |draft| {
            let fields = Fields::<VM>::new()
                .with(VM::domid, -1)
                .with(VM::domain_type, "pvh")
                .with(VM::memory_static_min, GIB / 2)
                .with(VM::memory_dynamic_min, GIB / 2)
                .with(VM::memory_dynamic_max, GIB)
                .with(VM::memory_static_max, GIB)
                .with(VM::VCPUs_max, 1)
                .with(VM::VCPUs_at_startup, 1)
                .with(VM::actions_after_reboot, "restart")
                .with(VM::actions_after_crash, after_crash)
                .with(VM::other_config, options);
            let vm = draft.create(fields);
            let disk = add_disk(draft, sr);
            let device = Fields::<VBD>::new().with(VBD::VM, vm).with(VBD::VDI, disk).with(VBD::userdevice, "0");
            draft.create(device.with(VBD::mode, "RW").with(VBD::r#type, "Disk"));
            Ok(Value::Ref(vm))
        }));
        made.await.expect("a machine").result.as_ref()
    }

    /// Nothing is pending or held, the view is what the log tells, and the hypervisor does what the view says.
    pub async fn assert_converged(&self, after: &str) {
        let view = self.view();
        for task in view.all::<task>() {
            assert_ne!(task.get(task::status), "pending", "after {after}: {:?}", task.record);
        }
        for class in [ClassId::VM, ClassId::VDI, ClassId::VBD, ClassId::VIF, ClassId::SR, ClassId::host] {
            let field = MODEL.field(class, "current_operations").expect("it has operations");
            for object in view.class(class).objects.values() {
                assert!(
                    object.record[field].as_map().is_empty(),
                    "after {after}: {class:?} {} is held",
                    object.reference
                );
            }
        }
        assert_eq!(self.replayed().await.state_hash(), view.state_hash(), "after {after}: fold(log) == view");
        let seen = self.sim().observe().await.expect("observed");
        for vm in view.all::<VM>().filter(|vm| !vm.get(VM::is_control_domain) && !vm.get(VM::is_a_template)) {
            let uuid = Ref::parse_uuid(vm.get(VM::uuid)).expect("a uuid");
            let does = match seen.machines.get(&uuid).map(|machine| machine.power) {
                Some(Power::Running) => "Running",
                Some(Power::Paused) => "Paused",
                Some(Power::Ended(_)) => "ended",
                None if vm.get(VM::power_state) == "Suspended" => "Suspended",
                None => "Halted",
            };
            assert_eq!(vm.get(VM::power_state), does, "after {after}: the hypervisor and the view");
        }
    }
}

pub fn is_pending(view: &View, reference: Ref) -> bool {
    view.find::<task>(reference).is_some_and(|task| task.get(task::status) == "pending")
}

pub fn nothing_pending(view: &View) -> bool {
    view.all::<task>().all(|task| task.get(task::status) != "pending")
}

fn add_disk(draft: &mut Draft, sr: Ref) -> Ref {
    let uuid = draft.ids.draw().uuid_text();
    let fields = Fields::<VDI>::new()
        .with(VDI::uuid, uuid.clone())
        .with(VDI::location, uuid)
        .with(VDI::SR, sr)
        .with(VDI::r#type, "user")
        .with(VDI::virtual_size, GIB)
        .with(VDI::managed, true);
    draft.create(fields)
}
