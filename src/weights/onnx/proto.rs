//! Protocol buffers on the wire (<https://protobuf.dev/programming-guides/encoding/>): fields of a message, one by one.

use crate::error::{Error, Result};

/// The value of a field.
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Bytes(&'a [u8]),
}

/// The fields of a message: number and value.
pub(super) struct Fields<'a>(pub &'a [u8]);

pub(super) fn broken() -> Error {
    Error::new("the ONNX file cannot be read: it is cut or damaged").mend("fetch the file again")
}

impl<'a> Fields<'a> {
    /// The next varint, taken off the front.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or_else(broken)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(broken())
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        let (piece, rest) = usize::try_from(n).ok().and_then(|n| self.0.split_at_checked(n)).ok_or_else(broken)?;
        self.0 = rest;
        Ok(piece)
    }

    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(self.take(4)?.try_into().map_err(|_| broken())?),
            _ => return Err(broken()),
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
