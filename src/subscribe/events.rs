//! XenAPI's events: subscriptions as clients spell them, tokens, and what
//! changed since a token. `event.from` costs what changed, not what happened.
//!
//! Must never know who asks or how an answer is rendered.

use super::Key;
use crate::error::{ApiError, codes};
use crate::model::{CLASSES, ClassId, MODEL};
use crate::value::Ref;
use crate::views::{Object, View};
use std::sync::Arc;

/// Where a client stands: what it holds to go on from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Token {
    pub position: u64,
    pub lineage: u64,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:020},{:020}", self.position, self.lineage)
    }
}

impl Token {
    /// Reads a token; "" is the beginning.
    pub fn parse(text: &str) -> Result<Token, ApiError> {
        if text.is_empty() {
            return Ok(Token::default());
        }
        let parsed = text.split_once(',').and_then(|(position, lineage)| {
            Some(Token { position: position.parse().ok()?, lineage: lineage.parse().ok()? })
        });
        parsed.ok_or_else(|| codes::EVENT_FROM_TOKEN_PARSE_FAILURE(text))
    }

    /// The token of a view.
    pub fn of(view: &View) -> Token {
        Token { position: view.position, lineage: view.lineage }
    }
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

    fn covers_class(&self, class: ClassId) -> bool {
        !class.def().flags.no_events && (self.every || self.classes.contains(&class))
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

/// Everything that changed since the token: additions, then modifications, then deletions, newest first; or
/// `EVENTS_LOST` for a token from another history, from the future, or older than what is remembered.
pub fn since(view: &View, subscription: &Subscription, token: Token) -> Result<Vec<Changed>, ApiError> {
    let foreign = token.position > 0 && token.lineage != view.lineage;
    if foreign || token.position > view.position {
        return Err(codes::EVENTS_LOST());
    }
    let after = token.position;
    let (mut added, mut modified, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for class in CLASSES.iter().map(|class| class.id) {
        let whole = subscription.covers_class(class);
        if !whole && !subscription.objects.iter().any(|(of, _)| *of == class) {
            continue;
        }
        let objects = view.class(class);
        if after > 0 && after < objects.floor {
            return Err(codes::EVENTS_LOST());
        }
        for (position, reference) in objects.modified.range((after + 1, Ref::NULL)..) {
            if !whole && !subscription.covers(class, *reference) {
                continue;
            }
            let object = objects.objects.get(reference).expect("BUG: the order of changes holds only what is there");
            let new = object.created > after;
            let (list, operation) = if new { (&mut added, "add") } else { (&mut modified, "mod") };
            let object = Some(object.clone());
            list.push(Changed { class, reference: *reference, operation, position: *position, object });
        }
        for ((position, reference), created) in objects.deleted.range((after + 1, Ref::NULL)..) {
            let known = *created <= after;
            if known && after > 0 && (whole || subscription.covers(class, *reference)) {
                deleted.push(Changed { class, reference: *reference, operation: "del", position: *position, object: None });
            }
        }
    }
    // Stable: class by class as the model lists them, messages first of all.
    added.sort_by_key(|changed| changed.class != ClassId::message);
    deleted.sort_by_key(|changed| std::cmp::Reverse(changed.position));
    added.append(&mut modified);
    added.append(&mut deleted);
    Ok(added)
}
