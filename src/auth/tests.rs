//! Logins from end to end: accounts, the writer and a log in memory, on a
//! simulated clock.

use super::{Accounts, Peer, Principal, password, session_key};
use crate::command::bootstrap::{self, HostFacts, role_reference};
use crate::command::{Call, Command, Intent, Own};
use crate::error::ApiError;
use crate::event::Kind;
use crate::log::memory::MemoryLog;
use crate::log::writer::{Ledger, Writer};
use crate::log::{Port, Row};
use crate::model::{ClassId, MODEL, Roles, pool, session, user};
use crate::value::{Micros, Ref, Value};
use crate::views::read::{ReadView, Scope};
use crate::views::{View, fold};
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;

const PASSWORD: &str = "correct horse battery staple";
const SECOND: Micros = 1_000_000;
/// How long a session lives in a new pool: unused, and at most.
const IDLE_MAX: Micros = 24 * 3600 * SECOND;
const LIFETIME_MAX: Micros = 30 * 24 * 3600 * SECOND;

/// A server without its gateway.
struct Server {
    log: MemoryLog,
    world: World,
    ledger: Ledger,
    accounts: Arc<Accounts>,
}

impl Server {
    /// A new pool.
    async fn new() -> Server {
        let (log, world) = (MemoryLog::new(), World::simulated(1_800_000_000 * SECOND, 7));
        let server = Server::start(log, world).await;
        let sealed = password::seal(&server.world, PASSWORD).expect("hashed");
        server.own(bootstrap::FOUND, bootstrap::found(HostFacts::default(), sealed)).await;
        server
    }

    /// What a restart does: the view is folded from the log, nothing else is left.
    async fn start(log: MemoryLog, world: World) -> Server {
        let mut port = log.another();
        let (term, _) = port.open().await.expect("opened");
        let mut view = View::default();
        view.lineage = 1;
        for row in port.read(0, usize::MAX).await.expect("read") {
            fold(&mut view, &row.event().expect("readable"));
            view.hash = row.hash;
        }
        let (writer, ledger) = Writer::new(port, term, view, world.clone(), Box::new(|_| {}));
        tokio::spawn(writer.run());
        let accounts = Accounts::new(ledger.clone(), log.another());
        Server { log, world, ledger, accounts }
    }

    fn command(&self, principal: Arc<Principal>, body: Intent) -> Command {
        let (now, seed) = (self.world.now(), self.world.seed());
        let empty: Arc<str> = "".into();
        let (address, auth, request) = (empty.clone(), empty.clone(), empty);
        Command { principal, address, auth, request, cause: 0, now, seed, body }
    }

    async fn own(&self, message: &'static str, decide: Own) {
        let body = Intent::Own { message, kind: Kind::Change, decide };
        self.ledger.submit(self.command(Principal::server("test"), body)).await.expect("done");
    }

    async fn call(&self, principal: &Arc<Principal>, name: &str, args: Vec<Value>) -> Result<Value, ApiError> {
        let message = MODEL.message(name).expect("a message");
        let body = Intent::Call(Call { message, args, background: false });
        Ok(self.ledger.submit(self.command(principal.clone(), body)).await?.result)
    }

    async fn login(&self, name: &str, password: &str) -> Result<Ref, ApiError> {
        self.accounts.login(name, password, "test", &from("10.0.0.1")).await
    }

    fn whoami(&self, session: Ref) -> Result<Arc<Principal>, ApiError> {
        self.accounts.authenticate(&self.ledger.view(), &session.to_string(), self.world.now())
    }

    async fn rows(&self) -> Vec<Row> {
        self.log.another().read(0, usize::MAX).await.expect("read")
    }

    /// A user with that role, or none, and a password.
    async fn user(&self, name: &str, role: Option<&str>, password: &str) -> Ref {
        let root = self.root().await;
        let roles = Value::set(role.map(|role| Value::Ref(role_reference(role))));
        let record = Value::map([("short_name", name.into()), ("fullname", "".into()), ("roles", roles)]);
        let made = self.call(&root, "user.create", vec![record]).await.expect("made").as_ref();
        self.accounts.set_password(&root, made, password, &from("10.0.0.1")).await.expect("set");
        made
    }

    async fn root(&self) -> Arc<Principal> {
        let session = self.login("root", PASSWORD).await.expect("the right password");
        self.whoami(session).expect("just begun")
    }
}

fn from(address: &str) -> Peer {
    Peer { address: address.into(), ..Peer::default() }
}

fn code<T>(answer: Result<T, ApiError>) -> &'static str {
    answer.err().expect("refused").code
}

