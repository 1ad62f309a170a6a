//! A server in this process: a real gateway and writer over a log in memory,
//! and, where a test asks for it, the reconciler with the simulated hypervisor.

use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use xenledger::auth::token_key::TokenKey;
use xenledger::auth::{Accounts, Peer, password};
use xenledger::command::bootstrap::{self, HostFacts};
use xenledger::command::{Command, Own, Principal};
use xenledger::driver::sim::{Options, Sim};
use xenledger::error::ApiError;
use xenledger::event::Kind;
use xenledger::gateway::answer::Answer;
use xenledger::gateway::databases::{Databases, Nowhere};
use xenledger::gateway::dispatch::{Noted, Request};
use xenledger::gateway::identity::Identity;
use xenledger::gateway::{Gateway, Parts};
use xenledger::log::memory::MemoryLog;
use xenledger::log::vault::{Reading, Secrets};
use xenledger::log::writer::{Ledger, Writer};
use xenledger::log::{Port, Sealed};
use xenledger::model::{ClassId, Message, host};
use xenledger::reconcile::{Reconciler, timers};
use xenledger::subscribe::Subscribers;
use xenledger::subscribe::feed::Feed;
use xenledger::subscribe::push::Push;
use xenledger::subscribe::push::address::Allowed;
use xenledger::subscribe::push::post::Post;
use xenledger::value::{Ref, Value};
use xenledger::views::View;
use xenledger::views::past::Past;
use xenledger::wire::{Reply, jsonrpc};
use xenledger::world::World;

pub const PASSWORD: &str = "correct horse";
const NONE: &str = "OpaqueRef:00000000-0000-4000-8000-000000000000";

/// How often the simulated clock is moved before a call that nobody answers is given up.
const MOVES_MAX: usize = 3_000;
/// How far the clock is moved at once.
const MOVE: Duration = Duration::from_millis(100);
/// Turns for everybody between two moves.
const TURNS: usize = 12;
/// Simulated work takes a fiftieth of its time.
const SPEED: f64 = 50.0;

pub struct Server {
    pub gateway: Gateway,
    /// Where the server's certificate and keys are.
    pub folder: Arc<tempfile::TempDir>,
    pub session: String,
    pub log: MemoryLog,
    /// Whether operations are carried out, and time goes by while a call waits.
    reconciled: bool,
}

/// The vault of a log in memory.
struct Vault(tokio::sync::Mutex<MemoryLog>);

impl Secrets for Vault {
    fn secret(&self, id: Ref) -> Reading<'_> {
        Box::pin(async move { self.0.lock().await.secret(id).await })
    }
}

impl Server {
    pub async fn start() -> Server {
        Server::posting(open_post()).await
    }

    /// A server that carries operations out on the simulated hypervisor.
    pub async fn reconciled() -> Server {
        Server::new(true, open_post()).await
    }

    /// A server that posts to destinations in that way.
    pub async fn posting(post: Post) -> Server {
        Server::new(false, post).await
    }

    async fn new(reconciled: bool, post: Post) -> Server {
        let mut port = MemoryLog::new();
        let (term, _) = port.open().await.expect("a new log opens");
        let world = World::simulated(1_700_000_000_000_000, 42);
        let subscribers = Subscribers::default();
        let told = subscribers.clone();
        let mut view = View::default();
        view.lineage = 77;
        let publish = Box::new(move |batch| told.publish(batch));
        let (writer, ledger) = Writer::new(port.another(), term, view, world.clone(), publish);
        tokio::spawn(writer.run());
        tokio::spawn(subscribers.clone().run());
        found(&ledger).await;
        let past = Past::new(port.another());
        let (log, feed) = (port.another(), Feed::new(ledger.clone(), subscribers.clone(), port.another()));
        let (told, secrets) = (subscribers.clone(), port.another());
        let push = Push::new(ledger.clone(), told, feed.clone(), secrets, post, Default::default());
        tokio::spawn(push.clone().run());
        let accounts = Accounts::new(ledger.clone(), Vault(tokio::sync::Mutex::new(port)));
        let folder = tempfile::tempdir().expect("a folder");
        let gateway = Gateway::new(Parts {
            ledger,
            subscribers,
            accounts,
            registrations: Arc::default(),
            token_key: Arc::new(TokenKey::open(folder.path(), &world).expect("a folder")),
            past,
            signer: Arc::new(xenledger::log::signed::Signer::of(&[7; 32])),
            identity: Arc::new(Identity::open(folder.path(), &world).expect("a folder")),
            wishes: Default::default(),
            driver: Arc::new(Sim::in_memory(world, Options { speed: SPEED, ..Options::default() })),
            feed,
            push,
            databases: Databases::of(Nowhere),
            counts: Default::default(),
            read_only: false,
            socket: false,
            stop: Default::default(),
        });
        if reconciled {
            reconcile(&gateway);
        }
        let mut server = Server { gateway, folder: Arc::new(folder), session: String::new(), log, reconciled };
        server.login().await;
        server
    }

    /// The same server with other parts.
    pub fn with(&self, gateway: Gateway) -> Server {
        Server {
            gateway,
            folder: self.folder.clone(),
            session: self.session.clone(),
            log: self.log.another(),
            reconciled: self.reconciled,
        }
    }

    /// Gives root a new session.
    pub async fn login(&mut self) {
        let session = self.call("session.login_with_password", json!(["root", PASSWORD])).await;
        self.session = session.expect("root logs in").as_str().expect("a reference").to_string();
    }

