//! `cargo bench`: starts the real server and prints one table, each figure
//! beside its limit or a peer measured in the same run.
//!
//! `--quick` measures with fewer events and shorter runs, to try the benchmark
//! itself. A ratio that misses its floor makes the benchmark fail.

mod limits;
mod load;
mod server;
mod table;

use load::{Connection, call, quantile, result_of};
use server::Process;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::Table;

/// Machines in the pool.
const MACHINES: usize = 10_000;
/// Clients that read or write at once where the table does not say another number.
const CLIENTS: usize = 64;

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
    let pool = Pool::fill(&server).await;
    mutations(&mut table, folder.path(), &server, &pool, time).await;
    waking(&mut table, &server, &pool, if quick { 10 } else { 100 }).await;
    reads(&mut table, &server, &pool, time).await;
    table.row("resident memory, 10,000 VMs", format!("{:.0} MiB", server.resident()), "", None);
    restart(&mut table, &data, server, &pool, if quick { 20_000 } else { 1_000_000 }).await;
    table
}

/// The pool that is measured: a session and machines.
struct Pool {
    session: String,
    machines: Arc<Vec<String>>,
}

impl Pool {
    async fn fill(server: &Process) -> Pool {
        let mut connection = Connection::open(&server.address).await;
        let session = login(&mut connection).await;
        let mut machines = Vec::with_capacity(MACHINES);
        let mut filling = tokio::task::JoinSet::new();
        for part in 0..CLIENTS {
            let (address, session) = (server.address.clone(), session.clone());
            filling.spawn(async move {
                let mut connection = Connection::open(&address).await;
                let mut made = Vec::new();
                for nth in (part..MACHINES).step_by(CLIENTS) {
                    let record = record(nth);
                    let body = connection.exchange(&call("VM.create", &format!(r#""{session}",{record}"#))).await;
                    made.push(result_of(body).as_str().expect("a reference").to_string());
                }
                made
            });
        }
        while let Some(made) = filling.join_next().await {
            machines.extend(made.expect("filling the pool panicked"));
        }
        Pool { session, machines: Arc::new(machines) }
    }
}

async fn login(connection: &mut Connection) -> String {
    let login = call("session.login_with_password", r#""root","bench","1.0","bench""#);
    result_of(connection.exchange(&login).await).as_str().expect("a session reference").to_string()
}

fn record(nth: usize) -> serde_json::Value {
    const GIB: i64 = 1 << 30;
    serde_json::json!({
        "name_label": format!("machine-{nth}"), "name_description": "", "user_version": 1, "is_a_template": false,
        "affinity": "OpaqueRef:NULL", "memory_static_max": GIB, "memory_dynamic_max": GIB, "memory_dynamic_min": GIB,
        "memory_static_min": GIB / 2, "VCPUs_params": {}, "VCPUs_max": 1, "VCPUs_at_startup": 1,
        "actions_after_shutdown": "destroy", "actions_after_reboot": "restart", "actions_after_crash": "restart",
        "PV_bootloader": "pygrub", "PV_kernel": "", "PV_ramdisk": "", "PV_args": "", "PV_bootloader_args": "",
        "PV_legacy_args": "", "HVM_boot_policy": "", "HVM_boot_params": {}, "platform": {}, "PCI_bus": "",
        "other_config": {}, "recommendations": "", "ha_restart_priority": "",
    })
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
    let mut samples = Vec::new();
    let mut size = 0;
    for _ in 0..7 {
        let started = Instant::now();
        size = connection.exchange(&all).await.len();
        samples.push(started.elapsed());
    }
    let middle = quantile(&mut samples, 0.5);
    let beside = format!("{:.1} MiB of JSON", size as f64 / (1024.0 * 1024.0));
    table.row("VM.get_all_records, 10,000 VMs", format!("{:.0} ms", middle.as_secs_f64() * 1e3), &beside, None);
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