#[tokio::test]
async fn the_right_password_gives_a_session_and_a_wrong_one_does_not() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("the right password");
    let principal = server.whoami(session).expect("valid");
    assert_eq!(
        (&*principal.name, principal.roles, principal.session),
        ("user/root", Roles::superuser, session_key(&session.to_string()))
    );
    let wrong = server.login("root", "correct horse").await.expect_err("wrong");
    assert_eq!((wrong.code, wrong.params.len()), ("SESSION_AUTHENTICATION_FAILED", 2));
    assert_eq!(wrong.params[0], "root");
    let nobody = server.login("nobody", PASSWORD).await.expect_err("wrong");
    assert_eq!((nobody.code, &nobody.params[1]), (wrong.code, &wrong.params[1]), "it does not tell who exists");
    assert_eq!(code(server.login("", "").await), "SESSION_AUTHENTICATION_FAILED");
    assert_eq!(code(server.accounts.authenticate(&server.ledger.view(), "OpaqueRef:NULL", 0)), "SESSION_INVALID");
    assert_eq!(code(server.accounts.authenticate(&server.ledger.view(), "", 0)), "SESSION_INVALID");
}

#[tokio::test]
async fn a_failed_login_is_a_row_that_tells_no_name_that_nobody_has() {
    let server = Server::new().await;
    drop(server.login("root", "wrong").await);
    drop(server.login("my-password-in-the-wrong-field", "x").await);
    server.login("root", PASSWORD).await.expect("and so they are written");
    let rows = server.rows().await;
    let failed: Vec<&Row> = rows.iter().filter(|row| row.kind == Kind::Login).collect();
    assert_eq!(failed.iter().map(|row| &*row.principal).collect::<Vec<_>>(), ["user/root", "nobody"]);
    assert!(failed[0].payload.contains("SESSION_AUTHENTICATION_FAILED") && failed[0].payload.contains("10.0.0.1"));
    assert!(rows.iter().all(|row| !row.payload.contains("my-password-in-the-wrong-field")));
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_too_long() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("begun");
    let idle = Duration::from_micros(IDLE_MAX as u64);
    server.world.advance(idle - Duration::from_secs(1));
    server.whoami(session).expect("a second before, and now it was used");
    server.world.advance(idle - Duration::from_secs(1));
    server.whoami(session).expect("a second before, again");
    server.world.advance(idle + Duration::from_secs(1));
    let refused = server.whoami(session).expect_err("a second too late");
    assert_eq!((refused.code, &*refused.params[0]), ("SESSION_INVALID", &*session.to_string()));
    assert_eq!(server.ledger.view().all::<session>().count(), 1);
    server.accounts.sweep().await.expect("swept");
    assert_eq!(server.ledger.view().all::<session>().count(), 0);
    assert_eq!(server.rows().await.last().map(|row| &*row.principal == "timer"), Some(true));
}

#[tokio::test]
async fn a_session_ends_some_day_however_much_it_is_used() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("begun");
    let step = Duration::from_micros(IDLE_MAX as u64 / 2);
    for _ in 0..LIFETIME_MAX / (IDLE_MAX / 2) {
        server.whoami(session).expect("in use");
        server.world.advance(step);
    }
    server.whoami(session).expect("its last moment");
    server.world.advance(Duration::from_secs(1));
    assert_eq!(code(server.whoami(session)), "SESSION_INVALID");
}

#[tokio::test]
async fn sessions_live_through_a_restart() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("begun");
    let Server { log, world, .. } = server;
    let again = Server::start(log, world).await;
    assert_eq!(&*again.whoami(session).expect("it outlived the server").name, "user/root");
    assert_eq!(&*again.root().await.name, "user/root", "and so does the password");
}

#[tokio::test]
async fn logging_out_ends_one_session_and_no_other() {
    let server = Server::new().await;
    let (one, other) = (server.login("root", PASSWORD).await, server.login("root", PASSWORD).await);
    let (one, other) = (one.expect("begun"), other.expect("begun"));
    assert_ne!(one, other);
    let principal = server.whoami(one).expect("valid");
    server.call(&principal, "session.logout", vec![]).await.expect("gone");
    assert_eq!(code(server.whoami(one)), "SESSION_INVALID");
    server.whoami(other).expect("still there");
}

