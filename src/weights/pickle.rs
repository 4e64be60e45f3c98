//! Pickles (<https://github.com/python/cpython/blob/main/Lib/pickletools.py> defines every opcode), read as plain data.
//!
//! Nothing named in a pickle is ever looked up or called: a class is two words, an object its class, its arguments and
//! its state. A call of anything but the few harmless functions that checkpoints are made of is an error that names it.

use std::collections::HashMap;
use std::ops::Range;

use crate::error::{Error, Result};

/// A value in a [`Pickle`].
pub(super) type Id = u32;

/// What a pickle holds. Values refer to each other by [`Id`], also in circles.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Int(i64),
    Bool(bool),
    /// A float, bytes, a number too long for 64 bits: nothing that tells of tensors.
    Other,
    Text(Range<u32>),
    Tuple(Box<[Id]>),
    /// A list or a set.
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function: module and name.
    Global(Range<u32>, Range<u32>),
    Object(Box<Object>),
    /// What the pickle leaves to its reader: torch's storages.
    Persistent(Id),
}

/// An object as its class, the arguments of its making, its state and the items put into it.
#[derive(Debug)]
pub(super) struct Object {
    pub class: Id,
    pub args: Id,
    pub state: Option<Id>,
    pub entries: Vec<(Id, Id)>,
}

/// A pickle that was read.
pub(super) struct Pickle<'a> {
    bytes: &'a [u8],
    nodes: Vec<Node>,
    root: Id,
    /// Bytes that it takes.
    pub length: usize,
}

/// Functions whose calls checkpoints hold, as `module.name`; one that ends in `.` or `_` is the beginning of names. All are
/// kept as data. A tensor's own rebuilding functions are among them, known to our caller or refused by it.
const HARMLESS: [&str; 24] = [
    "torch._utils._rebuild_",
    "torch._tensor._rebuild_from_type_v2",
    "torch.Size",
    "torch.device",
    "torch.nn.parameter.Parameter",
    "torch.serialization._get_layout",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
    "builtins.set",
    "builtins.frozenset",
    "builtins.slice",
    "builtins.complex",
    "__builtin__.set",
    "__builtin__.frozenset",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    "_codecs.encode",
    "numpy.dtype",
    "numpy.core.multiarray.",
    "numpy._core.multiarray.",
    "pathlib.PosixPath",
    "datetime.datetime",
    "datetime.timedelta",
];

/// Values a pickle may have beyond one for every 32 bytes of its file: a bound on memory that real ones keep by far.
const FREE_NODES: usize = 1 << 16;

impl<'a> Pickle<'a> {
    /// Reads the pickle at the start of `bytes`, part of a file of `file` bytes.
    pub fn read(bytes: &'a [u8], file: usize) -> Result<Self> {
        let bytes = &bytes[..bytes.len().min(u32::MAX as usize)];
        let budget = FREE_NODES + file / 32;
        let (nodes, stack, marks, memo) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        Machine { bytes, at: 0, nodes, stack, marks, memo, budget }.run()
    }

    /// What the pickle as a whole is.
    pub fn root(&self) -> Id {
        self.root
    }

    /// Every value, in the order of their making.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn get(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    /// The text that `id` is.
    pub fn text(&self, id: Id) -> Option<&'a str> {
        match self.get(id) {
            Node::Text(range) => text(self.bytes, range),
            _ => None,
        }
    }

    /// The whole number from 0 that `id` is.
    pub fn int(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Node::Int(v) => usize::try_from(*v).ok(),
            _ => None,
        }
    }

    /// The items of the tuple that `id` is.
    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// `module.name` of the class or function that `id` is.
    pub fn global(&self, id: Id) -> Option<String> {
        match self.get(id) {
            Node::Global(module, name) => Some(path(self.bytes, module, name)),
            _ => None,
        }
    }

    /// The entries of a dict or of an object that is one (OrderedDict and its like).
    pub fn entries(&self, id: Id) -> Option<&[(Id, Id)]> {
        match self.get(id) {
            Node::Dict(entries) => Some(entries),
            Node::Object(object) if self.global(object.class).is_some_and(|c| c.starts_with("collections.")) => {
                Some(&object.entries)
            }
            _ => None,
        }
    }

    /// The value at a key of a dict.
    pub fn at(&self, id: Id, key: &str) -> Option<Id> {
        self.entries(id)?.iter().find(|(k, _)| self.text(*k) == Some(key)).map(|(_, v)| *v)
    }
}

fn text<'a>(bytes: &'a [u8], range: &Range<u32>) -> Option<&'a str> {
    std::str::from_utf8(&bytes[range.start as usize..range.end as usize]).ok()
}

