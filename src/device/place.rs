//! The device that a person asks for, opened.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use super::{Fault, Precision};
use crate::error::{Error, Result};

/// Where the network is to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The best there is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card by its number.
    Cuda(usize),
    /// The card of an Apple computer.
    Metal,
}

impl FromStr for Wanted {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => match text.strip_prefix("cuda:").and_then(|n| n.parse().ok()) {
                Some(n) => Ok(Self::Cuda(n)),
                None => Err(Error::usage("not auto, cpu, cuda, cuda:N or metal")),
            },
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
            Self::Metal => f.write_str("metal"),
        }
    }
}

/// A device that is ready to compute.
#[derive(Debug, Clone)]
pub struct Place {
    /// Candle's.
    pub device: Device,
    /// The numbers in which it is to compute.
    pub precision: Precision,
    /// `cpu` or the card's name.
    pub name: String,
    /// What decides the last digits of its results, besides the name.
    pub instructions: String,
    /// What a person should know of it.
    pub notes: Vec<String>,
}

impl Place {
    /// The processor, in these numbers.
    pub fn cpu(precision: Precision) -> Self {
        let notes = match precision {
            Precision::F32 => Vec::new(),
            _ => vec![format!("{precision} is imitated on the CPU, to see its effect: it is slower there than f32")],
        };
        Self { device: Device::Cpu, precision, name: "cpu".into(), instructions: instruction_set().into(), notes }
    }
}

/// The instruction set that this processor offers to kernels.
pub fn instruction_set() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if std::is_x86_feature_detected!("avx512f") {
            return "x86-64 avx512f";
        }
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            return "x86-64 avx2+fma";
        }
    }
    std::env::consts::ARCH
}

/// Compute capability from which on cards have bf16 arithmetic.
const BF16: (u32, u32) = (8, 0);

impl Wanted {
    /// Opens it. Errors where this build or machine has no such device, or it cannot compute in these numbers; where the
    /// choice is free and there is no card, it is the processor, and a note says why.
    pub fn open(self, precision: Precision) -> Result<Place> {
        let at = |fault: Fault| fault.error().at(format_args!("`--device {self}`"));
        match self {
            Self::Cpu => Ok(Place::cpu(precision)),
            Self::Cuda(number) => card(number, precision).map_err(at),
            Self::Metal => metal(precision).map_err(|e| e.at(format_args!("`--device {self}`"))),
            Self::Auto if cfg!(feature = "metal") => metal(precision),
            Self::Auto => match card(0, precision) {
                Ok(place) => Ok(place),
                Err(Fault::NotBuilt) => Ok(Place::cpu(precision)),
                Err(fault @ Fault::Arithmetic { .. }) => Err(at(fault)),
                Err(fault) => {
                    let mut place = Place::cpu(precision);
                    place.notes.insert(0, format!("computing on the CPU: {}", fault.error()));
                    Ok(place)
                }
            },
        }
    }

    /// As [`Display`](fmt::Display) has it, with the name of the card that it is; it is not opened. A card that is named
    /// but not there is an error.
    pub fn title(self) -> Result<String> {
        match self {
            Self::Cpu => Ok(self.to_string()),
            Self::Auto => Ok(super::name(0).map_or_else(|_| self.to_string(), |name| format!("{self}, {name}"))),
            Self::Cuda(number) => match super::name(number) {
                Ok(name) => Ok(format!("{self}, {name}")),
                Err(fault) => Err(fault.error().at(format_args!("`--device {self}`"))),
            },
            Self::Metal => metal(Precision::F32).map(|_| self.to_string()),
        }
    }
}

fn card(number: usize, precision: Precision) -> std::result::Result<Place, Fault> {
    let (device, card) = super::open(number)?;
    if precision == Precision::Bf16 && card.capability < BF16 {
        let (precision, capability) = (precision.to_string(), card.capability);
        return Err(Fault::Arithmetic { precision, card: card.name, capability });
    }
    let instructions = card.instructions();
    Ok(Place { device, precision, name: card.name, instructions, notes: Vec::new() })
}

fn metal(precision: Precision) -> Result<Place> {
    let device = Device::new_metal(0).map_err(|_| {
        Error::usage("this roentgen was built without Metal")
            .mend("use --device cpu, or build it with --features metal")
    })?;
    Ok(Place { device, precision, name: "metal".into(), instructions: "metal".into(), notes: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices() {
        assert_eq!("cuda:3".parse(), Ok(Wanted::Cuda(3)));
        assert_eq!("cuda".parse(), Ok(Wanted::Cuda(0)));
        for wanted in [Wanted::Auto, Wanted::Cpu, Wanted::Cuda(1), Wanted::Metal] {
            assert_eq!(wanted.to_string().parse(), Ok(wanted));
        }
        assert!("cuda:x".parse::<Wanted>().is_err() && "tpu".parse::<Wanted>().is_err());
    }

    #[test]
    fn the_cpu_says_that_it_imitates_half_precision() {
        for (text, notes) in [("f32", 0), ("bf16", 1), ("f16", 1)] {
            let place = Wanted::Cpu.open(text.parse().unwrap()).unwrap();
            assert_eq!((place.precision.to_string().as_str(), place.notes.len()), (text, notes));
            assert!(place.device.is_cpu() && place.name == "cpu" && place.instructions == instruction_set());
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cards_says_so_only_when_asked_for_one() {
        assert_eq!(Wanted::Auto.open(Precision::F32).unwrap().notes, [""; 0]);
        let says = Wanted::Cuda(1).open(Precision::F32).unwrap_err().to_string();
        assert_eq!(
            says,
            "`--device cuda:1`: this roentgen was built for the CPU only; \
             use --device cpu, or build it with --features cuda"
        );
        assert_eq!(Wanted::Cuda(1).title().unwrap_err().to_string(), says);
        assert_eq!(Wanted::Auto.title().unwrap(), "auto");
    }
}
