//! PyTorch checkpoints: a zip archive of one pickle and the raw values of each storage.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use candle_core::DType;
use candle_core::pickle::{Object, Stack};
use zip::ZipArchive;

use super::open::Named;
use super::tensors::elements;
use super::{naming, values};
use crate::error::{Error, Result};

/// Keys under which training scripts put the `state_dict`, outermost first.
const WRAPPERS: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// Every float tensor of the `state_dict` in the file, by name. Counters are left out; other integer tensors are errors.
pub(super) fn read(path: &Path) -> Result<Vec<Named>> {
    let mut archive = Archive::open(path)?;
    let pickle = archive.entry("data.pkl")?;
    let mut stack = Stack::empty();
    let object = stack.read_loop(&mut pickle.as_slice()).and_then(|()| stack.finalize());
    let object = object.map_err(|e| Error::new(format!("the pickle in it cannot be read: {e}")))?;
    let mut tensors = Vec::new();
    for (name, value) in entries(object) {
        let Object::Unicode(name) = name else { continue };
        if naming::is_counter(&name) {
            continue;
        }
        if let Some(view) = View::of(value).map_err(|e| e.at(format_args!("tensor `{name}`")))? {
            let values = archive.values(&view).map_err(|e| e.at(format_args!("tensor `{name}`")))?;
            tensors.push((name, view.shape, values));
        }
    }
    if tensors.is_empty() {
        return Err(Error::new("no tensors in the checkpoint; a whole pickled module is not read")
            .mend("save its weights in Python: `torch.save(model.state_dict(), NEW)`"));
    }
    Ok(tensors)
}

/// The entries of the `state_dict`, out of any wrappers.
fn entries(object: Object) -> Vec<(Object, Object)> {
    let Object::Dict(mut entries) = object else { return Vec::new() };
    for key in WRAPPERS {
        let wrapped = |(k, v): &(Object, Object)| matches!((k, v), (Object::Unicode(k), Object::Dict(_)) if k == key);
        if let Some(i) = entries.iter().position(wrapped) {
            return self::entries(entries.swap_remove(i).1);
        }
    }
    entries
}

/// A tensor as the pickle describes it: a strided view of a storage.
struct View {
    storage: String,
    kind: DType,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

impl View {
    /// `None` if the object is no tensor.
    fn of(object: Object) -> Result<Option<Self>> {
        let Object::Reduce { callable, args } = object else { return Ok(None) };
        let (Object::Class { class_name, .. }, Object::Tuple(args)) = (*callable, *args) else { return Ok(None) };
        let mut args = args.into_iter();
        match class_name.as_str() {
            "_rebuild_tensor_v2" => {}
            "_rebuild_parameter" => return args.next().map_or(Ok(None), Self::of),
            _ => return Ok(None),
        }
        let mut next = || args.next().unwrap_or(Object::None);
        let (storage, offset, shape, strides) = (next(), next(), next(), next());
        let odd = || Error::new("described in a way that is not known here").mend("save it with a current PyTorch");
        // ("storage", class, key, device, length)
        let Object::PersistentLoad(storage) = storage else { return Err(odd()) };
        let Object::Tuple(storage) = *storage else { return Err(odd()) };
        let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = storage.as_slice() else {
            return Err(odd());
        };
        let kind = match class_name.as_str() {
            "FloatStorage" => DType::F32,
            "DoubleStorage" => DType::F64,
            "HalfStorage" => DType::F16,
            "BFloat16Storage" => DType::BF16,
            other => return Err(Error::new(format!("holds a {other}, not floats"))),
        };
        let view = Self {
            storage: format!("data/{key}"),
            kind,
            offset: whole(&offset).ok_or_else(odd)?,
            shape: wholes(shape).ok_or_else(odd)?,
            strides: wholes(strides).ok_or_else(odd)?,
        };
        if view.shape.len() == view.strides.len() { Ok(Some(view)) } else { Err(odd()) }
    }

