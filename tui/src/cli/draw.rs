//! Results as pictures.
use super::context::Context;
use super::input::Loaded;
use super::model::Opened;
use super::occlude::Occluded;
use switchback_core::projection::Projection;
use switchback_core::{NodeId, Tensor};
pub(crate) struct Sheet;
pub(crate) fn mode(_: &Context) -> Option<u8> {
    None
}
pub(crate) fn text(_: &Sheet, _: u8) -> String {
    String::new()
}
pub(crate) fn png(_: &Sheet) -> anyhow::Result<Vec<u8>> {
    anyhow::bail!("later")
}
pub(crate) fn projections(_: &Opened, _: &Loaded, _: &[Projection]) -> anyhow::Result<Sheet> {
    Ok(Sheet)
}
pub(crate) fn features(_: &Opened, _: &str, _: NodeId, _: &[usize], _: &Tensor) -> anyhow::Result<Sheet> {
    Ok(Sheet)
}
pub(crate) fn occlusion(_: &Occluded) -> anyhow::Result<Sheet> {
    Ok(Sheet)
}
