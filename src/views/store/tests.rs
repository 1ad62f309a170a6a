//! The store against the view that it is written from.

use super::*;
use crate::command::draft::{Draft, Fields};
use crate::command::{self, Command, Intent, Principal};
use crate::event::{Event, Kind};
use crate::log::Row;
use crate::model::{SR, VBD, VDI, VM, VM_metrics};
use crate::value::{Ref, Value};
use crate::views::{ClassView, fold};
use crate::world::World;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Decides one event on the view and folds it in, as the writer does.
pub fn change(view: &mut View, world: &World, edit: impl FnOnce(&mut Draft) + Send + 'static) -> Row {
    let decide = Box::new(|draft: &mut Draft| {
        edit(draft);
        Ok(Value::Void)
    });
    let command = Command {
        principal: Principal::server("test"),
        address: "192.0.2.1".into(),
        auth: "".into(),
        request: "".into(),
        cause: 0,
        now: world.now(),
        seed: world.seed(),
        body: Intent::Own { message: "test.change", kind: Kind::Change, decide },
    };
    let decision = command::decide(view, command).expect("a change that is allowed");
    let event = Event {
        kind: decision.kind,
        lineage: 7,
        term: 1,
        position: view.position + 1,
        time: world.now(),
        principal: "test".into(),
        message: decision.message,
        request: "".into(),
        cause: 0,
        body: decision.body.unwrap_or_default(),
    };
    let row = Row::of(&event, &view.hash);
    fold(view, &event);
    view.hash = row.hash;
    row
}

pub fn world() -> World {
    World::simulated(1_700_000_000_000_000, 1)
}

/// Events that use every kind of value: machines with disks, a deletion, a change of each form.
pub fn sample(view: &mut View, world: &World) -> Vec<Row> {
    let mut rows = Vec::new();
    for number in 0..20 {
        rows.push(change(view, world, move |draft| add_machine(draft, number)));
    }
    let vms: Vec<Ref> = view.all::<VM>().map(|vm| vm.reference).collect();
    let vbds: Vec<Ref> = view.all::<VBD>().map(|vbd| vbd.reference).collect();
    let (first, second, vbd) = (vms[0], vms[1], vbds[3]);
    rows.push(change(view, world, move |draft| {
        draft.set(first, VM::name_label, "O'Brien \"quoted\" \u{1F600}\n");
        draft.set(first, VM::other_config, Value::map([("a", Value::text("1")), ("b", Value::text("2"))]));
        draft.set(first, VM::tags, Value::set([Value::text("x"), Value::text("y")]));
    }));
    rows.push(change(view, world, move |draft| draft.delete::<VBD>(vbd)));
    rows.push(change(view, world, move |draft| draft.set(second, VM::other_config, Value::map([("b", "3".into())]))));
    rows
}

fn add_machine(draft: &mut Draft, number: i64) {
    let sr = draft.create(Fields::<SR>::new().with(SR::name_label, format!("sr{number}")));
    let metrics =
        draft.create(Fields::<VM_metrics>::new().with(VM_metrics::start_time, Value::Time(1_700_000_000_000_000)));
    let vm = draft.create(
        Fields::<VM>::new()
            .with(VM::name_label, format!("vm{number}"))
            .with(VM::memory_static_max, 1_i64 << (30 + number))
            .with(VM::HVM_shadow_multiplier, 1.5)
            .with(VM::is_a_template, number % 2 == 0)
            .with(VM::power_state, "Running")
            .with(VM::metrics, metrics)
            .with(VM::current_operations, Value::map([("OpaqueRef:x", Value::Enum("start"))])),
    );
    let vdi = draft.create(Fields::<VDI>::new().with(VDI::SR, sr));
    draft.create(Fields::<VBD>::new().with(VBD::VM, vm).with(VBD::VDI, vdi));
    draft.create(Fields::<VBD>::new().with(VBD::VM, vm));
}

