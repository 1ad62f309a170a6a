//! Archives: nothing is lost whenever the server ends between two steps of sealing, what is archived reads as if it were
//! still in the database, and what was damaged in an archive is found.

#[path = "../server/mod.rs"]
mod server;

mod backup;
mod house;
mod program;
mod saved;
mod tamper;
mod versions;

use house::{House, RULES, Watched};
use std::sync::Arc;
use xenledger::event::Kind;
use xenledger::log::archive::keeper::{Keeper, Rules};
use xenledger::log::memory::{Injected, MemoryLog};
use xenledger::log::writer::Writer;
use xenledger::log::{Port, Row, rows::Rows};
use xenledger::views::View;
use xenledger::world::World;

/// A step of sealing, after which the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// While the file is written.
    Begun,
    /// The file is there, and nobody speaks of it.
    Written,
    /// The row of kind `seal` is there, and is not noted.
    Told,
    /// It is noted, and no row went yet.
    Noted,
    /// Some rows went.
    Trimming,
}

const STEPS: [Step; 5] = [Step::Begun, Step::Written, Step::Told, Step::Noted, Step::Trimming];

/// Goes as far as `step` and no further.
async fn seal_until(house: &House, keeper: &mut Keeper, step: Step) {
    let sealed = house.reader.archived().await.expect("readable");
    let after = sealed.as_ref().map_or(0, |sealed| sealed.last);
    let archive = keeper.write(sealed, &house.ledger.view()).await.expect("written");
    let path = house.folder.join(&archive.file);
    if step == Step::Begun {
        let whole = std::fs::read(&path).expect("the file");
        let new =
            house.folder.join(archive.file.replace(&format!("{:020}", archive.last), &format!("{:020}", 0)) + ".new");
        std::fs::write(new, &whole[..whole.len() / 2]).expect("a part of it");
        std::fs::remove_file(&path).expect("it has no name yet");
        return;
    }
    if step == Step::Written {
        return;
    }
    keeper.tell(&archive).await.expect("told");
    if step == Step::Told {
        return;
    }
    house.ledger.seal(archive).await.expect("noted");
    if step == Step::Trimming {
        house.ledger.trim(after + 13, 7).await.expect("trimmed");
    }
}

#[tokio::test]
async fn the_server_may_end_after_every_step() {
    for step in STEPS {
        let mut house = House::new().await;
        let mut expected: Vec<Row> = Vec::new();
        for round in 0..3 {
            house.work(RULES.rows + 3).await;
            expected.extend(house.rows_behind(expected.last().map_or(0, |row| row.position)).await);
            let mut keeper = house.keeper();
            seal_until(&house, &mut keeper, step).await;
            house = house.again().await;
            let keeper = house.keeper();
            keeper.recover().await.unwrap_or_else(|error| panic!("{step:?}, round {round}: {error}"));
            house.whole(&expected).await;
            let (files, noted) = (house.files(), house.reader.archives().await.expect("readable"));
            let named: Vec<_> = noted.iter().map(|(archive, _)| archive.file.clone()).collect();
            assert_eq!(files, named, "{step:?}, round {round}: no file is there that no seal names");
            let sealed = matches!(step, Step::Told | Step::Noted | Step::Trimming);
            assert_eq!(named.len(), if sealed { round + 1 } else { round }, "{step:?}");
            expected.extend(house.rows_behind(expected.last().map_or(0, |row| row.position)).await);
            if !sealed {
                let mut keeper = house.keeper();
                assert!(keeper.seal(1).await.expect("sealed"), "{step:?}: it is done the next time");
            }
            house.trim().await;
            expected.extend(house.rows_behind(expected.last().map_or(0, |row| row.position)).await);
            house.whole(&expected).await;
            assert!(house.first_here().await > 1, "{step:?}: rows went");
        }
    }
}

#[tokio::test]
async fn what_is_too_old_is_archived_and_goes() {
    const HOUR: i64 = 3_600 * 1_000_000;
    let house = House::new().await;
    let mut keeper = house.keeper_with(Rules { keep: 1_000_000, age: Some(HOUR), ..RULES });
    house.work(10).await;
    let old = house.ledger.view().position;
    assert!(!keeper.step(&Default::default()).await.expect("nothing is due"), "few rows, and none of them old");
    house.ledger.world().advance(std::time::Duration::from_secs(2 * 3600));
    house.work(10).await;
    let rows = house.rows_behind(0).await;
    assert!(keeper.step(&Default::default()).await.expect("sealed"), "there are old rows");
    assert_eq!(house.first_here().await, old + 1, "the old ones went, the young ones stay");
    house.whole(&rows).await;
    assert!(!keeper.step(&Default::default()).await.expect("nothing is due"), "what is left is young");
    assert_eq!(house.files().len(), 1);
}

