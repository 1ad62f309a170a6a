//! The relation index: who refers to an object, and through which field. Kept
//! for every field that holds references; the far sides of relations are read
//! from it, and deleting finds through it what would dangle.

use crate::model::{CLASSES, ClassId, Ty};
use crate::value::Ref;
use std::sync::{Arc, LazyLock};

/// A class's field, by index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FieldId(pub ClassId, pub u16);

/// References to one object through one field; in order. Most hold one, some a few, a host's guests thousands.
#[derive(Clone, Debug)]
enum Referrers {
    One(Ref),
    Few(Arc<[Ref]>),
    Many(imbl::OrdSet<Ref>),
}

/// Above this a shared array would cost more to copy than a tree to change.
const FEW: usize = 16;

impl Referrers {
    /// The holders of a group, which is sorted and not empty.
    fn of(group: &[(FieldId, Ref, Ref)]) -> Referrers {
        let holders = group.iter().map(|(_, _, holder)| *holder);
        match group {
            [(_, _, one)] => Referrers::One(*one),
            _ if group.len() <= FEW => Referrers::Few(holders.collect()),
            _ => Referrers::Many(holders.collect()),
        }
    }

    fn with(self, reference: Ref) -> Referrers {
        match self {
            Referrers::One(one) if one == reference => self,
            Referrers::One(one) => {
                let pair = if one < reference { [one, reference] } else { [reference, one] };
                Referrers::Few(Arc::new(pair))
            }
            Referrers::Few(few) => match few.binary_search(&reference) {
                Ok(_) => Referrers::Few(few),
                Err(_) if few.len() >= FEW => Referrers::Many(few.iter().copied().chain([reference]).collect()),
                Err(at) => Referrers::Few(
                    few[..at].iter().copied().chain([reference]).chain(few[at..].iter().copied()).collect(),
                ),
            },
            Referrers::Many(mut many) => {
                many.insert(reference);
                Referrers::Many(many)
            }
        }
    }

    fn without(self, reference: Ref) -> Option<Referrers> {
        match self {
            Referrers::One(one) => (one != reference).then_some(self),
            Referrers::Few(few) => {
                let left: Vec<Ref> = few.iter().copied().filter(|one| *one != reference).collect();
                match left.as_slice() {
                    [] => None,
                    [one] => Some(Referrers::One(*one)),
                    _ => Some(Referrers::Few(left.into())),
                }
            }
            Referrers::Many(mut many) => {
                many.remove(&reference);
                if many.len() <= FEW / 2 {
                    Some(Referrers::Few(many.into_iter().collect()))
                } else {
                    Some(Referrers::Many(many))
                }
            }
        }
    }
}

/// The index itself: cheap to clone, shares structure.
#[derive(Clone, Default)]
pub struct Relations {
    referrers: Index,
    /// Through which fields anything was ever referred to: most far sides are empty everywhere, and a record has many.
    used: Arc<Used>,
}

type Index =
    imbl::GenericHashMap<(FieldId, Ref), Referrers, foldhash::fast::RandomState, imbl::shared_ptr::DefaultSharedPtr>;

/// A bit for each field that holds references.
#[derive(Clone, Default)]
struct Used(Vec<u64>);

impl Used {
    /// Where a field's bit is. No class has more fields than this leaves room for.
    fn place(field: FieldId) -> (usize, u64) {
        const FIELDS_MAX: usize = 256;
        let at = field.0 as usize * FIELDS_MAX + usize::from(field.1);
        (at / 64, 1 << (at % 64))
    }

    fn has(&self, field: FieldId) -> bool {
        let (word, bit) = Used::place(field);
        self.0.get(word).is_some_and(|bits| bits & bit != 0)
    }

    fn note(&mut self, field: FieldId) {
        let (word, bit) = Used::place(field);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= bit;
    }
}

impl Relations {
    /// The index of all references at once: field, target, holder.
    pub fn of(mut references: Vec<(FieldId, Ref, Ref)>) -> Relations {
        references.sort_unstable();
        references.dedup();
        let groups = references.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
        let referrers = groups.map(|group| ((group[0].0, group[0].1), Referrers::of(group))).collect();
        let mut used = Used::default();
        references.iter().for_each(|(field, _, _)| used.note(*field));
        Relations { referrers, used: Arc::new(used) }
    }

    /// All references: field, target, holder; sorted.
    pub fn all(&self) -> Vec<(FieldId, Ref, Ref)> {
        let mut all = Vec::new();
        for (field, target) in self.referrers.keys() {
            self.each(*field, *target, |holder| all.push((*field, *target, holder)));
        }
        all.sort_unstable();
        all
    }

    pub fn add(&mut self, field: FieldId, target: Ref, holder: Ref) {
        let referrers = match self.referrers.remove(&(field, target)) {
            Some(referrers) => referrers.with(holder),
            None => Referrers::One(holder),
        };
        self.referrers.insert((field, target), referrers);
        if !self.used.has(field) {
            Arc::make_mut(&mut self.used).note(field);
        }
    }

    pub fn remove(&mut self, field: FieldId, target: Ref, holder: Ref) {
        if let Some(left) = self.referrers.remove(&(field, target)).and_then(|referrers| referrers.without(holder)) {
            self.referrers.insert((field, target), left);
        }
    }

    /// Calls `each` with every object whose `field` refers to `target`, in order.
    pub fn each(&self, field: FieldId, target: Ref, mut each: impl FnMut(Ref)) {
        if !self.used.has(field) {
            return;
        }
        match self.referrers.get(&(field, target)) {
            None => {}
            Some(Referrers::One(one)) => each(*one),
            Some(Referrers::Few(few)) => few.iter().copied().for_each(each),
            Some(Referrers::Many(many)) => many.iter().copied().for_each(each),
        }
    }

    pub fn list(&self, field: FieldId, target: Ref) -> Vec<Ref> {
        let mut list = Vec::new();
        self.each(field, target, |reference| list.push(reference));
        list
    }
}

/// Whether a field of that type holds references, and of which class.
pub fn holds(ty: Ty) -> Option<ClassId> {
    match ty {
        Ty::Ref(class) => Some(class),
        Ty::Set(Ty::Ref(class)) | Ty::Map(Ty::Ref(class), _) | Ty::Map(_, Ty::Ref(class)) => Some(*class),
        _ => None,
    }
}

/// Per class: its fields that hold references themselves, which far sides do not.
pub static HOLDING: LazyLock<Vec<Vec<usize>>> = LazyLock::new(|| {
    let holding = |class: &&'static crate::model::Class| {
        let fields = class.fields.iter().enumerate();
        fields.filter(|(_, field)| field.far.is_none() && holds(field.ty).is_some()).map(|(index, _)| index).collect()
    };
    CLASSES.iter().map(holding).collect()
});

/// Per class: the fields of all classes that can refer to it.
pub static REFERRING: LazyLock<Vec<Vec<FieldId>>> = LazyLock::new(|| {
    let mut referring = vec![Vec::new(); CLASSES.len()];
    for class in CLASSES {
        for &field in &HOLDING[class.id as usize] {
            let target = holds(class.fields[field].ty).expect("BUG: it is listed because it holds references");
            referring[target as usize].push(FieldId(class.id, field as u16));
        }
    }
    referring
});
