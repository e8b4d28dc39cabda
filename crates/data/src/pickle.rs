//! The few opcodes of Python's pickles (module `pickle`, protocols 1 to 4) that data needs: numbers, texts, bytes,
//! lists, tuples, dictionaries and NumPy arrays of bytes. A pickle is a program; this reader executes nothing: what
//! would call a function other than NumPy's way to rebuild an array is refused.

use std::{borrow::Cow, collections::HashMap};

/// Most values of a pickle. CIFAR-100's training file has some 300,000.
const MAX_VALUES: usize = 1 << 22;

/// The functions that may be named: they rebuild arrays.
const HARMLESS: &[(&str, &str)] = &[
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
];

/// Place of a value in its document.
pub(crate) type Id = usize;

#[derive(Clone, Debug, PartialEq)]
enum Value<'a> {
    Nothing,
    Integer(i64),
    Bytes(Cow<'a, [u8]>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dictionary(Vec<(Id, Id)>),
    Function(&'a str),
    /// What a function made of its arguments, with the state that it was given afterwards.
    Made {
        arguments: Id,
        state: Option<Id>,
    },
}

/// A pickle taken apart.
pub(crate) struct Document<'a> {
    values: Vec<Value<'a>>,
    root: Id,
}

/// An array of bytes.
pub(crate) struct ByteArray<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Document<'a> {
    /// Takes `bytes` apart, or says why not.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        Machine {
            bytes,
            at: 0,
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            encoded: 0,
        }
        .run()
    }

    /// The value that the dictionary at the top has for `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Id> {
        let Value::Dictionary(pairs) = self.value(self.root)? else { return None };
        let has = |id: Id| matches!(self.value(id), Some(Value::Bytes(text)) if **text == *key.as_bytes());
        pairs.iter().find(|(name, _)| has(*name)).map(|&(_, value)| value)
    }

    /// The whole numbers of a list.
    pub(crate) fn integers(&self, id: Id) -> Option<Vec<i64>> {
        self.items(id)?.iter().map(|&item| self.integer(item)).collect()
    }

    /// The texts of a list.
    pub(crate) fn texts(&self, id: Id) -> Option<Vec<String>> {
        let text = |&item: &Id| match self.value(item)? {
            Value::Bytes(text) => String::from_utf8(text.to_vec()).ok(),
            _ => None,
        };
        self.items(id)?.iter().map(text).collect()
    }

    /// A NumPy array of unsigned bytes, row by row.
    pub(crate) fn byte_array(&self, id: Id) -> Option<ByteArray<'_>> {
        let state = self.items(self.state(id)?)?;
        let &[_version, shape, kind, by_column, bytes] = state else { return None };
        let shape = self.integers(shape)?.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?;
        let Value::Made { arguments, .. } = self.value(kind)? else { return None };
        let name = self.items(*arguments)?.first().copied()?;
        let is_bytes = matches!(self.value(name)?, Value::Bytes(name) if **name == *b"u1");
        match self.value(bytes)? {
            Value::Bytes(bytes) if is_bytes && self.integer(by_column)? == 0 => {
                Some(ByteArray { shape, bytes })
            }
            _ => None,
        }
    }

    fn value(&self, id: Id) -> Option<&Value<'a>> {
        self.values.get(id)
    }

    fn items(&self, id: Id) -> Option<&[Id]> {
        match self.value(id)? {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    fn integer(&self, id: Id) -> Option<i64> {
        match self.value(id)? {
            Value::Integer(number) => Some(*number),
            _ => None,
        }
    }

    fn state(&self, id: Id) -> Option<Id> {
        match self.value(id)? {
            Value::Made { state, .. } => *state,
            _ => None,
        }
    }
}

/// The stack machine that a pickle is a program for.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack where marks were set.
    marks: Vec<usize>,
    memo: HashMap<usize, Id>,
    /// Bytes that texts were encoded to.
    encoded: usize,
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Document<'a>, String> {
        loop {
            let at = self.at;
            let opcode = self.take(1)?[0];
            if opcode == b'.' {
                let root = self.pop()?;
                return Ok(Document { values: self.values, root });
            }
            self.step(opcode).map_err(|reason| format!("byte {at}: {reason}"))?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            // Protocol; frame.
            0x80 => self.take(1).map(drop),
            0x95 => self.take(8).map(drop),
            b'N' => self.push(Value::Nothing),
            0x88 => self.push(Value::Integer(1)),
            0x89 => self.push(Value::Integer(0)),
            b'K' | b'M' | b'J' | 0x8A => self.integer(opcode),
            b'U' | b'C' | 0x8C => self.text(1),
            b'T' | b'B' | b'X' => self.text(4),
            0x8D | 0x8E => self.text(8),
            b'(' => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'}' => self.push(Value::Dictionary(Vec::new())),
            b't' => self.since_mark().and_then(|items| self.push(Value::Tuple(items))),
            0x85..=0x87 => {
                let height = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or(EMPTY)?;
                let items = self.stack.split_off(height);
                self.push(Value::Tuple(items))
            }
            b'a' => self.pop().and_then(|item| self.append(vec![item])),
            b'e' => self.since_mark().and_then(|items| self.append(items)),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])
            }
            b'u' => self.since_mark().and_then(|items| self.set(items)),
            b'q' | b'r' => {
                let key = self.length(if opcode == b'q' { 1 } else { 4 })?;
                self.remember(key)
            }
            0x94 => self.remember(self.memo.len()),
            b'h' | b'j' => {
                let key = self.length(if opcode == b'h' { 1 } else { 4 })?;
                let id = *self.memo.get(&key).ok_or("it recalls what it did not store")?;
                self.stack.push(id);
                self.bounded()
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.function(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (module, name) = (self.name(module)?, self.name(name)?);
                let known = HARMLESS.iter().find(|(m, n)| (*m, *n) == (module.as_str(), name.as_str()));
                let &(module, name) = known.ok_or_else(|| refused(&module, &name))?;
                self.function(module, name)
            }
            b'R' => self.reduce(),
            b'b' => {
                let given = self.pop()?;
                let &id = self.stack.last().ok_or(EMPTY)?;
                match &mut self.values[id] {
                    Value::Made { state, .. } => {
                        *state = Some(given);
                        Ok(())
                    }
                    _ => Err("it sets the state of what has none".to_owned()),
                }
            }
            other => Err(format!("opcode 0x{other:02X} is not one that data needs")),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| {
            format!(
                "it ends at byte {}, in the middle of {count} bytes from byte {}",
                self.bytes.len(),
                self.at
            )
        })?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n').ok_or("it ends inside a name")?;
        self.at += length + 1;
        std::str::from_utf8(&rest[..length]).map_err(|_| "a name is not text".to_owned())
    }

    /// A little-endian number of `count` bytes.
    fn length(&mut self, count: usize) -> Result<usize, String> {
        let mut wide = [0; 8];
        wide[..count].copy_from_slice(self.take(count)?);
        usize::try_from(u64::from_le_bytes(wide)).map_err(|_| "a length is too large".to_owned())
    }

    fn integer(&mut self, opcode: u8) -> Result<(), String> {
        let count = match opcode {
            b'K' => 1,
            b'M' => 2,
            b'J' => 4,
            _ => self.length(1)?,
        };
        if count > 8 {
            return Err(format!("a number has {count} bytes"));
        }
        let bytes = self.take(count)?;
        // Numbers of four bytes and longer ones have a sign.
        let negative = matches!(opcode, b'J' | 0x8A) && bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xFF } else { 0 }; 8];
        wide[..count].copy_from_slice(bytes);
        self.push(Value::Integer(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, count: usize) -> Result<(), String> {
        let length = self.length(count)?;
        let bytes = self.take(length)?;
        self.push(Value::Bytes(Cow::Borrowed(bytes)))
    }

    fn bounded(&self) -> Result<(), String> {
        match self.values.len() < MAX_VALUES && self.stack.len() < MAX_VALUES {
            true => Ok(()),
            false => Err(format!("it has more than {MAX_VALUES} values")),
        }
    }

    fn push(&mut self, value: Value<'a>) -> Result<(), String> {
        self.bounded()?;
        self.stack.push(self.values.len());
        self.values.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, String> {
        Ok(self.stack.pop().ok_or(EMPTY)?)
    }

    fn since_mark(&mut self) -> Result<Vec<Id>, String> {
        let mark = self.marks.pop().ok_or("it has an end without a beginning")?;
        if mark > self.stack.len() {
            return Err(EMPTY.to_owned());
        }
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<(), String> {
        let &id = self.stack.last().ok_or(EMPTY)?;
        match &mut self.values[id] {
            Value::List(list) => {
                list.extend(items);
                Ok(())
            }
            _ => Err("it appends to what is no list".to_owned()),
        }
    }

    fn set(&mut self, items: Vec<Id>) -> Result<(), String> {
        let &id = self.stack.last().ok_or(EMPTY)?;
        match &mut self.values[id] {
            Value::Dictionary(pairs) if items.len().is_multiple_of(2) => {
                pairs.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err("it sets keys of what is no dictionary".to_owned()),
        }
    }

    fn remember(&mut self, key: usize) -> Result<(), String> {
        let &id = self.stack.last().ok_or(EMPTY)?;
        self.memo.insert(key, id);
        Ok(())
    }

    fn name(&self, id: Id) -> Result<String, String> {
        match &self.values[id] {
            Value::Bytes(text) => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err("a name is not text".to_owned()),
        }
    }

    fn function(&mut self, module: &'a str, name: &'a str) -> Result<(), String> {
        match HARMLESS.contains(&(module, name)) {
            true => self.push(Value::Function(name)),
            false => Err(refused(module, name)),
        }
    }

    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Value::Function(name) = self.values[function] else {
            return Err("it calls what is no function".to_owned());
        };
        if name == "encode" {
            let encoded = self.encoded(arguments)?;
            self.encoded += encoded.len();
            // No pickle of data encodes a text twice; one that does could fill the memory.
            if self.encoded > self.bytes.len() {
                return Err("it encodes more text than it holds".to_owned());
            }
            return self.push(Value::Bytes(Cow::Owned(encoded)));
        }
        self.push(Value::Made { arguments, state: None })
    }

    /// What Python 3 writes for bytes in the protocols of Python 2: a text that is to be encoded in Latin-1.
    fn encoded(&self, arguments: Id) -> Result<Vec<u8>, String> {
        let text = match &self.values[arguments] {
            Value::Tuple(items) => items.first().map(|&text| self.name(text)).transpose()?,
            _ => None,
        };
        let text = text.ok_or("it encodes what is no text")?;
        let bytes = text.chars().map(|c| u8::try_from(u32::from(c)));
        bytes.collect::<Result<_, _>>().map_err(|_| "a text does not fit Latin-1".to_owned())
    }
}

const EMPTY: &str = "it takes from an empty stack";

fn refused(module: &str, name: &str) -> String {
    format!("it names {module}.{name}, which is code and not data")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `{'labels': [6, 300], 'data': array of 2×3}`, as Python 2 wrote it.
    fn published() -> Vec<u8> {
        [
            b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06M\x2C\x01eU\x04dataq\x04".as_slice(),
            b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01",
            b"K\x02K\x03\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xFF\xFF\xFF\xFFJ",
            b"\xFF\xFF\xFF\xFFK\x00tb\x89U\x06\x00\x01\x02\xFD\xFE\xFFtq\x0Abu.",
        ]
        .concat()
    }

    #[test]
    fn what_python_2_wrote_is_read() {
        let bytes = published();
        let document = Document::parse(&bytes).unwrap();
        assert_eq!(document.integers(document.get("labels").unwrap()), Some(vec![6, 300]));
        let data = document.byte_array(document.get("data").unwrap()).unwrap();
        assert_eq!(
            (data.shape.as_slice(), data.bytes),
            ([2, 3].as_slice(), [0, 1, 2, 253, 254, 255].as_slice())
        );
        assert!(document.get("filenames").is_none() && document.byte_array(document.root).is_none());
    }

    #[test]
    fn what_python_3_writes_is_read() {
        // pickle.dumps({'label_names': ['a', 'b'], 'n': -2}, protocol=4)
        let bytes =
            b"\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00}\x94(\x8C\x0Blabel_names\x94]\x94(\x8C\x01a\x94\
            \x8C\x01b\x94e\x8C\x01n\x94J\xFE\xFF\xFF\xFFu.";
        let document = Document::parse(bytes).unwrap();
        let names = document.texts(document.get("label_names").unwrap());
        assert_eq!(names, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(document.integer(document.get("n").unwrap()), Some(-2));
        // {'x': _codecs.encode('\xff', 'latin1')}
        let encoded = b"\x80\x02}(X\x01\x00\x00\x00xc_codecs\nencode\n(X\x02\x00\x00\x00\xC3\xBFX\x06\x00\x00\x00latin1tRu.";
        let document = Document::parse(encoded).unwrap();
        assert_eq!(document.values[document.get("x").unwrap()], Value::Bytes(Cow::Owned(vec![0xFF])));
    }

    #[test]
    fn code_is_refused_by_name() {
        for bytes in [&b"cos\nsystem\n(U\x04truetR."[..], b"\x80\x04\x8C\x02os\x8C\x06system\x93."] {
            let error = Document::parse(bytes).map(drop).unwrap_err();
            assert!(error.contains("os.system, which is code"), "{error}");
        }
        let cases: [(&[u8], &str); 10] = [
            (b"K\x01K\x02R.", "no function"),
            (b"i", "opcode 0x69"),
            (b"h\x05.", "did not store"),
            (b"t.", "without a beginning"),
            (b"N(aa.", "empty stack"),
            (b"N]u.", "without a beginning"),
            (b".", "empty stack"),
            (b"", "ends at byte 0"),
            (b"T\xFF\xFF\xFF\xFFabc", "in the middle of 4294967295 bytes"),
            (b"\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFabc", "in the middle"),
        ];
        for (bytes, said) in cases {
            let error = Document::parse(bytes).map(drop).unwrap_err();
            assert!(error.contains(said), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn every_way_of_cutting_it_short_is_an_error() {
        let bytes = published();
        for end in 0..bytes.len() {
            assert!(Document::parse(&bytes[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_damage_makes_the_machine_panic(at: prop::sample::Index, value: u8, second: prop::sample::Index, other: u8) {
            let mut bytes = published();
            let (at, second) = (at.index(bytes.len()), second.index(bytes.len()));
            bytes[at] = value;
            bytes[second] = other;
            if let Ok(document) = Document::parse(&bytes) {
                let _ = document.get("labels").and_then(|id| document.integers(id));
                let _ = document.get("data").map(|id| document.byte_array(id).is_some());
            }
        }

        #[test]
        fn no_bytes_make_the_machine_panic(bytes in prop::collection::vec(
            prop::sample::select(b"()]}NKUteasuqhcRb.\x80\x85\x86\x87\x94\x93\n\x00\x01\x02".to_vec()), 0..60)) {
            let _ = Document::parse(&bytes);
        }
    }
}
