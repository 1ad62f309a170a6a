//! What a subscriber is told of one event: who did it, why, and of every
//! object that it wants to hear of, what changed, the far sides of relations
//! included. Nothing internal, nothing secret, nothing out of its scope.
//!
//! Must never know where events come from, or how many are told at a time.

use crate::command::subscription::filter;
use crate::error::ApiError;
use crate::event::{Delta, Event};
use crate::model::{CLASS_IDS, ClassId, MODEL, Ty, subscription, task, user};
use crate::value::rendering::{Shared, Weight};
use crate::value::{Encode, Micros, Ref, Value};
use crate::views::filter::{Fields, Filter};
use crate::views::read::{ReadView, Scope};
use crate::views::relations::HOLDING;
use crate::views::{Effect, Object, Token, View};
use bytes::Bytes;
use std::cell::LazyCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What somebody is told of: equal ones share what was rendered.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Want {
    pub filter: Filter,
    pub scope: Scope,
    /// Every change with the whole object after it.
    pub snapshots: bool,
    /// Tasks that name this subscription tell their end to it, whatever the filter says.
    pub notified: Option<Ref>,
    /// The user whose rights changed behind the place that is read from: what came into sight or left it is told. Null
    /// for nobody, so that what is told can be shared.
    pub reader: Ref,
}

/// One event as it is told.
pub struct Delivered {
    pub position: u64,
    pub lineage: u64,
    pub time: Micros,
    pub principal: Arc<str>,
    pub message: Arc<str>,
    task: Ref,
    changes: Vec<Part>,
    scope: Scope,
    /// The view after the event, if any part shows an object.
    view: Option<Arc<View>>,
    shared: Shared,
}

/// One object's part.
struct Part {
    class: ClassId,
    reference: Ref,
    uuid: Value,
    operation: &'static str,
    changed: Vec<(usize, Delta)>,
    /// The end of a task that names this subscription: told whatever changed.
    ended: bool,
    snapshot: Option<Arc<Object>>,
    fields: Fields,
}

/// What an event did to one object in all.
struct Touched<'e> {
    class: ClassId,
    reference: Ref,
    before: Option<&'e Arc<Object>>,
    after: Option<&'e Arc<Object>>,
    fields: Vec<usize>,
}

impl Want {
    /// What is told of a subscription to somebody who may read that much.
    pub fn of(held: &Object, scope: Scope) -> Result<Want, ApiError> {
        let snapshots = held.get(subscription::snapshots);
        Ok(Want { filter: filter(held)?, scope, snapshots, notified: Some(held.reference), reader: Ref::NULL })
    }

    /// The same for a user who reads on from a position.
    pub fn read_by(mut self, view: &View, whose: Ref, from: u64) -> Want {
        let changed = view.find::<user>(whose).is_some_and(|found| found.modified > from);
        self.reader = if changed { whose } else { Ref::NULL };
        self
    }

    /// Whether both are told the same of what is told to nobody alone.
    pub fn is_like(&self, other: &Want) -> bool {
        let Want { filter, scope, snapshots, notified: _, reader } = self;
        (filter, scope, snapshots, reader) == (&other.filter, &other.scope, &other.snapshots, &other.reader)
    }

    /// The same without what is told to one subscription alone.
    pub fn without_notified(&self) -> Want {
        Want { notified: None, ..self.clone() }
    }

    /// What is told of an event; `None` if nothing is. The view after the event is asked for only when it is needed.
    pub fn tell(&self, event: &Event, effects: &[Effect], view: impl FnOnce() -> Arc<View>) -> Option<Delivered> {
        let wanted = effects.iter().any(|effect| self.filter.fields(effect.class, effect.reference).is_some());
        let rights = effects.iter().find(|effect| self.reader == effect.reference && effect.class == ClassId::user);
        if !wanted && rights.is_none() && !self.is_notified(effects) {
            return None;
        }
        let after = LazyCell::new(view);
        let look = || LazyCell::force(&after).clone();
        let mut far = None;
        let mut changes = Vec::new();
        for touched in merged(effects) {
            changes.extend(self.part(&touched, effects, &mut far, &look));
        }
        if let Some(rights) = rights {
            let crossed = self.crossed(rights, &look);
            changes.retain(|part: &Part| !crossed.iter().any(|other| other.reference == part.reference));
            changes.extend(crossed);
        }
        let shown = changes.iter().any(|part| part.snapshot.is_some());
        let scoped = self.scope != Scope::All && !changes.is_empty();
        let view = (shown || scoped).then(look);
        if let Some(view) = view.as_deref().filter(|_| scoped) {
            changes.iter_mut().for_each(|part| part.limit(view, &self.scope));
            changes.retain(|part| part.operation != "mod" || !part.changed.is_empty() || part.ended);
        }
        let task = event.body.task.unwrap_or(Ref::NULL);
        let hidden = view.as_deref().is_some_and(|view| !self.scope.shows_ref(view, ClassId::task, task));
        (!changes.is_empty()).then(|| Delivered {
            position: event.position,
            lineage: event.lineage,
            time: event.time,
            principal: event.principal.clone(),
            message: event.message.clone(),
            task: if hidden { Ref::NULL } else { task },
            changes,
            scope: self.scope.clone(),
            view: view.filter(|_| shown),
            shared: Shared::default(),
        })
    }