    /// The view's values, row-major; `None` if it leaves the storage.
    fn gather(&self, storage: &[f32]) -> Option<Vec<f32>> {
        let count = elements(&self.shape)?;
        if count == 0 {
            return Some(Vec::new());
        }
        let axes = || self.shape.iter().zip(&self.strides);
        let last = axes().try_fold(self.offset, |at, (n, s)| at.checked_add((n - 1).checked_mul(*s)?))?;
        // Views that repeat values (stride 0) are no weights, and could be made to fill the memory.
        if last >= storage.len() || count > storage.len() {
            return None;
        }
        let mut expected = 1;
        let contiguous = axes().rev().all(|(n, s)| {
            let fits = *n == 1 || *s == expected;
            expected *= n;
            fits
        });
        if contiguous {
            return Some(storage[self.offset..self.offset + count].to_vec());
        }
        let at = |mut i: usize| {
            let steps = axes().rev().map(|(n, s)| {
                let step = i % n * s;
                i /= n;
                step
            });
            self.offset + steps.sum::<usize>()
        };
        Some((0..count).map(|i| storage[at(i)]).collect())
    }
}

fn whole(object: &Object) -> Option<usize> {
    match object {
        Object::Int(v) => usize::try_from(*v).ok(),
        Object::Long(v) => usize::try_from(*v).ok(),
        _ => None,
    }
}

fn wholes(object: Object) -> Option<Vec<usize>> {
    match object {
        Object::Tuple(items) => items.iter().map(whole).collect(),
        _ => None,
    }
}

/// The zip archive around a checkpoint.
struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// Folder that all entries lie in, with its slash.
    folder: String,
    /// Length of the file: no entry holds more, for PyTorch does not compress.
    length: u64,
    /// The storage read last: tensors may share one.
    last: Option<(String, Vec<f32>)>,
}

