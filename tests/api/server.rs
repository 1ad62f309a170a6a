//! A server in this process: a real gateway and writer over a log in memory.

use serde_json::{Value as Json, json};
use std::sync::Arc;
use xenledger::auth::{Accounts, Peer, password};
use xenledger::command::bootstrap::{self, HostFacts};
use xenledger::command::{Command, Intent, Principal};
use xenledger::driver::sim::Sim;
use xenledger::event::Kind;
use xenledger::gateway::Gateway;
use xenledger::gateway::dispatch::{Noted, Request};
use xenledger::log::memory::MemoryLog;
use xenledger::log::vault::{Reading, Secrets};
use xenledger::log::writer::{Ledger, Writer};
use xenledger::log::{Port, Sealed};
use xenledger::subscribe::Subscribers;
use xenledger::value::Ref;
use xenledger::views::View;
use xenledger::views::past::Past;
use xenledger::wire::{Reply, jsonrpc};
use xenledger::world::World;

pub const PASSWORD: &str = "correct horse";
const NONE: &str = "OpaqueRef:00000000-0000-4000-8000-000000000000";

pub struct Server {
    gateway: Gateway,
    pub session: String,
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
        let accounts = Accounts::new(ledger.clone(), Vault(tokio::sync::Mutex::new(port)));
        let tokens = Arc::new(xenledger::auth::token::Tokens::new(b"a key for tests, of thirty-two b."));
        let gateway = Gateway {
            ledger,
            subscribers,
            accounts,
            registrations: Arc::default(),
            tokens,
            past,
            signer: Arc::new(xenledger::log::signed::Signer::of(&[7; 32])),
            driver: Arc::new(Sim::in_memory(world, xenledger::driver::sim::Options::default())),
            counts: Default::default(),
            read_only: false,
            stop: Default::default(),
        };
        let mut server = Server { gateway, session: String::new() };
        let session = server.call("session.login_with_password", json!(["root", PASSWORD])).await;
        server.session = session.expect("root logs in").as_str().expect("a reference").to_string();
        server
    }

    /// One call, through the wire's forms both ways.
    pub async fn call(&self, method: &str, params: Json) -> Result<Json, (String, Json)> {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        let Ok(jsonrpc::Request::Single(call)) = jsonrpc::parse(body.as_bytes()) else { panic!("a call: {body}") };
        let peer = Peer { address: "test".into(), ..Peer::default() };
        let request = Request { method: call.method, params: call.params, peer, id: Arc::default() };
        let answer = self.gateway.serve(request, &mut Noted::default()).await;
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

async fn found(ledger: &Ledger) {
    let sealed: Sealed = password::seal(ledger.world(), PASSWORD).expect("a password");
    let decide = bootstrap::found(HostFacts::default().simulated(), sealed);
    let command = Command {
        principal: Principal::server("server"),
        address: Arc::default(),
        auth: Arc::default(),
        request: Arc::default(),
        cause: 0,
        now: ledger.world().now(),
        seed: ledger.world().seed(),
        body: Intent::Own { message: bootstrap::FOUND, kind: Kind::Change, decide },
    };
    ledger.submit(command).await.expect("a new pool is made");
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
        let key = xenledger::auth::session_key(&self.session).to_string();
        let filled = text
            .replace("$NETWORK_UUID", &self.uuid.to_string())
            .replace("$NETWORK", &self.network.to_string())
            .replace("$NONE", &json!(NONE).to_string())
            .replace("$TASK", &self.task.to_string())
            .replace("$KEY", &json!(key).to_string())
            .replace("$VM", &self.vm.to_string())
            .replace("$S", &json!(self.session).to_string());
        serde_json::from_str(&filled).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}
