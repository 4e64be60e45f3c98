//! Tensors in PyTorch's pickles: a `state_dict`, a training script's checkpoint around one, or a whole module.

use super::mapped::Bytes;
use super::naming;
use super::pickle::{Id, Node, Pickle};
use super::values::Named;
use super::values::{Kind, Values};
use crate::error::{Error, Result};

/// Keys under which training scripts put the `state_dict` or the module, outermost first.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model", "net", "network", "module"];

/// Wrappers inside wrappers, and modules inside modules, at most.
const DEPTH: usize = 64;

/// Tensors in a module, at most: shared submodules, each of which counts wherever it hangs, could make more than memory
/// holds.
const TENSORS: usize = 1 << 16;

/// Finds the bytes of the storage of this key.
pub(super) type Storages<'a> = dyn Fn(&str) -> Result<Bytes> + 'a;

/// A storage as the pickle describes it.
pub(super) struct Storage<'a> {
    /// `FloatStorage` and its like.
    pub class: String,
    pub key: &'a str,
    /// Where a view of a larger storage begins in it, in values.
    start: usize,
}

impl<'a> Storage<'a> {
    /// `("storage", class, key, device, length)`, in old files with `(key, start, length)` of a view or None behind.
    pub fn of(pickle: &'a Pickle, id: Id) -> Option<Self> {
        let Node::Persistent(id) = pickle.get(id) else { return None };
        let [kind, class, key, _, _, view @ ..] = pickle.tuple(*id)? else { return None };
        if pickle.text(*kind) != Some("storage") {
            return None;
        }
        let class = pickle.global(*class)?;
        let view = view.first().and_then(|view| pickle.tuple(*view));
        Some(Self {
            class: class.rsplit('.').next().unwrap_or_default().to_owned(),
            key: pickle.text(*key)?,
            start: view.and_then(|view| pickle.int(*view.get(1)?)).unwrap_or(0),
        })
    }

    fn kind(&self) -> Result<Kind> {
        Ok(match self.class.as_str() {
            "FloatStorage" => Kind::F32,
            "DoubleStorage" => Kind::F64,
            "HalfStorage" => Kind::F16,
            "BFloat16Storage" => Kind::BF16,
            quantised if quantised.starts_with('Q') => return Err(quantised_weights(quantised)),
            other => return Err(Error::new(format!("holds a {other}, not floats"))),
        })
    }
}

fn quantised_weights(what: &str) -> Error {
    Error::new(format!("holds quantised weights ({what}), which are not read here")).mend("give the float checkpoint")
}

/// Every float tensor that the pickle holds under the names of a `state_dict`. Counters are left out; other integer
/// tensors are errors.
pub(super) fn tensors(pickle: &Pickle, storages: &Storages) -> Result<Vec<Named>> {
    let mut reader = Reader { pickle, storages, found: Vec::new() };
    reader.top(pickle.root(), 0)?;
    if reader.found.is_empty() {
        return Err(Error::new("no tensors in the checkpoint")
            .mend("save the weights alone in Python: `torch.save(model.state_dict(), NEW)`"));
    }
    Ok(reader.found)
}

struct Reader<'a> {
    pickle: &'a Pickle<'a>,
    storages: &'a Storages<'a>,
    found: Vec<Named>,
}