    fn part(
        &self,
        touched: &Touched<'_>,
        effects: &[Effect],
        far: &mut Option<FarChanges>,
        view: &dyn Fn() -> Arc<View>,
    ) -> Option<Part> {
        let Touched { class, reference, before, after, fields } = touched;
        let newest = after.or(*before)?;
        if !self.scope.shows(*class, newest) {
            return None;
        }
        let ended = self.notified.is_some_and(|own| concerns(own, *class, *reference, *before, *after));
        let wanted = match self.filter.fields(*class, *reference) {
            Some(wanted) if self.filter.passes(&self.scope, view, *class, newest) => wanted,
            _ if ended => Fields::All,
            _ => return None,
        };
        let (operation, changed) = match (before, after) {
            (None, _) => ("add", Vec::new()),
            (Some(_), None) => ("del", Vec::new()),
            (Some(before), Some(after)) => {
                let shown = fields.iter().copied().filter(|field| wanted.wanted(*field) && is_shown(*class, *field));
                let changed = shown.filter_map(|field| {
                    let delta = match MODEL.far(*class, field) {
                        Some(_) => far.get_or_insert_with(|| far_changes(effects)).of(*class, *reference, field),
                        None => near_change(&before.record[field], &after.record[field]),
                    };
                    Some((field, delta?))
                });
                let mut changed: Vec<(usize, Delta)> = changed.collect();
                changed.sort_by_key(|(field, _)| class.def().fields[*field].name);
                if changed.is_empty() && !ended {
                    return None;
                }
                ("mod", changed)
            }
        };
        let shown = operation == "add" || self.snapshots || ended;
        let snapshot = after.filter(|_| shown).cloned();
        Some(Part { changed, ended, snapshot, ..Part::of(*class, newest, operation, wanted) })
    }

    /// What comes into the reader's sight, or leaves it, because its rights changed.
    fn crossed(&self, rights: &Effect, view: &dyn Fn() -> Arc<View>) -> Vec<Part> {
        let scope = |user: &Option<Arc<Object>>| user.as_deref().map_or_else(Scope::nothing, Scope::of_user);
        let (old, new) = (scope(&rights.before), scope(&rights.after));
        let mut parts = Vec::new();
        if old == new {
            return parts;
        }
        for class in CLASS_IDS.iter().copied().filter(|class| self.filter.names(*class)) {
            for object in view().class(class).objects.values() {
                let Some(fields) = self.filter.fields(class, object.reference) else { continue };
                let (was, is) = (old.shows(class, object), new.shows(class, object));
                // What may not be seen any more is not shown, whatever was allowed then.
                let shown = || self.scope.shows(class, object) && self.filter.passes(&self.scope, view, class, object);
                if was && !is {
                    parts.push(Part::of(class, object, "del", fields));
                } else if is && !was && shown() {
                    let snapshot = Some(object.clone());
                    parts.push(Part { snapshot, ..Part::of(class, object, "add", fields) });
                }
            }
        }
        parts
    }

    /// Whether something is told because it names the subscription.
    pub fn is_notified(&self, effects: &[Effect]) -> bool {
        self.notified.is_some_and(|own| effects.iter().any(|effect| notified(effect) == Some(own)))
    }
}

/// What a subscription is told whatever it asked for: the end of a task that names it, and that there is a gap.
fn concerns(
    own: Ref,
    class: ClassId,
    reference: Ref,
    before: Option<&Arc<Object>>,
    after: Option<&Arc<Object>>,
) -> bool {
    let over = |object: &Object| object.get(task::notify) == own && object.get(task::status) != "pending";
    match class {
        ClassId::task => after.is_some_and(|after| over(after)) && !before.is_some_and(|before| over(before)),
        ClassId::subscription => reference == own && is_gap(before, after),
        _ => false,
    }
}

