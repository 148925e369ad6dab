//! Virtual im2col: packs panels of the column matrix straight from the image.