#[tokio::test]
async fn no_row_holds_a_password_or_a_session() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("begun");
    drop(server.login("root", "a wrong one").await);
    server.user("alice", Some("read-only"), "her own secret").await;
    let root = server.root().await;
    server.accounts.change_password(&root, PASSWORD, "another one", &from("")).await.expect("changed");
    let rows = server.rows().await;
    assert!(rows.len() >= 6);
    let secrets = [PASSWORD, "a wrong one", "her own secret", "another one", "$argon2", &session.uuid_text()];
    for row in &rows {
        for secret in secrets {
            assert!(!row.payload.contains(secret), "{secret} in {}", row.payload);
            assert!(!row.principal.contains(secret) && !row.request.contains(secret));
        }
    }
    let text = |view: &View| view.all::<user>().map(|user| format!("{:?}", user.record)).collect::<String>();
    assert!(!text(&server.ledger.view()).contains("$argon2"));
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_it() {
    let server = Server::new().await;
    let root = server.root().await;
    let before = server.ledger.view().find::<user>(root.user).expect("root").get(user::password).clone();
    let wrong = server.accounts.change_password(&root, "guess", "new", &from("")).await;
    assert_eq!(code(wrong), "SESSION_AUTHENTICATION_FAILED");
    let empty = server.accounts.change_password(&root, PASSWORD, "", &from("")).await;
    assert_eq!(code(empty), "CHANGE_PASSWORD_REJECTED");
    server.accounts.change_password(&root, PASSWORD, "new", &from("")).await.expect("changed");
    assert_eq!(code(server.login("root", PASSWORD).await), "SESSION_AUTHENTICATION_FAILED");
    server.login("root", "new").await.expect("the new one");
    let erased = crate::log::vault::id_of(&before).expect("it had one");
    assert!(server.log.another().secret(erased).await.expect("read").is_none(), "the old hash is gone");
}

#[tokio::test]
async fn roles_count_from_the_next_call_on() {
    let server = Server::new().await;
    let alice = server.user("alice", Some("read-only"), "a").await;
    let session = server.login("alice", "a").await.expect("begun");
    let principal = server.whoami(session).expect("valid");
    assert_eq!(principal.roles, Roles::one("read-only").expect("a role"));
    let held = server.ledger.view().find::<session>(principal.session).cloned().expect("there");
    assert!(!held.get(session::is_local_superuser));
    let root = server.root().await;
    let roles = Value::set([Value::Ref(role_reference("vm-admin"))]);
    server.call(&root, "user.set_roles", vec![alice.into(), roles]).await.expect("set");
    assert_eq!(server.whoami(session).expect("valid").roles, Roles::one("vm-admin").expect("a role"));
    server.call(&root, "user.destroy", vec![alice.into()]).await.expect("destroyed");
    assert_eq!(code(server.whoami(session)), "SESSION_INVALID");
    assert_eq!(code(server.call(&root, "user.destroy", vec![root.user.into()]).await), "OPERATION_NOT_ALLOWED");
}

#[tokio::test]
async fn who_has_no_role_does_not_come_in() {
    let server = Server::new().await;
    server.user("bob", None, "b").await;
    assert_eq!(code(server.login("bob", "b").await), "SESSION_AUTHORIZATION_FAILED");
    assert_eq!(code(server.accounts.basic("bob", "b", &from("")).await), "SESSION_AUTHORIZATION_FAILED");
    assert_eq!(&*server.accounts.basic("root", PASSWORD, &from("")).await.expect("in").name, "user/root");
}

#[tokio::test]
async fn the_machines_own_superuser_needs_no_password() {
    let server = Server::new().await;
    let local = |uid| Peer { address: "unix".into(), uid, ..Peer::default() };
    let session = server.accounts.login("", "", "test", &local(Some(0))).await.expect("vouched for");
    assert!(server.whoami(session).expect("valid").roles.is_superuser());
    assert!(server.accounts.peer(&local(Some(0))).is_some());
    assert!(server.accounts.peer(&local(Some(1000))).is_none());
    assert_eq!(code(server.accounts.login("", "", "test", &local(Some(1000))).await), "SESSION_AUTHENTICATION_FAILED");
    assert_eq!(code(server.accounts.login("root", "", "", &local(Some(0))).await), "SESSION_AUTHENTICATION_FAILED");
}

#[tokio::test]
async fn subjects_are_listed_and_logged_out_by_their_identifier() {
    let server = Server::new().await;
    let alice = server.user("alice", Some("pool-operator"), "a").await;
    let sid = server.ledger.view().find::<user>(alice).expect("there").get(user::uuid).clone();
    let (first, second) = (server.login("alice", "a").await, server.login("alice", "a").await);
    let (first, second) = (first.expect("begun"), second.expect("begun"));
    let root = server.root().await;
    server.call(&root, "session.logout_subject_identifier", vec![Value::String(sid)]).await.expect("done");
    assert_eq!((code(server.whoami(first)), code(server.whoami(second))), ("SESSION_INVALID", "SESSION_INVALID"));
    assert!(server.ledger.view().find::<session>(root.session).is_some(), "the superuser stays");
}

impl Server {
    async fn set(&self, message: &str, value: i64) {
        let root = self.root().await;
        let here = self.ledger.view().all::<pool>().next().expect("a pool").reference;
        self.call(&root, message, vec![here.into(), Value::Int(value)]).await.expect("set");
    }

