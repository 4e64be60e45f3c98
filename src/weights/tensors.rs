//! Named weights, and the account of which of them a network used.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::origin::Origin;
use super::values::Values;
use crate::error::{Error, Result};

/// Weights by name, with a record of what a network asked for: nothing is ever left over or made up in silence.
#[derive(Debug, Clone, Default)]
pub struct Tensors {
    place: Option<String>,
    origin: Option<Origin>,
    held: BTreeMap<String, Tensor>,
    /// Values that may still be put in place of missing ones.
    budget: usize,
    missing: Vec<String>,
    misshapen: Vec<String>,
}

#[derive(Debug, Clone)]
struct Tensor {
    shape: Vec<usize>,
    values: Values,
}

/// Values put in place of missing ones, at most (256 MiB): more than any network here has, and a bound on what a card
/// with absurd options can make us allocate.
const PLACEHOLDERS: usize = 64 << 20;

/// Names of each kind of fault that an error spells out.
const LISTED: usize = 8;

impl Tensors {
    /// None yet.
    pub fn new() -> Self {
        Self { budget: PLACEHOLDERS, ..Self::default() }
    }

    /// None yet; errors will name `place`, the file.
    pub fn at(place: impl ToString) -> Self {
        Self { place: Some(place.to_string()), ..Self::new() }
    }

    /// None yet, of a file that was found to be this.
    pub(super) fn of(place: String, origin: Origin) -> Self {
        Self { origin: Some(origin), ..Self::at(place) }
    }

    /// Adds a tensor, row-major. A name that is there already or values that do not fill the shape are errors.
    pub fn insert(&mut self, name: impl Into<String>, shape: &[usize], values: Vec<f32>) -> Result<()> {
        self.insert_values(name.into(), shape.to_vec(), Values::Numbers(values))
    }

    pub(super) fn insert_values(&mut self, name: String, shape: Vec<usize>, values: Values) -> Result<()> {
        if elements(&shape) != Some(values.count()) {
            return Err(self.fault(format!("tensor `{name}` of shape {shape:?} has {} values", values.count())));
        }
        match self.held.insert(name.clone(), Tensor { shape, values }) {
            None => Ok(()),
            Some(_) => Err(self.fault(format!("tensor `{name}` is there twice"))),
        }
    }

    /// These tensors over those of `base`, of which one with a name that is here too is dropped.
    pub fn over(mut self, base: Self) -> Self {
        for (name, tensor) in base.held {
            self.held.entry(name).or_insert(tensor);
        }
        self
    }

    /// What the file was found to be; `None` for tensors that are from no file.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Name, shape and values (row-major) of every tensor that is there, by name. The values are read as they come.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &[usize], Cow<'_, [f32]>)> {
        self.held.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice(), tensor.values.as_f32()))
    }

    /// Name and shape of every tensor that is there, by name.
    pub fn shapes(&self) -> impl ExactSizeIterator<Item = (&str, &[usize])> {
        self.held.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice()))
    }

    /// Drops the tensors whose name is one that `unwanted` knows.
    pub fn drop_named(&mut self, unwanted: impl Fn(&str) -> bool) {
        self.held.retain(|name, _| !unwanted(name));
    }

    /// Whether `name` is there and not taken yet.
    pub fn contains(&self, name: &str) -> bool {
        self.held.contains_key(name)
    }

    /// Puts every tensor through `change`, in the order of their names: name, shape and values.
    pub fn change(&mut self, mut change: impl FnMut(&str, &[usize], &mut [f32])) {
        for (name, tensor) in &mut self.held {
            let mut values = std::mem::replace(&mut tensor.values, Values::Numbers(Vec::new())).into_f32();
            change(name, &tensor.shape, &mut values);
            tensor.values = Values::Numbers(values);
        }
    }

    /// Takes out the values of `name`, row-major. If it is missing or of another shape, that is recorded for
    /// [`finish`](Self::finish) and zeros are returned, so that one error can name every fault; only when the
    /// zeros grow larger than any sensible network is that error returned at once.
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        match self.held.remove(name) {
            Some(tensor) if tensor.shape == shape => return Ok(tensor.values.into_f32()),
            Some(tensor) => self.misshapen.push(format!("{name} is {:?}, not {shape:?}", tensor.shape)),
            None => self.missing.push(name.to_string()),
        }
        match elements(shape).and_then(|n| self.budget.checked_sub(n).map(|left| (n, left))) {
            Some((n, left)) => {
                self.budget = left;
                Ok(vec![0.0; n])
            }
            None => Err(self.faults().unwrap_or_else(|| self.fault("the network is too large"))),
        }
    }

    /// An error that lists every tensor missing, of the wrong shape, or left over; `Ok` if there is none.
    pub fn finish(self) -> Result<()> {
        self.faults().map_or(Ok(()), Err)
    }

    fn faults(&self) -> Option<Error> {
        let unexpected: Vec<_> = self.held.keys().cloned().collect();
        let kinds = [("missing", &self.missing), ("of the wrong shape", &self.misshapen), ("unexpected", &unexpected)];
        let told: Vec<_> = kinds.iter().filter(|(_, names)| !names.is_empty()).map(|(k, n)| list(k, n)).collect();
        (!told.is_empty()).then(|| {
            self.fault(format!("the weights do not fit the model: {}", told.join("; ")))
                .mend("check `architecture`, `options`, `labels` and `head` in the card, or give the matching file")
        })
    }

    fn fault(&self, cause: impl Into<String>) -> Error {
        let error = Error::new(cause);
        match &self.place {
            Some(place) => error.at(place),
            None => error,
        }
    }
}

