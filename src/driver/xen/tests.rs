//! The driver with something in `xl`'s and in xenstore's place: what outlives
//! a server, what is undone, what is ended.

use super::xenstore::{DIRECTORY, ERROR, READ, WRITE, tests::daemon};
use super::*;
use crate::driver::Power;
use crate::driver::action::{Config, Disk, DiskWork, Image, Manner, Repository, Texts};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::watch;

const MACHINE: Ref = Ref([5; 16]);
const TASK: Ref = Ref([9; 16]);

/// A host whose domains are files.
struct Lab {
    folder: TempDir,
    _socket: TempDir,
    socket: PathBuf,
}

impl Lab {
    fn new() -> Lab {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["domains", "kernels", "disks"] {
            std::fs::create_dir(at(name)).expect("made");
        }
        for (name, text) in
            [("next", "0"), ("boot", "one"), ("kernels/vmlinuz", ""), ("xl", include_str!("recorded/xl"))]
        {
            std::fs::write(at(name), text).expect("written");
        }
        std::fs::set_permissions(at("xl"), std::fs::Permissions::from_mode(0o755)).expect("made a program");
        let (domains, store) = (at("domains"), at("store"));
        let (_socket, socket) = daemon(move |kind, args| match kind {
            DIRECTORY if args[0] == "/local/domain" => {
                let files = std::fs::read_dir(&domains).expect("there").flatten();
                let names = files.filter_map(|file| file.file_name().into_string().ok());
                (
                    kind,
                    names
                        .filter(|name| !name.starts_with('.'))
                        .flat_map(|name| name.into_bytes().into_iter().chain([0]))
                        .collect(),
                )
            }
            READ if args[0].ends_with("/vm") => {
                let number = args[0].split('/').nth(3).unwrap_or_default();
                let line = std::fs::read_to_string(domains.join(number)).unwrap_or_default();
                match domains::parse(&line).pop() {
                    Some(domain) => (kind, format!("/vm/{}", domain.uuid.uuid_text()).into_bytes()),
                    None => (ERROR, b"ENOENT\0".to_vec()),
                }
            }
            WRITE => {
                std::fs::write(&store, args.join("=")).expect("written");
                (kind, b"OK\0".to_vec())
            }
            DIRECTORY | READ => (ERROR, b"ENOENT\0".to_vec()),
            _ => (kind, format!("{}\0token\0", args[0]).into_bytes()),
        });
        Lab { folder, _socket, socket }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).expect("written");
    }

    /// A server that starts on this host.
    async fn server(&self) -> Xen {
        let options = Options {
            folder: self.at("marks"),
            kernels: vec![self.at("kernels")],
            xl: self.at("xl"),
            socket: self.socket.clone(),
            boot_id: self.at("boot"),
            processors: 2,
        };
        Xen::open(options).await.expect("opened")
    }

    fn config(&self) -> Config {
        let kernel = self.at("kernels/vmlinuz").display().to_string();
        Config {
            machine: MACHINE,
            name: "one".into(),
            memory: 128 << 20,
            memory_max: 128 << 20,
            domain_type: "pvh".into(),
            boot: Texts::from([("kernel".into(), kernel)]),
            ..Config::default()
        }
    }

    fn image(&self, number: u8) -> Image {
        let way = Texts::from([("location".into(), self.at("disks").display().to_string())]);
        Image { disk: Ref([number; 16]), way, ..Image::default() }
    }

    /// How often a command was called.
    fn calls(&self, command: &str) -> usize {
        let calls = std::fs::read_to_string(self.at("calls")).unwrap_or_default();
        calls.lines().filter(|line| line.split(' ').next() == Some(command)).count()
    }

    /// How many machines were being built at once, at the most.
    fn built_at_once(&self) -> i32 {
        let builds = std::fs::read_to_string(self.at("builds")).expect("something was built");
        let at_work = builds.lines().scan(0, |at_work, line| {
            *at_work += if line == "begun" { 1 } else { -1 };
            Some(*at_work)
        });
        at_work.max().unwrap_or(0)
    }

    /// Returns when that many domains are there.
    async fn domains(&self, many: usize) {
        let count = || {
            std::fs::read_dir(self.at("domains"))
                .expect("there")
                .flatten()
                .filter(|file| !file.file_name().to_string_lossy().starts_with('.'))
                .count()
        };
        let reached = async {
            while count() != many {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("that many domains");
    }
}

async fn act(xen: &Xen, task: Ref, action: &Action) -> Result<Facts, ApiError> {
    let (progress, _) = watch::channel(0.0);
    xen.act(task, action, &progress).await
}

/// Begins an action on a server that ends once the domain is there: what it began goes on.
async fn killed(lab: &Lab, action: &Action, domains: usize) {
    let xen = lab.server().await;
    let (progress, _) = watch::channel(0.0);
    tokio::select! {
        done = xen.act(TASK, action, &progress) => panic!("it ended before it was killed: {done:?}"),
        () = lab.domains(domains) => {}
    }
}

#[test]
fn looks_leave_the_host_its_time() {
    let of = |took: u64| rest(Duration::from_millis(took)).as_millis();
    assert_eq!((of(10), of(300), of(1_000), of(9_000)), (200, 900, 1_500, 9_000));
}

#[tokio::test]
async fn a_machine_lives_from_start_to_end() {
    let lab = Lab::new();
    let xen = lab.server().await;
    let started = act(&xen, TASK, &Action::Start(Box::new(lab.config()))).await.expect("started");
    assert_eq!(started.domid, Some(1));
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::Done(started.clone()));
    assert_eq!(act(&xen, TASK, &Action::Start(Box::new(lab.config()))).await.expect("again"), started);
    let seen = xen.observe().await.expect("seen").machines[&MACHINE].clone();
    assert_eq!((seen.power, seen.domid, seen.memory), (Power::Running, 1, 128 << 20));
    act(&xen, Ref([2; 16]), &Action::Pause(MACHINE)).await.expect("paused");
    assert_eq!(xen.observe().await.expect("seen").machines[&MACHINE].power, Power::Paused);
    act(&xen, Ref([3; 16]), &Action::Unpause(MACHINE)).await.expect("unpaused");
    let reboot = Action::Reboot { config: Box::new(lab.config()), clean: true };
    assert_eq!(act(&xen, Ref([4; 16]), &reboot).await.expect("rebooted").domid, Some(2));
    let shutdown = Action::Shutdown { machine: MACHINE, how: Manner::Clean };
    act(&xen, Ref([5; 16]), &shutdown).await.expect("shut down");
    lab.domains(0).await;
    act(&xen, Ref([6; 16]), &shutdown).await.expect("it is down already");
    assert_eq!(act(&xen, Ref([7; 16]), &Action::Pause(MACHINE)).await.expect_err("refused").code, "VM_BAD_POWER_STATE");
}

