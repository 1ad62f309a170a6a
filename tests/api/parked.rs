//! Connections whose calls wait, as clients meet them: over a socket.

use super::server::Server;
use super::sessions::settle;
use super::subscriptions::ask;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_util::sync::CancellationToken;
use xenledger::auth::Peer;
use xenledger::gateway::listen::Connections;

/// More than the writer wakes by itself.
const CROWD: usize = 40;

/// One client's connection.
struct Client {
    socket: DuplexStream,
    read: Vec<u8>,
}

/// An answer's head, and its result or its error.
struct Answered {
    head: String,
    body: Json,
}

impl Client {
    /// Between it and the server fit so many bytes.
    fn connect(connections: &Connections, fits: usize) -> Client {
        let (socket, theirs) = duplex(fits);
        tokio::spawn(connections.clone().connection(theirs, Peer { address: "test".into(), ..Peer::default() }));
        Client { socket, read: Vec::new() }
    }

    async fn ask_with(&mut self, headers: &str, method: &str, params: Json) {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).to_string();
        let head = format!("POST /jsonrpc HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.socket.write_all((head + &body).as_bytes()).await.expect("the server reads");
    }

    async fn ask(&mut self, method: &str, params: Json) {
        self.ask_with("", method, params).await;
    }

    /// Asks for what becomes of tasks from now on: they are told without being collected for a while.
    async fn wait(&mut self, server: &Server) {
        let token = ask(server, "event.from", &[json!(["task"]), json!(""), json!(0.0)]).await["token"].clone();
        self.ask("event.from", json!([server.session, ["task"], token, 3600.0])).await;
        settle().await;
    }

    /// Reads until something that there is can be made of what was read; `None` at the end.
    async fn until<T>(&mut self, made: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        loop {
            if let Some(made) = made(&self.read) {
                return Some(made);
            }
            if self.socket.read_buf(&mut self.read).await.expect("a socket") == 0 {
                return None;
            }
        }
    }

    async fn answer(&mut self) -> Answered {
        let end = |read: &[u8]| Some(read.windows(4).position(|four| four == b"\r\n\r\n")? + 4);
        let end = self.until(end).await.expect("a head");
        let head = String::from_utf8(self.read.drain(..end).collect()).expect("text").to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let length: usize = length.parse().expect("a number");
        self.until(|read| (read.len() >= length).then_some(())).await.expect("all of it");
        let body: Vec<u8> = self.read.drain(..length).collect();
        Answered { head, body: serde_json::from_slice(&body).expect("JSON") }
    }

    async fn told(&mut self) -> Vec<String> {
        let answer = self.answer().await.body;
        let events = answer["result"]["events"].as_array().unwrap_or_else(|| panic!("events: {answer}"));
        events.iter().map(|event| event["snapshot"]["name_label"].as_str().expect("a name").to_string()).collect()
    }
}

fn connections(server: &Server) -> (Connections, CancellationToken) {
    let stop = CancellationToken::new();
    (Connections::new(server.gateway.clone(), stop.clone()), stop)
}

/// A task of that name.
async fn happens(server: &Server, name: &str) {
    ask(server, "task.create", &[json!(name), json!("")]).await;
}

/// So many that wait, each with room for so many bytes.
async fn crowd(server: &Server, connections: &Connections, fits: usize) -> Vec<Client> {
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| Client::connect(connections, fits)).collect();
    for client in &mut crowd {
        client.wait(server).await;
    }
    crowd
}

fn waiting(server: &Server) -> usize {
    server.gateway.counts.waiting.taken()
}

#[tokio::test]
async fn a_crowd_is_told_and_its_connections_go_on() {
    let server = Server::start().await;
    let (connections, _) = connections(&server);
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| Client::connect(&connections, 64 << 10)).collect();
    for round in ["one", "two"] {
        for client in &mut crowd {
            client.wait(&server).await;
        }
        assert_eq!(waiting(&server), CROWD);
        happens(&server, round).await;
        settle().await;
        assert_eq!(waiting(&server), 0, "places are given back when all are told, whether they ask again or not");
        for client in &mut crowd {
            assert_eq!(client.told().await, [round]);
        }
    }
    for client in &mut crowd {
        client.ask("session.get_this_user", json!([server.session, server.session])).await;
        assert!(client.answer().await.body["result"].is_string(), "any other call is served too");
    }
}

#[tokio::test]
async fn an_answer_has_the_head_that_it_would_have_without_waiting() {
    let server = Server::start().await;
    let (connections, _) = connections(&server);
    let mut client = Client::connect(&connections, 64 << 10);
    client.ask("event.from", json!([server.session, ["network"], "", 0.0])).await;
    let at_once = client.answer().await.head;
    client.wait(&server).await;
    happens(&server, "lan").await;
    let waited = client.answer().await.head;
    let names = |head: &str| {
        let mut names: Vec<String> =
            head.lines().map(|line| line.split(": ").next().unwrap_or_default().into()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&waited), names(&at_once));
    let mut closing = Client::connect(&connections, 64 << 10);
    let params = json!([server.session, ["network"], "", 0.0]);
    closing.ask_with("Connection: close\r\n", "event.from", params).await;
    assert!(closing.answer().await.head.contains("connection: close"), "HTTP does as it was asked");
    assert!(closing.until(|_| None::<()>).await.is_none());
}