fn path(bytes: &[u8], module: &Range<u32>, name: &Range<u32>) -> String {
    let text = |range| text(bytes, range).unwrap_or("?");
    format!("{}.{}", text(module), text(name))
}

/// The machine that pickles are programs for.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Values and references that may still be made.
    budget: usize,
}

fn broken(cause: impl Into<String>) -> Error {
    Error::new(cause).mend("the file is damaged: fetch it again")
}

impl<'a> Machine<'a> {
    fn run(mut self) -> Result<Pickle<'a>> {
        loop {
            let at = self.at;
            let op = self.take(1)?[0];
            match self.step(op) {
                Ok(false) => {}
                Ok(true) => {
                    let root = self.pop()?;
                    return Ok(Pickle { bytes: self.bytes, nodes: self.nodes, root, length: self.at });
                }
                Err(e) => return Err(e.at(format_args!("byte {at} of the pickle"))),
            }
        }
    }

    /// Carries one opcode out; `true` if it was the last.
    fn step(&mut self, op: u8) -> Result<bool> {
        match op {
            b'.' => return Ok(true),
            0x80 => match self.take(1)?[0] {
                0..=5 => {}
                other => return Err(broken(format!("pickle protocol {other} is not known"))),
            },
            0x95 => drop(self.take(8)?),
            b'N' => self.push(Node::None)?,
            0x88 | 0x89 => self.push(Node::Bool(op == 0x88))?,
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(value.into()))?;
            }
            b'I' | b'L' => {
                let line = self.line()?;
                let line = std::str::from_utf8(&self.bytes[line.start as usize..line.end as usize]).unwrap_or_default();
                let node = line.trim_end_matches('L').parse().map_or(Node::Other, Node::Int);
                self.push(node)?;
            }
            0x8a => {
                let n = self.take(1)?[0];
                self.long(n.into())?;
            }
            0x8b => {
                let n = self.length(4)?;
                self.long(n)?;
            }
            b'F' => {
                self.line()?;
                self.push(Node::Other)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Node::Other)?;
            }
            b'C' => self.bytes_of(1)?,
            b'B' => self.bytes_of(4)?,
            0x8e | 0x96 => self.bytes_of(8)?,
            b'U' | 0x8c => self.string(1)?,
            b'T' | b'X' => self.string(4)?,
            0x8d => self.string(8)?,
            b'V' => {
                let line = self.line()?;
                self.push(Node::Text(line))?;
            }
            b'S' => {
                let line = self.line()?;
                let quoted = line.end - line.start >= 2;
                self.push(if quoted { Node::Text(line.start + 1..line.end - 1) } else { Node::Other })?;
            }
            b'(' => {
                self.spend(1)?;
                self.marks.push(self.stack.len());
            }
            b'0' => drop(self.pop()?),
            b'1' => drop(self.popped()?),
            b'2' => {
                let top = self.top()?;
                self.push_id(top)?;
            }
            b')' => self.push(Node::Tuple(Box::default()))?,
            0x85..=0x87 => {
                let start =
                    self.stack.len().checked_sub(usize::from(op - 0x84)).ok_or_else(|| broken("too few values"))?;
                self.below_marks(start)?;
                let items = self.stack.split_off(start);
                self.push(Node::Tuple(items.into()))?;
            }
            b't' => {
                let items = self.popped()?;
                self.push(Node::Tuple(items.into()))?;
            }
            b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.popped()?;
                self.push(Node::List(items))?;
            }
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b'd' => {
                let items = self.popped()?;
                self.push(Node::Dict(pairs(&items)))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.popped()?;
                self.append(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.popped()?;
                self.set(&items)?;
            }
            b'p' => {
                let key = self.number()?;
                self.put(key)?;
            }
            b'q' => {
                let key = self.take(1)?[0].into();
                self.put(key)?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.put(key)?;
            }
            0x94 => {
                let key = self.memo.len() as u32;
                self.put(key)?;
            }
            b'g' => {
                let key = self.number()?;
                self.recall(key)?;
            }
            b'h' => {
                let key = self.take(1)?[0].into();
                self.recall(key)?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                    (Node::Text(module), Node::Text(name)) => {
                        let node = Node::Global(module.clone(), name.clone());
                        self.push(node)?;
                    }
                    _ => return Err(broken("a class without a name")),
                }
            }
            b'R' => {
                let (args, callable) = (self.pop()?, self.pop()?);
                self.allow(callable)?;
                self.object(callable, args)?;
            }
            // Classes are only named here: making their objects calls nothing.
            0x81 => {
                let (args, class) = (self.pop()?, self.pop()?);
                self.object(class, args)?;
            }
            0x92 => {
                let (_, args, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.object(class, args)?;
            }
            b'b' => {
                let state = self.pop()?;
                let top = self.top()?;
                if let Node::Object(object) = &mut self.nodes[top as usize] {
                    object.state = Some(state);
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id))?;
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                return Err(self.refused(&path(self.bytes, &module, &name)));
            }
            b'o' => {
                let items = self.popped()?;
                let class = items.first().and_then(|id| self.path_of(*id));
                return Err(self.refused(class.as_deref().unwrap_or("a class")));
            }
            0x82..=0x84 => return Err(self.refused("a function from Python's extension registry")),
            0x97 | 0x98 => return Err(Error::new("refers to buffers outside the file")),
            other => return Err(broken(format!("0x{other:02x} is no pickle opcode that a checkpoint has"))),
        }
        Ok(false)
    }

    /// Whether a call of `callable` may be kept as data.
    fn allow(&self, callable: Id) -> Result<()> {
        let name = self.path_of(callable);
        let harmless = |known: &str| match &name {
            Some(name) if known.ends_with(['.', '_']) => name.starts_with(known),
            Some(name) => name == known,
            None => false,
        };
        match HARMLESS.iter().any(|known| harmless(known)) {
            true => Ok(()),
            false => Err(self.refused(name.as_deref().unwrap_or("something that has no name"))),
        }
    }

    fn path_of(&self, id: Id) -> Option<String> {
        match &self.nodes[id as usize] {
            Node::Global(module, name) => Some(path(self.bytes, module, name)),
            _ => None,
        }
    }

    fn refused(&self, what: &str) -> Error {
        Error::new(format!("loading it in Python would call `{what}`; nothing is run here"))
            .mend("if you trust the file, save its state_dict alone in Python: `torch.save(model.state_dict(), NEW)`")
    }

    fn spend(&mut self, n: usize) -> Result<()> {
        match self.budget.checked_sub(n) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Error::new("the pickle holds more values than any checkpoint of this size")),
        }
    }

    fn push(&mut self, node: Node) -> Result<()> {
        self.spend(1)?;
        self.nodes.push(node);
        self.stack.push((self.nodes.len() - 1) as Id);
        Ok(())
    }

    fn push_id(&mut self, id: Id) -> Result<()> {
        self.spend(1)?;
        self.stack.push(id);
        Ok(())
    }

    fn object(&mut self, class: Id, args: Id) -> Result<()> {
        self.push(Node::Object(Box::new(Object { class, args, state: None, entries: Vec::new() })))
    }

    fn below_marks(&self, length: usize) -> Result<()> {
        match self.marks.last() {
            Some(mark) if length < *mark => Err(broken("a value from before a mark")),
            _ => Ok(()),
        }
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Id> {
        let top = self.stack.last().copied().ok_or_else(|| broken("a value is missing"))?;
        self.below_marks(self.stack.len() - 1)?;
        Ok(top)
    }

    /// The values down to the last mark.
    fn popped(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| broken("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        self.spend(items.len())?;
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(list) => list.extend_from_slice(items),
            Node::Object(_) => {}
            _ => return Err(broken("an item for what is no list")),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<()> {
        self.spend(items.len())?;
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) => entries.extend(pairs(items)),
            Node::Object(object) => object.entries.extend(pairs(items)),
            _ => return Err(broken("an entry for what is no dict")),
        }
        Ok(())
    }

    fn put(&mut self, key: u32) -> Result<()> {
        self.spend(1)?;
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id = *self.memo.get(&key).ok_or_else(|| broken("a value that was never kept"))?;
        self.push_id(id)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let piece = self.at.checked_add(n).and_then(|end| self.bytes.get(self.at..end));
        let piece = piece.ok_or_else(|| broken("the pickle ends too early"))?;
        self.at += n;
        Ok(piece)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let piece = self.take(N)?;
        Ok(piece.try_into().expect("`take` gives as many bytes as it was asked for"))
    }

    /// A length of `n` little-endian bytes.
    fn length(&mut self, n: usize) -> Result<usize> {
        let piece = self.take(n)?;
        let value = piece.iter().rev().fold(0u64, |v, b| v << 8 | u64::from(*b));
        usize::try_from(value).map_err(|_| broken("an absurd length"))
    }

    fn int(&mut self, n: usize) -> Result<()> {
        let value = self.length(n)?;
        self.push(Node::Int(value as i64))
    }

    fn long(&mut self, n: usize) -> Result<()> {
        let piece = self.take(n)?;
        let node = match piece.last() {
            None => Node::Int(0),
            Some(last) if n <= 8 => {
                let sign = if last & 0x80 == 0 { 0 } else { -1 };
                Node::Int(piece.iter().rev().fold(sign, |v: i64, b| v << 8 | i64::from(*b)))
            }
            Some(_) => Node::Other,
        };
        self.push(node)
    }

    /// Skips bytes behind their length of `n` bytes.
    fn bytes_of(&mut self, n: usize) -> Result<()> {
        let length = self.length(n)?;
        self.take(length)?;
        self.push(Node::Other)
    }

    fn string(&mut self, n: usize) -> Result<()> {
        let length = self.length(n)?;
        let start = self.at as u32;
        self.take(length)?;
        self.push(Node::Text(start..self.at as u32))
    }

    /// Up to the end of the line, which is skipped.
    fn line(&mut self) -> Result<Range<u32>> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|b| *b == b'\n').ok_or_else(|| broken("the pickle ends too early"))?;
        let start = self.at as u32;
        self.at += length + 1;
        Ok(start..start + length as u32)
    }

    fn number(&mut self) -> Result<u32> {
        let line = self.line()?;
        text(self.bytes, &line).and_then(|t| t.parse().ok()).ok_or_else(|| broken("a key that is no number"))
    }
}

