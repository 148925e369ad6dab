//! Maps of outputs and of their switches, handed out side by side.

use crate::groups::Parts;
use crate::view::{PlaneMut, PlanesMut};

/// Output maps and their switches, if there are any.
pub(super) struct Planes<'a> {
    pub(super) values: PlanesMut<'a>,
    pub(super) switches: Option<PlanesMut<'a, u8>>,
}

impl<'a> Iterator for Planes<'a> {
    type Item = (PlaneMut<'a>, Option<PlaneMut<'a, u8>>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        Some((self.values.next()?, self.switches.as_mut().and_then(PlanesMut::next)))
    }
}

impl Parts for Planes<'_> {
    fn size(&self) -> usize {
        self.values.size()
    }

    fn parted_at(self, n: usize) -> (Self, Self) {
        let (values, behind) = self.values.parted_at(n);
        let (switches, switches_behind) = self.switches.map(|switches| switches.parted_at(n)).unzip();
        (Self { values, switches }, Self { values: behind, switches: switches_behind })
    }
}
