//! Management over the network: disabled, and back.

use super::server::Server;
use serde_json::{Value as Json, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xenledger::gateway::listen::{Connections, Endpoint, Listener};
use xenledger::gateway::{Gateway, Parts};

/// Turns in which a listener that may open does.
const TURNS: usize = 10_000;

/// A server that has a Unix socket too.
async fn start() -> Server {
    let server = Server::start().await;
    server.with(Gateway::new(Parts { socket: true, ..Parts::clone(&server.gateway) }))
}

/// Opens a listener on the network, and says where.
async fn listen(server: &Server) -> SocketAddr {
    let listener = Listener::open(Endpoint::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))).await.expect("a free port");
    let address = listener.name().strip_prefix("http://").and_then(|at| at.parse().ok()).expect("an address");
    serve(server, listener);
    address
}

fn serve(server: &Server, listener: Listener) {
    let connections = Connections::new(server.gateway.clone(), server.gateway.stop.clone());
    tokio::spawn(listener.serve(connections));
}

async fn connected(address: SocketAddr) -> TcpStream {
    for _ in 0..TURNS {
        match TcpStream::connect(address).await {
            Ok(stream) => return stream,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    panic!("nothing listens on {address}");
}

/// Sends a request that keeps the connection, and reads until its answer is there.
async fn asked(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    while !answer.ends_with("ok\n") {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await.expect("answered");
        assert_ne!(read, 0, "it ended: {answer}");
        answer.push_str(std::str::from_utf8(&part[..read]).expect("text"));
    }
    answer
}

/// The interface that management goes over, or went over first.
async fn interface(server: &Server) -> Json {
    server.call("PIF.get_all", json!([server.session])).await.expect("answers")[0].clone()
}

#[tokio::test]
async fn what_listens_on_the_network_closes_and_opens_again() {
    let server = start().await;
    let session = &server.session;
    let (pif, hosts) =
        (interface(&server).await, server.call("host.get_all", json!([session])).await.expect("answers"));
    let managing = || server.call("host.get_management_interface", json!([session, hosts[0]]));
    let address = listen(&server).await;
    for _ in 0..2 {
        assert_eq!(managing().await, Ok(pif.clone()));
        let mut stream = connected(address).await;
        assert!(asked(&mut stream).await.starts_with("HTTP/1.1 200 OK"));
        server.call("host.management_disable", json!([session])).await.expect("there is another way in");
        let mut rest = Vec::new();
        assert_eq!(stream.read_to_end(&mut rest).await.expect("it ends"), 0);
        TcpStream::connect(address).await.expect_err("nothing listens there any more");
        assert_eq!(managing().await, Ok(json!("OpaqueRef:NULL")));
        server.call("host.management_reconfigure", json!([session, pif])).await.expect("enabled");
    }
    asked(&mut connected(address).await).await;
}

#[tokio::test]
async fn a_server_that_starts_without_management_opens_when_it_is_back() {
    let server = start().await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("an address");
    drop(free);
    server.call("host.management_disable", json!([server.session])).await.expect("disabled");
    assert!(!server.gateway.is_managed(), "it is in the log");
    serve(&server, Listener::closed(Endpoint::Tcp(address)));
    TcpStream::connect(address).await.expect_err("not yet");
    let pif = interface(&server).await;
    server.call("Async.host.management_reconfigure", json!([server.session, pif])).await.expect("enabled");
    asked(&mut connected(address).await).await;
}

#[tokio::test]
async fn the_only_way_in_is_not_closed() {
    let server = Server::start().await;
    let refused = server.call("host.management_disable", json!([server.session])).await.expect_err("refused");
    assert_eq!(refused.0, "OPERATION_NOT_ALLOWED");
    assert!(server.gateway.is_managed());
}
