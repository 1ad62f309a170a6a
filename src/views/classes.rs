//! The views of all classes, in blocks. Each batch makes a version of its own
//! and changes a class or two: it copies their blocks, each eight pointers, and
//! of the others counts one pointer for a block.
//!
//! Must never know what is in a class.

use super::ClassView;
use crate::model::ClassId;
use std::sync::Arc;

/// Classes of a block.
const BLOCK: usize = 8;

/// See the module.
#[derive(Clone)]
pub(super) struct Classes(Box<[Arc<[Arc<ClassView>; BLOCK]>]>);

impl Classes {
    pub fn get(&self, class: ClassId) -> &ClassView {
        &self.0[class as usize / BLOCK][class as usize % BLOCK]
    }

    /// A class to be changed; what other versions share of it is copied.
    pub fn get_mut(&mut self, class: ClassId) -> &mut ClassView {
        let block = Arc::make_mut(&mut self.0[class as usize / BLOCK]);
        Arc::make_mut(&mut block[class as usize % BLOCK])
    }
}

/// Those of each class, in the model's order.
impl FromIterator<ClassView> for Classes {
    fn from_iter<I: IntoIterator<Item = ClassView>>(views: I) -> Classes {
        let mut views = views.into_iter().peekable();
        let mut blocks = Vec::new();
        while views.peek().is_some() {
            blocks.push(Arc::new(std::array::from_fn(|_| Arc::new(views.next().unwrap_or_default()))));
        }
        Classes(blocks.into())
    }
}
