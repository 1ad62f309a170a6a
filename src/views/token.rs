//! Where a client stands in the log: what it holds to go on from.

use super::View;

/// A position of one history of the log.
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
    pub fn parse(text: &str) -> Option<Token> {
        if text.is_empty() {
            return Some(Token::default());
        }
        let (position, lineage) = text.split_once(',')?;
        Some(Token { position: position.parse().ok()?, lineage: lineage.parse().ok()? })
    }

    /// The token of a view.
    pub fn of(view: &View) -> Token {
        Token { position: view.position, lineage: view.lineage }
    }

    /// Whether the view can go on from it: it is of this history and not from the future.
    pub fn is_known(self, view: &View) -> bool {
        let foreign = self.position > 0 && self.lineage != view.lineage;
        !foreign && self.position <= view.position
    }
}
