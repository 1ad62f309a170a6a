//! Bytes that no client should send: each is refused or dropped, costs nobody else anything, and changes nothing.

#[path = "server/mod.rs"]
mod server;

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use serde_json::json;
use server::{ANSWER_MAX, Answer, Connection, Server, left_out, post, post_bytes, program};
use tempfile::TempDir;

/// More connections than a server should ever mind.
const IDLE_CONNECTIONS: usize = 5_000;
/// What the test itself needs open beside them.
const SPARE_FILES: u64 = 200;
/// Larger than any body a server may take.
const BODY_BYTES: usize = 256 << 20;
const DEPTH: usize = 10_000;
const NULL: &str = "OpaqueRef:NULL";

fn start() -> (TempDir, Server) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&folder.path().join("data"));
    (folder, server)
}

/// The server still answers others.
fn answers(server: &mut Server) {
    assert!(server.runs(), "the server ended:\n{}", server.said());
    let mut connection = Connection::open(server.http).expect("the server accepts");
    let methods = connection.call("system.listMethods", json!([])).expect("a normal call is answered");
    assert!(methods.as_array().is_some_and(|methods| !methods.is_empty()));
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.http).expect("the server accepts");
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout");
    stream
}

/// Sends bytes and no more, and reads one answer; none if the server closed the connection instead. Neither is a failure.
fn send_all(server: &Server, bytes: &[u8]) -> Option<Answer> {
    let mut stream = connect(server);
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    receive(stream)
}

fn receive(stream: TcpStream) -> Option<Answer> {
    match Answer::read(&mut BufReader::new(stream)) {
        Ok(answer) => Some(answer),
        Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            panic!("no answer within {ANSWER_MAX:?}")
        }
        Err(_) => None,
    }
}

/// A whole request that must be answered, as a refusal: with an HTTP status that says so, or with an error in the body.
fn refused(server: &Server, request: &[u8]) {
    let mut stream = connect(server);
    // The server may answer and close before it has read everything.
    let _ = stream.write_all(request);
    let answer = receive(stream).expect("a whole request is answered");
    let body = String::from_utf8_lossy(&answer.body);
    let error = ["Failure", "<fault>", "\"error\":{", "\"error\":["].iter().any(|sign| body.contains(sign));
    assert!((400..500).contains(&answer.status) || (answer.status == 200 && error), "{}: {body}", answer.status);
    assert!(body.len() < 100_000, "a refusal of {} bytes", body.len());
}

#[test]
fn half_sent_requests() {
    let (_folder, mut server) = start();
    let whole = post("/", "<methodCall><methodName>system.listMethods</methodName></methodCall>");
    let mut open = Vec::new();
    for end in 0..whole.len() {
        let mut stream = connect(&server);
        stream.write_all(&whole[..end]).expect("the server reads");
        if end % 2 == 0 {
            open.push(stream);
        }
    }
    answers(&mut server);
    drop(open);
    answers(&mut server);
}