/// Asserts that two views cannot be told apart.
pub fn assert_same(left: &View, right: &View) {
    assert_eq!((left.lineage, left.position, left.time), (right.lineage, right.position, right.time));
    assert_eq!(left.hash, right.hash);
    assert_eq!(left.state_hash(), right.state_hash());
    for class in CLASSES {
        let (a, b) = (left.class(class.id), right.class(class.id));
        assert_eq!(a.objects, b.objects, "objects of {}", class.name);
        let order = |view: &ClassView| {
            let changed = view.changed(0).map(|object| (object.modified, object.reference));
            changed.collect::<BTreeSet<_>>()
        };
        assert_eq!(order(a), order(b), "order of {}", class.name);
        assert_eq!(a.deleted, b.deleted, "deletions of {}", class.name);
        assert_eq!(a.floor, b.floor, "floor of {}", class.name);
        assert_eq!(a.uuids, b.uuids, "uuids of {}", class.name);
        for (field, _) in class.fields.iter().enumerate().filter(|(_, field)| field.far.is_some()) {
            for reference in a.objects.keys() {
                let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
                left.each_far(class.id, field, *reference, |far| of_left.push(far));
                right.each_far(class.id, field, *reference, |far| of_right.push(far));
                assert_eq!(of_left, of_right);
            }
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

async fn stored(data: &Path) -> View {
    load(data).await.expect("a store that can be loaded")
}

async fn sql<T: Send + Unpin + for<'r> sqlx::FromRow<'r, sqlx::sqlite::SqliteRow>>(data: &Path, sql: &str) -> Vec<T> {
    let options = SqliteConnectOptions::new().filename(data.join(FILE)).read_only(true);
    let mut connection = options.connect().await.expect("the store opens");
    let rows = sqlx::query_as(AssertSqlSafe(sql.to_string())).fetch_all(&mut connection).await;
    rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

#[test]
fn folding_and_replaying_give_the_same_view() {
    let (world, mut view, mut replayed) = (world(), View::default(), View::default());
    for row in sample(&mut view, &world).into_iter().chain(sample(&mut view, &world)) {
        crate::views::replay(&mut replayed, &row.event().expect("readable"));
        replayed.hash = row.hash;
    }
    assert_same(&replayed, &view);
}

#[tokio::test]
async fn a_closed_store_gives_the_same_view() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let store = Store::open(data.path(), None).await.expect("a new store");
    store.close(&view).await.expect("closed");
    assert_same(&stored(data.path()).await, &view);
}

#[tokio::test]
async fn a_store_killed_after_any_write_gives_what_was_written() {
    let (data, world, mut view) = (folder(), world(), View::default());
    let mut store = Store::open(data.path(), None).await.expect("a new store");
    let mut rows = Vec::new();
    rows.extend(sample(&mut view, &world));
    let mut replayed = View::default();
    for row in rows {
        fold(&mut replayed, &row.event().expect("readable"));
        replayed.hash = row.hash;
        store.write(&replayed).await.expect("written");
        assert_same(&stored(data.path()).await, &replayed);
    }
    drop(store);
    let loaded = stored(data.path()).await;
    assert_same(&loaded, &view);
    let mut store = Store::open(data.path(), Some(Mark::of(&loaded))).await.expect("opened again");
    sample(&mut view, &world);
    store.write(&view).await.expect("written");
    drop(store);
    assert_same(&stored(data.path()).await, &view);
}

#[tokio::test]
async fn after_a_power_cut_only_a_closed_store_is_believed() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let mut store = Store::open(data.path(), None).await.expect("a new store");
    store.write(&view).await.expect("written");
    super::run(&mut store.connection, "UPDATE meta SET boot = 'another'").await.expect("updated");
    assert!(load(data.path()).await.is_none());
    store.close(&view).await.expect("closed");
    assert_same(&stored(data.path()).await, &view);
    // Opening a closed store takes the promise back before anything else is written.
    let store = Store::open(data.path(), Some(Mark::of(&view))).await.expect("opened again");
    drop(store);
    let meta: Vec<(bool, String)> = sql(data.path(), "SELECT clean, boot FROM meta").await;
    assert_eq!(meta, [(false, crate::world::boot_id())]);
}

#[tokio::test]
async fn what_cannot_be_read_is_no_store() {
    let (data, world, mut view) = (folder(), world(), View::default());
    assert!(load(data.path()).await.is_none(), "there is none yet");
    std::fs::write(data.path().join(FILE), "this is no database").expect("written");
    assert!(load(data.path()).await.is_none());
    sample(&mut view, &world);
    let mut store = Store::open(data.path(), None).await.expect("made anew");
    store.write(&view).await.expect("written");
    assert!(load(data.path()).await.is_some());
    for damage in [
        "UPDATE object SET record = '{\"no_such_field\":1}' WHERE class = 'VM'",
        "UPDATE object SET record = '{\"power_state\":\"Flying\"}' WHERE class = 'VM'",
        "UPDATE object SET class = 'submarine' WHERE class = 'VM'",
        "UPDATE meta SET version = 99",
        "DELETE FROM meta",
        "DROP TABLE deleted",
    ] {
        super::run(&mut store.connection, "SAVEPOINT whole").await.expect("begun");
        super::run(&mut store.connection, damage).await.expect("damaged");
        super::run(&mut store.connection, "RELEASE whole").await.expect("committed");
        assert!(load(data.path()).await.is_none(), "{damage}");
        drop(store);
        store = Store::open(data.path(), None).await.expect("made anew");
        store.write(&view).await.expect("written");
        assert_same(&stored(data.path()).await, &view);
    }
}

#[tokio::test]
async fn every_class_can_be_selected_with_all_its_columns() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let store = Store::open(data.path(), None).await.expect("a new store");
    store.close(&view).await.expect("closed");
    for class in CLASSES {
        let columns: Vec<String> = schema::columns(class).map(|name| format!("\"{name}\"")).collect();
        let name = schema::view_name(class);
        let text = columns.iter().map(|column| format!("CAST({column} AS TEXT)")).collect::<Vec<_>>().join("||'|'||");
        let rows: Vec<(String,)> = sql(data.path(), &format!("SELECT coalesce({text}, 'null') FROM \"{name}\"")).await;
        assert_eq!(rows.len(), view.class(class.id).objects.len(), "{name}");
        let types = sql::<(i64,)>(data.path(), &format!("SELECT count(*) FROM pragma_table_info('{name}')")).await;
        assert_eq!(types, [(columns.len() as i64,)], "{name} has exactly its public fields");
    }
}

#[tokio::test]
async fn columns_read_like_the_api() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let store = Store::open(data.path(), None).await.expect("a new store");
    store.close(&view).await.expect("closed");
    let vm = view.all::<VM>().find(|vm| &**vm.get(VM::name_label) == "vm4").expect("it was added");
    type Row = (String, String, bool, i64, f64, String, String, String);
    let row: Vec<Row> = sql(
        data.path(),
        "SELECT ref, power_state, is_a_template, memory_static_max, HVM_shadow_multiplier, affinity, \
         current_operations, other_config FROM vm WHERE name_label = 'vm4'",
    )
    .await;
    let expected = (
        vm.reference.to_string(),
        "Running".to_string(),
        true,
        1 << 34,
        1.5,
        "OpaqueRef:NULL".to_string(),
        "{\"OpaqueRef:x\":\"start\"}".to_string(),
        "{}".to_string(),
    );
    assert_eq!(row, [expected]);
    let mut disks: Vec<String> = view.far(VM::VBDs, vm.reference).iter().map(Ref::to_string).collect();
    disks.sort();
    let far: Vec<(String,)> = sql(data.path(), "SELECT VBDs FROM vm WHERE name_label = 'vm4'").await;
    let mut listed: Vec<String> = serde_json::from_str(&far[0].0).expect("JSON");
    listed.sort();
    assert_eq!(listed, disks);
    let joined: Vec<(String,)> = sql(
        data.path(),
        "SELECT m.start_time FROM vm JOIN vm_metrics AS m ON vm.metrics = m.ref WHERE vm.name_label = 'vm4'",
    )
    .await;
    assert_eq!(joined, [("2023-11-14T22:13:20Z".to_string(),)]);
}