/// Values in a tensor of this shape; `None` if they cannot be counted.
pub(super) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d))
}

fn list(kind: &str, names: &[String]) -> String {
    let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    let more = if names.len() > LISTED { ", ..." } else { "" };
    format!("{} {kind} ({shown}{more})", names.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_in_one_message() {
        let mut tensors = Tensors::at("m.pth");
        tensors.insert("a", &[2], vec![1.0, 2.0]).unwrap();
        tensors.insert("b", &[1, 2], vec![3.0, 4.0]).unwrap();
        tensors.insert("extra", &[], vec![0.0]).unwrap();
        assert_eq!(tensors.take("a", &[2]).unwrap(), [1.0, 2.0]);
        assert_eq!(tensors.take("b", &[2, 1]).unwrap(), [0.0, 0.0]);
        for i in 0..10 {
            tensors.take(&format!("m{i}"), &[3]).unwrap();
        }
        assert_eq!(
            tensors.finish().unwrap_err().to_string(),
            "m.pth: the weights do not fit the model: 10 missing (m0, m1, m2, m3, m4, m5, m6, m7, ...); \
             1 of the wrong shape (b is [1, 2], not [2, 1]); 1 unexpected (extra); \
             check `architecture`, `options`, `labels` and `head` in the card, or give the matching file"
        );
    }

    #[test]
    fn absurd_shapes_end_at_once() {
        let mut tensors = Tensors::new();
        assert!(tensors.take("a", &[usize::MAX, 3]).unwrap_err().to_string().contains("1 missing (a)"));
        assert!(tensors.take("b", &[1 << 40]).is_err());
    }

    #[test]
    fn a_base_gives_what_is_missing() {
        let of = |entries: &[(&str, f32)]| {
            let mut tensors = Tensors::new();
            entries.iter().for_each(|(name, value)| tensors.insert(*name, &[1], vec![*value]).unwrap());
            tensors
        };
        let both = of(&[("a", 1.0), ("b", 2.0)]).over(of(&[("b", 3.0), ("c", 4.0)]));
        let values: Vec<_> = both.iter().map(|(name, shape, values)| (name, shape.to_vec(), values[0])).collect();
        assert_eq!(values, [("a", vec![1], 1.0), ("b", vec![1], 2.0), ("c", vec![1], 4.0)]);
    }

    #[test]
    fn twice_the_same_name_is_an_error() {
        let mut tensors = Tensors::new();
        tensors.insert("a", &[1], vec![1.0]).unwrap();
        assert!(tensors.insert("a", &[1], vec![1.0]).is_err());
        assert!(tensors.insert("b", &[2], vec![1.0]).is_err());
    }
}
