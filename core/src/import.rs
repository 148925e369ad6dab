//! Model files to [`Model`](crate::Model): ONNX through a small checked protobuf reader, and our own format,
//! which is safetensors with the network written in its metadata.

pub mod native;
pub mod onnx;
pub mod protobuf;
pub mod safetensors;
