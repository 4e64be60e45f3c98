//! safetensors: eight bytes of header length, a JSON header, then the values
//! (<https://huggingface.co/docs/safetensors>).

use std::collections::BTreeMap;
use std::io::Write;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::mapped::Bytes;
use super::naming;
use super::tensors::{Tensors, elements};
use super::values::Named;
use super::values::{Kind, Values};
use crate::error::{Error, Result};

/// The largest header that is read, as in the reference implementation.
const LONGEST_HEADER: u64 = 100 << 20;

/// Tensors in a file and axes of a tensor, at most: bounds on the memory that a header can take.
const TENSORS: usize = 1 << 16;
const AXES: usize = 16;

/// An entry of the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    #[serde(deserialize_with = "axes")]
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The header: entries by name, without the metadata.
struct Header(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> std::result::Result<Header, M::Error> {
                let mut entries = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let entry = map.next_value().map_err(|e| M::Error::custom(format!("tensor `{name}`: {e}")))?;
                    if entries.len() == TENSORS {
                        return Err(M::Error::custom(format!("more than {TENSORS} tensors")));
                    }
                    if let Some((twice, _)) = entries.get_key_value(&name) {
                        return Err(M::Error::custom(format!("tensor `{twice}` is there twice")));
                    }
                    entries.insert(name, entry);
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

fn axes<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<usize>, D::Error> {
    struct Axes;
    impl<'de> Visitor<'de> for Axes {
        type Value = Vec<usize>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            write!(f, "a shape of at most {AXES} axes")
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> std::result::Result<Vec<usize>, S::Error> {
            let mut axes = Vec::new();
            while let Some(axis) = seq.next_element()? {
                if axes.len() == AXES {
                    return Err(S::Error::invalid_length(AXES + 1, &self));
                }
                axes.push(axis);
            }
            Ok(axes)
        }
    }
    deserializer.deserialize_seq(Axes)
}

/// Every float tensor of the file, by name. Counters are left out; other integer tensors are errors.
pub(super) fn read(file: &Bytes) -> Result<Vec<Named>> {
    let broken = |cause: String| Error::new(cause).mend("the file is damaged: fetch it again");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(|| broken("shorter than 8 bytes".into()))?;
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n));
    let (header, data) =
        header.ok_or_else(|| broken(format!("a header of {length} bytes in a file of {}", file.len())))?;
    if length > LONGEST_HEADER {
        return Err(broken(format!("a header of {length} bytes")));
    }
    let Header(header) =
        serde_json::from_slice(header).map_err(|e| broken(format!("the header cannot be read: {e}")))?;
    let mut tensors = Vec::with_capacity(header.len());
    for (name, entry) in header {
        if naming::is_bookkeeping(&name) {
            continue;
        }
        let kind = match entry.dtype.as_str() {
            "F32" => Kind::F32,
            "F16" => Kind::F16,
            "BF16" => Kind::BF16,
            "F64" => Kind::F64,
            other => return Err(Error::new(format!("tensor `{name}` holds {other} values, not floats"))),
        };
        let [start, end] = entry.data_offsets;
        let bytes = end.checked_sub(start).and_then(|n| file.piece((8 + length as usize).checked_add(start)?, n));
        let bytes = bytes.ok_or_else(|| {
            broken(format!("tensor `{name}` lies at bytes {start} to {end} of the {} there are", data.len()))
        })?;
        if elements(&entry.shape).and_then(|n| n.checked_mul(kind.size())) != Some(bytes.len()) {
            return Err(broken(format!("tensor `{name}` of shape {:?} has {} bytes", entry.shape, bytes.len())));
        }
        tensors.push((name, entry.shape, Values::Stored(bytes, kind)));
    }
    if tensors.is_empty() {
        return Err(Error::new("no tensors in the file"));
    }
    Ok(tensors)
}

/// Writes the tensors as f32, with `metadata` in the header's `__metadata__`. The same tensors give the same bytes.
pub fn write_safetensors(
    tensors: &Tensors,
    metadata: &BTreeMap<String, String>,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!(metadata));
    let mut at = 0;
    for (name, shape) in tensors.shapes() {
        let end = at + 4 * elements(shape).unwrap_or(0);
        header.insert(name.into(), serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let mut header = serde_json::to_vec(&header)?;
    // Values begin at a multiple of 8, as the format asks.
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, _, values) in tensors.iter() {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        out.write_all(&bytes)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    type Found = (String, Vec<usize>, Vec<f32>);

    fn read(bytes: &[u8]) -> Result<Vec<Found>> {
        let found = super::read(&Bytes::of(Box::leak(bytes.into())))?;
        Ok(found.into_iter().map(|(name, shape, values)| (name, shape, values.into_f32())).collect())
    }

    #[test]
    fn what_is_written_reads() {
        let mut tensors = Tensors::new();
        tensors.insert("b", &[2, 1], vec![1.0, f32::NAN]).unwrap();
        tensors.insert("a", &[], vec![-0.0]).unwrap();
        let mut bytes = Vec::new();
        write_safetensors(&tensors, &BTreeMap::from([("k".into(), "v".into())]), &mut bytes).unwrap();
        let found = read(&bytes).unwrap();
        assert_eq!((found[0].0.as_str(), found[0].2[0].to_bits()), ("a", (-0.0f32).to_bits()));
        assert_eq!((found[1].1.as_slice(), found[1].2[1].to_bits()), (&[2, 1][..], f32::NAN.to_bits()));
        let length = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        assert_eq!(length % 8, 0);
        assert!(String::from_utf8_lossy(&bytes[8..8 + length]).contains(r#""__metadata__":{"k":"v"}"#));
    }

    #[test]
    fn every_float_type() {
        for (name, bytes) in [
            ("F32", 1.5f32.to_le_bytes().to_vec()),
            ("F64", 1.5f64.to_le_bytes().to_vec()),
            ("F16", vec![0x00, 0x3e]),
            ("BF16", vec![0xc0, 0x3f]),
        ] {
            let header = format!(
                r#"{{"__metadata__":{{"format":"pt"}},"a":{{"dtype":"{name}","shape":[1],"data_offsets":[0,{}]}}}}"#,
                bytes.len()
            );
            assert_eq!(read(&file(&header, &bytes)).unwrap(), [("a".to_string(), vec![1], vec![1.5])]);
        }
    }

    #[test]
    fn faults_are_told() {
        let entry = |kind: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{kind}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        for (header, says) in [
            (entry("I32", "[1]", "[0,4]"), "holds I32 values"),
            (entry("F32", "[1]", "[0,8]"), "bytes 0 to 8 of the 4"),
            (entry("F32", "[1]", "[4,0]"), "bytes 4 to 0"),
            (entry("F32", "[2]", "[0,4]"), "shape [2] has 4 bytes"),
            (entry("F32", "[4611686018427387904,8]", "[0,4]"), "has 4 bytes"),
            (entry("F32", "[-1]", "[0,4]"), "tensor `a`: invalid value"),
            ("{}".to_string(), "no tensors"),
            ("{".to_string(), "header cannot be read"),
        ] {
            let e = read(&file(&header, &[0; 4])).unwrap_err().to_string();
            assert!(e.contains(says), "{header}: {e}");
        }
        let mut long = file("{}", &[]);
        long[7] = 0xff;
        assert!(read(&long).unwrap_err().to_string().contains("in a file of 10"));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes);
        }
    }
}