#[tokio::test]
async fn what_ended_is_cleared_away_and_what_lives_is_not() {
    let lab = Lab::new();
    let xen = lab.server().await;
    act(&xen, TASK, &Action::Start(Box::new(lab.config()))).await.expect("started");
    act(&xen, Ref::NULL, &Action::Clear(MACHINE)).await.expect("nothing to clear away");
    let line = std::fs::read_to_string(lab.at("domains/1")).expect("it lives");
    lab.put("domains/1", &line.replace("-b----", "---sc-"));
    let seen = xen.observe().await.expect("seen").machines[&MACHINE].power;
    assert_eq!(seen, Power::Ended(crate::driver::Ended::Crash));
    act(&xen, Ref::NULL, &Action::Clear(MACHINE)).await.expect("cleared away");
    lab.domains(0).await;
}

#[tokio::test]
async fn a_paused_guest_is_not_asked_to_end_nor_to_suspend() {
    let lab = Lab::new();
    let xen = lab.server().await;
    let config = Config { paused: true, ..lab.config() };
    act(&xen, Ref([1; 16]), &Action::Start(Box::new(config))).await.expect("started");
    let refused = act(&xen, TASK, &Action::Shutdown { machine: MACHINE, how: Manner::Clean }).await;
    assert_eq!(refused.expect_err("refused").code, "VM_BAD_POWER_STATE");
    let refused = act(&xen, TASK, &Action::Suspend { machine: MACHINE, image: lab.image(7) }).await;
    assert_eq!((refused.expect_err("refused").code, lab.calls("save")), ("VM_BAD_POWER_STATE", 0));
    act(&xen, TASK, &Action::Shutdown { machine: MACHINE, how: Manner::CleanThenHard }).await.expect("ended");
    lab.domains(0).await;
}

