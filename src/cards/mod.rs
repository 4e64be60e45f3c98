//! Cards: the TOML files that describe models, datasets and published tables.

pub mod catalogue;
pub mod dataset;
mod dataset_check;
mod from_folder;
pub mod model;
pub mod printed;
pub mod published;
mod published_check;
mod toml_file;

use toml_file::{check_labels, read};
pub(crate) use toml_file::{check_schema, parse};
