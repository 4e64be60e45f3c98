//! From a sample to the input of a network.

use crate::cards::model::Input;
use crate::data::{Sample, Source, phantom};
use crate::error::{Error, Result};
use crate::files;
use crate::imaging::decode;
use crate::imaging::picture::{DEFAULT_MAX_PIXELS, Picture, Pixels};
use crate::imaging::{preprocess, windowing};

/// A picture ready for the network.
pub struct Prepared {
    /// SHA-256 of the picture's bytes in hex, if they could be read.
    pub sha256: Option<String>,
    /// Values in the order channel, row, column.
    pub values: Result<Planes>,
}

/// Values in the order channel, row, column.
pub struct Planes {
    /// `channels * height * width` values.
    pub values: Vec<f32>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
}

/// Reads and decodes the picture of `sample`, by the window of `input` if it has one. Also the SHA-256 of the picture's
/// bytes in hex, if they could be read.
pub fn picture(sample: &Sample, input: &Input) -> (Option<String>, Result<Picture>) {
    match &sample.source {
        Source::File(path) => match std::fs::read(path) {
            Err(e) => (None, Err(Error::io(path, e))),
            Ok(bytes) => {
                let name = path.display().to_string();
                let window = windowing::explicit(input);
                let picture = decode::decode(&bytes, &name, window, DEFAULT_MAX_PIXELS);
                (Some(files::sha256(&bytes)), picture)
            }
        },
        Source::Phantom(cohort, id) => {
            let phantom = phantom::render(cohort, id);
            let side = phantom.size as usize;
            let sha256 = files::sha256(&phantom.pixels);
            let pixels = Pixels::Gray(phantom.pixels);
            (Some(sha256), Ok(Picture { width: side, height: side, pixels, range: [0.0, 255.0] }))
        }
    }
}

/// SHA-256 of the picture's bytes in hex, which are not decoded.
pub fn sha256(sample: &Sample) -> Result<String> {
    match &sample.source {
        Source::File(path) => files::sha256_of(path),
        Source::Phantom(cohort, id) => Ok(files::sha256(&phantom::render(cohort, id).pixels)),
    }
}

/// Reads, decodes and preprocesses the picture of `sample`.
pub fn prepare(sample: &Sample, input: &Input) -> Prepared {
    let (sha256, picture) = picture(sample, input);
    let values = picture.and_then(|picture| {
        let (values, height, width) =
            preprocess::apply(input, &picture).map_err(|e| e.at(format_args!("image {}", sample.id)))?;
        Ok(Planes { values, height, width })
    });
    Prepared { sha256, values }
}
