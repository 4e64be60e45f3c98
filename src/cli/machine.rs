//! From the machine's flags to threads, and the flag that Ctrl-C raises.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::note;
use crate::device::{Place, Precision, Wanted};
use crate::error::{Error, Result};

/// Takes as many threads as were asked for, all by default, and says how many. Called once, before any work.
pub fn threads(wanted: Option<usize>) -> Result<usize> {
    let threads = match wanted {
        Some(n) => n,
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|e| Error::new(e.to_string()).at(format_args!("starting {threads} threads")))?;
    Ok(threads)
}

/// Opens the device, and says what there is to say of it.
pub fn place(device: Wanted, precision: Precision) -> Result<Place> {
    let place = device.open(precision)?;
    place.notes.iter().for_each(|n| note(n));
    Ok(place)
}

/// A flag that the first Ctrl-C (or SIGTERM) raises; the second ends the process at once.
pub fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|e| Error::new(e.to_string()).at("installing a signal handler"))?;
    }
    Ok(stop)
}
