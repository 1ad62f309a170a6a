//! Where the server is now, who calls it, and what subscribers may want.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{ANSWER_MAX, Connection, Failure, Server, post};

/// How long to wait before looking again for a server that is not there.
const AGAIN: Duration = Duration::from_millis(50);

pub struct Place {
    address: Mutex<SocketAddr>,
    session: String,
    /// Whoever hears of a later position has heard the end.
    end: AtomicU64,
    /// How often the server was killed.
    kills: AtomicU64,
}

impl Place {
    pub fn new(server: &Server) -> Place {
        let (_, session) = server.login();
        Place { address: Mutex::new(server.http), session, end: AtomicU64::new(u64::MAX), kills: AtomicU64::new(0) }
    }

    pub fn moved(&self, server: &Server) {
        *self.address.lock().expect("nobody panics") = server.http;
    }

    pub fn killed(&self) {
        self.kills.fetch_add(1, Ordering::SeqCst);
    }

    pub fn kills(&self) -> u64 {
        self.kills.load(Ordering::SeqCst)
    }

    pub fn session(&self) -> &str {
        &self.session
    }

    pub fn ends_behind(&self, position: u64) {
        self.end.store(position, Ordering::SeqCst);
    }

    pub fn is_end(&self, position: u64) -> bool {
        position > self.end.load(Ordering::SeqCst)
    }

    fn address(&self) -> SocketAddr {
        *self.address.lock().expect("nobody panics")
    }

    /// A connection, as soon as there is a server.
    pub fn connect(&self) -> Connection {
        loop {
            match Connection::open(self.address()) {
                Ok(connection) => return connection,
                Err(_) => sleep(AGAIN),
            }
        }
    }

    /// A call with the session, tried until it is answered: for what may be done twice.
    pub fn ask(&self, method: &str, params: &[Value]) -> Value {
        loop {
            match call(&mut self.connect(), &self.session, method, params) {
                Ok(answer) => return answer,
                Err(Failure::Refused(code, params)) => panic!("{method}: {code} {params:?}"),
                Err(Failure::Broken(_)) => sleep(AGAIN),
            }
        }
    }

    /// A GET of a resource, whose answer is read from the stream; it ends with the answer.
    pub fn get(&self, path: &str, headers: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address())?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        let separator = if path.contains('?') { '&' } else { '?' };
        let session = &self.session;
        write!(stream, "GET {path}{separator}session_id={session} HTTP/1.0\r\nHost: test\r\n{headers}\r\n")?;
        Ok(stream)
    }

    /// A call with the session whose answer nobody reads.
    pub fn begin(&self, method: &str, params: &[Value]) -> TcpStream {
        let all: Vec<Value> = std::iter::once(json!(self.session)).chain(params.iter().cloned()).collect();
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": all}).to_string();
        let mut stream = TcpStream::connect(self.address()).expect("the server is there");
        stream.write_all(&post("/jsonrpc", &call)).expect("it reads");
        stream
    }

    /// A figure of `/metrics`.
    pub fn measured(&self, name: &str) -> i64 {
        let mut page = String::new();
        self.get("/metrics", "").expect("the server is there").read_to_string(&mut page).expect("a page");
        let figure = page.lines().find_map(|line| line.split_once(' ').filter(|(key, _)| key.ends_with(name)));
        figure.and_then(|(_, value)| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    pub fn rest(&self) {
        sleep(AGAIN);
    }
}

pub fn call(connection: &mut Connection, session: &str, method: &str, params: &[Value]) -> Result<Value, Failure> {
    let mut all = vec![json!(session)];
    all.extend_from_slice(params);
    connection.call(method, Value::Array(all))
}

/// What one subscriber wants to hear of.
#[derive(Clone, Debug)]
pub struct Wants {
    pub classes: &'static [&'static str],
    /// A field of networks, and the values that it must have.
    pub predicate: Option<(&'static str, &'static str)>,
}

impl Wants {
    /// Different ones in turn. The last words are heard by all of them.
    pub fn nth(nth: usize) -> Wants {
        let all: &[&'static [&'static str]] = &[
            &["network"],
            &["VM.power_state"],
            &["Task", "network.name_label"],
            &["vm", "task"],
            &["network.tags", "VM.name_label"],
        ];
        let predicate = (nth % 7 == 3).then_some(("network.name_label", "a,b,the end"));
        Wants { classes: all[nth % all.len()], predicate }
    }

    /// As the constructor of a subscription takes it.
    pub fn record(&self) -> Value {
        let predicate: serde_json::Map<String, Value> =
            self.predicate.iter().map(|(name, values)| (name.to_string(), json!(values))).collect();
        json!({"classes": self.classes, "predicate": predicate})
    }

    /// As the query of a stream takes it.
    pub fn query(&self) -> String {
        let predicate = self.predicate.map(|(name, values)| format!("&where.{name}={}", values.replace(' ', "+")));
        format!("classes={}{}", self.classes.join(","), predicate.unwrap_or_default())
    }
}
