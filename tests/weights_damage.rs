//! Damaged and hostile weight files of every format: an error, and never a panic, a hang or more memory than twice the
//! file's, over a corpus that `weights_files` writes and that of `tests/corpus`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use roentgen::weights::load;

use crate::weights_files::{self as files, Pickle, sample};

/// What a thread has allocated.
struct Counting;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(now.get())));
    });
}

// SAFETY: every call is handed to the system's allocator as it came; only numbers are kept beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Memory that any file may take, however small it is.
const FREE: isize = 8 << 20;

/// Loads `bytes` and every tensor's values; whether that went well.
#[track_caller]
fn survives(path: &Path, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).unwrap();
    let begun = Instant::now();
    let before = NOW.get();
    MOST.set(before);
    let found = load(path, None).map(|tensors| tensors.iter().map(|(_, _, values)| values.len()).sum::<usize>());
    let most = MOST.get() - before;
    assert!(most <= FREE + 2 * bytes.len() as isize, "{most} bytes of memory for a file of {}", bytes.len());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    found.is_ok()
}

#[test]
fn a_large_file_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("densenet121.safetensors");
    let weights = crate::formula::weights(&crate::formula::densenet(32, [6, 12, 24, 16], 3, 14));
    let mut file = std::fs::File::create(&path).unwrap();
    roentgen::weights::write_safetensors(&weights, &Default::default(), &mut file).unwrap();
    drop(weights);
    let before = NOW.get();
    MOST.set(before);
    let tensors = load(&path, None).unwrap();
    assert!(file.metadata().unwrap().len() > 25 << 20 && MOST.get() - before < 1 << 20, "{}", MOST.get() - before);
    assert_eq!(tensors.shapes().len(), 606);
}

/// A file of every format.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let tensors = sample();
    let state = files::state_dict(&tensors);
    let part = |i: usize| Pickle::tensor("torch.FloatStorage", &i.to_string(), &tensors[i].1);
    let inner = files::module(vec![("weight", part(0))], vec![]);
    let whole = files::module(vec![("bias", part(1))], vec![("features", inner)]);
    let keras = files::keras(&[
        ("conv1_conv", vec![("kernel", vec![1, 2, 1, 2], vec![0.5, 2.0, -1.0, 3.0])]),
        ("conv1_bn", vec![("gamma", vec![2], vec![1.0, 2.0]), ("beta", vec![2], vec![1.0, 2.0])]),
        ("relu", vec![]),
        ("dense", vec![("kernel", vec![1, 3], vec![7.0, 8.0, 9.0]), ("bias", vec![3], vec![1.0, 2.0, -4.0])]),
    ]);
    let mut compressed = hdf5_pure::FileBuilder::new();
    compressed.set_attr("layer_names", hdf5_pure::AttrValue::AsciiStringArray(vec!["dense".into()]));
    let mut group = compressed.create_group("dense");
    group.set_attr("weight_names", hdf5_pure::AttrValue::AsciiStringArray(vec!["kernel:0".into()]));
    let data = crate::formula::tensor("kernel", &[64, 64], 1);
    group.create_dataset("kernel:0").with_f32_data(&data).with_shape(&[64, 64]).with_chunks(&[16, 64]).with_deflate(6);
    let group = group.finish();
    compressed.add_group(group);
    let made = [
        ("safetensors", files::safetensors(&tensors)),
        ("torch", files::torch(&state, &tensors)),
        ("torch module", files::torch(&whole, &tensors)),
        ("legacy torch", files::torch_legacy(&state, &tensors)),
        ("legacy torch module", files::torch_legacy(&whole, &tensors)),
        ("keras", keras),
        ("compressed keras", compressed.finish().unwrap()),
        ("onnx", crate::onnx::densenet(true)),
    ];
    made.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).chain(crate::corpus::files()).collect()
}

#[test]
fn every_truncation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    for (name, bytes) in corpus() {
        let refused = ["evil.pth", "script.pt", "quantised.pth"].contains(&name.as_str());
        assert!(survives(&path, &bytes) != refused, "{name} as it was written");
        let step = (bytes.len() / 300).max(1);
        for length in (0..bytes.len()).step_by(step) {
            let whole = survives(&path, &bytes[..length]);
            assert!(!whole || length + 64 > bytes.len(), "{name} cut to {length} of {} bytes loads", bytes.len());
        }
    }
}