#[test]
fn a_request_whose_body_is_shorter_than_it_says() {
    let (_folder, mut server) = start();
    for path in ["/", "/jsonrpc"] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\nshort");
        if let Some(answer) = send_all(&server, request.as_bytes()) {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    answers(&mut server);
}

#[test]
fn bodies_over_the_limit() {
    let (_folder, mut server) = start();
    for path in ["/", "/RPC2", "/xmlrpc", "/jsonrpc", "/json"] {
        // Only announced: the answer does not wait for the bytes.
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
        let mut stream = connect(&server);
        stream.write_all(head.as_bytes()).expect("the server reads");
        let answer = Answer::read(&mut BufReader::new(stream)).expect("an answer before the body");
        assert_eq!(answer.status, 413, "{path}: {answer:?}");
    }
    for path in ["/", "/jsonrpc"] {
        // Without a length: chunk after chunk until the server has enough.
        let mut stream = connect(&server);
        let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut chunk = b"100000\r\n".to_vec();
        chunk.resize(chunk.len() + (1 << 20), b' ');
        chunk.extend_from_slice(b"\r\n");
        let sent = (0..BODY_BYTES >> 20).take_while(|_| stream.write_all(&chunk).is_ok()).count();
        assert!(sent < BODY_BYTES >> 20, "{path}: the server reads without end");
    }
    answers(&mut server);
}

#[test]
fn nesting_ten_thousand_deep() {
    let (_folder, mut server) = start();
    let (open, close) = ("<value><array><data>".repeat(DEPTH), "</data></array></value>".repeat(DEPTH));
    let xml = format!(
        "<methodCall><methodName>VM.get_all</methodName><params><param>{open}{close}</param></params></methodCall>"
    );
    refused(&server, &post("/", &xml));
    refused(&server, &post("/", &"<a>".repeat(DEPTH)));
    let json = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"VM.get_all","params":{}{}}}"#,
        "[".repeat(DEPTH),
        "]".repeat(DEPTH)
    );
    refused(&server, &post("/jsonrpc", &json));
    refused(&server, &post("/jsonrpc", &r#"{"a":"#.repeat(DEPTH)));
    answers(&mut server);
}

#[test]
fn entity_bombs() {
    let (_folder, mut server) = start();
    let mut entities = String::from(r#"<!ENTITY e0 "ha">"#);
    for i in 1..40 {
        entities += &format!(r#"<!ENTITY e{i} "&e{};&e{};">"#, i - 1, i - 1);
    }
    let call = |doctype: &str, value: &str| {
        format!(
            "<?xml version='1.0'?>{doctype}<methodCall><methodName>session.login_with_password</methodName><params>\
             <param><value>{value}</value></param><param><value>x</value></param></params></methodCall>"
        )
    };
    refused(&server, &post("/", &call(&format!("<!DOCTYPE methodCall [{entities}]>"), "&e39;")));
    let file = r#"<!DOCTYPE methodCall [<!ENTITY file SYSTEM "file:///etc/passwd">]>"#;
    refused(&server, &post("/", &call(file, "&file;")));
    refused(&server, &post("/", &call("", "&unknown;")));
    answers(&mut server);
}

#[test]
fn invalid_utf_8() {
    let (_folder, mut server) = start();
    let mut xml = b"<methodCall><methodName>VM.get_by_uuid</methodName><params><param><value>".to_vec();
    xml.extend_from_slice(&[0xff, 0xfe, 0xc3, 0x28]);
    xml.extend_from_slice(b"</value></param></params></methodCall>");
    refused(&server, &post_bytes("/", &xml));
    let mut json = br#"{"jsonrpc":"2.0","id":1,"method":"VM.get_by_uuid","params":[""#.to_vec();
    json.extend_from_slice(&[0xff, 0xfe, 0xc3, 0x28]);
    json.extend_from_slice(br#""]}"#);
    refused(&server, &post_bytes("/jsonrpc", &json));
    refused(&server, &post("/jsonrpc", r#"{"jsonrpc":"2.0","id":1,"method":"VM.get_by_uuid","params":["\ud800"]}"#));
    answers(&mut server);
}

#[test]
fn garbage() {
    let (_folder, mut server) = start();
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    let long = format!("POST / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "X-Header: value\r\n".repeat(10_000));
    let requests: [&[u8]; 6] =
        [&hello, b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"\r\n\r\n\r\n", long.as_bytes(), many.as_bytes()];
    for request in requests {
        if let Some(answer) = send_all(&server, request) {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
    for body in ["", " ", "null", "[]", "{", "<", "<methodCall/>", "\0", "true", "\"text\"", "{}", "1e999", "[[]]"] {
        for path in ["/", "/RPC2", "/jsonrpc", "/json"] {
            refused(&server, &post(path, body));
        }
    }
    answers(&mut server);
}

#[test]
fn arguments_of_every_wrong_type() {
    let (_folder, server) = start();
    let (mut connection, session) = server.login();
    let wrong = [
        json!(null),
        json!(true),
        json!(1),
        json!(1.5),
        json!("x"),
        json!([]),
        json!({}),
        json!([[1]]),
        json!({"a": {}}),
    ];
    for method in [
        "VM.get_record",
        "VM.create",
        "VM.start",
        "event.from",
        "VM.set_tags",
        "task.destroy",
        "VM.get_all_records_where",
    ] {
        for value in &wrong {
            for params in [
                json!([value]),
                json!([session, value]),
                json!([session, value, value]),
                json!([session, value, value, value]),
            ] {
                if let Err(server::Failure::Broken(why)) = connection.call(method, params.clone()) {
                    panic!("{method} {params}: {why}");
                }
            }
        }
    }
}

#[test]
fn five_thousand_idle_connections() {
    let wanted = IDLE_CONNECTIONS as u64 + SPARE_FILES;
    let (_, hard) = rlimit::Resource::NOFILE.get().expect("the limit of open files");
    if hard < wanted {
        return left_out(&format!("{IDLE_CONNECTIONS} idle connections: at most {hard} files may be open here"));
    }
    rlimit::increase_nofile_limit(hard).expect("the soft limit rises to the hard one");
    let (_folder, mut server) = start();
    let idle: Vec<TcpStream> = (0..IDLE_CONNECTIONS).map(|_| connect(&server)).collect();
    answers(&mut server);
    // They are open, not merely queued: the last of them is served as well.
    for mut stream in idle.into_iter().rev().step_by(500) {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "system.listMethods", "params": []}).to_string();
        stream.write_all(&post("/jsonrpc", &call)).expect("the server reads");
        assert_eq!(Answer::read(&mut BufReader::new(stream)).expect("an answer").status, 200);
    }
    answers(&mut server);
}

#[test]
fn a_client_that_never_reads() {
    let (_folder, mut server) = start();
    let (_, session) = server.login();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "VM.get_all_records", "params": [session]}).to_string();
    let request = post("/jsonrpc", &call).repeat(100);
    let mut deaf = connect(&server);
    deaf.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
    for _ in 0..100 {
        if deaf.write_all(&request).is_err() {
            break;
        }
    }
    answers(&mut server);
    let _ = deaf.read(&mut [0; 1]);
}

#[test]
fn refused_calls_change_nothing() {
    let (folder, mut server) = start();
    let data = folder.path().join("data");
    let (mut connection, session) = server.login();
    let before = state(&data);
    let vm = connection.call("VM.get_all", json!([session])).expect("a list")[0].clone();
    let calls = [
        ("VM.start", json!([session, NULL, false, false])),
        ("VM.set_name_label", json!([session, vm, {}])),
        ("VM.set_name_label", json!([session, vm])),
        ("VM.set_power_state", json!([session, vm, "Running"])),
        ("VM.create", json!([session, {"name_label": "x", "memory_static_max": "much"}])),
        ("VM.no_such", json!([session])),
        ("VM.set_name_label", json!(["OpaqueRef:no-session", vm, "x"])),
        ("VDI.create", json!([session, {"name_label": "x", "SR": NULL, "virtual_size": -1}])),
        ("session.login_with_password", json!(["root", "wrong"])),
    ];
    for (method, params) in calls {
        match connection.call(method, params.clone()) {
            Err(server::Failure::Refused(..)) => {}
            other => panic!("{method} {params}: {other:?}"),
        }
    }
    answers(&mut server);
    assert_eq!(state(&data), before, "a refused call changed the state");
    connection.call("VM.add_to_other_config", json!([session, vm, "key", "value"])).expect("a change");
    assert_ne!(state(&data), before, "this test would not see a change");
}

/// The hash of the state that the log of a running server folds to.
fn state(data: &std::path::Path) -> String {
    let output = program().args(["log", "verify", "--json", "--data"]).arg(data).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    told["state_hash"].as_str().unwrap_or_else(|| panic!("no state_hash in {told}")).to_owned()
}
