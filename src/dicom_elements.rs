//! The data elements of a DICOM data set (PS3.5, chapter 7), read where they lie.
//!
//! A walk over the top level only: nothing is copied, nothing is set aside for a length that a file merely
//! claims, and nested sequences are stepped over without recursion, so damaged files cost nothing.

use crate::error::{Error, Result};

/// A group and an element number.
pub type Tag = (u16, u16);

const ITEM: Tag = (0xfffe, 0xe000);
const ITEM_END: Tag = (0xfffe, 0xe00d);
const SEQUENCE_END: Tag = (0xfffe, 0xe0dd);
const PIXEL_DATA: Tag = (0x7fe0, 0x0010);

/// The length of what ends with a delimiter.
const UNDEFINED: u32 = u32::MAX;

/// How data elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding {
    /// Whether each element names its value representation.
    pub explicit: bool,
    /// The order of bytes in numbers.
    pub big_endian: bool,
}

impl Encoding {
    /// Explicit VR little endian.
    pub const EXPLICIT: Self = Self { explicit: true, big_endian: false };
    /// Implicit VR little endian.
    pub const IMPLICIT: Self = Self { explicit: false, big_endian: false };

    /// The number in two bytes.
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    fn u32(self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The value of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// The value's bytes; of a sequence, its items.
    Bytes(&'a [u8]),
    /// Encapsulated pixel data: the fragments after the offset table.
    Fragments(Vec<&'a [u8]>),
}

struct Header {
    tag: Tag,
    length: u32,
    /// How the items of a sequence are written.
    content: Encoding,
}

/// Reads data elements one after the other.
pub struct Elements<'a> {
    bytes: &'a [u8],
    position: usize,
    encoding: Encoding,
}

impl<'a> Elements<'a> {
    /// Begins at the start of `bytes`.
    pub fn new(bytes: &'a [u8], encoding: Encoding) -> Self {
        Self { bytes, position: 0, encoding }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// The group of the next element.
    pub fn next_group(&self) -> Option<u16> {
        self.rest().first_chunk().map(|&group| self.encoding.u16(group))
    }

    /// The next element, or `None` at the end of the bytes or of the item that they begin in.
    pub fn read(&mut self) -> Result<Option<(Tag, Value<'a>)>> {
        if self.position == self.bytes.len() {
            return Ok(None);
        }
        let Header { tag, length, content } = self.header()?;
        let value = match (tag, length) {
            (ITEM_END | SEQUENCE_END, _) => return Ok(None),
            (PIXEL_DATA, UNDEFINED) => Value::Fragments(self.fragments()?),
            (_, UNDEFINED) => {
                let start = self.position;
                self.skip_sequence(content)?;
                Value::Bytes(&self.bytes[start..self.position])
            }
            _ => Value::Bytes(self.take(length).map_err(|e| e.at(name(tag)))?),
        };
        Ok(Some((tag, value)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self.rest().first_chunk::<N>().ok_or_else(cut_short)?;
        self.position += N;
        Ok(*found)
    }

    fn take(&mut self, length: u32) -> Result<&'a [u8]> {
        let found = self.rest().get(..length as usize).ok_or_else(cut_short)?;
        self.position += found.len();
        Ok(found)
    }

    fn header(&mut self) -> Result<Header> {
        let encoding = self.encoding;
        let tag = (encoding.u16(self.array()?), encoding.u16(self.array()?));
        // Items and delimiters never name a representation.
        if !encoding.explicit || tag.0 == 0xfffe {
            return Ok(Header { tag, length: encoding.u32(self.array()?), content: encoding });
        }
        let vr: [u8; 2] = self.array()?;
        let length = match &vr {
            b"OB" | b"OD" | b"OF" | b"OL" | b"OV" | b"OW" | b"SQ" | b"SV" | b"UC" | b"UN" | b"UR" | b"UT" | b"UV" => {
                self.array::<2>()?;
                encoding.u32(self.array()?)
            }
            vr if vr.iter().all(u8::is_ascii_uppercase) => u32::from(encoding.u16(self.array()?)),
            _ => return Err(Error::new("the DICOM file is damaged: not a value representation").at(name(tag))),
        };
        // A sequence that was not understood when it was written stays in the default encoding (PS3.5, 6.2.2).
        Ok(Header { tag, length, content: if &vr == b"UN" { Encoding::IMPLICIT } else { encoding } })
    }

    /// Steps over a sequence of undefined length, its delimiter included.
    fn skip_sequence(&mut self, content: Encoding) -> Result<()> {
        // For each open sequence of undefined length the encoding around it. What has a length is skipped whole.
        let mut open = vec![self.encoding];
        self.encoding = content;
        let mut in_item = false;
        loop {
            let Header { tag, length, content } = self.header()?;
            match (in_item, tag, length) {
                (false, ITEM, UNDEFINED) => in_item = true,
                (false, SEQUENCE_END, _) => {
                    self.encoding = open.pop().unwrap_or(self.encoding);
                    if open.is_empty() {
                        return Ok(());
                    }
                    // The sequence around this one has an item open.
                    in_item = true;
                }
                (true, ITEM_END, _) => in_item = false,
                (true, _, UNDEFINED) => {
                    open.push(self.encoding);
                    self.encoding = content;
                    in_item = false;
                }
                (item, _, _) if item != (tag.0 == 0xfffe) => drop(self.take(length)?),
                _ => return Err(Error::new("the DICOM file is damaged: a sequence is not well formed").at(name(tag))),
            }
        }
    }

    fn fragments(&mut self) -> Result<Vec<&'a [u8]>> {
        let mut fragments = Vec::new();
        loop {
            match self.header()? {
                Header { tag: ITEM, length, .. } if length != UNDEFINED => fragments.push(self.take(length)?),
                Header { tag: SEQUENCE_END, .. } => break,
                Header { tag, .. } => {
                    return Err(Error::new("the pixel data's fragments are not well formed").at(name(tag)));
                }
            }
        }
        // The first item is the basic offset table.
        fragments.drain(..1.min(fragments.len()));
        Ok(fragments)
    }
}

/// The elements of the first item of a sequence.
pub fn first_item(sequence: &[u8], encoding: Encoding) -> Result<Elements<'_>> {
    let mut elements = Elements::new(sequence, encoding);
    match elements.header()? {
        Header { tag: ITEM, length: UNDEFINED, .. } => Ok(Elements::new(elements.rest(), encoding)),
        Header { tag: ITEM, length, .. } => Ok(Elements::new(elements.take(length)?, encoding)),
        Header { tag, .. } => Err(Error::new("a sequence does not begin with an item").at(name(tag))),
    }
}

/// How people write a tag.
pub fn name(tag: Tag) -> String {
    format!("({:04X},{:04X})", tag.0, tag.1)
}

fn cut_short() -> Error {
    Error::new("the DICOM file is cut short").mend("fetch the file again")
}