impl Reader<'_> {
    /// A `state_dict`, a module, or a dict around one of them.
    fn top(&mut self, id: Id, depth: usize) -> Result<()> {
        if self.modules(id).is_some() {
            return self.module(id, "", 0);
        }
        let Some(entries) = self.pickle.entries(id) else { return Ok(()) };
        for key in WRAPPERS {
            let inside = self.pickle.at(id, key);
            let inside = inside.filter(|i| self.pickle.entries(*i).is_some() || self.modules(*i).is_some());
            if let Some(inside) = inside.filter(|_| depth < DEPTH) {
                return self.top(inside, depth + 1);
            }
        }
        self.entries(entries, "", &[])
    }

    /// The attributes of an `nn.Module`.
    fn modules(&self, id: Id) -> Option<Id> {
        let Node::Object(object) = self.pickle.get(id) else { return None };
        object.state.filter(|state| self.pickle.at(*state, "_modules").is_some())
    }

    /// The tensors of a module and those below it.
    fn module(&mut self, id: Id, prefix: &str, depth: usize) -> Result<()> {
        let Some(state) = self.modules(id) else { return Ok(()) };
        if depth > DEPTH {
            return Err(Error::new(format!("modules nested more than {DEPTH} deep")));
        }
        let pickle = self.pickle;
        let passing: Vec<_> = pickle
            .at(state, "_non_persistent_buffers_set")
            .and_then(|set| match pickle.get(set) {
                Node::List(items) => Some(items.as_slice()),
                // `set([...])`, as older protocols write it.
                Node::Object(object) => pickle.tuple(object.args).and_then(|args| match pickle.get(*args.first()?) {
                    Node::List(items) => Some(items.as_slice()),
                    _ => None,
                }),
                _ => None,
            })
            .unwrap_or_default()
            .iter()
            .filter_map(|id| pickle.text(*id))
            .collect();
        for (kind, passing) in [("_parameters", &[][..]), ("_buffers", &passing)] {
            let entries = pickle.at(state, kind).and_then(|id| pickle.entries(id)).unwrap_or_default();
            self.entries(entries, prefix, passing)?;
        }
        let below = pickle.at(state, "_modules").and_then(|id| pickle.entries(id)).unwrap_or_default();
        for (name, module) in below {
            let Some(name) = pickle.text(*name) else { continue };
            self.module(*module, &format!("{prefix}{name}."), depth + 1)?;
        }
        Ok(())
    }

    fn entries(&mut self, entries: &[(Id, Id)], prefix: &str, passing: &[&str]) -> Result<()> {
        for (name, value) in entries {
            let Some(name) = self.pickle.text(*name) else { continue };
            let full = format!("{prefix}{name}");
            if passing.contains(&name) || naming::is_bookkeeping(&full) {
                continue;
            }
            if full.contains("_packed_params") || full.ends_with(".zero_point") {
                return Err(quantised_weights(&full));
            }
            if let Some((shape, values)) = self.tensor(*value).map_err(|e| e.at(format_args!("tensor `{full}`")))? {
                if self.found.len() == TENSORS {
                    return Err(Error::new(format!("more than {TENSORS} tensors")));
                }
                self.found.push((full, shape, values));
            }
        }
        Ok(())
    }

    /// The tensor that `id` is; `None` if it is something else.
    fn tensor(&self, mut id: Id) -> Result<Option<(Vec<usize>, Values)>> {
        let pickle = self.pickle;
        for _ in 0..DEPTH {
            let Node::Object(object) = pickle.get(id) else { return Ok(None) };
            let Some(function) = pickle.global(object.class) else { return Ok(None) };
            let args = pickle.tuple(object.args).unwrap_or_default();
            let Some(function) = function.strip_prefix("torch._utils.") else {
                return match function.starts_with("torch._tensor.") {
                    true => Err(Error::new("a tensor of a class of its own").mend("save plain tensors")),
                    false => Ok(None),
                };
            };
            match (function, args) {
                ("_rebuild_parameter" | "_rebuild_parameter_with_state", [inner, ..]) => id = *inner,
                ("_rebuild_tensor" | "_rebuild_tensor_v2", [storage, offset, shape, strides, ..]) => {
                    return self.view([*storage, *offset, *shape, *strides]).map(Some);
                }
                ("_rebuild_tensor_v3", [_, _, _, _, _, _, kind, ..]) => {
                    let kind = pickle.global(*kind).unwrap_or_else(|| "unknown".into());
                    return Err(Error::new(format!("holds {kind} values, which are not read here")));
                }
                ("_rebuild_qtensor", _) => return Err(quantised_weights("_rebuild_qtensor")),
                (other, _) => {
                    return Err(Error::new(format!("made by `{other}`, which is not known here"))
                        .mend("save it in Python as a dense tensor of floats"));
                }
            }
        }
        Err(Error::new("a parameter of a parameter without end"))
    }

    fn view(&self, [storage, offset, shape, strides]: [Id; 4]) -> Result<(Vec<usize>, Values)> {
        let pickle = self.pickle;
        let odd = || Error::new("described in a way that is not known here").mend("save it with a current PyTorch");
        let wholes = |id| pickle.tuple(id)?.iter().map(|id| pickle.int(*id)).collect::<Option<Vec<_>>>();
        let storage = Storage::of(pickle, storage).ok_or_else(odd)?;
        let kind = storage.kind()?;
        let (shape, strides) = (sizes(pickle, shape).ok_or_else(odd)?, wholes(strides).ok_or_else(odd)?);
        let offset = pickle.int(offset).and_then(|o| o.checked_add(storage.start)).ok_or_else(odd)?;
        if shape.len() != strides.len() {
            return Err(odd());
        }
        let bytes = (self.storages)(storage.key)?;
        let axes = shape.iter().copied().zip(strides).collect();
        let values = Values::view(&bytes, kind, offset, axes).ok_or_else(|| {
            let held = bytes.len() / kind.size();
            Error::new(format!("shape {shape:?} is larger than its {held} stored values"))
                .mend("the file is damaged: fetch it again")
        })?;
        Ok((shape, values))
    }
}

/// A shape: a tuple, or `torch.Size` of one.
fn sizes(pickle: &Pickle, id: Id) -> Option<Vec<usize>> {
    let tuple = match pickle.get(id) {
        Node::Object(object) => *pickle.tuple(object.args)?.first()?,
        _ => id,
    };
    pickle.tuple(tuple)?.iter().map(|id| pickle.int(*id)).collect()
}
