//! `cargo bench`: starts the real server and prints one table, each figure
//! beside its limit or a peer measured in the same run.
//!
//! `--quick` measures with fewer events and shorter runs, to try the benchmark
//! itself. A ratio that misses its floor makes the benchmark fail.

mod limits;
mod load;
mod pool;
mod server;
mod table;

use load::{Connection, call, quantile, result_of};
use pool::{CLIENTS, Devices, MACHINES, Pool};
use server::Process;
use std::path::Path;
use std::time::{Duration, Instant};
use table::Table;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--hello") {
        return limits::hello();
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let table = runtime.block_on(measure(quick));
    print!("{table}");
    std::process::exit(i32::from(table.missed_a_floor()));
}

async fn measure(quick: bool) -> Table {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the data");
    let data = folder.path().join("data");
    let mut table = Table::new();
    let time = Duration::from_secs(if quick { 1 } else { 5 });
    let server = Process::serve(&data);
    let pool = Pool::fill(&server, Devices::None).await;
    mutations(&mut table, folder.path(), &server, &pool, time).await;
    waking(&mut table, &server, &pool, if quick { 10 } else { 100 }).await;
    restart(&mut table, &data, server, &pool, if quick { 20_000 } else { 1_000_000 }).await;
    let server = Process::serve(&folder.path().join("furnished"));
    let pool = Pool::fill(&server, Devices::TwoDisksAndInterface).await;
    reads(&mut table, &server, &pool, time).await;
    let resident = server.resident();
    let what = "resident memory, 10,000 VMs with 2 disks and a NIC each";
    table.row(what, format!("{resident:.0} MiB"), "", Some(table::Ratio::at_most(resident, 300.0, 150.0)));
    table
}

