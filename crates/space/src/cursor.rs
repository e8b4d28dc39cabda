//! Where a parser of genotypes stands in its text: words, marks, numbers, and errors that point at a character.

use crate::SpaceError;

/// Where the parser stands in the text.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    /// In bytes, always between two characters.
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    // ---- words and marks --------------------------------------------------------------------------

    fn rest(&self) -> &'a str {
        &self.text[self.offset..]
    }

    fn skip_space(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start().len();
    }

    /// The next character past any space.
    pub fn peek(&mut self) -> Option<char> {
        self.skip_space();
        self.rest().chars().next()
    }

    /// Reads `mark` if it comes next; whether it did.
    pub fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(mark);
        if found {
            self.offset += mark.len_utf8();
        }
        found
    }

    /// Reads `mark`, which has to come next.
    pub fn expect(&mut self, mark: char) -> Result<(), SpaceError> {
        if self.eat(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    /// In front of `mark`, which was read last.
    pub fn back_over(self, mark: char) -> Self {
        Self { offset: self.offset - mark.len_utf8(), ..self }
    }

    /// Checks that nothing but space is left.
    pub fn expect_end(mut self) -> Result<(), SpaceError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected("the end of the text")) }
    }

    /// Reads the comma or the closing mark after an item; whether another item follows.
    pub fn separator(&mut self, close: char) -> Result<bool, SpaceError> {
        if self.eat(close) {
            return Ok(false);
        }
        if !self.eat(',') {
            return Err(self.unexpected(&format!("`,` or `{close}`")));
        }
        Ok(!self.eat(close))
    }

    /// The word at the cursor; empty if there is none.
    pub fn word(&mut self) -> &'a str {
        self.skip_space();
        let rest = self.rest();
        let word = &rest[..word_length(rest)];
        self.offset += word.len();
        word
    }

    /// A whole number in decimal digits.
    pub fn number(&mut self) -> Result<u64, SpaceError> {
        let before = *self;
        let word = self.word();
        let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { word.parse().ok() } else { None };
        number.ok_or_else(|| before.unexpected("a whole number below 2^64"))
    }

    /// The contents of a quoted string. Operation names need no escapes, so there are none.
    pub fn string(&mut self) -> Result<&'a str, SpaceError> {
        let quote = self.peek().filter(|mark| matches!(mark, '\'' | '"'));
        let Some(quote) = quote else {
            return Err(self.unexpected("a quoted operation name"));
        };
        self.offset += 1;
        let Some(length) = self.rest().find(quote) else {
            let end = Cursor { offset: self.text.len(), ..*self };
            return Err(end.unexpected(&format!("a closing `{quote}`")));
        };
        let contents = &self.rest()[..length];
        self.offset += length + 1;
        Ok(contents)
    }

    /// Items in brackets; `item` gets the number of those before it.
    pub fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self, usize) -> Result<T, SpaceError>,
    ) -> Result<Vec<T>, SpaceError> {
        let mut items = Vec::new();
        self.expect('[')?;
        if self.eat(']') {
            return Ok(items);
        }
        loop {
            items.push(item(self, items.len())?);
            if !self.separator(']')? {
                return Ok(items);
            }
        }
    }

    // ---- errors -----------------------------------------------------------------------------------

    /// Characters up to the cursor and one more, past any space.
    pub fn position(mut self) -> usize {
        self.skip_space();
        self.text[..self.offset].chars().count() + 1
    }

    /// The error that something else stands at the cursor.
    pub fn unexpected(mut self, expected: &str) -> SpaceError {
        self.skip_space();
        let rest = self.rest();
        let found = match rest.chars().next() {
            None => "the end of the text".to_owned(),
            Some(first) => {
                let length = word_length(rest).max(first.len_utf8());
                let shown: String = rest[..length].chars().take(40).flat_map(char::escape_debug).collect();
                format!("`{shown}`")
            }
        };
        SpaceError::Syntax { position: self.position(), expected: expected.to_owned(), found }
    }

    /// Reads something and remembers where it began; errors that know no position get this one.
    pub fn position_then<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, SpaceError>,
    ) -> Result<Positioned<T>, SpaceError> {
        let position = self.position();
        match read(self) {
            Ok(value) => Ok(Positioned { value, position }),
            Err(error) if error.position().is_none() => Err(error.at(position)),
            Err(error) => Err(error),
        }
    }
}

/// A value and the character, counted from 1, where its text began.
pub(crate) struct Positioned<T> {
    pub value: T,
    pub position: usize,
}

fn word_length(text: &str) -> usize {
    text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len())
}
