//! What every key does, as data: the help, the command bar and the palette are made from one table.

mod action;
mod names;
mod table;

pub use action::{Action, Screen};
pub use names::{keys, parse, typed};
pub use table::{Binding, Scope, action, on};