/// Keys and values in turn; a key without a value is dropped.
fn pairs(items: &[Id]) -> Vec<(Id, Id)> {
    items.as_chunks().0.iter().map(|[key, value]| (*key, *value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(pickle: &[u8]) -> String {
        Pickle::read(pickle, pickle.len()).err().unwrap().to_string()
    }

    #[test]
    fn calls_are_refused_by_name() {
        for (pickle, name) in [
            (&b"cos\nsystem\n(S'true'\ntR."[..], "os.system"),
            (b"cposix\nsystem\nX\x01\0\0\0a\x85R.", "posix.system"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "builtins.eval"),
            (b"cbuiltins\ngetattr\n(NX\x01\0\0\0atR.", "builtins.getattr"),
            (b"(S'true'\nios\nsystem\n.", "os.system"),
            (b"(cos\nsystem\nS'true'\no.", "os.system"),
            (b"\x82\x01.", "extension registry"),
            (b"ctorch._utils_evil\nx\n)R.", "torch._utils_evil.x"),
            (b"NNR.", "something that has no name"),
        ] {
            let e = says(pickle);
            assert!(e.contains("nothing is run here") && e.contains(name), "{e}");
        }
    }

    #[test]
    fn values() {
        let pickle = b"\x80\x02}q\0(X\x01\0\0\0aK\x07X\x01\0\0\0b(J\xff\xff\xff\xffI12\nL34L\n\x8a\x02\0\x01tU\x01c]q\x01(h\0h\x01eu.rest";
        let read = Pickle::read(pickle, pickle.len()).unwrap();
        assert_eq!(read.length, pickle.len() - 4);
        assert_eq!(read.int(read.at(read.root(), "a").unwrap()), Some(7));
        let b = read.tuple(read.at(read.root(), "b").unwrap()).unwrap();
        let ints: Vec<_> = b.iter().map(|id| read.int(*id)).collect();
        assert_eq!(ints, [None, Some(12), Some(34), Some(256)]);
        // A dict that holds a list that holds both.
        let Node::List(list) = read.get(read.at(read.root(), "c").unwrap()) else { panic!() };
        assert_eq!(list[0], read.root());
    }

    #[test]
    fn faults_are_told() {
        for (pickle, part) in [
            (&b""[..], "ends too early"),
            (b"N", "ends too early"),
            (b".", "a value is missing"),
            (b"t.", "a mark is missing"),
            (b"(.", "a value is missing"),
            (b"N(\x85.", "before a mark"),
            (b"X\xff\xff\xff\xffa", "ends too early"),
            (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffa", "ends too early"),
            (b"\x80\x09.", "protocol 9"),
            (b"h\x07.", "never kept"),
            (b"\xfe", "0xfe is no pickle opcode"),
            (b"NNNs.", "no dict"),
        ] {
            assert!(says(pickle).contains(part), "{pickle:?}: {}", says(pickle));
        }
    }

    #[test]
    fn memory_is_bounded() {
        // Doubling by memo and by duplicates, and plain masses of values.
        let masses = [vec![b'2'; 1 << 20], vec![b'N'; 1 << 20], vec![b'('; 1 << 20], b"h\0".repeat(1 << 19)];
        for mass in masses {
            let pickle = [&b"]q\0"[..], &mass].concat();
            assert!(says(&pickle).contains("more values"));
        }
    }
}