/// Whether the subscription goes on in another history: a restore began it.
fn is_gap(before: Option<&Arc<Object>>, after: Option<&Arc<Object>>) -> bool {
    let lineage = |held: &Arc<Object>| Token::parse(held.get(subscription::cursor)).map(|token| token.lineage);
    let (Some(before), Some(after)) = (before.and_then(lineage), after.and_then(lineage)) else { return false };
    before != after && before != 0
}

/// The subscription that the effect is told to whatever it asked for.
pub fn notified(effect: &Effect) -> Option<Ref> {
    let after = effect.after.as_ref()?;
    let own = match effect.class {
        ClassId::task => after.get(task::notify),
        ClassId::subscription => effect.reference,
        _ => return None,
    };
    let told = !own.is_null() && concerns(own, effect.class, effect.reference, effect.before.as_ref(), Some(after));
    told.then_some(own)
}

fn is_shown(class: ClassId, field: usize) -> bool {
    let flags = &class.def().fields[field].flags;
    !flags.internal && !flags.secret && !flags.volatile
}

fn near_change(old: &Value, new: &Value) -> Option<Delta> {
    (old != new).then(|| Delta::between(old, new))
}

/// The effects, one an object: an object may be touched by its own change and from a far side.
fn merged(effects: &[Effect]) -> Vec<Touched<'_>> {
    let mut places: HashMap<(ClassId, Ref), usize> = HashMap::with_capacity(effects.len());
    let mut all: Vec<Touched<'_>> = Vec::with_capacity(effects.len());
    for effect in effects {
        let place = *places.entry((effect.class, effect.reference)).or_insert_with(|| {
            all.push(Touched {
                class: effect.class,
                reference: effect.reference,
                before: effect.before.as_ref(),
                after: None,
                fields: Vec::new(),
            });
            all.len() - 1
        });
        let touched = &mut all[place];
        touched.after = effect.after.as_ref();
        let new = effect.fields.iter().filter(|field| !touched.fields.contains(field)).copied().collect::<Vec<_>>();
        touched.fields.extend(new);
    }
    all
}

/// What came to and went from the far sides of relations.
#[derive(Default)]
struct FarChanges(BTreeMap<(ClassId, Ref, usize), Moved>);

/// What came, and what went.
type Moved = (Vec<Value>, Vec<Value>);

impl FarChanges {
    fn of(&self, class: ClassId, reference: Ref, field: usize) -> Option<Delta> {
        let (added, removed) = self.0.get(&(class, reference, field))?.clone();
        Some(Delta::Set { added, removed })
    }
}

fn far_changes(effects: &[Effect]) -> FarChanges {
    let mut changes = FarChanges::default();
    for touched in merged(effects) {
        for &field in &HOLDING[touched.class as usize] {
            let Some((far, far_field)) = MODEL.near(touched.class, field) else { continue };
            let ty = touched.class.def().fields[field].ty;
            let held =
                |object: Option<&Arc<Object>>| object.map(|o| o.record[field].references(ty)).unwrap_or_default();
            let (old, new) = (held(touched.before), held(touched.after));
            let holder = Value::Ref(touched.reference);
            for target in new.iter().filter(|target| !old.contains(target)) {
                changes.0.entry((far, *target, far_field)).or_default().0.push(holder.clone());
            }
            for target in old.iter().filter(|target| !new.contains(target)) {
                changes.0.entry((far, *target, far_field)).or_default().1.push(holder.clone());
            }
        }
    }
    changes
}

impl Part {
    fn of(class: ClassId, object: &Object, operation: &'static str, fields: Fields) -> Part {
        let uuid = MODEL.field(class, "uuid").map_or(Value::text(""), |field| object.record[field].clone());
        let (reference, changed, ended, snapshot) = (object.reference, Vec::new(), false, None);
        Part { class, reference, uuid, operation, changed, ended, snapshot, fields }
    }

    /// Takes out every reference that may not be seen, and what then has not changed.
    fn limit(&mut self, view: &View, scope: &Scope) {
        let class = self.class;
        for (field, delta) in &mut self.changed {
            // The far side of a relation is a set of references, whatever it is stored as.
            let ty = class.def().fields[*field].ty;
            limit_delta(view, scope, ty, delta);
        }
        self.changed.retain(|(_, delta)| match delta {
            Delta::Scalar { old, new } => old != new,
            Delta::Set { added, removed } => !added.is_empty() || !removed.is_empty(),
            Delta::Map { set, removed } => !set.is_empty() || !removed.is_empty(),
        });
    }
}