async fn mutations(table: &mut Table, folder: &Path, server: &Process, pool: &Pool, time: Duration) {
    let syncs = limits::fdatasync(folder);
    let raw = limits::sqlite(folder, 64).await;
    for clients in [1, 16, 64, 256] {
        let (session, machines) = (pool.session.clone(), pool.machines.clone());
        let rate = load::rate(&server.address, clients, time, move |client, nth| {
            let machine = &machines[(client * 7919 + nth * 31) % MACHINES];
            call("VM.set_name_label", &format!(r#""{session}","{machine}","renamed-{client}-{nth}""#))
        })
        .await;
        let what = format!("durable mutations/s, {clients} clients");
        let beside = format!("{syncs:.0} fdatasync/s, {raw:.0} rows/s raw SQLite in batches of 64");
        let ratio = (clients == 64).then(|| table::Ratio::at_least(rate / raw, 0.12, 0.25));
        table.row(&what, format!("{rate:.0}/s"), &beside, ratio);
    }
}

async fn waking(table: &mut Table, server: &Process, pool: &Pool, rounds: usize) {
    let trip = limits::round_trip();
    for waiters in [1, 1000] {
        let rounds = if waiters == 1 { rounds } else { (rounds / 5).max(3) };
        let mut latencies = Vec::new();
        for round in 0..rounds {
            latencies.extend(wake(server, pool, waiters, round, trip).await);
        }
        let (middle, worst) = (quantile(&mut latencies, 0.5), quantile(&mut latencies, 0.99));
        let figure = format!("p50 {:.0} µs, p99 {:.0} µs", middle.as_secs_f64() * 1e6, worst.as_secs_f64() * 1e6);
        let trips = middle.as_secs_f64() / trip.as_secs_f64();
        let ratio = (waiters == 1).then(|| table::Ratio::at_most(trips, 10.0, 5.0));
        let beside = format!("loopback round trip {:.1} µs", trip.as_secs_f64() * 1e6);
        table.row(&format!("commit → received, {waiters} blocked event.from"), figure, &beside, ratio);
    }
}

/// One mutation and its arrival at each waiter. The commit is taken to be one round trip before the mutation's
/// answer arrived, which is to our disadvantage.
async fn wake(server: &Process, pool: &Pool, waiters: usize, round: usize, trip: Duration) -> Vec<Duration> {
    let mut connection = Connection::open(&server.address).await;
    let head = call("event.inject", &format!(r#""{}","VM","{}""#, pool.session, pool.machines[0]));
    connection.exchange(&head).await;
    let poll = |token: &str| call("event.from", &format!(r#""{}",["VM"],"{token}",30.0"#, pool.session));
    let now = call("event.from", &format!(r#""{}",["task/OpaqueRef:NULL"],"",0.0"#, pool.session));
    let token = result_of(connection.exchange(&now).await)["token"].as_str().expect("a token").to_string();
    let mut blocked = tokio::task::JoinSet::new();
    for _ in 0..waiters {
        let (address, request) = (server.address.clone(), poll(&token));
        blocked.spawn(async move {
            let mut connection = Connection::open(&address).await;
            connection.exchange(&request).await;
            Instant::now()
        });
    }
    // Long enough that every waiter is blocked and its collecting time over.
    tokio::time::sleep(Duration::from_millis(if waiters == 1 { 80 } else { 1500 })).await;
    let machine = &pool.machines[round % MACHINES];
    let change = call("VM.set_name_label", &format!(r#""{}","{machine}","woken-{round}-{waiters}""#, pool.session));
    connection.exchange(&change).await;
    let answered = Instant::now();
    let mut latencies = Vec::with_capacity(waiters);
    while let Some(received) = blocked.join_next().await {
        let received = received.expect("a waiter panicked");
        latencies.push(received.saturating_duration_since(answered) + trip);
    }
    latencies
}

async fn reads(table: &mut Table, server: &Process, pool: &Pool, time: Duration) {
    let hello = Process::hello();
    let bare = limits::bare_axum(&hello.address, CLIENTS).await;
    let beside = format!("bare axum hello {bare:.0}/s");
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let json = load::rate(&server.address, CLIENTS, time, move |client, nth| {
        let machine = &machines[(client * 7919 + nth) % MACHINES];
        call("VM.get_record", &format!(r#""{session}","{machine}""#))
    })
    .await;
    let ratio = table::Ratio::at_least(json / bare, 0.4, 0.7);
    table.row("VM.get_record/s, JSON, 64 clients", format!("{json:.0}/s"), &beside, Some(ratio));
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let xml = load::rate(&server.address, CLIENTS, time, move |client, nth| {
        let machine = &machines[(client * 7919 + nth) % MACHINES];
        let param = |value: &str| format!("<param><value><string>{value}</string></value></param>");
        let params = param(&session) + &param(machine);
        load::post("/", &format!("<?xml version='1.0'?><methodCall><methodName>VM.get_record</methodName><params>{params}</params></methodCall>"))
    })
    .await;
    table.row("VM.get_record/s, XML, 64 clients", format!("{xml:.0}/s"), &beside, None);
    let mut connection = Connection::open(&server.address).await;
    let all = call("VM.get_all_records", &format!(r#""{}""#, pool.session));
    let (middle, body) = median(&mut connection, &all).await;
    let size = body.len();
    let parsed: serde_json::Value = serde_json::from_slice(&body).expect("JSON-RPC answers are JSON");
    let serialized = (0..7).map(|_| {
        let started = Instant::now();
        std::hint::black_box(serde_json::to_vec(&parsed).expect("it was JSON"));
        started.elapsed()
    });
    let serialized = quantile(&mut serialized.collect::<Vec<_>>(), 0.5);
    let mut bare = Connection::open(&hello.address).await;
    let (transferred, _) = median(&mut bare, &load::post("/bytes", &size.to_string())).await;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let beside = format!(
        "{:.1} MiB; serde_json {:.0} ms + bare axum {:.0} ms",
        size as f64 / (1024.0 * 1024.0),
        ms(serialized),
        ms(transferred)
    );
    let ratio = table::Ratio::at_most(ms(middle) / (ms(serialized) + ms(transferred)), 2.0, 1.3);
    table.row("VM.get_all_records, 10,000 VMs", format!("{:.0} ms", ms(middle)), &beside, Some(ratio));
}

/// The median time of seven exchanges, and the last answer's body.
async fn median(connection: &mut Connection, request: &[u8]) -> (Duration, Vec<u8>) {
    let (mut samples, mut body) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let started = Instant::now();
        let answer = connection.exchange(request).await;
        samples.push(started.elapsed());
        body = answer.to_vec();
    }
    (quantile(&mut samples, 0.5), body)
}

/// Fills the log through the server, kills it, and starts it again.
async fn restart(table: &mut Table, data: &Path, server: Process, pool: &Pool, events: usize) {
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let mut connection = Connection::open(&server.address).await;
    loop {
        let position = call("event.get_current_id", &format!(r#""{session}""#));
        let position = result_of(connection.exchange(&position).await).as_u64().expect("a position") as usize;
        if position >= events {
            break;
        }
        let (session, machines) = (session.clone(), machines.clone());
        load::rate(&server.address, 256, Duration::from_secs(5), move |client, nth| {
            let machine = &machines[(client * 7919 + nth * 31) % MACHINES];
            call("VM.set_name_label", &format!(r#""{session}","{machine}","again-{client}-{nth}-{position}""#))
        })
        .await;
    }
    server.kill();
    let mut samples: Vec<Duration> = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let again = Process::serve(data);
        let mut connection = Connection::open(&again.address).await;
        let machine = &machines[0];
        let read = call("VM.get_name_label", &format!(r#""{session}","{machine}""#));
        result_of(connection.exchange(&read).await);
        samples.push(started.elapsed());
        again.kill();
    }
    let middle = quantile(&mut samples, 0.5);
    let ratio = table::Ratio::at_most(middle.as_secs_f64(), 0.5, 0.2);
    let what = format!("kill -9, restart to first answer, {events} events, 10,000 objects");
    table.row(&what, format!("{:.3} s", middle.as_secs_f64()), "", Some(ratio));
    replay(table, data).await;
}

/// The whole log folded from nothing, beside a plain scan of its rows.
async fn replay(table: &mut Table, data: &Path) {
    use xenledger::log::Port;
    let mut log = xenledger::log::sqlite::SqliteLog::open(data).await.expect("the server is gone");
    const PAGE: usize = 1000;
    let mut scan = (0, Duration::ZERO);
    let mut folded = (0, Duration::ZERO);
    for fold in [false, true] {
        let started = Instant::now();
        let mut view = xenledger::views::View::default();
        let mut after = 0;
        loop {
            let rows = log.read(after, PAGE).await.expect("the log is readable");
            let Some(last) = rows.last() else { break };
            after = last.position;
            if fold {
                for row in &rows {
                    xenledger::views::replay(&mut view, &row.event().expect("a readable event"));
                }
            }
        }
        let measured = (after, started.elapsed());
        *(if fold { &mut folded } else { &mut scan }) = measured;
    }
    let rate = |(rows, time): (u64, Duration)| rows as f64 / time.as_secs_f64();
    let beside = format!("plain scan {:.0} rows/s", rate(scan));
    table.row("replay, events/s", format!("{:.0}/s", rate(folded)), &beside, None);
}
