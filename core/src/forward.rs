//! One run through the plan: every node in order, tensors freed as soon as nobody needs them.