#[tokio::test]
async fn when_the_time_is_over_nothing_is_told_and_an_error_is_told_too() {
    let server = Server::start().await;
    let (connections, _) = connections(&server);
    let (mut late, mut logged_out) = (Client::connect(&connections, 64 << 10), Client::connect(&connections, 64 << 10));
    let token = ask(&server, "event.from", &[json!(["network"]), json!(""), json!(0.0)]).await["token"].clone();
    late.ask("event.from", json!([server.session, ["network"], token, 0.1])).await;
    assert!(late.told().await.is_empty());
    let params = json!(["root", super::server::PASSWORD]);
    let session = server.call("session.login_with_password", params).await.expect("logs in");
    logged_out.ask("event.from", json!([session, ["network"], token, 3600.0])).await;
    settle().await;
    server.call("session.logout", json!([session])).await.expect("logs out");
    assert_eq!(logged_out.answer().await.body["error"]["message"], "SESSION_INVALID");
    assert_eq!(waiting(&server), 0);
}

#[tokio::test]
async fn what_is_sent_ahead_is_served_behind_the_answer() {
    let server = Server::start().await;
    let (connections, _) = connections(&server);
    let mut crowd = crowd(&server, &connections, 64 << 10).await;
    for client in &mut crowd {
        // More than is read ahead, so that some of it stays where it is.
        for _ in 0..100 {
            client.ask("session.get_this_user", json!([server.session, server.session])).await;
        }
    }
    settle().await;
    happens(&server, "lan").await;
    for client in &mut crowd {
        assert_eq!(client.told().await, ["lan"]);
        for _ in 0..100 {
            assert!(client.answer().await.body["result"].is_string());
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_told_in_parts() {
    let server = Server::start().await;
    let (connections, _) = connections(&server);
    let mut crowd = crowd(&server, &connections, 1 << 10).await;
    let name = "x".repeat(20 << 10);
    happens(&server, &name).await;
    settle().await;
    for client in &mut crowd {
        assert_eq!(client.told().await, [name.as_str()]);
        client.ask("session.get_this_user", json!([server.session, server.session])).await;
        assert!(client.answer().await.body["result"].is_string());
    }
}

#[tokio::test]
async fn nobody_waits_for_a_client_that_went() {
    let server = Server::start().await;
    let (connections, stop) = connections(&server);
    let mut client = Client::connect(&connections, 64 << 10);
    client.wait(&server).await;
    assert_eq!(waiting(&server), 1);
    drop(client);
    settle().await;
    assert_eq!(waiting(&server), 0);
    stop.cancel();
    connections.ended().await;
}

#[tokio::test]
async fn a_stop_answers_who_waits_and_ends_every_connection() {
    let server = Server::start().await;
    let (connections, stop) = connections(&server);
    let (mut waits, mut told) = (Client::connect(&connections, 64 << 10), Client::connect(&connections, 64 << 10));
    told.wait(&server).await;
    happens(&server, "lan").await;
    assert_eq!(told.told().await, ["lan"]);
    waits.wait(&server).await;
    server.gateway.stop.cancel();
    stop.cancel();
    let answer = waits.answer().await;
    assert!(answer.head.contains("connection: close"), "{}", answer.head);
    assert_eq!(answer.body["result"]["events"], json!([]));
    for client in [&mut waits, &mut told] {
        assert!(client.until(|_| None::<()>).await.is_none());
    }
    connections.ended().await;
}

#[tokio::test]
async fn a_listener_that_closes_cuts_off_who_only_waits() {
    let server = Server::start().await;
    let (connections, stop) = connections(&server);
    let mut client = Client::connect(&connections, 64 << 10);
    client.wait(&server).await;
    stop.cancel();
    assert!(client.until(|_| None::<()>).await.is_none());
    connections.ended().await;
    assert_eq!(waiting(&server), 0);
}

#[tokio::test]
async fn a_request_that_comes_in_pieces_is_one_and_who_never_speaks_is_let_go() {
    let server = Server::start().await;
    let (connections, stop) = connections(&server);
    let mut silent = Client::connect(&connections, 64 << 10);
    let mut slow = Client::connect(&connections, 64 << 10);
    let body = json!({"jsonrpc": "2.0", "method": "session.get_this_user", "params": [server.session, server.session], "id": 1});
    let body = body.to_string();
    let whole = format!("POST /jsonrpc HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for piece in whole.as_bytes().chunks(7) {
        slow.socket.write_all(piece).await.expect("the server reads");
        tokio::task::yield_now().await;
    }
    assert!(slow.answer().await.body["result"].is_string());
    stop.cancel();
    for client in [&mut silent, &mut slow] {
        assert!(client.until(|_| None::<()>).await.is_none());
    }
    connections.ended().await;
}