/// One thing done to a file.
#[derive(Debug, Clone)]
enum Damage {
    Flip(usize, u8),
    Byte(usize, u8),
    /// A number of 2 to 8 bytes that is absurd where it stands.
    Number(usize, usize, u64),
    Cut(usize, usize),
    Repeat(usize, usize, usize),
    Move(usize, usize, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || 0usize..1 << 16;
    let absurd = prop_oneof![
        Just(u64::MAX),
        Just(i64::MAX as u64),
        Just(u64::from(u32::MAX)),
        Just(1 << 40),
        Just(1 << 31),
        Just(0),
        any::<u64>()
    ];
    prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (at(), 2usize..9, absurd).prop_map(|(at, n, value)| Damage::Number(at, n, value)),
        (at(), 0usize..64).prop_map(|(at, n)| Damage::Cut(at, n)),
        (at(), 1usize..64, 1usize..200).prop_map(|(at, n, times)| Damage::Repeat(at, n, times)),
        (at(), at(), 1usize..64).prop_map(|(from, to, n)| Damage::Move(from, to, n)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let length = bytes.len();
    if length == 0 {
        return;
    }
    let piece = |at: usize, n: usize| at % length..(at % length + n).min(length);
    match *damage {
        Damage::Flip(at, bit) => bytes[at % length] ^= 1 << bit,
        Damage::Byte(at, byte) => bytes[at % length] = byte,
        Damage::Number(at, n, value) => {
            let piece = piece(at, n);
            let n = piece.len();
            bytes[piece].copy_from_slice(&value.to_le_bytes()[..n]);
        }
        Damage::Cut(at, n) => drop(bytes.drain(piece(at, n))),
        Damage::Repeat(at, n, times) => {
            let piece = piece(at, n);
            let repeated = bytes[piece.clone()].repeat(times);
            bytes.splice(piece.end..piece.end, repeated);
        }
        Damage::Move(from, to, n) => {
            let moved = bytes[piece(from, n)].to_vec();
            let to = piece(to, moved.len());
            let n = to.len();
            bytes[to].copy_from_slice(&moved[..n]);
        }
    }
}

/// Cases a format; `ROENTGEN_DAMAGE=100000` looks harder.
fn cases() -> u32 {
    std::env::var("ROENTGEN_DAMAGE").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

#[test]
fn any_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    for (name, bytes) in corpus() {
        let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
        let run = TestRunner::new(config).run(&prop::collection::vec(damage(), 1..5), |damages| {
            let mut bytes = bytes.clone();
            damages.iter().for_each(|damage| apply(&mut bytes, damage));
            survives(&path, &bytes);
            Ok(())
        });
        run.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[test]
fn bombs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    let size = 4 << 20;
    let pickle = |pickle: Vec<u8>| files::archive(&[("data.pkl", pickle)]);
    let deep = |open: &str| {
        let header = format!("{{\"a\":{}", open.repeat(size / open.len()));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()
    };
    let many = (0..size / 60).map(|i| format!("\"{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}"));
    let many = format!("{{{}}}", many.collect::<Vec<_>>().join(","));
    let axes = format!("{{\"a\":{{\"dtype\":\"F32\",\"shape\":[{}1],\"data_offsets\":[0,4]}}}}", "1,".repeat(size / 2));
    let with_header = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    // A directory of entries that all lie on the same bytes.
    let one = files::archive(&[("data.pkl", b"\x80\x02}.".to_vec())]);
    let entry = one.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let end = one.windows(4).position(|w| w == b"PK\x05\x06").unwrap();
    let directory = [&one[..entry], &one[entry..end].repeat(size / (end - entry)), &one[end..]].concat();
    let laughs = {
        let mut pickle = b"\x80\x02]q\x00".to_vec();
        for level in 1..=200u8 {
            pickle.extend([b"(".to_vec(), [b'h', level - 1].repeat(10), b"l".to_vec(), vec![b'q', level]].concat());
        }
        [pickle, b".".to_vec()].concat()
    };
    for (name, bytes) in [
        ("deep arrays", deep("[")),
        ("deep objects", deep("{\"a\":")),
        ("many tensors", with_header(&many)),
        ("many axes", with_header(&axes)),
        ("a zip directory without end", directory),
        ("a pickle of nothing but values", pickle(vec![b'N'; size])),
        ("a pickle of nothing but marks", pickle(vec![b'('; size])),
        ("a pickle of duplicates", pickle([&b"]"[..], &vec![b'2'; size]].concat())),
        ("a pickle of dicts in dicts", pickle(b"}X\x01\0\0\0a".repeat(size / 7))),
        ("a pickle of tuples in tuples", pickle([&b")"[..], &vec![0x85; size]].concat())),
        ("a billion laughs", pickle(laughs)),
        (
            "an onnx graph of empty nodes",
            [&b"\x08\x08\x12\x00\x3a\x80\x80\x80\x02"[..], &b"\x0a\x00".repeat(size / 2)].concat(),
        ),
        ("an absurd string", pickle(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fa.".to_vec())),
        ("an absurd long", pickle(b"\x80\x02\x8b\xff\xff\xff\x7f\x01.".to_vec())),
    ] {
        println!("{name}");
        assert!(!survives(&path, &bytes), "{name} loads");
    }
}

#[test]
fn hdf5_that_claims_more_than_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w");
    // 32 MiB of zeros in a few bytes, and the same of which the shape is made larger.
    let mut file = hdf5_pure::FileBuilder::new();
    file.set_attr("layer_names", hdf5_pure::AttrValue::AsciiStringArray(vec!["dense".into()]));
    let mut group = file.create_group("dense");
    group.set_attr("weight_names", hdf5_pure::AttrValue::AsciiStringArray(vec!["kernel:0".into()]));
    let zeros = vec![0.0f32; 8 << 20];
    group
        .create_dataset("kernel:0")
        .with_f32_data(&zeros)
        .with_shape(&[8192, 1024])
        .with_chunks(&[8192, 1024])
        .with_deflate(9);
    drop(zeros);
    let group = group.finish();
    file.add_group(group);
    let bytes = file.finish().unwrap();
    assert!(bytes.len() < 1 << 20);
    assert!(!survives(&path, &bytes));
    for (wide, narrow) in [(8192u64, 1u64), (1024, 1), (8192, u64::MAX), (1024, 1 << 60)] {
        let (wide, narrow) = (wide.to_le_bytes(), narrow.to_le_bytes());
        let mut changed = bytes.clone();
        for at in 0..changed.len() - 8 {
            if changed[at..at + 8] == wide {
                changed[at..at + 8].copy_from_slice(&narrow);
            }
        }
        survives(&path, &changed);
    }
}
