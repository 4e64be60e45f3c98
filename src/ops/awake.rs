//! Work whose parts are so short that waking a thread takes longer than what it is woken for.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::Yield;

/// Threads that are kept awake at most: parts of one image are too few for more.
const MOST: usize = 7;

/// How long to wait for them to wake up.
const PATIENCE: Duration = Duration::from_micros(100);

/// No more threads are waited for.
const CLOSED: usize = 1 << 16;

/// Whether some threads are kept awake already.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Becomes a value when it is dropped, also by a panic.
struct Finally<'a>(&'a AtomicBool, bool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Release);
    }
}

/// Does `work` in rayon's pool, where threads without work look for its parts until it is done, instead of going to sleep
/// after each.
///
/// A thread may look for parts while others wait for what lies below on its stack. So that none of those is ever `work`,
/// threads begin before `work` does or not at all; nor can two works wait for each other, as one at a time has such
/// threads; and inside the pool, where somebody may wait for the caller, all is as without.
pub fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let threads = (rayon::current_num_threads() - 1).min(MOST);
    let alone = threads == 0 || rayon::current_thread_index().is_some();
    if alone || TAKEN.swap(true, Ordering::Acquire) {
        return rayon::scope(|_| work());
    }
    let _free = Finally(&TAKEN, false);
    let (awake, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    rayon::scope(|scope| {
        let _done = Finally(&done, true);
        let (own, awake, done) = (rayon::current_thread_index(), &awake, &done);
        for _ in 0..threads {
            scope.spawn(move |_| {
                let open = |count| (count < CLOSED).then_some(count + 1);
                if rayon::current_thread_index() == own
                    || awake.fetch_update(Ordering::AcqRel, Ordering::Acquire, open).is_err()
                {
                    return;
                }
                while !done.load(Ordering::Acquire) {
                    if rayon::yield_now() != Some(Yield::Executed) {
                        spin_loop();
                    }
                }
            });
        }
        let start = Instant::now();
        while awake.load(Ordering::Acquire) < threads && start.elapsed() < PATIENCE {
            spin_loop();
        }
        awake.fetch_or(CLOSED, Ordering::AcqRel);
        work()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    fn sum(n: u64) -> u64 {
        (0..n).into_par_iter().map(|i| (0..100).into_par_iter().map(|j| i * j).sum::<u64>()).sum()
    }

    #[test]
    fn many_callers_inside_and_outside_the_pool_all_end() {
        std::thread::scope(|scope| {
            for caller in 0..8u64 {
                scope.spawn(move || {
                    for i in 0..50 {
                        let n: u64 = caller * 7 + i;
                        let expected = 4950 * (n * n.saturating_sub(1) / 2);
                        assert_eq!(awake(|| sum(n)), expected);
                        assert_eq!(rayon::scope(|_| awake(|| sum(n))), expected);
                        assert!((0..4).into_par_iter().all(|_| awake(|| sum(n)) == expected));
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_sets_the_threads_free() {
        assert!(std::panic::catch_unwind(|| awake(|| panic!("expected"))).is_err());
        assert_eq!(awake(|| sum(3)), 4950 * 3);
    }
}