    /// A field of a session's record, as clients read it.
    fn read(&self, session: Ref, field: &str) -> Value {
        let view = self.ledger.view();
        let key = session_key(&session.to_string());
        let held = view.find::<session>(key).expect("there");
        let field = MODEL.field(ClassId::session, field).expect("a field");
        ReadView::new(&view, &Scope::All).field(ClassId::session, field, held)
    }
}

#[tokio::test]
async fn limits_of_sessions_are_set_by_the_api_and_hold_at_once() {
    let server = Server::new().await;
    let kept = server.login("root", PASSWORD).await.expect("begun");
    server.world.advance(Duration::from_secs(200));
    server.whoami(kept).expect("valid");
    server.set("pool.set_session_idle_timeout", 100).await;
    assert_eq!(server.read(kept, "idle_timeout"), Value::Int(100));
    server.world.advance(Duration::from_secs(100));
    server.whoami(kept).expect("its last moment, and now it was used");
    server.world.advance(Duration::from_secs(101));
    assert_eq!(code(server.whoami(kept)), "SESSION_INVALID");
    server.set("pool.set_session_idle_timeout", 1_000).await;
    server.whoami(kept).expect("it was not swept, and lives longer now");
    server.set("pool.set_session_max_lifetime", 401).await;
    server.whoami(kept).expect("its last moment");
    server.world.advance(Duration::from_secs(1));
    assert_eq!(code(server.whoami(kept)), "SESSION_INVALID");
    let rows = server.rows().await;
    assert!(rows.iter().any(|row| &*row.message == "pool.set_session_max_lifetime"), "a change of a limit is an event");
}

#[tokio::test]
async fn a_session_says_when_it_was_used_and_when_it_ends() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("begun");
    let began = server.world.now();
    assert_eq!(server.read(session, "created"), Value::Time(began));
    assert_eq!(server.read(session, "last_active"), Value::Time(began));
    assert_eq!(server.read(session, "expires_at"), Value::Time(began + IDLE_MAX));
    server.world.advance(Duration::from_secs(90));
    assert_eq!(server.read(session, "last_active"), Value::Time(began), "reading it from outside is no use of it");
    server.whoami(session).expect("used");
    assert_eq!(server.read(session, "last_active"), Value::Time(began + 90 * SECOND));
    assert_eq!(server.read(session, "expires_at"), Value::Time(began + 90 * SECOND + IDLE_MAX));
    server.set("pool.set_session_max_lifetime", 60 * 60).await;
    assert_eq!(server.read(session, "expires_at"), Value::Time(began + 3600 * SECOND), "the earlier of the two");
    assert_eq!(server.read(session, "max_lifetime"), Value::Int(3600));
}

#[tokio::test]
async fn a_session_in_which_something_waits_is_in_use() {
    let server = Server::new().await;
    let session = server.login("root", PASSWORD).await.expect("begun");
    let key = server.whoami(session).expect("valid").session;
    let (one, other) = (server.accounts.in_use(key), server.accounts.in_use(key));
    server.world.advance(Duration::from_micros(IDLE_MAX as u64 + 1));
    server.accounts.sweep().await.expect("swept");
    drop(one);
    server.whoami(session).expect("the other still waits");
    server.world.advance(Duration::from_micros(IDLE_MAX as u64));
    drop(other);
    server.world.advance(Duration::from_micros(IDLE_MAX as u64));
    server.whoami(session).expect("it was used until the wait ended");
    server.world.advance(Duration::from_micros(IDLE_MAX as u64 + 1));
    assert_eq!(code(server.whoami(session)), "SESSION_INVALID");
    let waits = server.login("root", PASSWORD).await.expect("begun");
    let key = server.whoami(waits).expect("valid").session;
    let held = server.accounts.in_use(key);
    server.world.advance(Duration::from_micros(LIFETIME_MAX as u64 + 1));
    assert_eq!(code(server.whoami(waits)), "SESSION_INVALID", "no wait is longer than its life");
    drop(held);
}

#[tokio::test]
async fn a_lower_limit_on_sessions_holds_from_the_next_login_on() {
    let server = Server::new().await;
    server.user("ann", Some("read-only"), "a").await;
    let mut begun = Vec::new();
    for _ in 0..5 {
        server.world.advance(Duration::from_secs(1));
        begun.push(server.login("ann", "a").await.expect("begun"));
    }
    server.world.advance(Duration::from_secs(1));
    server.whoami(begun[0]).expect("used");
    server.set("pool.set_session_limit", 3).await;
    server.world.advance(Duration::from_secs(1));
    let newest = server.login("ann", "a").await.expect("room is made");
    let live: Vec<bool> = begun.iter().map(|session| server.whoami(*session).is_ok()).collect();
    assert_eq!(live, [true, false, false, false, true], "those used longest ago made room");
    server.whoami(newest).expect("valid");
}
