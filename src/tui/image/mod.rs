//! Pictures in the terminal: which protocol, and how they come and go. Half-blocks are cells like any others, which
//! ratatui's diff sends, moves and erases. iTerm2's and sixel pictures go through viuer. Kitty's do not: viuer asks the
//! terminal before and after them and takes keys for answers, names none, so that none can be erased, and sends four times
//! the bytes; tmux it does not know.

mod cells;
mod graphics;
mod kitty;
mod pictures;
mod probe;

pub use graphics::{Choice, Graphics, Prepared, Protocol, Raster, Terminal, choose};
pub use pictures::{Change, Pictures, change, forget_all};
pub use probe::probe;
