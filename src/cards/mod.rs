//! Cards: the TOML files that describe models and datasets.

pub mod catalogue;
pub mod dataset;
pub mod model;
mod dataset_check;
mod from_folder;
mod toml_file;

use toml_file::{check_labels, check_schema, parse, read};
