//! Which nodes matter, and in which order they run.
//!
//! ```text
//! outputs ──(who makes it?)──▶ nodes that matter ──(inputs first, else the file's order)──▶ order
//! ```
//!
//! ONNX demands sorted nodes, but not every exporter obeys; a cycle is an error that names its nodes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use crate::error::{Error, Result};

use super::proto::Graph;

/// The nodes that the graph's outputs depend on, sorted, and the tensors that somebody reads.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// Indices into [`Graph::nodes`].
    pub(super) nodes: Vec<usize>,
    /// Inputs of those nodes, and the graph's outputs.
    pub(super) read: HashSet<&'a str>,
}

/// Sorts `graph`.
///
/// # Errors
/// [`Error::Graph`] for a tensor made twice, a cycle, or an output that nothing makes.
pub(super) fn order<'a>(graph: &Graph<'a>) -> Result<Order<'a>> {
    let makers = makers(graph)?;
    let mut read: HashSet<&str> = HashSet::new();
    let mut needed = vec![false; graph.nodes.len()];
    let mut open: Vec<&str> = Vec::new();
    for &output in &graph.outputs {
        if read.insert(output) {
            open.push(output);
        }
    }
    while let Some(tensor) = open.pop() {
        let Some(&node) = makers.get(tensor) else { continue };
        if !std::mem::replace(&mut needed[node], true) {
            open.extend(graph.nodes[node].inputs.iter().copied().filter(|i| !i.is_empty() && read.insert(i)));
        }
    }

    let parents = |node: usize| {
        let mut nodes: Vec<usize> = graph.nodes[node].inputs.iter().filter_map(|i| makers.get(i).copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    };
    let mut waits = vec![0usize; graph.nodes.len()];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    let mut ready = BinaryHeap::new();
    for node in (0..graph.nodes.len()).filter(|&n| needed[n]) {
        let parents = parents(node);
        waits[node] = parents.len();
        if parents.is_empty() {
            ready.push(Reverse(node));
        }
        for parent in parents {
            children[parent].push(node);
        }
    }
    let mut nodes = Vec::new();
    while let Some(Reverse(node)) = ready.pop() {
        nodes.push(node);
        for &child in &children[node] {
            waits[child] -= 1;
            if waits[child] == 0 {
                ready.push(Reverse(child));
            }
        }
    }
    // Whoever still waits is on a cycle or behind one: going back to a waiting parent must come round.
    if let Some(start) = (0..graph.nodes.len()).find(|&n| needed[n] && waits[n] > 0) {
        let back = |node: usize| parents(node).into_iter().find(|&p| waits[p] > 0).unwrap_or(node);
        let mut seen = HashSet::new();
        let mut node = start;
        while seen.insert(node) {
            node = back(node);
        }
        let mut cycle = vec![node];
        let mut next = back(node);
        while next != node {
            cycle.push(next);
            next = back(next);
        }
        cycle.reverse();
        let names: Vec<String> = cycle.iter().take(8).map(|&n| format!("\"{}\"", graph.nodes[n].label())).collect();
        let more = if cycle.len() > 8 { format!(" … {} in all", cycle.len()) } else { String::new() };
        let what = format!("is part of a cycle: {}{more}", names.join(" → "));
        return Err(Error::Graph { node: graph.nodes[node].label().to_owned(), what });
    }
    Ok(Order { nodes, read })
}

/// Which node makes each tensor.
fn makers<'a>(graph: &Graph<'a>) -> Result<HashMap<&'a str, usize>> {
    let inputs: HashSet<&str> = graph.inputs.iter().map(|i| i.name).collect();
    let mut makers = HashMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for &output in node.outputs.iter().filter(|o| !o.is_empty()) {
            let what = if let Some(other) = makers.insert(output, index) {
                format!("makes tensor \"{output}\", which \"{}\" makes too", graph.nodes[other].label())
            } else if inputs.contains(output) || graph.initializers.contains_key(output) {
                format!("makes tensor \"{output}\", which is an input or initialiser of the graph")
            } else {
                continue;
            };
            return Err(Error::Graph { node: node.label().to_owned(), what });
        }
    }
    Ok(makers)
}