/// Whatever is written together: indexes are written again only where they are concerned.
#[tokio::test]
async fn far_sides_follow_what_changes() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let mut store = Store::open(data.path(), None).await.expect("a new store");
    let machines: Vec<Ref> = view.all::<VM>().map(|vm| vm.reference).take(2).collect();
    let disk = view.far(VM::VBDs, machines[0])[0];
    type Edit = fn(&mut Draft, Ref, Ref);
    const MARKED: Edit = |draft, disk, _| draft.set(disk, VBD::unpluggable, true);
    const MOVED: Edit = |draft, disk, machine| draft.set(disk, VBD::VM, machine);
    const NOWHERE: Edit = |draft, disk, _| draft.set(disk, VBD::VM, Ref::NULL);
    const GONE: Edit = |draft, disk, _| draft.delete::<VBD>(disk);
    const MADE: Edit = |draft, disk, machine| {
        draft.create_as(disk, Fields::<VBD>::new().with(VBD::VM, machine));
    };
    let steps: [(usize, &[Edit]); 9] = [
        (0, &[]),
        (0, &[MARKED]),
        (1, &[MOVED]),
        (0, &[MOVED, MARKED]),
        (1, &[GONE, MADE]),
        (1, &[GONE, MADE]), // another one, which is found as the last one was
        (1, &[NOWHERE]),
        (1, &[MOVED]),
        (1, &[GONE]),
    ];
    for (step, (at, edits)) in steps.into_iter().enumerate() {
        for &edit in edits {
            let machine = machines[at];
            change(&mut view, &world, move |draft| edit(draft, disk, machine));
        }
        store.write(&view).await.expect("written");
        let found: Vec<(String, String)> = sql(data.path(), "SELECT ref, VBDs FROM vm").await;
        for (vm, disks) in found {
            let listed: BTreeSet<String> = serde_json::from_str(&disks).expect("JSON");
            let known = view.far(VM::VBDs, Ref::parse(&vm).expect("a reference"));
            assert_eq!(listed, known.iter().map(Ref::to_string).collect(), "step {step}");
        }
    }
}