#[tokio::test]
async fn who_has_ended_is_not_waited_for_to_hear_of_it() {
    let lab = Lab::new();
    let xen = lab.server().await;
    act(&xen, Ref([1; 16]), &Action::Start(Box::new(lab.config()))).await.expect("started");
    lab.put("deaf", "");
    act(&xen, TASK, &Action::Shutdown { machine: MACHINE, how: Manner::Clean }).await.expect("shut down");
    assert_eq!((lab.calls("shutdown"), lab.calls("destroy")), (1, 1));
    lab.domains(0).await;
}

#[tokio::test]
async fn no_more_machines_are_built_at_once_than_there_are_processors() {
    let lab = Lab::new();
    let xen = lab.server().await;
    let start = |number: u8| {
        let config = Config { machine: Ref([number; 16]), ..lab.config() };
        Action::Start(Box::new(config))
    };
    act(&xen, Ref([90; 16]), &start(10)).await.expect("started");
    lab.put("hold", "");
    let starts = (11..16).map(|number| {
        let (xen, start) = (&xen, start(number));
        async move { act(xen, Ref([number; 16]), &start).await }
    });
    let meanwhile = async {
        lab.domains(3).await;
        // Who attaches nothing waits for none of them.
        let shutdown = Action::Shutdown { machine: Ref([10; 16]), how: Manner::Hard };
        act(&xen, Ref([91; 16]), &shutdown).await.expect("shut down");
        lab.domains(2).await;
        std::fs::remove_file(lab.at("hold")).expect("let go");
    };
    let (started, ()) = tokio::join!(futures_util::future::join_all(starts), meanwhile);
    let domids: std::collections::BTreeSet<i64> =
        started.into_iter().filter_map(|facts| facts.expect("started").domid).collect();
    assert_eq!(domids.len(), 5);
    assert_eq!(lab.built_at_once(), 2);
}

#[tokio::test]
async fn what_goes_on_without_its_server_is_waited_for() {
    let lab = Lab::new();
    lab.put("hold", "");
    let start = Action::Start(Box::new(lab.config()));
    killed(&lab, &start, 1).await;
    let xen = lab.server().await;
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::UnderWay);
    std::fs::remove_file(lab.at("hold")).expect("let go");
    assert_eq!(act(&xen, TASK, &start).await.expect("started").domid, Some(1));
    assert_eq!(lab.calls("create"), 1, "it was built once");
}

#[tokio::test]
async fn what_ended_without_its_server_is_done() {
    let lab = Lab::new();
    lab.put("hold", "");
    let start = Action::Start(Box::new(lab.config()));
    killed(&lab, &start, 1).await;
    std::fs::remove_file(lab.at("hold")).expect("let go");
    let xen = lab.server().await;
    xl::wait(&xen.marks.said(TASK)).await.expect("ended");
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::UnderWay);
    assert_eq!(act(&xen, TASK, &start).await.expect("started").domid, Some(1));
    assert_eq!(lab.calls("create"), 1);
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_ended_and_taken_away() {
    let lab = Lab::new();
    lab.put("hold", "");
    killed(&lab, &Action::Start(Box::new(lab.config())), 1).await;
    let xen = lab.server().await;
    xen.discard(TASK).await.expect("discarded");
    lab.domains(0).await;
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::Nothing);
    assert!(!xen.marks.said(TASK).exists());
}

