//! The passes of batches through the network: launched one after the other, and taken back once they are wanted.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};

use super::batch::in_parts;
use super::prepare::{Planes, Prepared};
use crate::device::Upload;
use crate::error::{Kind, Result};
use crate::inference::journal::{Outcome, Output};
use crate::models::{self, Model};

/// Batches on their way through a model.
pub struct Passes<'a> {
    model: &'a Model,
    channels: usize,
    size: usize,
    upload: Option<Upload>,
    in_air: VecDeque<Flight>,
}

/// A batch that was launched.
pub struct Flight {
    /// In the batch's order; those that went through the network have no logits yet.
    outcomes: Vec<Outcome>,
    parts: Vec<Part>,
}

/// Pictures that went through the network together.
struct Part {
    /// Where each stands in the batch.
    at: Vec<usize>,
    logits: Logits,
}

/// Logits, one row a picture and perhaps more rows behind them.
enum Logits {
    /// Perhaps still being computed.
    There(Tensor),
    Here(Vec<Vec<f32>>),
}

impl<'a> Passes<'a> {
    /// None yet; at most `size` pictures are to go through `model` together.
    pub fn new(model: &'a Model, channels: usize, size: usize) -> Result<Self> {
        let upload = Upload::new(model.device())?;
        Ok(Self { model, channels, size, upload, in_air: VecDeque::new() })
    }

    /// How many pictures go through together at most: fewer than at the beginning, once memory was too little.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Launches a batch. Pictures of one shape go through the network together.
    pub fn launch(&mut self, batch: Vec<Prepared>) -> Result<()> {
        let mut flight = Flight { outcomes: Vec::with_capacity(batch.len()), parts: Vec::new() };
        let mut planes = Vec::with_capacity(batch.len());
        for (i, prepared) in batch.into_iter().enumerate() {
            let result = match prepared.values {
                Ok(p) => {
                    planes.push((i, p));
                    Output::Logits(Vec::new())
                }
                Err(e) => Output::Failure(e.to_string()),
            };
            flight.outcomes.push(Outcome { sha256: prepared.sha256, result });
        }
        while let Some((height, width)) = planes.first().map(|(_, p)| (p.height, p.width)) {
            let (same, others) = planes.into_iter().partition(|(_, p)| (p.height, p.width) == (height, width));
            planes = others;
            let (same, mut size): (Vec<(usize, Planes)>, _) = (same, self.size);
            let parts = in_parts(&same, &mut size, |part, size| {
                let logits = Logits::There(self.pass(part, (height, width), size)?);
                Ok(Part { at: part.iter().map(|(i, _)| *i).collect(), logits })
            });
            self.size = size;
            flight.parts.extend(parts?);
        }
        self.in_air.push_back(flight);
        Ok(())
    }

    /// The batch that was launched first, while there are more than `ahead`.
    pub fn landed(&mut self, ahead: usize) -> Option<Flight> {
        if self.in_air.len() > ahead { self.in_air.pop_front() } else { None }
    }

    /// The logits of pictures of one shape. Where memory is too little, what is in the air lands first.
    fn pass(&mut self, part: &[(usize, Planes)], sides: (usize, usize), size: usize) -> Result<Tensor> {
        match self.once(part, sides, size) {
            Err(e) if e.kind() == Kind::Memory && !self.in_air.is_empty() => {
                self.in_air.iter_mut().flat_map(|flight| &mut flight.parts).try_for_each(Part::land)?;
                self.once(part, sides, size)
            }
            done => done,
        }
    }

    /// Off the CPU a short part is filled up to `size`, since kernels there may differ with the batch's size.
    fn once(&mut self, part: &[(usize, Planes)], (height, width): (usize, usize), size: usize) -> Result<Tensor> {
        let device = self.model.device();
        let rows = if device.is_cpu() { part.len() } else { part.len().max(size) };
        let shape = (rows, self.channels, height, width);
        let each = self.channels * height * width;
        let mut fill = |values: &mut [f32]| {
            let (given, rest) = values.split_at_mut(part.len() * each);
            given.chunks_exact_mut(each).zip(part).for_each(|(to, (_, p))| to.copy_from_slice(&p.values));
            rest.fill(0.0);
        };
        let x = match &mut self.upload {
            Some(upload) => upload.send(shape, &mut fill),
            None => {
                let mut values = vec![0f32; rows * each];
                fill(&mut values);
                Tensor::from_vec(values, shape, &Device::Cpu).and_then(|x| x.to_device(device))
            }
        };
        self.model.forward(&x.map_err(|e| models::fault(e).at("moving pictures to the device"))?)
    }
}

impl Part {
    /// Waits for the logits.
    fn land(&mut self) -> Result<()> {
        if let Logits::There(tensor) = &self.logits {
            self.logits = Logits::Here(tensor.to_vec2().map_err(|e| models::fault(e).at("reading logits"))?);
        }
        Ok(())
    }
}

impl Flight {
    /// What came of the batch's pictures, in its order.
    pub fn outcomes(mut self) -> Result<Vec<Outcome>> {
        for part in &mut self.parts {
            part.land()?;
            let Logits::Here(rows) = &mut part.logits else { continue };
            for (i, logits) in part.at.iter().zip(std::mem::take(rows)) {
                self.outcomes[*i].result = if logits.iter().all(|l| l.is_finite()) {
                    Output::Logits(logits)
                } else {
                    Output::Failure("the model's output for it is not finite".into())
                };
            }
        }
        Ok(self.outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cards::catalogue;
    use crate::error::Error;

    #[test]
    fn a_batch_that_lands_late_is_the_same() {
        let (card, home) = catalogue::model("phantom-densenet").unwrap();
        let (model, _) = models::load(&card, &home, &Device::Cpu).unwrap();
        let picture = |side: usize, value: f32| Prepared {
            sha256: None,
            values: Ok(Planes { values: vec![value; side * side], height: side, width: side }),
        };
        let broken = Prepared { sha256: None, values: Err(Error::new("broken")) };
        let mut passes = Passes::new(&model, card.input.channels, 2).unwrap();
        let batch = vec![picture(64, 0.5), picture(80, 0.1), broken, picture(64, -0.5)];
        passes.launch(batch).unwrap();
        assert!(passes.landed(1).is_none());
        passes.launch(vec![picture(64, 0.5)]).unwrap();
        let first = passes.landed(1).unwrap().outcomes().unwrap();
        let second = passes.landed(0).unwrap().outcomes().unwrap();
        assert!(passes.landed(0).is_none() && passes.size() == 2);
        let logits = |outcome: &Outcome| match &outcome.result {
            Output::Logits(logits) => Some(logits.clone()),
            Output::Failure(_) => None,
        };
        assert_eq!(first.iter().map(|o| logits(o).is_some()).collect::<Vec<_>>(), [true, true, false, true]);
        assert_eq!(logits(&first[0]), logits(&second[0]));
        assert_ne!(logits(&first[0]), logits(&first[3]));
    }
}
