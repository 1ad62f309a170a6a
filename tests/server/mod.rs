//! The program as tests see it from outside: a process to start and kill, and a plain client for it.
//!
//! It uses nothing of the library: what it knows of the server is what the README promises.

#![allow(dead_code)] // each test binary uses its own part

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const PASSWORD: &str = "correct horse battery staple";
/// How long a server may take until it listens; only to turn a hang into a failure.
const READY_MAX: Duration = Duration::from_secs(120);
/// How long an answer may take; only to turn a hang into a failure.
pub const ANSWER_MAX: Duration = Duration::from_secs(60);

/// The program, not yet started: the one cargo built with this test, or `$XENLEDGER_BIN`.
pub fn program() -> Command {
    Command::new(std::env::var_os("XENLEDGER_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_xenledger").into()))
}

/// One running server; killed when dropped.
pub struct Server {
    child: Child,
    pub http: SocketAddr,
    data: PathBuf,
    /// Where it listens, each time that it says so.
    addresses: mpsc::Receiver<String>,
}

impl Server {
    /// Starts the program on a data folder and waits until it listens. What it says on stderr goes to a file beside the folder.
    pub fn start(data: &Path) -> Server {
        Server::start_with(data, &[])
    }

    /// The same with more arguments.
    pub fn start_with(data: &Path, args: &[&str]) -> Server {
        Server::start_by(program(), data, args)
    }

    /// The same by a command that is not quite the program alone: see [`program`].
    pub fn start_by(mut program: Command, data: &Path, args: &[&str]) -> Server {
        let stderr = std::fs::File::options()
            .create(true)
            .append(true)
            .open(data.with_extension("stderr"))
            .expect("a file for stderr");
        let mut child = program
            .args(["serve", "--listen", "127.0.0.1:0", "--driver", "sim", "--sim-speed", "50", "--data"])
            .arg(data)
            .args(args)
            .env("XENLEDGER_ROOT_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("stdout is piped");
        let (found, address) = mpsc::channel();
        std::thread::spawn(move || {
            // Read to the end, so that a full pipe never stops the server.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on http://") {
                    let _ = found.send(address.trim_end_matches('/').to_owned());
                }
            }
        });
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, http: nowhere, data: data.to_owned(), addresses: address };
        server.listens();
        server
    }

    /// Waits until it says where it listens, which it does again when it begins anew.
    pub fn listens(&mut self) {
        match self.addresses.recv_timeout(READY_MAX) {
            Ok(address) => self.http = address.parse().expect("an address"),
            Err(error) => panic!("the server does not listen ({error}); it said:\n{}", self.said()),
        }
    }

    /// `kill -9`, and waits until the process is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it as an operator does, so that everything is written.
    #[allow(dead_code)] // not every test stops its server in peace
    pub fn stop(&mut self) {
        let told = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill is on every machine");
        assert!(told.success(), "the server was gone already");
        assert!(self.child.wait().is_ok_and(|ended| ended.success()), "it stops in peace: {}", self.said());
    }

    /// Whether the process still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what the server wrote to stderr.
    pub fn said(&self) -> String {
        let said = std::fs::read_to_string(self.data.with_extension("stderr")).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// A connection that is logged in.
    pub fn login(&self) -> (Connection, String) {
        let mut connection = Connection::open(self.http).expect("the server accepts");
        let session =
            connection.call("session.login_with_password", json!(["root", PASSWORD])).expect("root may log in");
        (connection, session.as_str().expect("a reference").to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs `xenledger log verify` on a data folder.
pub fn verify(data: &Path) -> Output {
    program().args(["log", "verify", "--data"]).arg(data).output().expect("the program starts")
}

/// Why a call had no result.
#[derive(Debug)]
pub enum Failure {
    /// The server refused: the code and its parameters.
    Refused(String, Vec<Value>),
    /// The connection broke before the answer: nobody knows whether the call was carried out.
    Broken(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Broken(error.to_string())
    }
}

/// A keep-alive connection that speaks JSON-RPC 2.0.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    /// One call; the session, where one is needed, is the first of the parameters.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Failure> {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.stream.get_mut().write_all(&post("/jsonrpc", &call))?;
        let answer = Answer::read(&mut self.stream)?;
        let mut body: Value = serde_json::from_slice(&answer.body)
            .map_err(|error| Failure::Broken(format!("{error} in {:?}", String::from_utf8_lossy(&answer.body))))?;
        match body["error"].take() {
            Value::Null => Ok(body["result"].take()),
            error => Err(Failure::Refused(
                error["message"].as_str().unwrap_or_default().to_owned(),
                error["data"].as_array().cloned().unwrap_or_default(),
            )),
        }
    }
}

/// A whole POST request.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_bytes(path, body.as_bytes())
}

pub fn post_bytes(path: &str, body: &[u8]) -> Vec<u8> {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend_from_slice(body);
    request
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads one answer; an end of the stream before its end is an error.
    pub fn read(stream: &mut impl BufRead) -> io::Result<Answer> {
        let first = line(stream)?;
        let status = first.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
        let mut headers = HashMap::new();
        loop {
            let header = line(stream)?;
            if header.is_empty() {
                break;
            }
            if let Some((name, value)) = header.split_once(':') {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let mut body = Vec::new();
        match headers.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => {
                if stream.take(length).read_to_end(&mut body)? as u64 != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            None if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") => {
                chunks(stream, &mut body)?
            }
            None => {
                stream.read_to_end(&mut body)?;
            }
        }
        Ok(Answer { status, headers, body })
    }
}

fn chunks(stream: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let length = u64::from_str_radix(&line(stream)?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        stream.take(length).read_to_end(body)?;
        line(stream)?;
        if length == 0 {
            return Ok(());
        }
    }
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    match stream.read_line(&mut line)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(line.trim_end_matches(['\r', '\n']).to_owned()),
    }
}

/// Looks until `what` is there. Running out of time is a failure, not a measurement.
pub fn wait_for<T>(what: &str, max: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < max, "waited {max:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Says that something was not tested; not captured by the test runner, and counted by `tests/run`.
pub fn left_out(what: &str) {
    let _ = writeln!(io::stderr(), "\nLEFT OUT: {what}");
}