#[tokio::test]
async fn what_somebody_ended_half_way_is_begun_anew() {
    let lab = Lab::new();
    lab.put("hold", "");
    let start = Action::Start(Box::new(lab.config()));
    killed(&lab, &start, 1).await;
    let xen = lab.server().await;
    xl::end(&xen.marks.said(TASK)).await;
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::Unfinished);
    std::fs::remove_file(lab.at("hold")).expect("let go");
    xen.discard(TASK).await.expect("discarded");
    assert_eq!(act(&xen, TASK, &start).await.expect("started").domid, Some(2));
    lab.domains(1).await;
}

#[tokio::test]
async fn what_a_host_had_goes_with_it() {
    let lab = Lab::new();
    let start = Action::Start(Box::new(lab.config()));
    act(&lab.server().await, TASK, &start).await.expect("started");
    std::fs::remove_file(lab.at("domains/1")).expect("the host went down");
    lab.put("boot", "two");
    let xen = lab.server().await;
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::Unfinished, "its machine is gone");
    xen.discard(TASK).await.expect("discarded");
    assert_eq!(act(&xen, TASK, &start).await.expect("started").domid, Some(2));
}

#[tokio::test]
async fn a_saved_machine_is_restored_and_its_image_goes() {
    let lab = Lab::new();
    let xen = lab.server().await;
    act(&xen, Ref([1; 16]), &Action::Start(Box::new(lab.config()))).await.expect("started");
    let suspend = Action::Suspend { machine: MACHINE, image: lab.image(7) };
    lab.put("hold", "");
    {
        let (progress, _) = watch::channel(0.0);
        tokio::select! {
            done = xen.act(TASK, &suspend, &progress) => panic!("it ended before it was killed: {done:?}"),
            () = async { while lab.calls("save") == 0 { tokio::time::sleep(Duration::from_millis(5)).await } } => {}
        }
    }
    let xen = lab.server().await;
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::UnderWay);
    std::fs::remove_file(lab.at("hold")).expect("let go");
    let facts = act(&xen, TASK, &suspend).await.expect("suspended");
    assert!(facts.physical_bytes.is_some());
    assert_eq!(lab.calls("save"), 1);
    lab.domains(0).await;
    let file = disks::path(&lab.image(7)).expect("a path");
    assert!(file.exists());
    let resume = Action::Resume(Box::new(lab.config()), lab.image(7));
    assert_eq!(act(&xen, Ref([3; 16]), &resume).await.expect("resumed").domid, Some(2));
    assert!(!file.exists(), "the image goes with the resume");
    let again = Action::Resume(Box::new(Config { machine: Ref([6; 16]), ..lab.config() }), lab.image(7));
    assert_eq!(act(&xen, Ref([4; 16]), &again).await.expect_err("refused").code, "SUSPEND_IMAGE_NOT_ACCESSIBLE");
}

#[tokio::test]
async fn what_xl_refuses_leaves_nothing() {
    let lab = Lab::new();
    lab.put("fail-create", include_str!("recorded/no-memory.txt"));
    let xen = lab.server().await;
    let refused = act(&xen, TASK, &Action::Start(Box::new(lab.config()))).await.expect_err("refused");
    assert_eq!((refused.code, &*refused.params[1]), ("HOST_NOT_ENOUGH_FREE_MEMORY", &*(7i64 << 20).to_string()));
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::Nothing);
}

#[tokio::test]
async fn a_machine_finds_its_data_before_it_runs() {
    let lab = Lab::new();
    let xen = lab.server().await;
    let store = Texts::from([("vm-data/key".into(), "value".into()), ("../../0/evil".into(), "x".into())]);
    let config = Config { store, ..lab.config() };
    act(&xen, TASK, &Action::Start(Box::new(config))).await.expect("started");
    let written = std::fs::read_to_string(lab.at("store")).expect("written");
    assert_eq!(written, "/local/domain/1/vm-data/key=value");
    assert_eq!(xen.observe().await.expect("seen").machines[&MACHINE].power, Power::Running);
    assert_eq!(lab.calls("unpause"), 1);
}

