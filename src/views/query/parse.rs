//! Reading an expression: a scanner and a recursive descent, bounded in length
//! and depth. The grammar is in the module above.

use super::{DEPTH_MAX, LENGTH_MAX, Link, Malformed, Node, Term};
use crate::model::{ClassId, MODEL};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'t> {
    Word(&'t str),
    Text(&'t str),
    Equals,
    Open,
    Close,
}

struct Reader<'t> {
    class: ClassId,
    rest: &'t str,
    next: Option<Token<'t>>,
    depth: usize,
}

/// See `Expression::parse`.
pub(super) fn parse(class: ClassId, text: &str) -> Result<Node, Malformed> {
    if text.len() > LENGTH_MAX {
        return Err(Malformed(format!("longer than {LENGTH_MAX} bytes")));
    }
    let mut reader = Reader { class, rest: text, next: None, depth: 0 };
    reader.advance()?;
    let root = reader.expression()?;
    match reader.next {
        None => Ok(root),
        Some(_) => Err(reader.unexpected("and, or, or the end")),
    }
}

impl<'t> Reader<'t> {
    /// Steps to the next token.
    fn advance(&mut self) -> Result<(), Malformed> {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else {
            (self.rest, self.next) = (rest, None);
            return Ok(());
        };
        let (token, after) = match first {
            '=' => (Token::Equals, &rest[1..]),
            '(' => (Token::Open, &rest[1..]),
            ')' => (Token::Close, &rest[1..]),
            '"' | '\'' => {
                let ended = rest[1..].split_once(first);
                let (text, after) = ended.ok_or_else(|| Malformed("a text does not end".into()))?;
                (Token::Text(text), after)
            }
            _ => {
                let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
                if length == 0 {
                    return Err(Malformed(format!("{first:?} has no meaning")));
                }
                (Token::Word(&rest[..length]), &rest[length..])
            }
        };
        (self.rest, self.next) = (after, Some(token));
        Ok(())
    }

    fn take(&mut self, token: Token<'_>) -> Result<bool, Malformed> {
        let there = self.next == Some(token);
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    fn unexpected(&self, wanted: &str) -> Malformed {
        let found = match self.next {
            None => "the end".to_string(),
            Some(Token::Word(word)) => format!("{word:?}"),
            Some(Token::Text(_)) => "a text".to_string(),
            Some(Token::Equals) => "=".to_string(),
            Some(Token::Open) => "(".to_string(),
            Some(Token::Close) => ")".to_string(),
        };
        Malformed(format!("{found} instead of {wanted}"))
    }

    fn expression(&mut self) -> Result<Node, Malformed> {
        let first = self.term()?;
        let mut rest = Vec::new();
        loop {
            let link = match self.next {
                Some(Token::Word("and")) => Link::And,
                Some(Token::Word("or")) => Link::Or,
                _ => break,
            };
            self.advance()?;
            rest.push((link, self.term()?));
        }
        Ok(if rest.is_empty() { first } else { Node::Chain(Box::new(first), rest) })
    }

    fn term(&mut self) -> Result<Node, Malformed> {
        if self.take(Token::Word("true"))? {
            return Ok(Node::Constant(true));
        }
        if self.take(Token::Word("false"))? {
            return Ok(Node::Constant(false));
        }
        if self.take(Token::Word("not"))? {
            let inner = self.deeper()?;
            return Ok(Node::Not(Box::new(inner)));
        }
        if self.take(Token::Open)? {
            let inner = self.deeper()?;
            return if self.take(Token::Close)? { Ok(inner) } else { Err(self.unexpected(")")) };
        }
        let left = self.value()?;
        if self.take(Token::Equals)? {
            return Ok(Node::Equal(left, self.value()?));
        }
        if self.take(Token::Word("contains"))? {
            return Ok(Node::Contains(left, self.value()?));
        }
        Err(self.unexpected("= or contains"))
    }

    fn deeper(&mut self) -> Result<Node, Malformed> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Malformed(format!("deeper than {DEPTH_MAX}")));
        }
        let inner = self.expression()?;
        self.depth -= 1;
        Ok(inner)
    }

    fn value(&mut self) -> Result<Term, Malformed> {
        let field = self.take(Token::Word("field"))?;
        let Some(Token::Text(text)) = self.next else {
            return Err(self.unexpected(if field { "a field's name" } else { "a term" }));
        };
        self.advance()?;
        if !field {
            return Ok(Term::Text(text.into()));
        }
        if text == "_ref" {
            return Ok(Term::Reference);
        }
        let found = field_named(self.class, text);
        found.map(Term::Field).ok_or_else(|| Malformed(format!("{} has no field {text:?}", self.class.name())))
    }
}

/// The field of that name, in the reference's spelling or a database's. What no record shows cannot be asked for.
fn field_named(class: ClassId, name: &str) -> Option<usize> {
    let flat = || name.replace("__", "_").replace(['.', '/'], "_");
    let found = MODEL.field(class, name).or_else(|| MODEL.field(class, &flat()))?;
    let flags = &class.def().fields[found].flags;
    (!flags.internal && !flags.secret).then_some(found)
}
