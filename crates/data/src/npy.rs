//! The head of a `.npy` file (NumPy enhancement proposal 1): a magic string, a version, a length, and a Python
//! dictionary in text, of which only what `numpy.save` writes for plain numbers is accepted.

use std::io::Read;

use crate::arrays::{ArrayHeader, Element, MAX_AXES};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest text of a head; `numpy.save` writes less than 128 bytes for plain numbers.
const MAX_TEXT: usize = 1 << 16;

/// Reads the head.
pub(crate) fn read_header(reader: &mut dyn Read) -> Result<ArrayHeader, String> {
    let mut start = [0; 8];
    read(reader, &mut start)?;
    if !start.starts_with(MAGIC) {
        return Err("it does not begin as a .npy file does".to_owned());
    }
    let length = match start[6] {
        1 => {
            let mut length = [0; 2];
            read(reader, &mut length)?;
            usize::from(u16::from_le_bytes(length))
        }
        2 | 3 => {
            let mut length = [0; 4];
            read(reader, &mut length)?;
            u32::from_le_bytes(length) as usize
        }
        version => return Err(format!("version {version} of the .npy format is not known")),
    };
    if length > MAX_TEXT {
        return Err(format!("its head claims {length} bytes of text, at most {MAX_TEXT} are read"));
    }
    let mut text = vec![0; length];
    read(reader, &mut text)?;
    let text = String::from_utf8(text).map_err(|_| "its head is not text".to_owned())?;
    Text(&text).header()
}

fn read(reader: &mut dyn Read, bytes: &mut [u8]) -> Result<(), String> {
    reader.read_exact(bytes).map_err(|error| format!("its head cannot be read: {error}"))
}