#[tokio::test]
async fn a_machine_that_was_let_go_before_its_server_ended_is_not_built_again() {
    let lab = Lab::new();
    let store = Texts::from([("vm-data/key".into(), "value".into())]);
    let start = Action::Start(Box::new(Config { store, ..lab.config() }));
    let xen = lab.server().await;
    act(&xen, TASK, &start).await.expect("started");
    // Killed before it could note that it was done.
    let mut mark = xen.marks.get(TASK).expect("read").expect("there");
    mark.reached = None;
    xen.marks.put(&mark).expect("written");
    let xen = lab.server().await;
    assert_eq!(xen.trace(TASK).await.expect("traced"), Trace::UnderWay);
    assert_eq!(act(&xen, TASK, &start).await.expect("started").domid, Some(1));
    assert_eq!((lab.calls("create"), lab.calls("unpause")), (1, 1));
}

#[tokio::test]
async fn disks_are_made_copied_and_removed() {
    let lab = Lab::new();
    let xen = lab.server().await;
    let disks = |work: Vec<(u8, DiskWork)>| {
        let work = work.into_iter().map(|(number, work)| Disk { image: lab.image(number), bytes: 3 << 20, work });
        Action::Disks { machine: None, ends: false, work: work.collect(), options: Texts::new() }
    };
    let path = |number: u8| disks::path(&lab.image(number)).expect("a path");
    let made = act(&xen, Ref([1; 16]), &disks(vec![(1, DiskWork::Make)])).await.expect("made");
    assert_eq!(made.virtual_bytes, Some(3 << 20));
    assert!(made.physical_bytes < Some(1 << 20), "it is sparse");
    let mut contents = vec![0; 3 << 20];
    contents[(2 << 20)..(2 << 20) + 5].copy_from_slice(b"hello");
    std::fs::write(path(1), &contents).expect("written");
    let copies = vec![(2, DiskWork::Clone(lab.image(1))), (3, DiskWork::Copy(lab.image(1)))];
    act(&xen, Ref([2; 16]), &disks(copies)).await.expect("copied");
    assert!(std::fs::read(path(2)).expect("there") == contents && std::fs::read(path(3)).expect("there") == contents);
    act(&xen, Ref([3; 16]), &disks(vec![(4, DiskWork::Move(lab.image(3))), (2, DiskWork::Remove)]))
        .await
        .expect("moved");
    assert_eq!([2, 3, 4].map(|number| path(number).exists()), [false, false, true]);
    let missing = act(&xen, Ref([4; 16]), &disks(vec![(5, DiskWork::Make), (6, DiskWork::Copy(lab.image(9)))])).await;
    assert_eq!(missing.expect_err("refused").code, "SR_BACKEND_FAILURE");
    assert!(!path(5).exists(), "all or none");
    let grown = act(&xen, Ref([5; 16]), &Action::Resize { disk: lab.image(1), bytes: 4 << 20 }).await.expect("grown");
    assert_eq!(grown.virtual_bytes, Some(4 << 20));
    let repository = Repository { kind: "file".into(), device: lab.image(1).way, ..Repository::default() };
    lab.put("disks/debian.iso", "disc");
    let found = act(&xen, Ref::NULL, &Action::Scan(repository)).await.expect("scanned").found;
    let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, [&*Ref([1; 16]).uuid_text(), &*Ref([4; 16]).uuid_text(), "debian.iso"]);
}

