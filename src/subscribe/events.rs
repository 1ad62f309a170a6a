//! XenAPI's events: subscriptions as clients spell them, tokens, and what
//! changed since a token. `event.from` costs what changed, not what happened.
//!
//! Must never know who asks or how an answer is rendered.

use super::Key;
use crate::error::{ApiError, codes};
use crate::model::{CLASSES, ClassId, MODEL};
use crate::value::Ref;
pub use crate::views::Token;
use crate::views::read::{ReadView, Scope};
use crate::views::{Object, View};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads a client's token; "" is the beginning.
pub fn token(text: &str) -> Result<Token, ApiError> {
    Token::parse(text).ok_or_else(|| codes::EVENT_FROM_TOKEN_PARSE_FAILURE(text))
}

/// A client's token that the log can be continued from; otherwise `EVENTS_LOST`, never silence.
pub fn known_token(view: &View, text: &str) -> Result<Token, ApiError> {
    let token = token(text)?;
    if token.is_known(view) { Ok(token) } else { Err(codes::EVENTS_LOST()) }
}

/// What a client wants to hear of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    every: bool,
    classes: Vec<ClassId>,
    objects: Vec<(ClassId, Ref)>,
}

impl Subscription {
    /// Reads `*`, `class` in any case, and `class/OpaqueRef:…`. What names nothing never matches, as in XenAPI.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Subscription {
        let mut subscription = Subscription { every: false, classes: Vec::new(), objects: Vec::new() };
        for text in texts {
            match text.split_once('/') {
                None if text == "*" => subscription.every = true,
                None => subscription.classes.extend(MODEL.class(text)),
                Some((class, object)) => {
                    subscription.objects.extend(MODEL.class(class).zip(Ref::parse(object)));
                }
            }
        }
        subscription
    }

    /// Only tasks: these are told at once, without waiting for more.
    pub fn tasks_only(&self) -> bool {
        const TASK: ClassId = ClassId::task;
        !self.every && self.classes.iter().all(|c| *c == TASK) && self.objects.iter().all(|(c, _)| *c == TASK)
    }

    pub fn covers(&self, class: ClassId, reference: Ref) -> bool {
        let told = !class.def().flags.no_events;
        told && (self.every || self.classes.contains(&class) || self.objects.contains(&(class, reference)))
    }

    /// The objects of a class that are named one by one.
    fn named(&self, class: ClassId) -> impl Iterator<Item = Ref> {
        let told = !class.def().flags.no_events;
        self.objects.iter().filter(move |(of, _)| told && *of == class).map(|(_, reference)| *reference)
    }

    fn covers_class(&self, class: ClassId) -> bool {
        !class.def().flags.no_events && (self.every || self.classes.contains(&class))
    }

    /// Whether anything of a class is wanted.
    fn names(&self, class: ClassId) -> bool {
        self.covers_class(class) || self.named(class).next().is_some()
    }

    /// Whether every change of the subscription is under these keys.
    pub fn keys(&self) -> Vec<Key> {
        if self.every {
            return vec![Key::Any];
        }
        let classes = self.classes.iter().map(|class| Key::Class(*class));
        classes.chain(self.objects.iter().map(|(class, object)| Key::Object(*class, *object))).collect()
    }
}

/// What became of one object since a token: its newest state, not each step.
#[derive(Debug)]
pub struct Changed {
    pub class: ClassId,
    pub reference: Ref,
    pub operation: &'static str,
    /// The position of the last change.
    pub position: u64,
    /// `None` for one deleted.
    pub object: Option<Arc<Object>>,
}

/// What changed since a token.
pub struct Changes {
    /// Additions, then modifications, then deletions, newest first.
    pub told: Vec<Changed>,
    /// Entries that were looked at: as many as objects changed, however often each did.
    pub looked_at: usize,
}

