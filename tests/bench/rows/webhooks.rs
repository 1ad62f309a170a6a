//! Deliveries to a hundred destinations that accept everything at once.

use crate::Bench;
use crate::load::{self, Connection, call, result_of};
use crate::pool::{Devices, MACHINES, Pool};
use crate::server::Process;
use crate::table::Ratio;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const DESTINATIONS: usize = 100;
/// Clients that change something: enough that there is always something to tell, few enough that they leave room.
const WRITERS: usize = 16;

pub async fn rows(bench: &mut Bench) {
    let data = bench.data("webhooks");
    let server = Process::serve_with(&data, &["--webhooks-to-private", "--webhooks-over-http"]);
    let pool = Pool::fill(&server, Devices::None).await;
    let posts = Arc::new(AtomicUsize::new(0));
    let address = receive(posts.clone());
    let mut connection = Connection::open(&server.address).await;
    for nth in 0..DESTINATIONS {
        let record = format!(r#"{{"classes":["VM.name_label"],"destination":"http://{address}/{nth}"}}"#);
        let create = call("subscription.create", &format!(r#""{}",{record}"#, pool.session));
        result_of(connection.exchange(&create).await);
    }
    let (session, machines) = (pool.session.clone(), pool.machines.clone());
    let (began, before) = (Instant::now(), posts.load(Ordering::Relaxed));
    let changes = load::rate(&server.address, WRITERS, bench.time(), move |client, nth| {
        let machine = &machines[(client * 7919 + nth * 31) % MACHINES];
        call("VM.set_name_label", &format!(r#""{session}","{machine}","renamed-{client}-{nth}""#))
    })
    .await;
    let rate = (posts.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
    let events = changes.per_second * DESTINATIONS as f64;
    let beside = format!("each a POST with what came since the last: of {events:.0} events × destinations/s");
    let ratio = Ratio::at_least(rate, 2_000.0, 10_000.0);
    bench.table.row("webhook deliveries/s to 100 destinations", format!("{rate:.0}/s"), &beside, Some(ratio));
}

/// A receiver on a thread of its own; counts what it accepts.
fn receive(posts: Arc<AtomicUsize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    listener.set_nonblocking(true).expect("a TCP socket");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a TCP socket");
            loop {
                let (socket, _) = listener.accept().await.expect("a connection");
                socket.set_nodelay(true).expect("a TCP socket");
                tokio::spawn(accept(socket, posts.clone()));
            }
        });
    });
    address
}

async fn accept(mut socket: tokio::net::TcpStream, posts: Arc<AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (mut buffer, mut filled) = (vec![0; 64 * 1024], 0);
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        match socket.read(&mut buffer[filled..]).await {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        while let Some((head, length)) = load::length_of(&buffer[..filled]).filter(|(head, body)| filled >= head + body)
        {
            buffer.copy_within(head + length..filled, 0);
            filled -= head + length;
            posts.fetch_add(1, Ordering::Relaxed);
            if socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.is_err() {
                return;
            }
        }
    }
}
