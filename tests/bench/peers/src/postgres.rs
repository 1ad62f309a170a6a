//! PostgreSQL: prepared inserts of rows like ours, each its own transaction,
//! with the settings it comes with: durable.

use super::server::{Server, installed};
use super::{Asked, Run, rate};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio_postgres::{Client, NoTls, Statement};

const TABLE: &str = "CREATE TABLE event (position bigserial PRIMARY KEY, time bigint, message text, payload text, hash bytea)";
const INSERT: &str = "INSERT INTO event (time, message, payload, hash) VALUES ($1, $2, $3, $4)";

/// Whom it runs as when this runs as root, which it refuses.
struct Nobody {
    uid: u32,
    gid: u32,
}

impl Nobody {
    fn of_system() -> Option<Nobody> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        let line = users.lines().find(|line| line.starts_with("nobody:")).filter(|_| root)?;
        let mut ids = line.split(':').skip(2).map_while(|id| id.parse().ok());
        Some(Nobody { uid: ids.next()?, gid: ids.next()? })
    }

    fn runs(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

fn start(asked: &Asked) -> Result<Server, String> {
    let initdb = installed("initdb")?;
    let nobody = Nobody::of_system();
    let mut ready = Ok(());
    let server = Server::start("postgres", &asked.folder, |command, folder, port| {
        ready = prepare(&initdb, folder, nobody.as_ref());
        command.arg("-D").arg(folder.join("data")).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", ""]);
        command.current_dir(folder);
        nobody.iter().for_each(|nobody| nobody.runs(command));
    });
    ready.and(server)
}

fn prepare(initdb: &Path, folder: &Path, nobody: Option<&Nobody>) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    if let Some(nobody) = nobody {
        chown(folder, Some(nobody.uid), Some(nobody.gid)).map_err(failed)?;
        // Temporary folders are their owner's alone; it must be able to come here.
        for above in folder.ancestors().skip(1).filter(|above| is_temporary(above)) {
            std::fs::set_permissions(above, PermissionsExt::from_mode(0o755)).map_err(failed)?;
        }
    }
    let mut command = Command::new(initdb);
    command.arg("-D").arg(folder.join("data")).args(["-U", "postgres", "--auth", "trust"]).current_dir(folder);
    nobody.iter().for_each(|nobody| nobody.runs(&mut command));
    let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status().map_err(failed)?;
    if done.success() { Ok(()) } else { Err("initdb failed".into()) }
}

/// One that the benchmark made.
fn is_temporary(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".tmp"))
}

/// Rows per second.
pub async fn insert(asked: &Asked) -> Run {
    let server = start(asked)?;
    let mut writers = Vec::new();
    for nth in 0..asked.number("clients") {
        let client = connect(&server).await?;
        if nth == 0 {
            client.batch_execute(TABLE).await.map_err(|error| error.to_string())?;
        }
        let insert = client.prepare(INSERT).await.map_err(|error| error.to_string())?;
        writers.push((client, insert));
    }
    let payload = String::from_utf8(asked.payload()).expect("letters");
    let one = move |(client, insert): (Client, Statement), done: usize| {
        let payload = payload.clone();
        async move {
            let hash: &[u8] = &[7; 32];
            let (time, message) = (done as i64, "VM.set_name_label");
            client.execute(&insert, &[&time, &message, &payload, &hash]).await.expect("PostgreSQL inserts");
            (client, insert)
        }
    };
    Ok(rate(asked, writers, one).await)
}

async fn connect(server: &Server) -> Result<Client, String> {
    let (host, port) = server.address.split_once(':').expect("an address has a port");
    let config = format!("host={host} port={port} user=postgres dbname=postgres");
    let mut tries = 0;
    let (client, connection) = loop {
        match tokio_postgres::connect(&config, NoTls).await {
            Ok(both) => break both,
            // It listens before it is ready.
            Err(_) if tries < 100 => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            Err(error) => return Err(error.to_string()),
        }
        tries += 1;
    };
    tokio::spawn(connection);
    Ok(client)
}
