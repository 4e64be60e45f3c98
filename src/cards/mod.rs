//! Cards: the TOML files that describe models and datasets.

pub mod catalogue;
pub mod dataset;
mod dataset_check;
mod from_folder;
pub mod model;
mod toml_file;

use toml_file::{check_labels, check_schema, parse, read};