impl Archive {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::new(e.to_string()))?;
        let length = file.metadata().map_err(|e| Error::new(e.to_string()))?.len();
        let zip = ZipArchive::new(BufReader::new(file))
            .map_err(|e| Error::new(format!("the zip archive cannot be read: {e}")).mend("fetch the file again"))?;
        let folder = zip
            .file_names()
            .filter_map(|name| name.ok()?.strip_suffix("data.pkl").map(str::to_string))
            .find(|folder| folder.is_empty() || folder.ends_with('/'))
            .ok_or_else(|| Error::new("a zip archive, but no PyTorch checkpoint: it has no `data.pkl`"))?;
        let mut archive = Self { zip, folder, length, last: None };
        if archive.entry("byteorder").is_ok_and(|order| order == b"big") {
            return Err(Error::new("written on a big-endian machine").mend("save it anew on a little-endian one"));
        }
        Ok(archive)
    }

    fn entry(&mut self, name: &str) -> Result<Vec<u8>> {
        let fault = |e: String| Error::new(format!("`{name}` in the archive cannot be read: {e}"));
        let entry = self.zip.by_name(&format!("{}{name}", self.folder)).map_err(|e| fault(e.to_string()))?;
        let mut bytes = Vec::new();
        entry.take(self.length).read_to_end(&mut bytes).map_err(|e| fault(e.to_string()))?;
        Ok(bytes)
    }

    fn values(&mut self, view: &View) -> Result<Vec<f32>> {
        if self.last.as_ref().is_none_or(|(name, _)| *name != view.storage) {
            let bytes = self.entry(&view.storage)?;
            self.last = Some((view.storage.clone(), values::to_f32(&bytes, view.kind)?));
        }
        let storage = self.last.as_ref().map_or(&[][..], |(_, values)| values);
        view.gather(storage).ok_or_else(|| {
            Error::new(format!("shape {:?} is larger than its {} stored values", view.shape, storage.len()))
                .mend("the file is damaged: fetch it again")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(s: &str) -> Vec<u8> {
        [b"X", &(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat()
    }

    fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let items = entries.iter().flat_map(|(k, v)| [text(k), v.clone()].concat());
        [b"}(".to_vec(), items.collect(), b"u".to_vec()].concat()
    }

    fn tuple(values: &[u8]) -> Vec<u8> {
        [b"(".to_vec(), values.iter().flat_map(|v| [b'K', *v]).collect(), b"t".to_vec()].concat()
    }

    /// The pickle of a view of storage "0".
    fn tensor(class: &str, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
        let class = format!("ctorch\n{class}\n");
        let storage = [b"(", &text("storage")[..], class.as_bytes(), &text("0"), &text("cpu"), b"K\x06tQ"].concat();
        let start = [b"ctorch._utils\n_rebuild_tensor_v2\n(", &storage[..], &[b'K', offset]].concat();
        [start, tuple(shape), tuple(strides), b"\x89NtR".to_vec()].concat()
    }

    /// Reads a checkpoint of that pickle and one storage of the floats 0 to 5.
    fn checkpoint(pickle: &[u8]) -> Result<Vec<Named>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut zip = zip::ZipWriter::new(file.reopen().unwrap());
        let options = zip::write::SimpleFileOptions::default();
        let storage: Vec<u8> = (0..6).flat_map(|v| (v as f32).to_le_bytes()).collect();
        for (name, bytes) in [("data.pkl", [b"\x80\x02", pickle, b"."].concat()), ("data/0", storage)] {
            zip.start_file(format!("archive/{name}"), options).unwrap();
            zip.write_all(&bytes).unwrap();
        }
        zip.finish().unwrap();
        read(file.path())
    }

    #[test]
    fn wrapped_state_dicts() {
        let a = || tensor("FloatStorage", 1, &[2, 2], &[2, 1]);
        let state = dict(&[("a", a()), ("a.num_batches_tracked", tensor("LongStorage", 0, &[], &[]))]);
        let expected = vec![("a".to_string(), vec![2, 2], vec![1.0, 2.0, 3.0, 4.0])];
        let epoch = || ("epoch", b"K\x07".to_vec());
        for pickle in [
            state.clone(),
            dict(&[epoch(), ("state_dict", state.clone()), ("loss", a())]),
            dict(&[epoch(), ("model", state.clone())]),
            dict(&[("model", dict(&[("state_dict", state.clone()), epoch()]))]),
            dict(&[("model", text("resnet18")), ("state_dict", state.clone())]),
        ] {
            assert_eq!(checkpoint(&pickle).unwrap(), expected);
        }
    }

    #[test]
    fn views_of_a_storage() {
        let transposed = dict(&[("a", tensor("FloatStorage", 0, &[3, 2], &[1, 3]))]);
        assert_eq!(checkpoint(&transposed).unwrap()[0].2, [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let parameter =
            [b"ctorch._utils\n_rebuild_parameter\n(", &tensor("FloatStorage", 5, &[1], &[1])[..], b"\x88NtR"];
        assert_eq!(checkpoint(&dict(&[("a", parameter.concat())])).unwrap()[0].2, [5.0]);
    }

    #[test]
    fn faults_are_told() {
        let one = |class, offset, shape: &[u8], strides: &[u8]| dict(&[("a", tensor(class, offset, shape, strides))]);
        for (pickle, says) in [
            (one("FloatStorage", 3, &[2, 2], &[2, 1]), "tensor `a`: shape [2, 2] is larger than its 6 stored values"),
            (one("FloatStorage", 0, &[200, 200], &[0, 0]), "is larger"),
            (one("FloatStorage", 0, &[2], &[1, 1]), "not known here"),
            (one("IntStorage", 0, &[1], &[1]), "tensor `a`: holds a IntStorage, not floats"),
            (dict(&[]), "no tensors in the checkpoint"),
            (b"cmodels\nNet\n)R}b".to_vec(), "no tensors in the checkpoint"),
            (b"K".to_vec(), "pickle in it cannot be read"),
            (b"tttt".to_vec(), "pickle in it cannot be read"),
        ] {
            let e = checkpoint(&pickle).unwrap_err().to_string();
            assert!(e.contains(says), "{says}: {e}");
        }
    }

    proptest::proptest! {
        #[test]
        fn damaged_pickles_never_panic(damage in proptest::collection::vec((0usize..400, proptest::num::u8::ANY), 1..6)) {
            let mut pickle = dict(&[("a", tensor("FloatStorage", 1, &[2, 2], &[2, 1])), ("b", tensor("HalfStorage", 0, &[2], &[1]))]);
            for (at, byte) in damage {
                let length = pickle.len();
                pickle[at % length] = byte;
            }
            let _ = checkpoint(&pickle);
        }
    }
}
