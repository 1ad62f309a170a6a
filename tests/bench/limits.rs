//! What the machine, the database and the HTTP library can do by themselves:
//! the limits that our figures stand beside, measured in the same run.

use super::fanout::{Crowd, Expect, Spread};
use super::load;
use super::server::Process;
use sqlx::{ConnectOptions, Connection as _};
use std::io::{Read, Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Small synced writes per second, for `time`, over what is there already.
pub fn fdatasync(folder: &Path, time: Duration) -> f64 {
    const PAGES: u64 = 1024;
    let page = [7; 4096];
    let mut options = std::fs::OpenOptions::new();
    let file = options.create(true).truncate(false).write(true).open(folder.join("fdatasync"));
    let mut file = file.expect("a writable folder");
    // Once: to cut it and to fill it again would be work for the disk in whatever is measured next.
    if file.metadata().expect("it is open").len() == 0 {
        file.write_all(&page.repeat(PAGES as usize)).and_then(|()| file.sync_all()).expect("the disk has room");
    }
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < time {
        file.seek(std::io::SeekFrom::Start((done % PAGES) * 4096)).expect("a file can seek");
        file.write_all(&page).expect("the disk has room");
        file.sync_data().expect("the disk syncs");
        done += 1;
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// Rows per second that SQLite alone appends durably in batches of `batch`, for `time`, with rows like ours.
pub async fn sqlite(folder: &Path, batch: usize, time: Duration) -> f64 {
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(folder.join("raw.sqlite"))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full)
        .disable_statement_logging();
    let mut connection = sqlx::sqlite::SqliteConnection::connect_with(&options).await.expect("SQLite opens");
    let table = "CREATE TABLE IF NOT EXISTS event (position INTEGER PRIMARY KEY, time INTEGER, message TEXT, payload TEXT, hash BLOB)";
    sqlx::query(table).execute(&mut connection).await.expect("a table");
    let insert = "INSERT INTO event (time, message, payload, hash) \
                  SELECT value ->> 0, value ->> 1, value ->> 2, randomblob(32) FROM json_each(?)";
    let payload = r#"{"changes":[{"class":"VM","fields":{"name_label":{"new":"n","old":"o"}},"op":"mod","ref":"0"}]}"#;
    let rows: Vec<_> = (0..batch).map(|_| serde_json::json!([1, "VM.set_name_label", payload])).collect();
    let rows = serde_json::to_string(&rows).expect("JSON");
    let started = Instant::now();
    let mut done = 0;
    while started.elapsed() < time {
        sqlx::query(insert).bind(&rows).execute(&mut connection).await.expect("SQLite inserts");
        done += batch;
    }
    done as f64 / started.elapsed().as_secs_f64()
}

/// Somebody on loopback who sends back every byte.
pub struct Echo(TcpStream);

impl Echo {
    pub fn open() -> Echo {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the other half of this function");
            stream.set_nodelay(true).expect("a TCP socket");
            let mut byte = [0];
            while stream.read_exact(&mut byte).and_then(|()| stream.write_all(&byte)).is_ok() {}
        });
        let stream = TcpStream::connect(address).expect("the echo listens");
        stream.set_nodelay(true).expect("a TCP socket");
        Echo(stream)
    }

    /// One byte there and back, over and over: the median.
    pub fn round_trips(&mut self) -> Duration {
        load::median((0..5000).map(|_| self.round_trip()).collect())
    }

    /// One byte there and back.
    pub fn round_trip(&mut self) -> Duration {
        let started = Instant::now();
        let there = self.0.write_all(&[1]);
        there.and_then(|()| self.0.read_exact(&mut [0])).expect("the echo answers");
        started.elapsed()
    }
}

/// What a process does that only says hello: `--hello` runs this.
pub fn hello() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("listening on http://{}", listener.local_addr().expect("it is bound"));
        let router = axum::Router::new()
            .route("/jsonrpc", axum::routing::post(|_: bytes::Bytes| async { "hello" }))
            .route("/bytes", axum::routing::post(|size: String| async move { bytes_of(&size) }));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a TCP socket");
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
}

/// As many bytes as the text says; they are made once, so that only their way is measured.
fn bytes_of(size: &str) -> bytes::Bytes {
    static MADE: std::sync::OnceLock<bytes::Bytes> = std::sync::OnceLock::new();
    let size = size.parse().expect("a number of bytes");
    MADE.get_or_init(|| vec![b'x'; size].into()).slice(..size)
}

/// Hellos per second of a bare axum at `clients` connections.
pub async fn bare_axum(address: &str, clients: usize) -> f64 {
    let request = load::call("hello", "");
    load::rate(address, clients, Duration::from_secs(4), move |_, _| request.clone()).await.per_second
}

/// The same bytes written to each of so many sockets, one after the other: when they arrived, counted from when the
/// writer was told to. Another process writes, since one alone may not have both ends of so many sockets open.
pub async fn raw_fanout(sockets: usize, bytes: usize, rounds: usize) -> Spread {
    let writer = Process::own(&["--raw-writer", &sockets.to_string(), &bytes.to_string()]);
    let mut word = TcpStream::connect(&writer.address).expect("the writer listens");
    word.set_nodelay(true).expect("a TCP socket");
    let mut crowd = Crowd::open(&writer.address, sockets, b"").await;
    word.read_exact(&mut [0]).expect("the writer has accepted everybody");
    let mut latencies = Vec::new();
    for _ in 0..rounds {
        let mut word = word.try_clone().expect("a socket can be had twice");
        let telling = move || {
            let began = Instant::now();
            word.write_all(b"!").expect("the writer reads");
            began
        };
        let (began, arrived) = crowd.wave(Expect::Bytes(bytes), telling).await;
        latencies.extend(arrived.into_iter().map(|at| at.saturating_duration_since(began)));
    }
    Spread::of(latencies)
}

/// The other process of [`raw_fanout`], which its first connection gives the word: `--raw-writer SOCKETS BYTES`.
pub fn raw_writer(sockets: usize, bytes: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("listening on http://{}", listener.local_addr().expect("it is bound"));
    let (mut word, _) = listener.accept().expect("a connection");
    let accepted = listener.incoming().take(sockets).map(|socket| socket.expect("a connection"));
    let written: Vec<TcpStream> = accepted.inspect(|socket| socket.set_nodelay(true).expect("TCP")).collect();
    word.write_all(b"!").expect("the benchmark reads");
    let payload = vec![b'x'; bytes];
    while word.read_exact(&mut [0]).is_ok() {
        written.iter().for_each(|mut socket| socket.write_all(&payload).expect("the other half reads"));
    }
}
