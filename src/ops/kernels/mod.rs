//! Inner loops. The only place of the crate's arithmetic with `unsafe`.

mod gemm;

pub(super) use gemm::{Matrix, multiply_add};
