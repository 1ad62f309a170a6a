//! The first answers to calls that carried a request id, so that a retry gets
//! them again.

use super::Answer;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Answers remembered for retried calls.
const ANSWERS_MAX: usize = 16_384;

/// Principal and request id.
pub type AnswerKey = (Arc<str>, Arc<str>);

/// See the module.
#[derive(Default)]
pub struct Answers {
    by_key: HashMap<AnswerKey, Answer>,
    order: VecDeque<AnswerKey>,
}

impl Answers {
    pub fn get(&self, key: &AnswerKey) -> Option<Answer> {
        self.by_key.get(key).cloned()
    }

    pub fn put(&mut self, key: AnswerKey, answer: Answer) {
        if self.by_key.insert(key.clone(), answer).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > ANSWERS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_key.remove(&oldest);
        }
    }
}
