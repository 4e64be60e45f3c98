//! Cards as CUDA's driver knows them.

use std::ffi::c_void;
use std::sync::OnceLock;

use candle_core::cuda::cudarc::driver::{CudaContext, DriverError, result, sys};
use candle_core::cuda::set_gemm_reduced_precision_f32;
use candle_core::{Device, Tensor};

use super::libraries;
use crate::device::{Card, Fault, Memory, memory_is_full};
use crate::error::{Error, Result};

type Found<T> = std::result::Result<T, Fault>;

/// What all cards share.
#[derive(Clone, Copy)]
struct Driver {
    count: usize,
    version: (u32, u32),
}

/// CUDA's way of writing a version.
fn version(number: u32) -> (u32, u32) {
    (number / 1000, number % 1000 / 10)
}

/// What the driver says, as ours.
fn fault(error: DriverError) -> Fault {
    match error.0 {
        sys::CUresult::CUDA_ERROR_NO_DEVICE => Fault::NoCard,
        sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Fault::Memory,
        other => {
            let text = error.error_string().map(|text| text.to_string_lossy().into_owned()).unwrap_or_default();
            Fault::Other(format!("the NVIDIA driver says {other:?} ({text})"))
        }
    }
}

/// The driver, started once.
fn driver() -> Found<Driver> {
    static DRIVER: OnceLock<Found<Driver>> = OnceLock::new();
    DRIVER
        .get_or_init(|| {
            libraries::load_driver()?;
            let count = CudaContext::device_count().map_err(fault)?;
            let mut number = 0;
            // SAFETY: the driver is loaded and writes one number.
            unsafe { sys::cuDriverGetVersion(&mut number) }.result().map_err(fault)?;
            let (driver, needed) = (version(number.unsigned_abs()), version(sys::CUDA_VERSION));
            match usize::try_from(count) {
                Ok(0) | Err(_) => Err(Fault::NoCard),
                Ok(_) if driver < needed => Err(Fault::DriverTooOld { driver, needed }),
                Ok(count) => Ok(Driver { count, version: driver }),
            }
        })
        .clone()
}

fn check(number: usize) -> Found<Driver> {
    let driver = driver()?;
    if number >= driver.count {
        return Err(Fault::NoSuchCard { number, count: driver.count });
    }
    Ok(driver)
}

/// The cards of this machine.
pub fn cards() -> Found<Vec<Card>> {
    let driver = driver()?;
    let of = |number| {
        let context = CudaContext::new(number).map_err(fault)?;
        card(&context, driver)
    };
    (0..driver.count).map(of).collect()
}

/// The name of a card.
pub fn name(number: usize) -> Found<String> {
    check(number)?;
    let of = |number| result::device::get_name(result::device::get(number)?);
    of(i32::try_from(number).unwrap_or(i32::MAX)).map_err(fault)
}

/// A card, ready to compute: its kernels have run, and f32 is f32 (no TF32).
pub fn open(number: usize) -> Found<(Device, Card)> {
    let driver = check(number)?;
    libraries::load_mathematics()?;
    set_gemm_reduced_precision_f32(false);
    // A stream of its own and not that of a thread, since a model is loaded by one thread and run by others.
    let device = Device::new_cuda_with_stream(number).map_err(|e| said(&first_line(&e)))?;
    let card = card(context(&device).ok_or(Fault::NoCard)?.as_ref(), driver)?;
    let sum = || Tensor::ones(8, candle_core::DType::F32, &device)?.affine(2.0, 1.0)?.sum_all()?.to_scalar::<f32>();
    match sum() {
        Ok(24.0) => Ok((device, card)),
        Ok(other) => Err(Fault::Other(format!("{} computes {other} where 24 is right", card.name))),
        Err(e) => Err(kernel_fault(&first_line(&e), &card, driver)),
    }
}

/// Why a kernel did not run.
fn kernel_fault(says: &str, card: &Card, driver: Driver) -> Fault {
    let any = |names: &[&str]| names.iter().any(|name| says.contains(name));
    if any(&["CUDA_ERROR_UNSUPPORTED_PTX_VERSION"]) {
        return Fault::DriverTooOld { driver: driver.version, needed: version(sys::CUDA_VERSION) };
    }
    if any(&["CUDA_ERROR_NO_BINARY_FOR_GPU", "CUDA_ERROR_INVALID_PTX"]) {
        return Fault::OtherKernels { card: card.name.clone(), capability: card.capability };
    }
    said(says)
}

/// What CUDA says, as ours.
fn said(says: &str) -> Fault {
    if memory_is_full(says) { Fault::Memory } else { Fault::Other(says.to_owned()) }
}

fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn card(context: &CudaContext, driver: Driver) -> Found<Card> {
    use sys::CUdevice_attribute_enum as A;
    let of = || {
        let number = |a: A| context.attribute(a).map(i32::unsigned_abs);
        let (free, total) = context.mem_get_info()?;
        let lines = u64::from(number(A::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH)?);
        // In kHz, two transfers a clock, eight lines a byte.
        let memory_clock = u64::from(number(A::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE)?);
        let (major, minor) = context.compute_capability()?;
        Ok(Card {
            number: context.ordinal(),
            name: context.name()?,
            memory: Memory { free: free as u64, total: total as u64 },
            capability: (major.unsigned_abs(), minor.unsigned_abs()),
            processors: number(A::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            clock: 1000 * u64::from(number(A::CU_DEVICE_ATTRIBUTE_CLOCK_RATE)?),
            bandwidth: 2 * 1000 * memory_clock * lines / 8,
            driver: driver.version,
        })
    };
    of().map_err(fault)
}

fn context(device: &Device) -> Option<std::sync::Arc<CudaContext>> {
    match device {
        Device::Cuda(device) => Some(device.cuda_stream().context().clone()),
        _ => None,
    }
}

/// The memory of a device, if it is a card.
pub fn memory(device: &Device) -> Option<Memory> {
    let (free, total) = context(device)?.mem_get_info().ok()?;
    Some(Memory { free: free as u64, total: total as u64 })
}

/// The most memory that `work` takes of a device at once, bytes, if it can tell.
pub fn peak(device: &Device, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<u64>> {
    let Some(context) = context(device).filter(|context| context.has_async_alloc()) else {
        return work().map(|()| None);
    };
    let fault = |e: DriverError| Error::new(e.to_string()).at("the memory of the card");
    let (highest, current) = (
        sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH,
        sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT,
    );
    // SAFETY: the device is open, and lives as long as `context`.
    let pool = unsafe { result::device::get_default_mem_pool(context.cu_device()) }.map_err(fault)?;
    let read = |attribute| {
        let mut bytes = 0u64;
        // SAFETY: both attributes are numbers of 64 bits, by CUDA's documentation.
        unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast::<c_void>()) }.map(|()| bytes)
    };
    let mut none = 0u64;
    context.synchronize().map_err(fault)?;
    // SAFETY: the same; 0 begins the count anew.
    unsafe { result::mem_pool::set_attribute(pool, highest, (&raw mut none).cast::<c_void>()) }.map_err(fault)?;
    let before = read(current).map_err(fault)?;
    work()?;
    context.synchronize().map_err(fault)?;
    Ok(Some(read(highest).map_err(fault)?.saturating_sub(before)))
}
