//! A connection that breaks, with the real program and real sockets: the
//! session stays, what the server had read in full is done, and what waited is
//! given up.

#[path = "server/mod.rs"]
mod server;

use serde_json::{Value, json};
use server::{Connection, Failure, Server, post, wait_for};
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const WAIT_MAX: Duration = Duration::from_secs(60);

struct Site {
    _folder: tempfile::TempDir,
    server: Server,
    connection: Connection,
    session: String,
}

impl Site {
    fn start() -> Site {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(&folder.path().join("data"));
        let (connection, session) = server.login();
        Site { _folder: folder, server, connection, session }
    }

    fn call(&mut self, method: &str, params: &[Value]) -> Value {
        let mut all = vec![json!(self.session)];
        all.extend_from_slice(params);
        self.connection.call(method, Value::Array(all)).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// Sends a call, and how many of its bytes; then hangs up without waiting for an answer.
    fn send_and_hang_up(&self, method: &str, params: &[Value], bytes: impl Fn(usize) -> usize) {
        let mut all = vec![json!(self.session)];
        all.extend_from_slice(params);
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": all}).to_string();
        let request = post("/jsonrpc", &call);
        let mut stream = TcpStream::connect(self.server.http).expect("the server accepts");
        stream.write_all(&request[..bytes(request.len())]).expect("sent");
        stream.shutdown(Shutdown::Both).expect("hung up");
    }

    fn networks(&mut self, name: &str) -> usize {
        self.call("network.get_by_name_label", &[json!(name)]).as_array().expect("references").len()
    }
}

#[test]
fn a_broken_connection_ends_neither_the_session_nor_what_was_accepted() {
    let mut site = Site::start();
    for round in 0..20 {
        let record = json!({"name_label": format!("whole{round}")});
        site.send_and_hang_up("network.create", &[record], |whole| whole);
        let record = json!({"name_label": format!("part{round}")});
        site.send_and_hang_up("network.create", &[record], |whole| whole - 1 - round);
    }
    for round in 0..20 {
        let name = format!("whole{round}");
        wait_for(&name, WAIT_MAX, || (site.networks(&name) == 1).then_some(()));
        assert_eq!(site.networks(&format!("part{round}")), 0, "a call that was read in part does nothing");
    }
    let (mut other, _) = site.server.login();
    other.call("session.touch", json!([site.session])).expect("the session belongs to no connection");
}

#[test]
fn an_operation_goes_on_without_its_caller() {
    let mut site = Site::start();
    let srs = site.call("SR.get_all_records", &[]);
    let mut srs = srs.as_object().expect("repositories").iter();
    let (sr, _) = srs.find(|(_, record)| record["content_type"] == "user").expect("one for disks");
    let record = json!({"SR": sr, "name_label": "made", "virtual_size": 1 << 30, "type": "user", "sharable": false,
        "read_only": false, "other_config": {}});
    site.send_and_hang_up("VDI.create", &[record], |whole| whole);
    wait_for("the disk", WAIT_MAX, || {
        let made = site.call("VDI.get_by_name_label", &[json!("made")]);
        (made.as_array().expect("references").len() == 1).then_some(())
    });
}

#[test]
fn a_call_that_waits_is_given_up_with_its_connection_and_the_limit_knows() {
    let mut site = Site::start();
    let pools = site.call("pool.get_all", &[]);
    site.call("pool.set_waiting_call_limit", &[pools[0].clone(), json!(1)]);
    let token = site.call("event.from", &[json!(["SR"]), json!(""), json!(0.0)])["token"].clone();
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "event.from", "params": [site.session, ["SR"], token, 3600.0]});
    let mut blocked = TcpStream::connect(site.server.http).expect("the server accepts");
    blocked.write_all(&post("/jsonrpc", &call.to_string())).expect("sent");
    let (mut other, session) = site.server.login();
    let mut another = |timeout: f64| other.call("event.from", json!([session, ["SR"], token, timeout]));
    wait_for("the first to wait", WAIT_MAX, || match another(0.0) {
        Err(Failure::Refused(code, _)) => (code == "TOO_BUSY").then_some(()),
        Err(Failure::Broken(why)) => panic!("{why}"),
        Ok(_) => None,
    });
    drop(blocked);
    wait_for("its place", WAIT_MAX, || another(0.0).ok());
    site.call("session.touch", &[]);
}
