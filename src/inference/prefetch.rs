//! Work done ahead by several threads and handed over in order, through a bounded window.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Runs `work(i)` for every `i` of `range` on `threads` threads and gives the results to `consume` on this thread
/// in the order of `i`. At most `ahead` results exist at a time, so memory does not depend on the range's length.
///
/// Stops early when `consume` returns an error, which is then the result. A panic in `work` goes on here.
pub fn in_order<T: Send, E>(
    range: Range<usize>,
    threads: usize,
    ahead: usize,
    work: impl Fn(usize) -> T + Sync,
    mut consume: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let window = Window { state: Mutex::new(State::new(&range)), moved: Condvar::new(), end: range.end };
    let ahead = ahead.max(1);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let _fault = StopOnPanic(&window);
                while let Some(i) = window.take(ahead) {
                    window.give(i, work(i));
                }
            });
        }
        let _done = StopOnDrop(&window);
        for i in range.clone() {
            let Some(result) = window.wait_for(i) else { break };
            consume(i, result)?;
        }
        Ok(())
    })
}

struct Window<T> {
    state: Mutex<State<T>>,
    moved: Condvar,
    end: usize,
}

struct State<T> {
    /// The next index that a thread takes up.
    next: usize,
    /// The index that the consumer waits for.
    wanted: usize,
    ready: BTreeMap<usize, T>,
    stopped: bool,
}

impl<T> State<T> {
    fn new(range: &Range<usize>) -> Self {
        Self { next: range.start, wanted: range.start, ready: BTreeMap::new(), stopped: false }
    }
}

impl<T> Window<T> {
    /// The lock. No code panics while it is held, so a poisoned one is still whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.moved.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn take(&self, ahead: usize) -> Option<usize> {
        let mut state = self.lock();
        while !state.stopped && state.next < self.end && state.next >= state.wanted + ahead {
            state = self.wait(state);
        }
        if state.stopped || state.next >= self.end {
            return None;
        }
        state.next += 1;
        Some(state.next - 1)
    }

    fn give(&self, i: usize, result: T) {
        self.lock().ready.insert(i, result);
        self.moved.notify_all();
    }

    fn wait_for(&self, i: usize) -> Option<T> {
        let mut state = self.lock();
        state.wanted = i;
        self.moved.notify_all();
        loop {
            if let Some(result) = state.ready.remove(&i) {
                return Some(result);
            }
            if state.stopped {
                return None;
            }
            state = self.wait(state);
        }
    }

    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }
}

struct StopOnDrop<'a, T>(&'a Window<T>);

impl<T> Drop for StopOnDrop<'_, T> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

struct StopOnPanic<'a, T>(&'a Window<T>);

impl<T> Drop for StopOnPanic<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn order_and_bound_hold() {
        let begun = AtomicUsize::new(0);
        let mut given = 0;
        in_order(
            3..200,
            4,
            5,
            |i| {
                begun.fetch_add(1, Ordering::SeqCst);
                i * i
            },
            |i, square| {
                assert_eq!((i, square), (given + 3, i * i));
                given += 1;
                // At most `ahead` beyond what was asked for.
                assert!(begun.load(Ordering::SeqCst) <= given + 5);
                Ok::<(), ()>(())
            },
        )
        .unwrap();
        assert_eq!(given, 197);
    }

    #[test]
    fn an_error_of_the_consumer_stops_the_work() {
        let begun = AtomicUsize::new(0);
        let stopped = in_order(
            0..usize::MAX,
            3,
            4,
            |_| begun.fetch_add(1, Ordering::SeqCst),
            |i, _| if i == 10 { Err("enough") } else { Ok(()) },
        );
        assert_eq!(stopped, Err("enough"));
        assert!(begun.load(Ordering::SeqCst) <= 16);
    }

    #[test]
    #[should_panic]
    fn a_panic_in_the_work_is_not_lost() {
        let _ = in_order(0..10, 2, 2, |i| assert!(i < 5), |_, ()| Ok::<(), ()>(()));
    }
}
