//! NVIDIA's libraries, loaded when they are first needed.
//!
//! cudarc, through which Candle calls them, is linked to them, and a program that is does not start where one is missing.
//! The functions of their names here come first at linking, so that none of the libraries is needed to start: each jumps
//! to where its slot points, to a function that only fails until [`load_driver`] and [`load_mathematics`] have found the
//! real one.

use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::device::Fault;

/// A library and its functions here.
struct Library {
    title: &'static str,
    /// Its files: of the newest version first.
    files: &'static [&'static CStr],
    /// Names and slots; the library of any version has the first.
    functions: &'static [(&'static CStr, &'static AtomicPtr<c_void>)],
}

/// Stands for a function that was not found: what it returns tells so.
extern "C" fn absent<const STATUS: u32>() -> u32 {
    STATUS
}

/// A jump to where a slot points, with all arguments as they are.
#[cfg(target_arch = "x86_64")]
macro_rules! jump {
    ($slot:path) => {
        std::arch::naked_asm!("jmp qword ptr [rip + {slot}]", slot = sym $slot)
    };
}
#[cfg(target_arch = "aarch64")]
macro_rules! jump {
    ($slot:path) => {
        std::arch::naked_asm!(
            "adrp x16, {slot}",
            "ldr x16, [x16, :lo12:{slot}]",
            "br x16",
            slot = sym $slot
        )
    };
}

macro_rules! library {
    ($library:ident, $title:literal, $files:expr, absent: $status:literal, $($name:ident)*) => {
        $(
            #[allow(non_snake_case)]
            mod $name {
                use super::*;
                pub(super) static SLOT: AtomicPtr<c_void> = AtomicPtr::new(absent::<$status> as *mut c_void);
                // SAFETY: its caller knows the real function's arguments, which it passes on untouched; `absent` takes
                // none and leaves them alone. The name is that function's, so that callers are linked to this one.
                #[unsafe(naked)]
                #[unsafe(no_mangle)]
                unsafe extern "C" fn $name() {
                    jump!(SLOT)
                }
            }
        )*
        static $library: Library = Library {
            title: $title,
            files: &$files,
            functions: &[$((
                match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name with a zero inside"),
                },
                &$name::SLOT,
            )),*],
        };
    };
}

// Below are the functions that are linked, in the forms that they have from CUDA 12 on.

library! { DRIVER, "the NVIDIA driver", [c"libcuda.so.1"], absent: 500,
    cuInit cuCtxDestroy_v2 cuCtxGetCurrent cuCtxSetCurrent cuCtxSynchronize cuDeviceGet cuDeviceGetAttribute
    cuDeviceGetCount cuDeviceGetDefaultMemPool cuDeviceGetName cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRetain
    cuDriverGetVersion cuEventCreate cuEventDestroy_v2 cuEventRecord cuEventSynchronize cuGetErrorName cuGetErrorString
    cuLaunchKernel cuMemAllocAsync cuMemAlloc_v2 cuMemFreeAsync cuMemFreeHost cuMemFree_v2 cuMemGetInfo_v2 cuMemHostAlloc
    cuMemPoolGetAttribute cuMemPoolSetAttribute cuMemcpyDtoDAsync_v2 cuMemcpyDtoHAsync_v2 cuMemcpyHtoDAsync_v2
    cuMemcpyPeerAsync cuMemsetD8Async cuModuleGetFunction cuModuleLoad cuModuleLoadData cuModuleUnload cuStreamCreate cuStreamDestroy_v2
    cuStreamIsCapturing cuStreamSynchronize cuStreamWaitEvent
}

library! { CUBLAS, "cuBLAS", [c"libcublas.so.13", c"libcublas.so.12", c"libcublas.so.11"], absent: 15,
    cublasCreate_v2 cublasDestroy_v2 cublasDgemmStridedBatched cublasGemmEx cublasGemmStridedBatchedEx
    cublasSetStream_v2
}

library! { CURAND, "cuRAND", [c"libcurand.so.10"], absent: 999,
    curandCreateGenerator curandDestroyGenerator curandGenerateNormal curandGenerateNormalDouble curandGenerateUniform
    curandGenerateUniformDouble curandSetPseudoRandomGeneratorSeed curandSetStream
}

/// Kernels of Candle's for quantised weights, of which there are none here, call the CUDA runtime; at the start they
/// make themselves known to it.
macro_rules! runtime {
    ($($name:ident)*) => {
        $(
            // SAFETY: nothing here runs those kernels, and a failure at the start is not looked at.
            #[allow(non_snake_case)]
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> u32 {
                INITIALIZATION_ERROR
            }
        )*
    };
}

/// `cudaErrorInitializationError`.
const INITIALIZATION_ERROR: u32 = 3;

runtime! {
    __cudaGetKernel __cudaLaunchKernel_ptsz __cudaPopCallConfiguration __cudaPushCallConfiguration
    __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaRegisterFunction __cudaRegisterVar __cudaUnregisterFatBinary
    cudaDeviceGetAttribute cudaFree cudaFreeAsync_ptsz cudaFuncGetAttributes cudaFuncSetAttribute cudaGetDevice
    cudaGetDeviceCount cudaGetErrorName cudaGetErrorString cudaGetLastError cudaLaunchKernel_ptsz cudaMalloc
    cudaMallocAsync_ptsz cudaMemsetAsync_ptsz cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags cudaPeekAtLastError
    cudaSetDevice cudaStreamSynchronize_ptsz
}

/// Finds the driver's functions.
pub(super) fn load_driver() -> Result<(), Fault> {
    static LOADED: OnceLock<Result<(), Fault>> = OnceLock::new();
    LOADED.get_or_init(|| load(&DRIVER).map_err(|_| Fault::NoDriver)).clone()
}

/// Finds those of the libraries that compute.
pub(super) fn load_mathematics() -> Result<(), Fault> {
    static LOADED: OnceLock<Result<(), Fault>> = OnceLock::new();
    LOADED
        .get_or_init(|| {
            if cfg!(feature = "cudnn") {
                // cuDNN's convolutions in f32 would round to TF32, which nothing in Candle turns off.
                // SAFETY: nothing else here changes the environment or reads it without Rust's lock meanwhile.
                unsafe { std::env::set_var("NVIDIA_TF32_OVERRIDE", "0") };
            }
            [&CUBLAS, &CURAND].into_iter().try_for_each(load)
        })
        .clone()
}

/// Opens a library, which stays open, and points the slots of its functions at them.
fn load(library: &Library) -> Result<(), Fault> {
    let Library { title, files, functions } = *library;
    // SAFETY: the names end in zero; what the libraries do when they are opened is NVIDIA's.
    let open = |file: &&CStr| unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    let Some(handle) = files.iter().map(open).find(|handle| !handle.is_null()) else {
        let file = files.first().and_then(|file| file.to_str().ok()).unwrap_or_default();
        return Err(Fault::NoLibrary { title, file });
    };
    for (i, (name, slot)) in functions.iter().enumerate() {
        // SAFETY: the handle is open, the name ends in zero.
        let found = unsafe { libc::dlsym(handle, name.as_ptr().cast::<c_char>()) };
        if !found.is_null() {
            slot.store(found, Ordering::Release);
        } else if i == 0 {
            return Err(Fault::OtherLibrary { title, function: name.to_str().unwrap_or_default() });
        }
    }
    Ok(())
}
