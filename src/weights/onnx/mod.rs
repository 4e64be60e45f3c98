//! ONNX files (<https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>): their graph is recognised as one of the known
//! networks, whose weights it then holds, or is kept as a program.

mod densenet;
mod graph;
mod mobilenet;
mod node;
mod proto;
mod read;
mod reader;
mod recognise;
mod resnet;

pub(super) use read::{Found, is_onnx, read};
