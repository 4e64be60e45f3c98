//! How many pictures go through the device together: as many as its memory holds, and fewer once it does not.

use candle_core::{DType, Tensor};

use super::prepare;
use crate::cards::model::Input;
use crate::data::Sample;
use crate::device;
use crate::error::{Kind, Result};
use crate::models::{self, Model};

/// Where memory is not the limit, and where runs on several machines are to be alike.
pub const USUAL: usize = 16;

/// At most; more do not make a card faster.
const MOST: usize = 256;

/// Pictures by which the memory for one is measured.
const PROBE: usize = 8;

/// Pictures that are looked at for the size of the network's input.
const LOOKED_AT: usize = 8;

/// The batch for a model and pictures: the largest power of two that three quarters of the device's free memory hold. The
/// network runs on zeros to find out.
pub fn fitting(model: &Model, input: &Input, samples: &[Sample]) -> Result<usize> {
    let device = model.device();
    if device::memory(device).is_none() {
        return Ok(USUAL);
    }
    let sizes = samples.iter().take(LOOKED_AT).filter_map(|sample| prepare::prepare(sample, input).values.ok());
    let Some((height, width)) = sizes.map(|p| (p.height, p.width)).max() else { return Ok(USUAL) };
    let mut probe = PROBE;
    loop {
        let mut work = || {
            let shape = (probe, input.channels, height, width);
            let zeros = Tensor::zeros(shape, DType::F32, device).map_err(models::fault)?;
            model.forward(&zeros).map(drop)
        };
        // The first pass prepares kernels, which take memory too.
        let peak = work().and_then(|()| device::peak(device, &mut work));
        return match peak {
            Ok(Some(bytes)) => {
                let free = device::memory(device).map_or(0, |memory| memory.free);
                Ok(holding(free + bytes, bytes.div_ceil(probe as u64)))
            }
            Ok(None) => Ok(USUAL),
            Err(e) if e.kind() == Kind::Memory && probe > 1 => {
                probe /= 2;
                continue;
            }
            Err(e) => Err(e),
        };
    }
}

/// The largest power of two of pictures, at most [`MOST`], that `free` bytes hold with a quarter to spare.
fn holding(free: u64, each: u64) -> usize {
    let fit = (free / 4 * 3).checked_div(each).unwrap_or(u64::MAX).clamp(1, MOST as u64);
    1 << fit.ilog2()
}

/// Gives `items` to `run` in parts of at most `*size`, and what it makes of them. Where it has too little memory for a part,
/// `*size` is halved, for all that follow too.
pub fn in_parts<T, R>(items: &[T], size: &mut usize, mut run: impl FnMut(&[T], usize) -> Result<R>) -> Result<Vec<R>> {
    let (mut rest, mut made) = (items, Vec::new());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(*size));
        match run(now, *size) {
            Ok(result) => {
                made.push(result);
                rest = later;
            }
            Err(e) if e.kind() == Kind::Memory && *size > 1 => *size /= 2,
            Err(e) => return Err(e.mend("free memory on the card, or use --device cpu")),
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn the_batch_is_what_memory_holds() {
        for (free, each, batch) in [
            (80 * 1024 * MIB, 100 * MIB, 256),
            (16 * 1024 * MIB, 100 * MIB, 64),
            (2 * 1024 * MIB, 100 * MIB, 8),
            (100 * MIB, 100 * MIB, 1),
            (0, 100 * MIB, 1),
            (MIB, 0, 256),
        ] {
            assert_eq!(holding(free, each), batch, "{free} bytes for {each} each");
        }
    }

    #[test]
    fn other_faults_end_it_and_one_picture_is_the_least() {
        let mut size = 4;
        let says = in_parts(&[1, 2, 3], &mut size, |_, _| -> Result<()> { Err(Error::memory("full")) }).unwrap_err();
        assert_eq!((size, says.to_string().as_str()), (1, "full; free memory on the card, or use --device cpu"));
        let mut size = 4;
        assert!(in_parts(&[1], &mut size, |_, _| -> Result<()> { Err(Error::new("broken")) }).is_err());
        assert_eq!(size, 4);
    }

    proptest! {
        #[test]
        fn halving_loses_nothing_and_keeps_the_order(count in 0usize..70, start in 1usize..40, room in 1usize..50) {
            let items: Vec<usize> = (0..count).collect();
            let mut size = start;
            // A device that holds `room` pictures, those that fill a short part up among them.
            let made = in_parts(&items, &mut size, |part, size| {
                if size > room { Err(Error::memory("full")) } else { Ok(part.to_vec()) }
            });
            prop_assert_eq!(made.unwrap().concat(), items);
            prop_assert!(size <= start && (count == 0 || size <= room));
            prop_assert!(start <= room && size == start || count == 0 || size * 2 + 1 > room.min(start));
        }
    }
}