/// What is left of the dictionary's text.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn header(&mut self) -> Result<ArrayHeader, String> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.skip('}') {
            let key = self.string()?;
            self.expect(':')?;
            match key {
                "descr" => descr = Some(self.element()?),
                "fortran_order" => fortran = Some(self.truth()?),
                "shape" => shape = Some(self.shape()?),
                other => return Err(format!("its head has the unknown key {other:?}")),
            }
            if !self.skip(',') {
                self.expect('}')?;
                break;
            }
        }
        if !self.0.trim().is_empty() {
            return Err("its head goes on behind the dictionary".to_owned());
        }
        match (descr, fortran, shape) {
            (Some(_), Some(true), Some(_)) => Err("it is stored column by column (fortran_order); save \
                                                   numpy.ascontiguousarray of it"
                .to_owned()),
            (Some((element, big_endian)), Some(false), Some(shape)) => {
                Ok(ArrayHeader { element, big_endian, shape })
            }
            _ => Err("its head lacks one of descr, fortran_order and shape".to_owned()),
        }
    }

    fn skip(&mut self, wanted: char) -> bool {
        let rest = self.0.trim_start();
        match rest.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.skip(wanted) {
            true => Ok(()),
            false => Err(format!("its head is malformed: expected {wanted:?} before {:?}", self.beginning())),
        }
    }

    fn beginning(&self) -> String {
        self.0.trim_start().chars().take(20).collect()
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let quote = if self.skip('\'') { '\'' } else { self.expect('"').map(|()| '"')? };
        let (text, rest) = self.0.split_once(quote).ok_or("its head ends inside a text")?;
        self.0 = rest;
        Ok(text)
    }

    /// Type of the values, and whether their most significant byte comes first.
    fn element(&mut self) -> Result<(Element, bool), String> {
        if self.0.trim_start().starts_with('[') {
            return Err("its values are records; save one plain array of numbers".to_owned());
        }
        let descr = self.string()?;
        let unknown =
            || format!("values of type {descr:?} are not read; save whole numbers, 32-bit or 64-bit floats");
        let order = descr.chars().next().filter(char::is_ascii).ok_or_else(unknown)?;
        let big_endian = match order {
            '<' | '|' | '=' => false,
            '>' => true,
            _ => return Err(unknown()),
        };
        let element = match &descr[1..] {
            "b1" => Element::Bool,
            "u1" => Element::U8,
            "i1" => Element::I8,
            "u2" => Element::U16,
            "i2" => Element::I16,
            "u4" => Element::U32,
            "i4" => Element::I32,
            "u8" => Element::U64,
            "i8" => Element::I64,
            "f4" => Element::F32,
            "f8" => Element::F64,
            _ => return Err(unknown()),
        };
        Ok((element, big_endian))
    }

    fn truth(&mut self) -> Result<bool, String> {
        self.0 = self.0.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.0.strip_prefix(word) {
                self.0 = rest;
                return Ok(value);
            }
        }
        Err(format!("its head is malformed: expected True or False before {:?}", self.beginning()))
    }

    fn shape(&mut self) -> Result<Vec<usize>, String> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.skip(')') {
            self.0 = self.0.trim_start();
            let digits = self.0.len() - self.0.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = self.0.split_at(digits);
            let number = number.parse().map_err(|_| {
                format!("its head is malformed: expected a length before {:?}", self.beginning())
            })?;
            // Python 2 wrote long numbers with an L.
            self.0 = rest.strip_prefix('L').unwrap_or(rest);
            shape.push(number);
            if shape.len() > MAX_AXES {
                return Err(format!("it has more than {MAX_AXES} axes"));
            }
            if !self.skip(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(version: u8, text: &str) -> Vec<u8> {
        let length = if version == 1 {
            u16::try_from(text.len()).unwrap().to_le_bytes().to_vec()
        } else {
            u32::try_from(text.len()).unwrap().to_le_bytes().to_vec()
        };
        [MAGIC, &[version, 0], &length, text.as_bytes()].concat()
    }

    fn parsed(text: &str) -> Result<ArrayHeader, String> {
        read_header(&mut head(1, text).as_slice())
    }

    #[test]
    fn heads_of_all_versions_and_ages() {
        for (version, text, expected) in [
            (
                1,
                "{'descr': '|u1', 'fortran_order': False, 'shape': (546, 28, 28), }            \n",
                (Element::U8, false, vec![546, 28, 28]),
            ),
            (
                2,
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }\n",
                (Element::F32, false, vec![3]),
            ),
            (
                3,
                "{\"shape\": (2L, 1L), \"descr\": \">i8\", \"fortran_order\": False}",
                (Element::I64, true, vec![2, 1]),
            ),
            (1, "{'descr': '|b1', 'fortran_order': False, 'shape': ()}", (Element::Bool, false, vec![])),
        ] {
            let (element, big_endian, shape) = expected;
            let found = read_header(&mut head(version, text).as_slice());
            assert_eq!(found, Ok(ArrayHeader { element, big_endian, shape }), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_numbers_is_refused_with_the_remedy() {
        for (text, said) in [
            ("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "save whole numbers"),
            ("{'descr': '<c16', 'fortran_order': False, 'shape': (3,), }", "save whole numbers"),
            ("{'descr': 'é1', 'fortran_order': False, 'shape': (3,), }", "save whole numbers"),
            ("{'descr': '', 'fortran_order': False, 'shape': (3,), }", "save whole numbers"),
            ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,)}", "plain array"),
            ("{'descr': '|u1', 'fortran_order': True, 'shape': (3, 2)}", "ascontiguousarray"),
            ("{'descr': '|u1', 'shape': (3, 2)}", "lacks one of"),
            ("{'descr': '|u1', 'fortran_order': Maybe, 'shape': (3, 2)}", "True or False"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (-3, 2)}", "expected a length"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}", "a length"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2), 'more': 1}", "unknown key"),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2)} x", "behind the dictionary"),
            ("__import__('os').system('true')", "malformed"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(
            read_header(&mut [MAGIC, &[9, 0, 0, 0]].concat().as_slice()).unwrap_err().contains("version 9")
        );
        assert!(read_header(&mut b"PK\x03\x04....".as_slice()).unwrap_err().contains("does not begin"));
        let long = [MAGIC, &[2, 0], &u32::MAX.to_le_bytes()].concat();
        assert!(read_header(&mut long.as_slice()).unwrap_err().contains("claims 4294967295 bytes"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[{}()\\[\\]',:A-Za-z0-9_<>| é]{0,80}") {
            let _ = parsed(&text);
        }

        #[test]
        fn no_damage_makes_the_parser_panic(at: prop::sample::Index, value: u8, keep: prop::sample::Index) {
            let mut bytes = head(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 28, 28), }\n");
            let at = at.index(bytes.len());
            bytes[at] = value;
            let keep = keep.index(bytes.len() + 1);
            let _ = read_header(&mut &bytes[..keep]);
        }
    }
}