    /// One call, through the wire's forms both ways.
    pub async fn call(&self, method: &str, params: Json) -> Result<Json, (String, Json)> {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        let Ok(jsonrpc::Request::Single(call)) = jsonrpc::parse(body.as_bytes()) else { panic!("a call: {body}") };
        let answer = self.serve(&call.method, call.params).await;
        let answer = answer.unwrap_or_else(|| panic!("{method} is never answered"));
        let mut out = Vec::new();
        let reply: Reply = call.reply;
        match answer {
            Ok(answer) => reply.success(&mut out, &answer),
            Err(error) => reply.failure(&mut out, &error),
        }
        let mut answer: Json = serde_json::from_slice(&out).expect("answers are JSON");
        match answer.get("error") {
            Some(error) => Err((error["message"].as_str().unwrap_or_default().to_string(), error["data"].clone())),
            None => Ok(answer["result"].take()),
        }
    }

    /// One call, of values; `None` if it is not answered within any time that matters.
    pub async fn serve(&self, method: &str, params: Vec<Value>) -> Option<Result<Answer, ApiError>> {
        let peer = Peer { address: "test".into(), ..Peer::default() };
        let request = Request { method: method.to_string(), params, peer, id: Arc::default() };
        let mut noted = Noted::default();
        let mut serving = std::pin::pin!(self.gateway.serve(request, &mut noted));
        if !self.reconciled {
            return Some(serving.await);
        }
        for _ in 0..MOVES_MAX {
            // A password takes a thread as long as it takes, and no simulated time.
            let moved = async {
                self.gateway.accounts.hashed().await;
                self.pass(1).await;
            };
            tokio::select! {
                biased;
                answer = &mut serving => return Some(answer),
                () = moved => {}
            }
        }
        None
    }

    /// One call of a message, with root's session.
    pub async fn message(
        &self,
        message: &Message,
        background: bool,
        args: Vec<Value>,
    ) -> Option<Result<Answer, ApiError>> {
        let session = (!message.no_session).then(|| Value::text(&self.session));
        let params = session.into_iter().chain(args).collect();
        let name = if background { format!("Async.{}", message.full_name) } else { message.full_name.to_string() };
        self.serve(&name, params).await
    }

    pub fn is_reconciled(&self) -> bool {
        self.reconciled
    }

    /// Lets everybody work while the clock is moved so often.
    pub async fn pass(&self, moves: usize) {
        for _ in 0..moves {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            // What works on a thread of its own gets its turn too, however busy the machine is.
            std::thread::yield_now();
            self.gateway.ledger.world().advance(MOVE);
        }
    }

    pub fn view(&self) -> Arc<View> {
        self.gateway.ledger.view()
    }

    /// Changes the state directly: what a test takes for granted.
    pub async fn own(&self, decide: Own) -> Value {
        own(&self.gateway.ledger, "test.given", decide).await
    }

    /// What was last wished for the process.
    pub fn wish(&self) -> Option<xenledger::gateway::local::Wish> {
        *self.gateway.wishes.borrow()
    }

    /// The hash of the whole state.
    pub fn state_hash(&self) -> [u8; 32] {
        self.gateway.ledger.view().state_hash()
    }

    /// Objects to call about.
    pub async fn names(&self) -> Names {
        let session = &self.session;
        let made = self.call("network.create", json!([session, {"other_config": {"there": "once"}}])).await;
        let network = made.expect("created");
        let uuid = self.call("network.get_uuid", json!([session, network])).await.expect("there");
        let task = self.call("task.create", json!([session, "mine", ""])).await.expect("created");
        let vms = self.call("VM.get_all", json!([session])).await.expect("answers");
        Names { session: session.clone(), vm: vms[0].clone(), network, uuid, task }
    }
}

/// Posts to this machine, with and without TLS.
fn open_post() -> Post {
    Post::new(Allowed { private: true, plain: true })
}

/// Starts what carries operations out.
pub fn reconcile(gateway: &Gateway) {
    let ledger = gateway.ledger.clone();
    let here = ledger.view().all::<host>().next().expect("a host").reference;
    let reconciler = Reconciler::new(ledger.clone(), gateway.driver.clone(), here).expect("the host is there");
    tokio::spawn(reconciler.run(gateway.subscribers.clone(), CancellationToken::new()));
    let subscribers = gateway.subscribers.clone();
    let waited = move || subscribers.awaited(ClassId::task);
    tokio::spawn(timers::run(ledger, waited, CancellationToken::new()));
}

async fn found(ledger: &Ledger) {
    let sealed: Sealed = password::seal(ledger.world(), PASSWORD).expect("a password");
    own(ledger, bootstrap::FOUND, bootstrap::found(HostFacts::default().simulated(), sealed)).await;
}

async fn own(ledger: &Ledger, message: &'static str, decide: Own) -> Value {
    let command = Command::own(&Principal::server("server"), ledger.world(), Kind::Change, message, decide);
    ledger.submit(command).await.expect("nothing refuses the server itself").result
}

/// What the cases call about, by the names they use.
pub struct Names {
    session: String,
    pub vm: Json,
    network: Json,
    uuid: Json,
    task: Json,
}

impl Names {
    /// Arguments as a case writes them, with the names replaced.
    pub fn fill(&self, text: &str) -> Json {
        let filled = text
            .replace("$NETWORK_UUID", &self.uuid.to_string())
            .replace("$NETWORK", &self.network.to_string())
            .replace("$NONE", &json!(NONE).to_string())
            .replace("$TASK", &self.task.to_string())
            .replace("$VM", &self.vm.to_string())
            .replace("$S", &json!(self.session).to_string());
        serde_json::from_str(&filled).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}
