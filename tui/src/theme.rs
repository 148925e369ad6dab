//! Themes: what each kind of text looks like, in every colour mode.
//!
//! ```text
//! Role ── theme ──▶ sRGB ── mode ──▶ 24 bits · nearest of 16–255 · a named colour · bold, reverse, underline
//! ```

use ratatui::style::{Color, Modifier, Style};

use crate::color::palette::rgb_of_index;
use crate::color::{ColorMode, Palette, console};

/// What a piece of the screen is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Plain text.
    Text,
    /// Less important: units, shapes, rules between panes.
    Dim,
    /// Titles of panes.
    Title,
    /// The title of the pane that has the keys, and the view that is open.
    Focus,
    /// The selected row.
    Selected,
    /// The selected row of a pane without the keys.
    Mark,
    /// Numbers and names that matter.
    Strong,
    /// A bar's filled part.
    Bar,
    /// It went well.
    Good,
    /// Something to know.
    Warn,
    /// It failed.
    Bad,
    /// A key in hints and help.
    Key,
}

/// Colours for a dark or a light ground.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Theme {
    pub(crate) name: String,
    /// Meant for a light ground.
    pub(crate) light: bool,
    pub(crate) text: Option<[u8; 3]>,
    pub(crate) dim: [u8; 3],
    pub(crate) title: [u8; 3],
    pub(crate) accent: [u8; 3],
    pub(crate) strong: [u8; 3],
    pub(crate) selected: [u8; 3],
    pub(crate) bar: [u8; 3],
    pub(crate) good: [u8; 3],
    pub(crate) warn: [u8; 3],
    pub(crate) bad: [u8; 3],
    /// Of cursors and outlines on pictures.
    pub(crate) cursor: [u8; 3],
    /// Between tiles of a mosaic.
    pub(crate) gap: [u8; 3],
}

impl Theme {
    /// Amber on dark.
    pub(crate) fn dark() -> Self {
        Self {
            name: "dark".into(),
            light: false,
            text: None,
            dim: [118, 118, 128],
            title: [168, 168, 180],
            accent: [255, 176, 64],
            strong: [238, 238, 228],
            selected: [58, 50, 38],
            bar: [214, 120, 60],
            good: [130, 200, 120],
            warn: [240, 190, 90],
            bad: [255, 110, 100],
            cursor: [64, 240, 220],
            gap: [22, 22, 26],
        }
    }

    /// Blue on light.
    pub(crate) fn light() -> Self {
        Self {
            name: "light".into(),
            light: true,
            text: None,
            dim: [118, 118, 126],
            title: [80, 80, 92],
            accent: [20, 88, 190],
            strong: [16, 16, 20],
            selected: [214, 226, 246],
            bar: [70, 130, 210],
            good: [20, 120, 40],
            warn: [150, 96, 0],
            bad: [190, 30, 30],
            cursor: [0, 200, 190],
            gap: [228, 228, 232],
        }
    }

    /// Black, white and yellow.
    pub(crate) fn contrast() -> Self {
        Self {
            name: "contrast".into(),
            light: false,
            text: Some([255; 3]),
            dim: [200; 3],
            title: [255; 3],
            accent: [255, 255, 0],
            strong: [255; 3],
            selected: [0, 0, 160],
            bar: [255, 255, 0],
            good: [0, 255, 0],
            warn: [255, 255, 0],
            bad: [255, 90, 90],
            cursor: [0, 255, 255],
            gap: [0; 3],
        }
    }

    /// Those that need no configuration.
    pub(crate) fn built_in() -> Vec<Self> {
        vec![Self::dark(), Self::light(), Self::contrast()]
    }

    /// Between tiles of a mosaic in this mode. Of sixteen colours none is faint: there dots at the corners part the tiles.
    pub(crate) fn gap(&self, mode: ColorMode) -> [u8; 3] {
        match mode {
            ColorMode::Ansi16 => [0; 3],
            ColorMode::Console => console::rgb_of_index(8),
            _ => flat(self.gap, mode),
        }
    }

    /// How text of this role is written.
    pub(crate) fn style(&self, role: Role, mode: ColorMode) -> Style {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        if mode == ColorMode::None {
            return match role {
                Role::Text | Role::Bar | Role::Good => plain,
                Role::Dim => plain.add_modifier(Modifier::DIM),
                Role::Title | Role::Key => bold,
                Role::Strong | Role::Warn | Role::Bad | Role::Mark => bold,
                Role::Focus => bold.add_modifier(Modifier::UNDERLINED),
                Role::Selected => plain.add_modifier(Modifier::REVERSED),
            };
        }
        let ink = |rgb| color(rgb, mode);
        match role {
            Role::Text => self.text.map_or(plain, |rgb| plain.fg(ink(rgb))),
            Role::Dim => plain.fg(ink(self.dim)),
            Role::Title => plain.fg(ink(self.title)),
            Role::Focus => bold.fg(ink(self.accent)),
            Role::Selected if matches!(mode, ColorMode::Ansi16 | ColorMode::Console) => {
                bold.add_modifier(Modifier::REVERSED)
            }
            Role::Selected => bold.fg(ink(self.strong)).bg(ink(self.selected)),
            Role::Mark => bold.fg(ink(self.accent)),
            Role::Strong => bold.fg(ink(self.strong)),
            Role::Bar => plain.fg(ink(self.bar)),
            Role::Good => plain.fg(ink(self.good)),
            Role::Warn => plain.fg(ink(self.warn)),
            Role::Bad => bold.fg(ink(self.bad)),
            Role::Key => plain.fg(ink(self.accent)),
        }
    }
}

/// The colour that stays flat in pictures of this mode: one of its palette; between tiles of letters nothing.
pub(crate) fn flat(rgb: [u8; 3], mode: ColorMode) -> [u8; 3] {
    match mode {
        ColorMode::TrueColor => rgb,
        ColorMode::Ansi256 => rgb_of_index(Palette::ansi256().nearest(rgb)),
        ColorMode::Ansi16 => rgb_of_index(Palette::ansi16().nearest(rgb)),
        ColorMode::Console => console::rgb_of_index(console::ink(rgb)),
        ColorMode::None => [0; 3],
    }
}

/// The nearest that the mode has.
pub(crate) fn color(rgb: [u8; 3], mode: ColorMode) -> Color {
    match mode {
        ColorMode::TrueColor => Color::Rgb(rgb[0], rgb[1], rgb[2]),
        ColorMode::Ansi256 => Color::Indexed(Palette::ansi256().nearest(rgb)),
        ColorMode::Ansi16 => Color::Indexed(Palette::ansi16().nearest(rgb)),
        ColorMode::Console => Color::Indexed(console::ink(rgb)),
        ColorMode::None => Color::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_is_visible_in_every_mode() {
        let roles = [Role::Title, Role::Focus, Role::Selected, Role::Strong, Role::Warn, Role::Bad, Role::Key];
        for theme in Theme::built_in() {
            for mode in ColorMode::ALL {
                for role in roles {
                    let style = theme.style(role, mode);
                    if mode == ColorMode::None {
                        assert!(style.fg.is_none() && style.bg.is_none(), "{role:?} has colour");
                    }
                    assert_ne!(style, Style::new(), "{} {mode:?} {role:?}", theme.name);
                }
            }
        }
    }
}
