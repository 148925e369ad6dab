//! The one selection that every pane follows, and which view and pane are open.

use switchback_core::NodeId;
use switchback_core::projection::Rule;

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Which of the pictures.
    pub(crate) picture: usize,
    pub(crate) layer: NodeId,
    pub(crate) channel: usize,
    /// `None`: the strongest of the channel.
    pub(crate) place: Option<[usize; 2]>,
    pub(crate) rule: Rule,
    /// `None`: the most probable.
    pub(crate) class: Option<usize>,
    /// The cursor of the occlusion map: row and column.
    pub(crate) square: [usize; 2],
}

/// A view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Browse,
    Projection,
    Occlusion,
    Top,
    Evolution,
    Filters,
    Invariance,
    Correspondence,
    Bench,
}

impl View {
    /// In the order of their digits.
    pub(crate) const ALL: [View; 9] = [
        View::Browse,
        View::Projection,
        View::Occlusion,
        View::Top,
        View::Evolution,
        View::Filters,
        View::Invariance,
        View::Correspondence,
        View::Bench,
    ];

    /// From 1.
    pub(crate) fn digit(self) -> usize {
        1 + Self::ALL.iter().position(|&v| v == self).unwrap_or(0)
    }

    /// The view of a digit.
    pub(crate) fn of_digit(digit: usize) -> Option<View> {
        Self::ALL.get(digit.checked_sub(1)?).copied()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            View::Browse => "Browse",
            View::Projection => "Projection",
            View::Occlusion => "Occlusion",
            View::Top => "Top-9",
            View::Evolution => "Evolution",
            View::Filters => "Filters",
            View::Invariance => "Invariance",
            View::Correspondence => "Correspondence",
            View::Bench => "Bench",
        }
    }

    /// The view `steps` further on, round and round.
    pub(crate) fn step(self, steps: isize) -> View {
        let count = Self::ALL.len() as isize;
        Self::ALL[(self.digit() as isize - 1 + steps).rem_euclid(count) as usize]
    }
}

/// A pane of the Browse view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pane {
    Layers,
    Maps,
    Input,
    Projection,
    Classes,
}

impl Pane {
    /// In the order of `w`.
    pub(crate) const ALL: [Pane; 5] = [Pane::Layers, Pane::Maps, Pane::Input, Pane::Projection, Pane::Classes];

    /// The pane `steps` further on, round and round.
    pub(crate) fn step(self, steps: isize) -> Pane {
        let at = Self::ALL.iter().position(|&p| p == self).unwrap_or(0) as isize;
        Self::ALL[(at + steps).rem_euclid(Self::ALL.len() as isize) as usize]
    }
}
