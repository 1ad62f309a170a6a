//! The writer over the log in memory, which ends appends as it is told to.

use super::*;
use crate::command::{Call, Intent, Principal};
use crate::log::memory::{Injected, MemoryLog};
use crate::model::{ClassId, MODEL, message, network};
use crate::value::{Ref, Value};
use std::collections::HashSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ThreadId;

struct Bench {
    port: MemoryLog,
    ledger: Ledger,
    heard: Arc<Mutex<Vec<u64>>>,
    running: tokio::task::JoinHandle<()>,
}

async fn start() -> Bench {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let publish = {
        let heard = heard.clone();
        Box::new(move |batch: Arc<Published>| {
            let positions = batch.events.iter().map(|(event, _)| event.position);
            heard.lock().expect("no panics").extend(positions);
        })
    };
    let (port, writer, ledger) = made(publish).await;
    Bench { port, ledger, heard, running: tokio::spawn(writer.run()) }
}

/// A writer that does not work yet.
async fn made(publish: Publish) -> (MemoryLog, Writer<MemoryLog>, Ledger) {
    let mut port = MemoryLog::new();
    let (term, _) = port.open().await.expect("a new log opens");
    let mut view = View::default();
    view.lineage = 9;
    let (writer, ledger) = Writer::new(port.another(), term, view, World::simulated(1, 1), publish);
    (port, writer, ledger)
}

/// A writer on a thread of its own.
async fn threaded(publish: Publish) -> Bench {
    let (port, writer, ledger) = made(publish).await;
    Bench { port, ledger, heard: Arc::default(), running: writer.start() }
}

impl Bench {
    fn command(&self, message: &str, args: Vec<Value>, request: &str) -> Command {
        let message = MODEL.message(message).expect("a message of the model");
        Command {
            principal: Principal::server("user/test"),
            address: "test".into(),
            auth: "".into(),
            request: request.into(),
            cause: 0,
            now: 1,
            seed: self.ledger.world().seed(),
            body: Intent::Call(Call { message, args, background: false }),
        }
    }

    async fn create(&self, name: &str, request: &str) -> Answer {
        let record = Value::map([("name_label", name.into())]);
        self.ledger.submit(self.command("network.create", vec![record], request)).await
    }

    fn networks(&self) -> usize {
        self.ledger.view().class(ClassId::network).objects.len()
    }

    /// Stops the writer and folds its log anew.
    async fn refold(self) -> (View, View, Vec<Row>) {
        let Bench { mut port, ledger, running, .. } = self;
        let published = View::clone(&ledger.view());
        drop(ledger);
        running.await.expect("the writer ends with its last ledger");
        let rows = port.read(0, usize::MAX).await.expect("readable");
        let mut view = View::default();
        let mut hash = crate::log::hash::GENESIS;
        for row in &rows {
            assert_eq!(crate::log::hash::of_row(&hash, row), row.hash, "the chain is whole");
            hash = row.hash;
            fold(&mut view, &row.event().expect("readable"));
        }
        (published, view, rows)
    }
}

#[tokio::test]
async fn an_answered_change_is_in_the_log_and_in_the_view() {
    let bench = start().await;
    let accepted = bench.create("lan", "").await.expect("accepted");
    assert_eq!(accepted.position, 1);
    let lan =
        bench.ledger.view().find::<network>(accepted.result.as_ref()).cloned().expect("published before answered");
    assert_eq!(&**lan.get(network::name_label), "lan");
    let (published, folded, rows) = bench.refold().await;
    assert_eq!(published.state_hash(), folded.state_hash());
    assert_eq!((rows[0].message.as_ref(), rows[0].principal.as_ref()), ("network.create", "user/test"));
}

#[tokio::test]
async fn what_was_surely_not_written_is_refused_and_leaves_no_trace() {
    let bench = start().await;
    bench.port.inject(Injected::NotWritten);
    assert_eq!(bench.create("lost", "").await.expect_err("not written").code, "INTERNAL_ERROR");
    assert_eq!(bench.networks(), 0);
    assert_eq!(
        bench.create("kept", "").await.expect("the next one is").position,
        2,
        "behind what tells of the failure"
    );
    assert_eq!(*bench.heard.lock().expect("no panics"), [1, 2]);
}