#[tokio::test]
async fn a_long_log_is_caught_up_with_in_ordinary_files() {
    let house = House::new().await;
    house.work(RULES.rows * 5).await;
    let expected = house.rows_behind(0).await;
    let mut keeper = house.keeper();
    keeper.recover().await.expect("nothing to recover");
    while keeper.seal(RULES.rows).await.expect("sealed") {}
    let archives = house.reader.archives().await.expect("readable");
    assert!(archives.len() >= 4, "{archives:?}");
    assert!(archives.iter().all(|(archive, _)| archive.rows <= 2 * RULES.rows), "{archives:?}");
    house.trim().await;
    house.whole(&expected).await;
    for (archive, _) in archives {
        assert_eq!(house.state_at(archive.last).await, archive.state, "the state at {}", archive.last);
    }
}

/// While it wrote a file, the log went on by more than it makes one file of: the next one is folded from there.
#[tokio::test]
async fn who_falls_behind_goes_on_where_he_was() {
    let house = House::new().await;
    house.work(RULES.rows).await;
    let rows = Watched::of(house.reader.clone());
    let mut keeper = Keeper::new(house.ledger.clone(), rows.clone(), house.folder.clone(), RULES);
    let present = house.ledger.view();
    house.work(RULES.rows * 5).await;
    let archive = keeper.write(None, &present).await.expect("written");
    let last = archive.last;
    keeper.tell(&archive).await.expect("told");
    house.ledger.seal(archive).await.expect("noted");
    rows.forget();
    assert!(keeper.seal(RULES.rows).await.expect("sealed"));
    assert_eq!(rows.lowest(), last, "nothing before is read again");
    for (archive, _) in house.reader.archives().await.expect("readable") {
        assert_eq!(house.state_at(archive.last).await, archive.state, "the state at {}", archive.last);
    }
}

/// The port ends the append of the seal as it likes: rows go only when the seal is surely there.
#[tokio::test]
async fn a_seal_that_is_not_written_lets_no_row_go() {
    for (injected, there) in [
        (Injected::NotWritten, false),
        (Injected::UnknownNotWritten, false),
        (Injected::UnknownWritten, true),
        (Injected::Conflict, false),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut port = MemoryLog::new();
        let (term, _) = port.open().await.expect("open");
        let mut view = View::default();
        view.lineage = 9;
        let (writer, ledger) = Writer::new(port.another(), term, view, World::simulated(1, 1), Box::new(|_| ()));
        tokio::spawn(writer.run());
        house::work(&ledger, 60).await;
        let mut keeper = Keeper::new(ledger.clone(), port.another(), folder.path().into(), RULES);
        keeper.recover().await.expect("nothing to recover");
        port.inject(injected);
        let sealed = keeper.seal(RULES.rows).await;
        assert_eq!(sealed.is_ok(), there, "{injected:?}: {sealed:?}");
        assert_eq!(Rows::archived(&port).await.expect("readable").is_some(), there, "{injected:?}");
        let gone = ledger.trim(60, 100).await;
        if injected == Injected::Conflict {
            gone.expect_err("the writer stepped down, for ever");
            continue;
        }
        assert_eq!(gone.expect("asked"), if there { 60 } else { 0 }, "{injected:?}");
        if !there {
            keeper.recover().await.expect("the file is removed");
            assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "{injected:?}");
            assert!(keeper.seal(RULES.rows).await.expect("sealed the next time"));
        }
        let seals = port.read(0, 1000).await.expect("rows");
        assert_eq!(seals.iter().filter(|row| row.kind == Kind::Seal).count(), 1, "{injected:?}");
    }
}

/// Beside writers and readers, and the rows go while somebody reads them.
#[tokio::test]
async fn rows_go_under_readers() {
    let house = Arc::new(House::new().await);
    house.work(RULES.rows).await;
    let reading = tokio::spawn({
        let house = house.clone();
        async move {
            for _ in 0..30 {
                let rows = house.rows_behind(0).await;
                let gap = rows.windows(2).find(|pair| pair[1].position != pair[0].position + 1);
                assert!(gap.is_none() && rows[0].position == 1, "{gap:?}");
                tokio::task::yield_now().await;
            }
        }
    });
    for _ in 0..5 {
        house.work(RULES.rows).await;
        house.keeper().seal(1).await.expect("sealed");
        while house.ledger.trim(u64::MAX, 3).await.expect("trimmed") > 0 {}
    }
    reading.await.expect("it read all rows, always");
}
