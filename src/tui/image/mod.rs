//! Pictures in the terminal: which protocol, and how they come and go. Kitty, iTerm2 and sixel go through viuer; inside
//! tmux Kitty's pictures hang on placeholder cells; half-blocks are cells like any others. Cells are sent, moved and
//! erased by ratatui's diff.

mod cells;
mod graphics;
mod pictures;
mod placeholders;
mod probe;

pub use graphics::{Choice, Graphics, Protocol, Raster, Terminal, choose};
pub use pictures::{Change, Pictures, change, forget_all};
pub use probe::probe;