#[tokio::test]
async fn after_an_unknown_outcome_the_head_decides() {
    let bench = start().await;
    bench.port.inject(Injected::UnknownWritten);
    bench.port.fail_heads(2);
    assert_eq!(bench.create("there", "").await.expect("found in the log").position, 1);
    bench.port.inject(Injected::UnknownNotWritten);
    assert!(bench.create("not there", "").await.is_err());
    bench.create("after", "").await.expect("service goes on");
    assert_eq!((bench.networks(), bench.told().len()), (2, 1), "doubts are over, and were told of once");
    let (published, folded, _) = bench.refold().await;
    assert_eq!(published.state_hash(), folded.state_hash());
}

#[tokio::test]
async fn a_writer_that_lost_the_log_steps_down() {
    let bench = start().await;
    bench.create("before", "").await.expect("accepted");
    let (mut other, _) = (bench.port.another(), ());
    other.open().await.expect("the other takes the log");
    assert!(bench.create("fenced", "").await.is_err());
    assert!(bench.create("still fenced", "").await.is_err());
    assert_eq!(bench.networks(), 1);
}

#[tokio::test]
async fn a_retried_call_gets_the_first_answer() {
    let bench = start().await;
    let (first, again) = tokio::join!(bench.create("once", "r1"), bench.create("once", "r1"));
    assert_eq!(first, again, "also within one batch");
    assert_eq!(bench.create("once", "r1").await, first);
    assert_eq!(bench.networks(), 1);
    let missing = vec![Ref([9; 16]).into()];
    let destroy = || bench.ledger.submit(bench.command("network.destroy", missing.clone(), "r2"));
    assert_eq!(destroy().await, destroy().await);
}

#[tokio::test]
async fn a_refusal_rides_with_the_next_batch_and_changes_nothing() {
    let bench = start().await;
    let missing = bench.command("network.destroy", vec![Ref([9; 16]).into()], "");
    assert_eq!(bench.ledger.submit(missing).await.expect_err("not there").code, "HANDLE_INVALID");
    let before = bench.ledger.view().state_hash();
    assert_eq!(bench.ledger.view().position, 0, "it waits for company");
    assert_eq!(bench.create("next", "").await.expect("accepted").position, 1);
    let (published, _, rows) = bench.refold().await;
    assert_ne!(published.state_hash(), before);
    let refused: Vec<&Row> = rows.iter().filter(|row| row.kind == Kind::Refused).collect();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].payload.contains("HANDLE_INVALID"), "{}", refused[0].payload);
}

#[tokio::test]
async fn refusals_are_rate_limited_with_a_count() {
    let bench = start().await;
    for _ in 0..25 {
        let missing = bench.command("network.destroy", vec![Ref([9; 16]).into()], "");
        bench.ledger.submit(missing).await.expect_err("not there");
    }
    bench.ledger.world().advance(Duration::from_secs(2));
    let missing = bench.command("network.destroy", vec![Ref([9; 16]).into()], "");
    bench.ledger.submit(missing).await.expect_err("not there");
    let (_, _, rows) = bench.refold().await;
    let refused = rows.iter().filter(|row| row.kind == Kind::Refused);
    let counts: Vec<u64> = refused.map(|row| row.event().expect("readable").body.repeated).collect();
    assert_eq!(counts, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15], "ten, then one that tells of the rest");
}

#[tokio::test]
async fn a_panic_in_a_decision_is_that_callers_error_only() {
    let bench = start().await;
    let broken = Command {
        body: Intent::Own {
            message: "test.broken",
            kind: Kind::Change,
            decide: Box::new(|_| panic!("BUG: on purpose")),
        },
        ..bench.command("network.create", vec![], "")
    };
    let (broken, fine) = tokio::join!(bench.ledger.submit(broken), bench.create("fine", ""));
    assert_eq!(broken.expect_err("a panic").code, "INTERNAL_ERROR");
    assert!(fine.is_ok());
}

#[tokio::test]
async fn a_caller_that_hangs_up_loses_its_answer_not_its_change() {
    let bench = start().await;
    let command = bench.command("network.create", vec![Value::map([("name_label", "kept".into())])], "");
    let (sender, answer) = oneshot::channel();
    drop(answer);
    let job = Job::Command(Submission { command, answer: Some(sender), rides: false });
    assert!(bench.ledger.jobs.send(&Arc::from("user/test"), job).is_ok());
    bench.create("another", "").await.expect("behind it");
    assert_eq!(bench.networks(), 2);
}

