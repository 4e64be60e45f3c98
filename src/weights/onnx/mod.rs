//! ONNX files (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>): their graph is recognised as one of the known
//! networks, whose weights it then holds. No node is ever run as such.

mod densenet;
mod graph;
mod mobilenet;
mod proto;
mod read;
mod recognise;
mod resnet;

pub(super) use read::{is_onnx, read};
