//! stub
#[derive(Clone, Copy)]
pub struct Portable;