#[tokio::test]
async fn who_calls_in_a_loop_delays_nobody_else() {
    let bench = start().await;
    let command = |principal: &str, nth: usize| Command {
        principal: Principal::server(principal),
        ..bench.command("network.create", vec![Value::map([("name_label", format!("{nth}").into())])], "")
    };
    let ahead = 3 * BATCH_MAX;
    for nth in 0..ahead {
        for busy in ["user/busy", "user/busier"] {
            let sent = bench.ledger.send(Submission { command: command(busy, nth), answer: None, rides: false });
            assert_eq!(sent, Ok(()));
        }
    }
    let quiet = bench.ledger.submit(command("user/quiet", 0)).await.expect("accepted");
    assert_eq!(quiet.position, 3, "one of each before it");
    let head = bench.ledger.view().position;
    let again = bench.ledger.submit(command("user/quiet", 1)).await.expect("accepted");
    assert!(again.position <= head + 3, "{} after {head}: the others wait their turn", again.position);
    let (_, _, rows) = bench.refold().await;
    assert_eq!(rows.len(), 2 * ahead + 2, "everybody is served");
    for busy in ["user/busy", "user/busier"] {
        let theirs = rows.iter().filter(|row| *row.principal == *busy);
        let names: Vec<String> = theirs.map(|row| row.payload.clone()).collect();
        let order = |nth: usize| format!("\"name_label\":\"{nth}\"");
        assert!(names.iter().enumerate().all(|(nth, payload)| payload.contains(&order(nth))), "each in its own order");
    }
}

#[tokio::test]
async fn a_principal_with_too_much_waiting_is_refused_and_nobody_else() {
    let bench = start().await;
    let command = |principal: &str| Command {
        principal: Principal::server(principal),
        ..bench.command("network.create", vec![Value::map([("name_label", "more".into())])], "")
    };
    for _ in 0..lanes::LANE_MAX {
        let sent = bench.ledger.send(Submission { command: command("user/busy"), answer: None, rides: true });
        assert_eq!(sent, Ok(()));
    }
    let refused = bench.ledger.submit(command("user/busy")).await.expect_err("there is no room");
    assert_eq!(refused.code, "TOO_MANY_PENDING_TASKS");
    bench.ledger.submit(command("user/quiet")).await.expect("accepted");
}

impl Bench {
    /// Waits until nothing keeps the log from being written, which no client has to do anything for.
    async fn recovers(&self) {
        for _ in 0..2000 {
            if self.ledger.trouble().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("still in trouble: {:?}", self.ledger.trouble());
    }

    /// Names and texts of what people were told.
    fn told(&self) -> Vec<(String, String)> {
        let view = self.ledger.view();
        let told = view.all::<message>();
        told.map(|one| (one.get(message::name).to_string(), one.get(message::body).to_string())).collect()
    }
}

#[tokio::test]
async fn service_resumes_by_itself_and_people_are_told() {
    let bench = start().await;
    bench.create("before", "").await.expect("accepted");
    bench.port.keep_injecting(Some(Injected::NotWritten));
    for name in ["lost", "lost too"] {
        let refused = bench.create(name, "").await.expect_err("not written");
        assert_eq!(refused.code, "INTERNAL_ERROR");
        assert_eq!(refused.params[..], ["the change was not made: the log cannot be written: injected"]);
        assert!(is_of_the_log(&refused));
    }
    let trouble = bench.ledger.trouble().expect("health checks see it");
    assert_eq!((trouble.since, &*trouble.cause), (1, "injected"));
    assert_eq!((bench.networks(), bench.ledger.view().position), (1, 1), "reads go on, and see nothing of it");
    bench.port.keep_injecting(None);
    bench.recovers().await;
    let told = bench.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "LOG_WRITE_FAILED");
    assert!(told[0].1.contains("2 changes were refused: injected"), "{told:?}");
    bench.create("after", "").await.expect("accepted");
    let (published, folded, rows) = bench.refold().await;
    assert_eq!((published.state_hash(), rows.len()), (folded.state_hash(), 3));
}

#[tokio::test]
async fn what_comes_and_goes_is_told_of_once() {
    let bench = start().await;
    for _ in 0..5 {
        bench.port.inject(Injected::NotWritten);
        bench.create("lost", "").await.expect_err("not written");
        bench.create("kept", "").await.expect("the next one is");
    }
    assert_eq!((bench.networks(), bench.told().len()), (5, 1));
    assert_eq!(bench.ledger.trouble(), None);
}

