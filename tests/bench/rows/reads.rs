//! Reads of a furnished pool beside an HTTP server that does nothing, and what
//! such a pool takes in memory.

use crate::load::{self, Connection, call, median};
use crate::pool::{CLIENTS, Devices, MACHINES, Pool};
use crate::server::Process;
use crate::table::Ratio;
use crate::{Bench, limits};
use std::time::{Duration, Instant};

pub async fn rows(bench: &mut Bench) {
    let server = Process::serve(&bench.data("furnished"));
    let pool = Pool::fill(&server, Devices::TwoDisksAndInterface).await;
    let hello = Process::own(&["--hello"]);
    records(bench, &server, &pool, &hello).await;
    all_records(bench, &server, &pool, &hello).await;
    let resident = server.resident();
    let what = "resident memory, 10,000 VMs with 2 disks and a NIC each";
    let ratio = Ratio::at_most(resident, 300.0, 150.0);
    bench.table.row(what, format!("{resident:.0} MiB"), "in MiB", Some(ratio));
}

async fn records(bench: &mut Bench, server: &Process, pool: &Pool, hello: &Process) {
    let time = bench.time();
    let bare = limits::bare_axum(&hello.address, CLIENTS).await;
    let beside = format!("bare axum hello {bare:.0}/s");
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let json = load::rate(&server.address, CLIENTS, time, move |client, nth| {
        let machine = &machines[(client * 7919 + nth) % MACHINES];
        call("VM.get_record", &format!(r#""{session}","{machine}""#))
    });
    let json = json.await.per_second;
    let ratio = Ratio::at_least(json / bare, 0.4, 0.7);
    bench.table.row("VM.get_record/s, JSON, 64 clients", format!("{json:.0}/s"), &beside, Some(ratio));
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let xml = load::rate(&server.address, CLIENTS, time, move |client, nth| {
        let machine = &machines[(client * 7919 + nth) % MACHINES];
        let param = |value: &str| format!("<param><value><string>{value}</string></value></param>");
        let params = param(&session) + &param(machine);
        load::post(
            "/",
            &format!(
                "<?xml version='1.0'?><methodCall><methodName>VM.get_record</methodName><params>{params}</params></methodCall>"
            ),
        )
    });
    let xml = xml.await.per_second;
    bench.table.row("VM.get_record/s, XML, 64 clients", format!("{xml:.0}/s"), &beside, None);
}

async fn all_records(bench: &mut Bench, server: &Process, pool: &Pool, hello: &Process) {
    let mut connection = Connection::open(&server.address).await;
    let all = call("VM.get_all_records", &format!(r#""{}""#, pool.session));
    let (middle, body) = several(&mut connection, &all).await;
    let size = body.len();
    let parsed: serde_json::Value = serde_json::from_slice(&body).expect("JSON-RPC answers are JSON");
    let serialized = (0..7).map(|_| {
        let started = Instant::now();
        std::hint::black_box(serde_json::to_vec(&parsed).expect("it was JSON"));
        started.elapsed()
    });
    let serialized = median(serialized.collect());
    let mut bare = Connection::open(&hello.address).await;
    let (transferred, _) = several(&mut bare, &load::post("/bytes", &size.to_string())).await;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let size = size as f64 / (1024.0 * 1024.0);
    let beside = format!("{size:.1} MiB; serde_json {:.0} ms + bare axum {:.0} ms", ms(serialized), ms(transferred));
    let ratio = Ratio::at_most(ms(middle) / (ms(serialized) + ms(transferred)), 2.0, 1.3);
    bench.table.row("VM.get_all_records, 10,000 VMs", format!("{:.0} ms", ms(middle)), &beside, Some(ratio));
}

/// The median time of seven exchanges, and the last answer's body.
async fn several(connection: &mut Connection, request: &[u8]) -> (Duration, Vec<u8>) {
    let (mut samples, mut body) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let started = Instant::now();
        let answer = connection.exchange(request).await;
        samples.push(started.elapsed());
        body = answer.to_vec();
    }
    (median(samples), body)
}