fn limit_delta(view: &View, scope: &Scope, ty: Ty, delta: &mut Delta) {
    match delta {
        Delta::Scalar { old, new } => {
            *old = scope.limit(view, ty, old.clone());
            *new = scope.limit(view, ty, new.clone());
        }
        Delta::Set { added, removed } => {
            for members in [added, removed] {
                let limited = scope.limit(view, ty, Value::set(members.iter().cloned()));
                *members = limited.as_set().to_vec();
            }
        }
        Delta::Map { set, removed } => {
            let Ty::Map(key, of) = ty else { return };
            let seen = |name: &str| match (key, Ref::parse(name)) {
                (Ty::Ref(class), Some(reference)) => scope.shows_ref(view, *class, reference),
                _ => true,
            };
            set.retain(|(name, ..)| seen(name));
            removed.retain(|(name, _)| seen(name));
            for (_, old, new) in set {
                *old = old.take().map(|old| scope.limit(view, *of, old));
                *new = scope.limit(view, *of, new.clone());
            }
        }
    }
}

impl Delivered {
    /// Whether it tells of that object.
    pub fn is_about(&self, class: ClassId, reference: Ref) -> bool {
        self.changes.iter().any(|part| part.class == class && part.reference == reference)
    }

    /// The event's own id: the same whenever and however it is told.
    pub fn id(&self) -> String {
        format!("{}/{}", self.lineage, self.position)
    }

    /// `2026-11-22T23:35:38.123456Z`
    pub fn time_text(&self) -> String {
        let time = jiff::Timestamp::from_microsecond(self.time).unwrap_or_default();
        time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
    }

    /// From now on its renderings are counted there.
    pub(super) fn counted(mut self, weight: &Weight) -> Delivered {
        self.shared = Shared::counted(weight);
        self
    }

    /// The rendering in JSON, made once.
    pub fn json(&self) -> &Bytes {
        self.shared.json.get_or_write(|out| {
            out.reserve(512);
            self.render(&mut crate::wire::jsonrpc::JsonWriter::new(out));
        })
    }

    /// Its place among the values of an answer.
    pub fn put(&self, out: &mut impl Encode) {
        out.shared(&self.shared, &|out| self.render(out));
    }

    fn render<E: Encode + ?Sized>(&self, out: &mut E) {
        out.begin_struct();
        out.name("position");
        out.int(self.position as i64);
        out.name("lineage");
        out.text(&self.lineage.to_string());
        out.name("time");
        out.text(&self.time_text());
        out.name("principal");
        out.text(&self.principal);
        out.name("message");
        out.text(&self.message);
        out.name("task");
        out.reference(self.task);
        out.name("changes");
        out.begin_array();
        for part in &self.changes {
            self.render_part(part, out);
        }
        out.end_array();
        out.end_struct();
    }

    fn render_part<E: Encode + ?Sized>(&self, part: &Part, out: &mut E) {
        out.begin_struct();
        out.name("class");
        out.text(part.class.name());
        out.name("ref");
        out.reference(part.reference);
        out.name("uuid");
        out.value(&part.uuid);
        out.name("operation");
        out.text(part.operation);
        out.name("changed");
        out.begin_struct();
        for (field, delta) in &part.changed {
            out.name(part.class.def().fields[*field].name);
            render_delta(delta, out);
        }
        out.end_struct();
        if let (Some(object), Some(view)) = (&part.snapshot, &self.view) {
            out.name("snapshot");
            let read = ReadView::new(view, &self.scope);
            read.render_fields(part.class, object, |field| part.fields.wanted(field), out);
        }
        out.end_struct();
    }
}

fn render_delta<E: Encode + ?Sized>(delta: &Delta, out: &mut E) {
    out.begin_struct();
    match delta {
        Delta::Scalar { old, new } => {
            out.name("old");
            out.value(old);
            out.name("new");
            out.value(new);
        }
        Delta::Set { added, removed } => {
            out.name("added");
            out.value(&Value::set(added.iter().cloned()));
            out.name("removed");
            out.value(&Value::set(removed.iter().cloned()));
        }
        Delta::Map { set, removed } => {
            out.name("set");
            out.begin_struct();
            for (key, old, new) in set {
                out.name(key);
                out.begin_array();
                // A key that is new has no old value.
                old.iter().for_each(|old| out.value(old));
                out.value(new);
                out.end_array();
            }
            out.end_struct();
            out.name("removed");
            out.value(&Value::map(removed.iter().cloned()));
        }
    }
    out.end_struct();
}
