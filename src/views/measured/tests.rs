//! Measured values beside a view.

use super::*;
use crate::command::bench::Bench;
use crate::command::draft::Fields;
use crate::model::{host_metrics, subscription};
use crate::views::read::{ReadView, Scope};

fn read(view: &View, class: ClassId, field: usize, object: Ref) -> Value {
    let held = view.object(class, object).expect("there");
    ReadView::new(view, &Scope::All).field(class, field, held)
}

#[test]
fn what_is_measured_is_read_and_is_no_part_of_the_state() {
    let mut bench = Bench::default();
    let metrics = bench.given(|draft| draft.create(Fields::<host_metrics>::new())).as_ref();
    let (before, class) = (bench.view.state_hash(), ClassId::host_metrics);
    let [free, updated] = [host_metrics::memory_free.index, host_metrics::last_updated.index];
    assert_eq!(read(&bench.view, class, free, metrics), Value::Int(0), "its default");
    let told = [(class, metrics, free, Value::Int(7)), (class, metrics, updated, Value::Time(9))];
    bench.view.measured.tell(told);
    let copy = bench.view.clone();
    assert_eq!(read(&copy, class, free, metrics), Value::Int(7), "copies of a view share it");
    assert_eq!(read(&copy, class, updated, metrics), Value::Time(9));
    assert_eq!(copy.state_hash(), before);
    bench
        .own(move |draft| {
            draft.delete::<host_metrics>(metrics);
            Ok(Value::Void)
        })
        .expect("gone");
    bench.view.measured.forget_gone(&bench.view);
    assert_eq!(bench.view.measured.get(class, metrics, free), None);
}

#[test]
fn a_time_is_moved_on_by_its_owner() {
    let (measured, object) = (Measured::default(), Ref([1; 16]));
    let time = measured.time(ClassId::session, object, 3, 5);
    time.store(8, Ordering::Relaxed);
    assert_eq!(measured.get(ClassId::session, object, 3), Some(Value::Time(8)));
    assert!(Arc::ptr_eq(&time, &measured.time(ClassId::session, object, 3, 9)));
}

#[test]
fn lag_follows_from_the_view() {
    let mut bench = Bench::default();
    let made = bench.given(|draft| draft.create(Fields::<subscription>::new().with(subscription::acknowledged, 1)));
    bench.given(|_| ());
    let lag = read(&bench.view, ClassId::subscription, subscription::lag.index, made.as_ref());
    assert_eq!(lag, Value::Int(bench.view.position as i64 - 1));
}
