//! Weight files of every format, written by the tests: small, whole, and like those that libraries write.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use hdf5_pure::{AttrValue, FileBuilder};

/// A tensor to write: name, shape, values.
pub type Tensor<'a> = (&'a str, Vec<usize>, Vec<f32>);

/// Two tensors, one of them with a counter beside it.
pub fn sample() -> Vec<Tensor<'static>> {
    vec![
        ("features.conv0.weight", vec![2, 1, 1, 2], vec![0.5, -1.0, 2.0, 3.0]),
        ("classifier.bias", vec![3], vec![1.0, 2.0, -4.0]),
    ]
}

/// Opcodes of a pickle.
#[derive(Clone, Default)]
pub struct Pickle(pub Vec<u8>);

impl Pickle {
    pub fn text(text: &str) -> Self {
        Self([b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat())
    }

    pub fn int(value: usize) -> Self {
        Self([b"J", &(value as i32).to_le_bytes()[..]].concat())
    }

    pub fn global(path: &str) -> Self {
        let (module, name) = path.rsplit_once('.').unwrap();
        Self(format!("c{module}\n{name}\n").into_bytes())
    }

    pub fn tuple(items: impl IntoIterator<Item = Self>) -> Self {
        Self([&b"("[..], &joined(items), b"t"].concat())
    }

    pub fn call(function: &str, args: impl IntoIterator<Item = Self>) -> Self {
        Self([Self::global(function).0, Self::tuple(args).0, b"R".to_vec()].concat())
    }

    pub fn dict(entries: impl IntoIterator<Item = (impl AsRef<str>, Self)>) -> Self {
        let items = entries.into_iter().flat_map(|(key, value)| [Self::text(key.as_ref()), value]);
        Self([&b"}("[..], &joined(items), b"u"].concat())
    }

    pub fn ordered(entries: impl IntoIterator<Item = (impl AsRef<str>, Self)>) -> Self {
        let items = entries.into_iter().flat_map(|(key, value)| [Self::text(key.as_ref()), value]);
        Self([&b"ccollections\nOrderedDict\n)R("[..], &joined(items), b"u"].concat())
    }

    /// An object of a class, as `pickle` writes one with a `__dict__`.
    pub fn object(class: &str, state: Self) -> Self {
        Self([Self::global(class).0, b")\x81".to_vec(), state.0, b"b".to_vec()].concat())
    }

    pub fn none() -> Self {
        Self(b"N".to_vec())
    }

    /// A row-major tensor of the storage with this key.
    pub fn tensor(class: &str, key: &str, shape: &[usize]) -> Self {
        let strides = (0..shape.len()).map(|i| shape[i + 1..].iter().product());
        Self::view(class, key, 0, shape, strides)
    }

    pub fn view(
        class: &str,
        key: &str,
        offset: usize,
        shape: &[usize],
        strides: impl IntoIterator<Item = usize>,
    ) -> Self {
        let count = shape.iter().product();
        let parts = [Self::text("storage"), Self::global(class), Self::text(key), Self::text("cpu"), Self::int(count)];
        let storage = Self([Self::tuple(parts).0, b"Q".to_vec()].concat());
        let shape = Self::tuple(shape.iter().map(|d| Self::int(*d)));
        let strides = Self::tuple(strides.into_iter().map(Self::int));
        let (flag, hooks) = (Self(b"\x89".to_vec()), Self::ordered(Vec::<(&str, Self)>::new()));
        Self::call("torch._utils._rebuild_tensor_v2", [storage, Self::int(offset), shape, strides, flag, hooks])
    }

    /// The whole pickle.
    pub fn done(&self) -> Vec<u8> {
        [b"\x80\x02", &self.0[..], b"."].concat()
    }
}

fn joined(items: impl IntoIterator<Item = Pickle>) -> Vec<u8> {
    items.into_iter().flat_map(|item| item.0).collect()
}

/// The `state_dict` of `tensors`, each in a storage of its own whose key is its place, a counter among them.
pub fn state_dict(tensors: &[Tensor]) -> Pickle {
    let entries = tensors
        .iter()
        .enumerate()
        .map(|(i, (name, shape, _))| ((*name).to_owned(), Pickle::tensor("torch.FloatStorage", &i.to_string(), shape)));
    let counter = ("norm.num_batches_tracked".to_owned(), Pickle::tensor("torch.LongStorage", "9", &[]));
    Pickle::ordered(entries.chain([counter]))
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A zip archive as torch writes one.
pub fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(format!("archive/{name}"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A checkpoint of torch 1.6 and later: `object` over the storages of `tensors`.
pub fn torch(object: &Pickle, tensors: &[Tensor]) -> Vec<u8> {
    let mut entries = vec![("data.pkl".to_owned(), object.done()), ("byteorder".to_owned(), b"little".to_vec())];
    entries.extend(tensors.iter().enumerate().map(|(i, (.., values))| (format!("data/{i}"), bytes(values))));
    entries.push(("data/9".to_owned(), 7i64.to_le_bytes().to_vec()));
    entries.push(("version".to_owned(), b"3\n".to_vec()));
    archive(&entries.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect::<Vec<_>>())
}

/// A checkpoint of before torch 1.6.
pub fn torch_legacy(object: &Pickle, tensors: &[Tensor]) -> Vec<u8> {
    let mut file = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.".to_vec();
    file.extend(Pickle::dict([("protocol_version", Pickle::int(1001)), ("little_endian", Pickle(vec![0x88]))]).done());
    file.extend(object.done());
    let counted = object.0.windows(11).any(|w| w == b"LongStorage");
    let keys = (0..tensors.len()).map(|i| i.to_string()).chain(counted.then(|| "9".to_owned()));
    file.extend(Pickle([&b"]("[..], &joined(keys.map(|k| Pickle::text(&k))), b"e"].concat()).done());
    for (.., values) in tensors {
        file.extend((values.len() as i64).to_le_bytes());
        file.extend(bytes(values));
    }
    if counted {
        file.extend([1i64, 7].iter().flat_map(|v| v.to_le_bytes()));
    }
    file
}

/// A module with these parameters and submodules.
pub fn module(parameters: Vec<(&str, Pickle)>, modules: Vec<(&str, Pickle)>) -> Pickle {
    let parameters = parameters.into_iter().map(|(name, tensor)| {
        let hooks = Pickle::ordered(Vec::<(&str, Pickle)>::new());
        (name, Pickle::call("torch._utils._rebuild_parameter", [tensor, Pickle(vec![0x88]), hooks]))
    });
    let state = [
        ("training", Pickle(vec![0x89])),
        ("_parameters", Pickle::ordered(parameters)),
        ("_buffers", Pickle::ordered([("op_threshs", Pickle::none())])),
        ("_non_persistent_buffers_set", Pickle([&b"c__builtin__\nset\n(]tR"[..]].concat())),
        ("_modules", Pickle::ordered(modules)),
    ];
    Pickle::object("somewhere.models.Net", Pickle::dict(state))
}

pub fn safetensors(tensors: &[Tensor]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    header.insert("__metadata__".into(), serde_json::json!({"format": "pt"}));
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(bytes(values));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert((*name).into(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

/// A layer of a Keras file: name, and variables with shape and values.
pub type Layer<'a> = (&'a str, Vec<(&'a str, Vec<u64>, Vec<f32>)>);

/// A file of Keras' `save_weights`.
pub fn keras(layers: &[Layer]) -> Vec<u8> {
    let mut file = FileBuilder::new();
    let names = |names: Vec<String>| match names.is_empty() {
        true => AttrValue::F64Array(Vec::new()),
        false => AttrValue::AsciiStringArray(names),
    };
    file.set_attr("layer_names", names(layers.iter().map(|(layer, _)| (*layer).to_owned()).collect()));
    let mut groups: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (layer, variables) in layers {
        groups.entry(layer).or_default().extend(variables);
    }
    for (layer, variables) in groups {
        let mut group = file.create_group(layer);
        let paths = variables.iter().map(|(part, ..)| format!("{layer}/{part}:0"));
        group.set_attr("weight_names", names(paths.collect()));
        let mut inner = group.create_group(layer);
        for (part, shape, values) in variables {
            inner.create_dataset(&format!("{part}:0")).with_f32_data(values).with_shape(shape);
        }
        let inner = inner.finish();
        group.add_group(inner);
        let group = group.finish();
        file.add_group(group);
    }
    file.finish().unwrap()
}