#[tokio::test]
async fn far_sides_cost_nothing_when_not_selected_and_a_search_when_they_are() {
    let data = folder();
    drop(Store::open(data.path(), None).await.expect("a new store"));
    let plan = async |columns: &str| {
        let sql_text = format!("EXPLAIN QUERY PLAN SELECT {columns} FROM vm");
        let plan: Vec<(i64, i64, i64, String)> = sql(data.path(), &sql_text).await;
        plan.into_iter().map(|row| row.3).collect::<Vec<_>>().join("\n")
    };
    let cheap = plan("name_label, power_state").await;
    assert!(!cheap.contains("SUBQUERY"), "{cheap}");
    let searched = plan("VBDs").await;
    assert!(searched.contains("SEARCH h USING") && searched.contains("object_VBD_VM"), "{searched}");
}

#[tokio::test]
async fn deletions_that_the_view_forgot_are_forgotten_here_too() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let mut store = Store::open(data.path(), None).await.expect("a new store");
    store.write(&view).await.expect("written");
    let vbds: Vec<Ref> = view.all::<VBD>().map(|vbd| vbd.reference).collect();
    for vbd in vbds.into_iter().take(5) {
        change(&mut view, &world, move |draft| draft.delete::<VBD>(vbd));
    }
    let class = view.class_mut(crate::model::ClassId::VBD);
    let forgotten: Vec<_> = class.deleted.keys().copied().take(4).collect();
    for key in &forgotten {
        class.deleted.remove(key);
        class.floor = key.0;
    }
    store.write(&view).await.expect("written");
    assert_same(&stored(data.path()).await, &view);
}

#[tokio::test]
async fn the_follower_writes_behind_and_closes_at_the_end() {
    let (data, world, mut view) = (folder(), world(), View::default());
    let started = Follower::start(data.path(), Arc::new(view.clone()), None, world.clone()).await;
    let follower = started.expect("it starts");
    let newest = follower.feed();
    for number in 0..10 {
        change(&mut view, &world, move |draft| add_machine(draft, number));
        newest.send_replace(Arc::new(view.clone()));
        world.advance(Duration::from_millis(700));
        tokio::task::yield_now().await;
    }
    follower.close().await;
    let found = read(data.path()).await.expect("readable");
    assert_same(&found.view, &view);
    assert!(found.trusted);
}

#[tokio::test]
async fn the_sqlite_program_reads_while_the_store_is_written() {
    let (data, world, mut view) = (folder(), world(), View::default());
    sample(&mut view, &world);
    let mut store = Store::open(data.path(), None).await.expect("a new store");
    store.write(&view).await.expect("written");
    let mut program = std::process::Command::new("sqlite3");
    program.arg(data.path().join(FILE)).arg("SELECT name_label, power_state FROM vm WHERE name_label = 'vm7'");
    let Ok(output) = program.output() else { return eprintln!("skipped: there is no sqlite3 here") };
    assert_eq!(String::from_utf8_lossy(&output.stdout), "vm7|Running\n");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    store.write(&view).await.expect("still written");
}

/// How long a start takes; for people: `cargo test --release --lib store -- --ignored --nocapture`.
#[tokio::test]
#[ignore = "prints figures"]
async fn figures() {
    let (data, world, mut view) = (folder(), world(), View::default());
    for _ in 0..100 {
        change(&mut view, &world, |draft| (0..20).for_each(|number| add_machine(draft, number)));
    }
    let vdis: Vec<Ref> = view.all::<VDI>().map(|vdi| vdi.reference).take(1000).collect();
    change(&mut view, &world, move |draft| vdis.into_iter().for_each(|vdi| draft.delete::<VDI>(vdi)));
    let class = view.class_mut(crate::model::ClassId::task);
    for _ in 0..100_000_u64 {
        class.deleted.insert((1, crate::world::Ids::new(world.seed()).draw()), 1);
    }
    let objects: usize = view.counts().map(|(_, count)| count).sum();
    let begun = std::time::Instant::now();
    let mut store = Store::open(data.path(), None).await.expect("a new store");
    store.write(&view).await.expect("written");
    eprintln!("{objects} objects written in {:?}", begun.elapsed());
    store.close(&view).await.expect("closed");
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        let loaded = stored(data.path()).await;
        eprintln!("{objects} objects and 100,000 deletions loaded in {:?}", begun.elapsed());
        assert_eq!(loaded.state_hash(), view.state_hash());
    }
}
