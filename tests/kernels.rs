//! Every kernel at every level against its naive reference.
