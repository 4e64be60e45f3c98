//! What several panels draw.

pub mod chooser;
pub mod labels;
pub mod plot;
pub mod popup;
pub mod text;