/// Everything that changed since the token; or `EVENTS_LOST` for a token from another history, from the future, or
/// older than what is remembered. Who does not read everything is told of what it sees to be different from `before`,
/// the view at the token.
pub fn since(
    read: ReadView<'_>,
    before: Option<&View>,
    subscription: &Subscription,
    token: Token,
) -> Result<Changes, ApiError> {
    let view = read.view;
    if !token.is_known(view) {
        return Err(codes::EVENTS_LOST());
    }
    let mut look =
        Looking { read, before, after: token.position, added: vec![], modified: vec![], deleted: vec![], looked_at: 0 };
    for class in CLASSES.iter().map(|class| class.id).filter(|class| subscription.names(*class)) {
        let whole = subscription.covers_class(class);
        let named: BTreeSet<Ref> = subscription.named(class).collect();
        if token.position > 0 && token.position < view.class(class).floor {
            return Err(codes::EVENTS_LOST());
        }
        look.at_class(class, if whole { None } else { Some(&named) });
    }
    let Looking { mut added, mut modified, mut deleted, looked_at, .. } = look;
    // Stable: class by class as the model lists them, messages first of all.
    added.sort_by_key(|changed| changed.class != ClassId::message);
    deleted.sort_by_key(|changed| std::cmp::Reverse(changed.position));
    added.append(&mut modified);
    added.append(&mut deleted);
    Ok(Changes { told: added, looked_at })
}

/// One look at what changed.
struct Looking<'a> {
    read: ReadView<'a>,
    before: Option<&'a View>,
    after: u64,
    added: Vec<Changed>,
    modified: Vec<Changed>,
    deleted: Vec<Changed>,
    looked_at: usize,
}

