//! How each node of a network runs: which chains run fused, which algorithm a convolution takes, what it costs.