/// As long as nobody knows whether a batch is there nothing is written, however long that takes; then its truth comes out.
#[tokio::test]
async fn a_doubt_may_last() {
    for (outcome, there) in [(Injected::UnknownWritten, true), (Injected::UnknownNotWritten, false)] {
        let bench = start().await;
        bench.port.inject(outcome);
        bench.port.fail_heads(u32::MAX);
        let (first, second) = tokio::join!(bench.create("in doubt", "r1"), async {
            while bench.ledger.trouble().is_none() {
                tokio::task::yield_now().await;
            }
            bench.create("refused at once", "").await
        });
        let why = first.expect_err("nobody knows").params[0].clone();
        assert!(why.starts_with("it is not known whether the change was made"), "{why}");
        let why = second.expect_err("nothing is written").params[0].clone();
        assert!(why.starts_with("the change was not made"), "{why}");
        assert_eq!((bench.networks(), bench.heard.lock().expect("no panics").len()), (0, 0));
        bench.port.fail_heads(0);
        bench.recovers().await;
        assert_eq!(bench.networks(), usize::from(there), "{outcome:?}");
        let again = bench.create("in doubt", "r1").await.expect("accepted");
        assert_eq!(bench.networks(), 1, "{outcome:?}: a retry finds the first answer if there was one");
        assert_eq!(again.position == 1, there);
        let (published, folded, _) = bench.refold().await;
        assert_eq!(published.state_hash(), folded.state_hash());
    }
}

#[tokio::test]
async fn refusals_outlast_a_batch_that_failed() {
    let bench = start().await;
    let missing = bench.command("network.destroy", vec![Ref([9; 16]).into()], "");
    bench.ledger.submit(missing).await.expect_err("not there");
    bench.port.inject(Injected::NotWritten);
    bench.create("lost", "").await.expect_err("not written");
    bench.create("kept", "").await.expect("accepted");
    let (_, _, rows) = bench.refold().await;
    assert_eq!(rows.iter().filter(|row| row.kind == Kind::Refused).count(), 1);
}

#[tokio::test]
async fn a_clock_that_goes_back_is_told_of_and_hinders_nobody() {
    let bench = start().await;
    bench.ledger.world().advance(Duration::from_secs(1000));
    let now = |bench: &Bench| {
        let record = Value::map([("name_label", "x".into())]);
        Command { now: bench.ledger.world().now(), ..bench.command("network.create", vec![record], "") }
    };
    bench.ledger.submit(now(&bench)).await.expect("accepted");
    let newest = bench.ledger.view().time;
    bench.ledger.world().turn_back(Duration::from_secs(600));
    for _ in 0..3 {
        bench.ledger.submit(now(&bench)).await.expect("accepted");
        assert_eq!(bench.ledger.view().time, newest, "the log's time never falls");
    }
    let told = bench.told();
    assert_eq!(told.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["HOST_CLOCK_WENT_BACKWARDS"]);
    assert_eq!(bench.ledger.trouble(), None);
    bench.ledger.world().advance(Duration::from_secs(700));
    bench.ledger.submit(now(&bench)).await.expect("accepted");
    assert_eq!(bench.ledger.view().time, newest + 100_000_000);
}

/// Makes a change and says which thread has published it, which may be after its answer.
async fn publisher(bench: &Bench, published: &Mutex<Option<ThreadId>>, name: &str) -> ThreadId {
    *published.lock().expect("no panics") = None;
    bench.create(name, "").await.expect("accepted");
    loop {
        let there = *published.lock().expect("no panics");
        match there {
            Some(there) => return there,
            None => std::thread::yield_now(),
        }
    }
}

/// Makes changes one after the other until the writer has published one on this thread; gives up in the end.
async fn alone(bench: &Bench, published: &Mutex<Option<ThreadId>>) {
    for nth in 0..100_000 {
        let here = std::thread::current().id();
        if publisher(bench, published, &format!("lan-{nth}")).await == here {
            return;
        }
        std::thread::yield_now(); // the writer's own thread is about to end its turn
    }
    panic!("nobody who came alone did the work himself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_alone_does_the_work_and_so_does_one_of_a_crowd() {
    let (published, in_crowd) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(HashSet::new())));
    let (noted, together) = (published.clone(), in_crowd.clone());
    let note = move |batch: Arc<Published>| {
        let here = std::thread::current().id();
        *noted.lock().expect("no panics") = Some(here);
        if batch.events.len() > 1 {
            together.lock().expect("no panics").insert(here);
        }
    };
    let bench = Arc::new(threaded(Box::new(note)).await);
    let writers_own = publisher(&bench, &published, "the first is the thread's").await;
    let caller = bench.clone();
    tokio::spawn(async move { alone(&caller, &published).await }).await.expect("who comes alone is served");
    let crowd = (0..64).map(|nth| {
        let (bench, in_crowd) = (bench.clone(), in_crowd.clone());
        let one_did = move || in_crowd.lock().expect("no panics").iter().any(|thread| *thread != writers_own);
        tokio::spawn(async move {
            for round in 0..10_000 {
                bench.create(&format!("crowd-{nth}-{round}"), "").await.expect("accepted");
                if round > 20 && one_did() {
                    return;
                }
            }
            panic!("nobody of a crowd did the work");
        })
    });
    for caller in crowd.collect::<Vec<_>>() {
        caller.await.expect("all are served");
    }
    assert!(bench.networks() > 64 * 20);
    let bench = Arc::into_inner(bench).expect("the callers are gone");
    let (published, folded, _) = bench.refold().await;
    assert_eq!(published.state_hash(), folded.state_hash());
}

