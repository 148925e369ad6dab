//! The built-in model as data: a `.safetensors` file in Switchback's own format, 64-byte aligned.
//!
//! No model has been trained yet, so [`builtin`] has nothing to give; the command line says which file to bring.

#![forbid(unsafe_code)]

/// The bytes of the built-in model, or `None` while there is none.
pub const fn builtin() -> Option<&'static [u8]> {
    None
}