#[tokio::test]
async fn a_file_on_a_disk_is_its_first_bytes() {
    let lab = Lab::new();
    let xen = lab.server().await;
    let (image, file) = (lab.image(1), lab.at("copy"));
    std::fs::write(&file, "a database").expect("written");
    assert_eq!(xen.fill(&image, &file).await.expect_err("there is no disk").code, "SR_BACKEND_FAILURE");
    let work = vec![Disk { image: image.clone(), bytes: 1 << 20, work: DiskWork::Make }];
    let made = Action::Disks { machine: None, ends: false, work, options: Texts::new() };
    act(&xen, Ref([1; 16]), &made).await.expect("made");
    for text in ["a database", "another"] {
        std::fs::write(&file, text).expect("written");
        xen.fill(&image, &file).await.expect("filled");
        let disk = std::fs::read(xen.contents(&image).await.expect("a path")).expect("there");
        assert_eq!(disk.len(), 1 << 20, "it keeps its size");
        assert!(disk.starts_with(text.as_bytes()) && disk[text.len()..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn a_repository_is_a_folder_and_nothing_else() {
    let open = |kind: &str, location: &str| {
        let device = Texts::from([("location".into(), location.into())]);
        disks::open(&Repository { kind: kind.into(), device, ..Repository::default() }, false)
            .expect_err("refused")
            .code
    };
    assert_eq!(open("lvm", "/"), "SR_UNKNOWN_DRIVER");
    assert_eq!(open("file", "relative"), "SR_BACKEND_FAILURE");
    assert_eq!(open("file", "/a/../b"), "SR_BACKEND_FAILURE");
    assert_eq!(open("file", "/nowhere/at/all"), "SR_BACKEND_FAILURE");
    let image = |location: &str| Image {
        location: location.into(),
        way: Texts::from([("location".into(), "/srv".into())]),
        ..Image::default()
    };
    assert_eq!(disks::path(&image("debian.iso")).expect("a path"), PathBuf::from("/srv/debian.iso"));
    for outside in ["../x", "/etc/shadow", ".hidden", "a\nb"] {
        assert_eq!(disks::path(&image(outside)).expect_err(outside).code, "INVALID_VALUE");
    }
}

#[tokio::test]
async fn what_does_not_end_or_says_too_much_is_ended() {
    let lab = Lab::new();
    let xl = Xl::new(&lab.at("xl"));
    let said = lab.at("said");
    let stuck = xl.work(&said, &["endless"], Duration::from_millis(300)).await.expect_err("ended");
    assert!(matches!(stuck, xl::Failure::Stuck(_)), "{stuck}");
    assert!(matches!(xl::left(&said).expect("read"), Left::Broken), "no process of it is left");
    let talked = xl.work(&said, &["talk"], Duration::from_secs(60)).await.expect_err("ended");
    assert_eq!(talked.to_string(), "it said too much");
    let talked = xl.ask(&["talk"]).await.expect_err("ended");
    assert_eq!(talked.to_string(), "it said too much");
    lab.put("fail-odd", "no such luck");
    let failed = xl.work(&said, &["odd"], Duration::from_secs(60)).await.expect_err("failed");
    assert_eq!(failed.to_string(), "status 3: no such luck");
    assert_eq!(xl.work(&said, &["even"], Duration::from_secs(60)).await.expect("well").trim(), "done");
    assert!(xl::is(&said, "even") && !xl::is(&said, "ev"));
}

#[tokio::test]
async fn many_at_once_do_not_wait_for_one_that_is_stuck() {
    let lab = Arc::new(Lab::new());
    let xen = Arc::new(lab.server().await);
    lab.put("hold", "");
    let stuck = tokio::spawn({
        let (xen, config) = (xen.clone(), lab.config());
        async move { act(&xen, TASK, &Action::Start(Box::new(config))).await }
    });
    lab.domains(1).await;
    let image = lab.image(1);
    let disk = Disk { image, bytes: 1 << 20, work: DiskWork::Make };
    let make = Action::Disks { machine: None, ends: false, work: vec![disk], options: Texts::new() };
    act(&xen, Ref([1; 16]), &make).await.expect("made meanwhile");
    xen.observe().await.expect("seen meanwhile");
    std::fs::remove_file(lab.at("hold")).expect("let go");
    assert_eq!(stuck.await.expect("ran").expect("started").domid, Some(1));
}

#[test]
fn only_what_may_matter_wakes() {
    for path in ["@releaseDomain", "/local/domain/3", "/local/domain/3/control/shutdown", "/local/domain/3/attr/vif/0"]
    {
        assert!(matters(path), "{path}");
    }
    for path in ["/local/domain/0/backend/vif/3/0/state", "/local/domain/3/data/meminfo_free", "/local/domain/3/cpu/0"]
    {
        assert!(!matters(path), "{path}");
    }
}