/// The thread that reads a client's bytes has the turn; while that does not end, the other one reads what comes. Which of
/// the two waits at the sockets is chance, so there are some rounds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_stalls_in_a_callers_turn_keeps_nobody_from_the_sockets() {
    const ROUNDS: usize = 20;
    let (stalls, stalled) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (release, released) = std::sync::mpsc::channel();
    let (published, noted, stall) = (Arc::new(Mutex::new(None)), stalls.clone(), stalled.clone());
    let heard = published.clone();
    let note = move |_| {
        *heard.lock().expect("no panics") = Some(std::thread::current().id());
        if noted.swap(false, Ordering::SeqCst) {
            stall.store(true, Ordering::SeqCst);
            let read = released.recv_timeout(Duration::from_secs(60));
            read.expect("somebody reads the other socket while the disk stalls");
        }
    };
    let bench = Arc::new(threaded(Box::new(note)).await);
    for _ in 0..ROUNDS {
        let (mut client, served) = pair().await;
        let (mut other, read) = pair().await;
        let (bench, published) = (bench.clone(), published.clone());
        let (stalls, stalled, release) = (stalls.clone(), stalled.clone(), release.clone());
        let reads = tokio::spawn(async move {
            read.readable().await.expect("bytes");
            release.send(()).expect("the turn waits for it");
        });
        let serves = tokio::spawn(async move {
            alone(&bench, &published).await;
            stalls.store(true, Ordering::SeqCst);
            served.readable().await.expect("bytes");
            bench.create("slow", "").await.expect("accepted");
        });
        let clients = std::thread::spawn(move || {
            client.write_all(b"a call").expect("sent");
            while !stalled.swap(false, Ordering::SeqCst) {
                std::thread::yield_now();
            }
            other.write_all(b"another").expect("sent");
        });
        serves.await.expect("served");
        reads.await.expect("read");
        clients.join().expect("sent");
    }
}

/// Behind a slow append everybody is the thread's for a while, who comes alone too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_disk_is_waited_for_by_the_writers_own_thread() {
    let (published, slow) = (Arc::new(Mutex::new(None)), Arc::new(AtomicBool::new(false)));
    let (noted, slows) = (published.clone(), slow.clone());
    let note = move |_| *noted.lock().expect("no panics") = Some(std::thread::current().id());
    let bench = threaded(Box::new(note)).await;
    let world = bench.ledger.world().clone();
    bench.port.before_append(move || {
        if slows.swap(false, Ordering::SeqCst) {
            world.advance(Duration::from_micros(turns::QUICK as u64 + 1));
        }
    });
    tokio::spawn(async move {
        alone(&bench, &published).await;
        slow.store(true, Ordering::SeqCst);
        bench.create("slow", "").await.expect("accepted");
        for nth in 0..8 {
            let here = std::thread::current().id();
            let there = publisher(&bench, &published, &format!("after-{nth}")).await;
            assert_ne!(there, here, "{nth}");
        }
    })
    .await
    .expect("served");
}

/// A client's end of a connection, and the server's.
async fn pair() -> (std::net::TcpStream, tokio::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let client = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    (client, listener.accept().await.expect("it connected").0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_callers_turn_ends_the_writer() {
    let published = Arc::new(Mutex::new(None));
    let broken = Arc::new(AtomicBool::new(false));
    let (noted, breaks) = (published.clone(), broken.clone());
    let note = move |_| {
        let here = std::thread::current().id();
        *noted.lock().expect("no panics") = Some(here);
        assert!(!breaks.load(Ordering::Relaxed), "a log that does not fold");
    };
    let bench = threaded(Box::new(note)).await;
    tokio::spawn(async move {
        alone(&bench, &published).await;
        broken.store(true, Ordering::Relaxed);
        while bench.create("one more", "").await.is_ok() {}
        let ended = bench.running.await.expect_err("it ends with the panic");
        assert!(ended.is_panic());
    })
    .await
    .expect("nothing hangs");
}
