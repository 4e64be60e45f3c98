//! Why a card cannot be used, told apart for people.

use crate::error::Error;

/// What is in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The program has no part for cards.
    NotBuilt,
    /// No driver is installed.
    NoDriver,
    /// The driver finds no card.
    NoCard,
    /// There are cards, but not this one.
    NoSuchCard {
        /// The one that was asked for.
        number: usize,
        /// How many there are.
        count: usize,
    },
    /// The driver is older than what the program was built with.
    DriverTooOld {
        /// The CUDA version of the driver.
        driver: (u32, u32),
        /// That of the build.
        needed: (u32, u32),
    },
    /// A library is not installed, or not where libraries are looked for.
    NoLibrary {
        /// What it is called.
        title: &'static str,
        /// Its file.
        file: &'static str,
    },
    /// A library is there, but not one that the program knows.
    OtherLibrary {
        /// What it is called.
        title: &'static str,
        /// What it lacks.
        function: &'static str,
    },
    /// The program's kernels are not for this card.
    OtherKernels {
        /// Its name.
        card: String,
        /// What it can do.
        capability: (u32, u32),
    },
    /// The card cannot compute in these numbers.
    Arithmetic {
        /// The numbers.
        precision: String,
        /// The card's name.
        card: String,
        /// What it can do.
        capability: (u32, u32),
    },
    /// Others have taken all of its memory.
    Memory,
    /// Something else that the driver says.
    Other(String),
}

/// What the errors of CUDA's parts say, the driver's first, where the device's memory is full.
const MEMORY_IS_FULL: [&str; 3] =
    ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"];

/// Whether an error of CUDA says that the device's memory is full.
pub fn memory_is_full(says: &str) -> bool {
    MEMORY_IS_FULL.iter().any(|name| says.contains(name))
}

impl Fault {
    /// Cause and mend for a person.
    pub fn error(&self) -> Error {
        match self {
            Self::NotBuilt => Error::usage("this roentgen was built for the CPU only")
                .mend("use --device cpu, or build it with --features cuda"),
            Self::NoDriver => Error::new("there is no NVIDIA driver: libcuda.so.1 is not found")
                .mend("install the driver, or use --device cpu"),
            Self::NoCard => Error::new("the NVIDIA driver finds no card")
                .mend("look at `nvidia-smi` and at CUDA_VISIBLE_DEVICES, or use --device cpu"),
            Self::NoSuchCard { number, count } => {
                let last = count.saturating_sub(1);
                Error::usage(format!("there is no card {number}; the last of {count} is cuda:{last}"))
                    .mend("see `roentgen devices`")
            }
            Self::DriverTooOld { driver, needed } => Error::new(format!(
                "the NVIDIA driver is for CUDA {}.{}, this roentgen was built with CUDA {}.{}",
                driver.0, driver.1, needed.0, needed.1
            ))
            .mend("install a newer driver, or build with an older CUDA toolkit"),
            Self::NoLibrary { title, file } => Error::new(format!("{title} is not found: no {file}"))
                .mend("install the CUDA toolkit's libraries, or name their folder in LD_LIBRARY_PATH"),
            Self::OtherLibrary { title, function } => {
                Error::new(format!("{title} has no `{function}`: it is of another version of CUDA"))
                    .mend("install the libraries of the CUDA toolkit that roentgen was built with")
            }
            Self::OtherKernels { card, capability: (major, minor) } => Error::new(format!(
                "the kernels in this roentgen are not for {card} (compute capability {major}.{minor})"
            ))
            .mend(format!("build it with CUDA_COMPUTE_CAP={major}{minor}")),
            Self::Arithmetic { precision, card, capability: (major, minor) } => {
                Error::usage(format!("{card} (compute capability {major}.{minor}) has no {precision} arithmetic"))
                    .mend("compute in f32 or f16")
            }
            Self::Memory => Error::memory("the memory of the card is full")
                .mend("`nvidia-smi` tells who uses it; or use another card or --device cpu"),
            Self::Other(says) => Error::new(says).mend("look at `nvidia-smi`, or use --device cpu"),
        }
    }
}
