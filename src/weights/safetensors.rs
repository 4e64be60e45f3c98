//! safetensors: eight bytes of header length, a JSON header, then the values
//! (<https://huggingface.co/docs/safetensors>).

use std::collections::BTreeMap;

use candle_core::DType;
use serde::Deserialize;

use super::open::Named;
use super::tensors::elements;
use super::{naming, values};
use crate::error::{Error, Result};

/// An entry of the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Every float tensor of the file, by name. Counters are left out; other integer tensors are errors.
pub(super) fn read(file: &[u8]) -> Result<Vec<Named>> {
    let broken = |cause: String| Error::new(cause).mend("the file is damaged: fetch it again");
    let (length, rest) = file.split_first_chunk::<8>().ok_or_else(|| broken("shorter than 8 bytes".into()))?;
    let length = u64::from_le_bytes(*length);
    let header = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n));
    let (header, data) =
        header.ok_or_else(|| broken(format!("a header of {length} bytes in a file of {}", file.len())))?;
    let header: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(header).map_err(|e| broken(format!("the header is not JSON: {e}")))?;
    let mut tensors = Vec::with_capacity(header.len());
    for (name, entry) in header {
        if name == "__metadata__" || naming::is_counter(&name) {
            continue;
        }
        let entry = Entry::deserialize(entry).map_err(|e| broken(format!("header of tensor `{name}`: {e}")))?;
        let kind = match entry.dtype.as_str() {
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            "F64" => DType::F64,
            other => return Err(Error::new(format!("tensor `{name}` holds {other} values, not floats"))),
        };
        let [start, end] = entry.data_offsets;
        let bytes = data.get(start..end).ok_or_else(|| {
            broken(format!("tensor `{name}` lies at bytes {start} to {end} of the {} there are", data.len()))
        })?;
        if elements(&entry.shape).and_then(|n| n.checked_mul(values::size(kind))) != Some(bytes.len()) {
            return Err(broken(format!("tensor `{name}` of shape {:?} has {} bytes", entry.shape, bytes.len())));
        }
        tensors.push((name, entry.shape, values::to_f32(bytes, kind)?));
    }
    if tensors.is_empty() {
        return Err(Error::new("no tensors in the file"));
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
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
            (entry("F32", "[-1]", "[0,4]"), "header of tensor `a`"),
            ("{}".to_string(), "no tensors"),
            ("{".to_string(), "not JSON"),
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