impl Looking<'_> {
    /// At the objects of a class that changed, all of them or those that are named.
    fn at_class(&mut self, class: ClassId, named: Option<&BTreeSet<Ref>>) {
        let (view, behind) = (self.read.view.class(class), (self.after + 1, Ref::NULL)..);
        match named {
            None => view.changed(self.after).for_each(|object| self.at_object(class, object.reference)),
            Some(named) => named.iter().for_each(|reference| self.at_object(class, *reference)),
        }
        if self.after == 0 {
            return;
        }
        for ((position, reference), created) in view.deleted.range(behind) {
            self.looked_at += 1;
            let wanted = named.is_none_or(|named| named.contains(reference));
            if wanted && *created <= self.after && self.was_seen(class, *reference) {
                let (reference, position) = (*reference, *position);
                self.deleted.push(Changed { class, reference, operation: "del", position, object: None });
            }
        }
    }

    fn at_object(&mut self, class: ClassId, reference: Ref) {
        self.looked_at += 1;
        let Some(object) = self.read.object(class, reference).filter(|object| object.modified > self.after) else {
            return;
        };
        let (list, operation) = match object.created > self.after {
            true => (&mut self.added, "add"),
            false if self.is_same(class, object) => return,
            false => (&mut self.modified, "mod"),
        };
        // The last change may be one that is not seen.
        let whole = *self.read.scope == Scope::All;
        let position = if whole { object.modified } else { self.read.view.position };
        list.push(Changed { class, reference, operation, position, object: Some(object.clone()) });
    }

    /// Whether who may not read everything sees no difference.
    fn is_same(&self, class: ClassId, object: &Object) -> bool {
        let Some(before) = self.before else { return false };
        let before = ReadView::new(before, self.read.scope);
        before
            .object(class, object.reference)
            .is_some_and(|was| before.record(class, was) == self.read.record(class, object))
    }

    fn was_seen(&self, class: ClassId, reference: Ref) -> bool {
        let before = self.before.map(|before| ReadView::new(before, self.read.scope));
        before.is_none_or(|before| before.object(class, reference).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, Change, Event, Kind, Operation};
    use crate::model::network;
    use crate::views::fold;

    const LINEAGE: u64 = 7;

    fn event(view: &mut View, reference: Ref, operation: Operation) {
        let change = Change { class: ClassId::network, reference, operation };
        let event = Event {
            kind: Kind::Change,
            lineage: LINEAGE,
            term: 1,
            position: view.position + 1,
            time: 0,
            principal: "timer".into(),
            message: "test".into(),
            request: "".into(),
            cause: 0,
            body: Body { changes: vec![change], ..Body::default() },
        };
        fold(view, &event);
    }

    fn told(view: &View, texts: &[&str], position: u64) -> Vec<(&'static str, u64)> {
        let subscription = Subscription::parse(texts.iter().copied());
        let token = Token { position, lineage: LINEAGE };
        let changed = since(all(view), None, &subscription, token).expect("a token of this history");
        changed.told.iter().map(|changed| (changed.operation, changed.position)).collect()
    }

    fn all(view: &View) -> ReadView<'_> {
        ReadView::new(view, &crate::views::read::Scope::All)
    }

    /// Two networks, one changed, one deleted: positions 1 to 4.
    fn history() -> (View, Ref, Ref) {
        let (kept, gone) = (Ref([1; 16]), Ref([2; 16]));
        let mut view = View::default();
        event(&mut view, kept, Operation::Add(vec![]));
        event(&mut view, gone, Operation::Add(vec![]));
        let delta = crate::event::Delta::Scalar { old: "".into(), new: "lan".into() };
        event(&mut view, kept, Operation::Mod(vec![(network::name_label.index, delta)]));
        event(&mut view, gone, Operation::Del(vec![]));
        (view, kept, gone)
    }

    #[test]
    fn each_object_is_told_once_in_its_newest_state() {
        let (view, kept, gone) = history();
        assert_eq!(told(&view, &["*"], 0), [("add", 3)], "from the beginning: what lives, and no deletions");
        assert_eq!(told(&view, &["Network"], 2), [("mod", 3), ("del", 4)]);
        assert_eq!(told(&view, &["network"], 1), [("mod", 3)], "what came and went since is not told");
        assert_eq!(told(&view, &[&format!("network/{kept}")], 2), [("mod", 3)]);
        assert_eq!(told(&view, &[&format!("network/{gone}")], 2), [("del", 4)]);
        assert_eq!(told(&view, &["vm", "nonsense", "nonsense/also"], 0), []);
        assert_eq!(told(&view, &["*"], 4), []);
    }

    #[test]
    fn a_token_that_cannot_be_served_is_never_met_with_silence() {
        let (mut view, ..) = history();
        let lost = |view: &View, position, lineage| {
            let answer = since(all(view), None, &Subscription::parse(["network"]), Token { position, lineage });
            answer.err().expect("a token to refuse").code
        };
        assert_eq!(lost(&view, 5, LINEAGE), "EVENTS_LOST", "from the future");
        assert_eq!(lost(&view, 2, LINEAGE + 1), "EVENTS_LOST", "from another history");
        view.class_mut(ClassId::network).floor = 3;
        assert_eq!(lost(&view, 2, LINEAGE), "EVENTS_LOST", "older than the deletions remembered");
        assert_eq!(told(&view, &["network"], 3), [("del", 4)]);
        assert_eq!(told(&view, &["vm"], 2), [], "another class's floor is no concern");
    }

    #[test]
    fn it_costs_what_changed_and_not_what_happened() {
        let mut view = View::default();
        let reference = |nth: u32| Ref([nth.to_be_bytes(); 4].concat().try_into().expect("16 bytes"));
        let objects: Vec<Ref> = (1..=500).map(reference).collect();
        objects.iter().for_each(|object| event(&mut view, *object, Operation::Add(vec![])));
        let token = Token { position: view.position, lineage: LINEAGE };
        for nth in 0..2_000 {
            let delta = crate::event::Delta::Scalar { old: "".into(), new: format!("{nth}").into() };
            let change = Operation::Mod(vec![(network::name_label.index, delta)]);
            event(&mut view, objects[nth % 3], change);
        }
        event(&mut view, objects[7], Operation::Del(vec![]));
        let looked_at = |text: &str| {
            let changes = since(all(&view), None, &Subscription::parse([text]), token).expect("a token");
            (changes.told.len(), changes.looked_at)
        };
        assert_eq!(looked_at("*"), (4, 4), "three that changed 2,000 times, and one that went");
        assert_eq!(looked_at("VM"), (0, 0));
        assert_eq!(looked_at(&format!("network/{}", objects[0])), (1, 2), "itself, and the deletions");
    }

    #[test]
    fn tokens_compare_as_text() {
        let token = Token { position: 12, lineage: u64::MAX };
        assert_eq!(token.to_string(), "00000000000000000012,18446744073709551615");
        assert_eq!(super::token(&token.to_string()), Ok(token));
        assert_eq!(super::token(""), Ok(Token::default()));
        for text in ["12", "a,b", "1,2,3", "-1,0", "1,"] {
            assert_eq!(super::token(text).expect_err(text).code, "EVENT_FROM_TOKEN_PARSE_FAILURE");
        }
    }

    #[test]
    fn only_tasks_are_told_without_delay() {
        let tasks = |texts: &[&str]| Subscription::parse(texts.iter().copied()).tasks_only();
        assert!(tasks(&["task"]) && tasks(&[]) && tasks(&["task/OpaqueRef:NULL"]));
        assert!(!tasks(&["*"]) && !tasks(&["task", "vm"]));
    }
}
