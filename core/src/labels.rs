//! Class names: from a file, from beside the model, or ImageNet's own.
//!
//! ```text
//! text: a name a line               TSV: index ⇥ … ⇥ name, a header line first, rows in any order
//! ```

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::text;

static IMAGENET: &str = include_str!("labels/imagenet.txt");
static WNIDS: &str = include_str!("labels/wnids.txt");

/// More bytes than this are no list of names.
const LARGEST_FILE: u64 = 64 << 20;

/// ImageNet's 1000 class names in the usual order.
pub fn imagenet() -> Vec<String> {
    IMAGENET.lines().map(str::to_owned).collect()
}

/// The WordNet id of ImageNet's class `index`: `n01440764` for 0.
pub fn imagenet_wnid(index: usize) -> Option<&'static str> {
    WNIDS.lines().nth(index)
}

/// The class of ImageNet with the WordNet id `wnid`: the first word of the names of ImageNet's folders and files.
pub fn imagenet_index(wnid: &str) -> Option<usize> {
    WNIDS.lines().position(|w| w == wnid)
}

/// A name a line, or a TSV with columns `index` and `name`.
///
/// # Errors
/// An empty file or line, text that is not UTF-8; in a TSV an index that is missing, given twice or no number.
pub fn read(path: &Path) -> Result<Vec<String>> {
    let meta = fs::metadata(path).map_err(Error::io("open", path))?;
    if meta.len() > LARGEST_FILE {
        return Err(Error::format(path, format!("{} bytes: that is no list of class names", meta.len())));
    }
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let wrong = |what: String| Error::format(path, what);
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text).trim_end(),
        Err(e) => {
            let line = bytes[..e.valid_up_to()].iter().filter(|&&b| b == b'\n').count() + 1;
            return Err(wrong(format!("line {line} is not UTF-8 text")));
        }
    };
    if text.is_empty() {
        return Err(wrong("holds no class names".into()));
    }
    let first: Vec<&str> = text.lines().next().unwrap_or("").split('\t').map(str::trim).collect();
    let column = |name: &str| first.iter().position(|&c| c == name);
    match (column("index"), column("name")) {
        (Some(index), Some(name)) => table(text, index, name).map_err(wrong),
        _ if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv")) => {
            Err(wrong("line 1: a TSV of labels begins with a header that has columns index and name".into()))
        }
        _ => (1..)
            .zip(text.lines())
            .map(|(number, line)| match line.trim() {
                "" => Err(wrong(format!("line {number} is empty; a name is expected on every line"))),
                name => Ok(name.to_owned()),
            })
            .collect(),
    }
}

/// The rows of a TSV below its header, in the order of their indices.
fn table(text: &str, index: usize, name: usize) -> Result<Vec<String>, String> {
    let rows: Vec<(usize, &str)> = (1..).zip(text.lines()).skip(1).filter(|(_, l)| !l.trim().is_empty()).collect();
    if rows.is_empty() {
        return Err("holds no class names below its header".into());
    }
    let mut names: Vec<Option<String>> = vec![None; rows.len()];
    for (line, row) in rows {
        let cells: Vec<&str> = row.split('\t').map(str::trim).collect();
        let cell = |i: usize, what: &str| {
            cells.get(i).filter(|c| !c.is_empty()).ok_or_else(|| format!("line {line} has no {what}"))
        };
        let (number, name) = (cell(index, "index")?, cell(name, "name")?);
        let i: usize = number.parse().map_err(|_| format!("line {line}: the index {number} is no number"))?;
        // With as many places as rows, an index beyond the end means that another is missing.
        let count = names.len();
        let place = names.get_mut(i).ok_or_else(|| {
            format!("line {line}: index {i} with {count} names; 0 to {} are expected, each once", count - 1)
        })?;
        if place.replace((*name).to_owned()).is_some() {
            return Err(format!("line {line}: index {i} is given twice"));
        }
    }
    Ok(names.into_iter().map(|n| n.expect("as many distinct indices as places")).collect())
}

/// The class names to use with `model`: those `asked` for, else those in the model file, else `labels.tsv` beside it,
/// else ImageNet's when there are 1000 classes, else `class 0`, `class 1`, …
///
/// # Errors
/// As [`read`]; and when there are not as many names as classes. A `labels.tsv` beside the model that has another
/// number of names belongs to another model and is passed over.
pub fn choose(asked: Option<&Path>, model: &Model) -> Result<Vec<String>> {
    let classes = model.network.classes();
    if let Some(path) = asked {
        let labels = read(path)?;
        return if labels.len() == classes {
            Ok(labels)
        } else {
            Err(Error::format(path, format!("{} names for a network of {classes} classes", labels.len())))
        };
    }
    if let Some(labels) = model.labels.as_ref().filter(|l| l.len() == classes) {
        return Ok(labels.clone());
    }
    let beside = model.path.with_file_name("labels.tsv");
    if beside.is_file() {
        let labels = read(&beside)?;
        if labels.len() == classes {
            return Ok(labels);
        }
    }
    Ok(if classes == 1000 { imagenet() } else { (0..classes).map(|i| format!("class {i}")).collect() })
}

/// The class that `wanted` means: its number, its name, its WordNet id where `labels` are ImageNet's, or an unambiguous
/// part of its name. Case does not matter.
///
/// # Errors
/// [`Error::Range`] for a number too large; else near names, or the classes that it may mean.
pub fn find(labels: &[String], wanted: &str) -> Result<usize> {
    if let Ok(number) = wanted.parse::<usize>() {
        return if number < labels.len() {
            Ok(number)
        } else {
            Err(Error::Range {
                what: "class",
                value: wanted.to_owned(),
                of: "the network".into(),
                limit: format!("{} classes (0–{})", labels.len(), labels.len().saturating_sub(1)),
            })
        };
    }
    let is_imagenet = || labels.len() == 1000 && IMAGENET.lines().zip(labels).all(|(a, b)| a == b);
    if let Some(index) = imagenet_index(wanted).filter(|_| is_imagenet()) {
        return Ok(index);
    }
    let lower = wanted.trim().to_lowercase();
    let named = |i: &usize| labels[*i].to_lowercase() == lower;
    let holds = |i: &usize| !lower.is_empty() && labels[*i].to_lowercase().contains(&lower);
    let mut found: Vec<usize> = (0..labels.len()).filter(named).collect();
    if found.is_empty() {
        found = (0..labels.len()).filter(holds).collect();
    }
    let list = |some: &[usize]| some.iter().map(|&i| format!("{i} {}", labels[i])).collect::<Vec<_>>().join(", ");
    match found[..] {
        [index] => Ok(index),
        [] => {
            let near = text::near(wanted, labels.iter().map(String::as_str), 6);
            let hint = if near.is_empty() { String::new() } else { format!("; near names: {}", near.join(", ")) };
            Err(Error::Invalid(format!("no class \"{wanted}\"{hint}")))
        }
        _ => {
            let more = if found.len() > 12 { ", …" } else { "" };
            let some = list(&found[..found.len().min(12)]);
            Err(Error::Invalid(format!(
                "\"{wanted}\" may be one of {} classes, give its number: {some}{more}",
                found.len()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Layer, Network, NodeSpec};
    use crate::tensor::Shape;
    use crate::weights::{WeightStore, mmap::Bytes};
    use switchback_testdata as testdata;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    fn model(path: &Path, classes: usize, labels: Option<Vec<String>>) -> Model {
        let input = Layer::Input { shape: Shape::vector(classes) };
        let specs = vec![NodeSpec { name: "data".into(), layer: input, inputs: vec![] }];
        Model {
            network: Network::new(specs, vec![0]).unwrap(),
            weights: WeightStore::new(),
            preprocess: None,
            labels,
            path: path.to_owned(),
            bytes: Bytes::owned(vec![1]),
            format: "onnx",
        }
    }

    #[test]
    fn imagenet_is_whole() {
        let names = imagenet();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|n| !n.is_empty() && n.trim() == n));
        assert_eq!((names[0].as_str(), names[999].as_str()), ("tench", "toilet tissue"));
        let mut wnids: Vec<&str> = WNIDS.lines().collect();
        assert!(wnids.iter().all(|w| w.len() == 9 && w.starts_with('n')));
        assert_eq!((wnids.len(), imagenet_wnid(0), imagenet_wnid(1000)), (1000, Some("n01440764"), None));
        assert_eq!(imagenet_index("n02056570"), names.iter().position(|n| n == "king penguin"));
        wnids.sort_unstable();
        wnids.dedup();
        assert_eq!(wnids.len(), 1000);
    }

    #[test]
    fn imagenet_agrees_with_the_shared_table() {
        let Some(path) = testdata::shared("models/imagenet-1000.tsv") else { return };
        assert_eq!(read(&path).unwrap(), imagenet());
    }

    #[test]
    fn reads_lists_and_tables() {
        let (_f, path) = file("a.txt", "\u{feff}ape\r\ncat\tbig\r\n dog \r\n\r\n".as_bytes());
        assert_eq!(read(&path).unwrap(), ["ape", "cat\tbig", "dog"]);
        let (_f, path) = file("a.tsv", b"name\tx\tindex\ncat\t-\t1\n\nape\t-\t0\n");
        assert_eq!(read(&path).unwrap(), ["ape", "cat"]);
    }

    #[test]
    fn refuses_what_is_no_list() {
        let cases: [(&str, &[u8], &str); 9] = [
            ("a.txt", b"", "no class names"),
            ("a.txt", b"ape\n\ncat\n", "line 2 is empty"),
            ("a.txt", b"ape\ncat\xff\n", "line 2 is not UTF-8"),
            ("a.tsv", b"0\tape\n", "columns index and name"),
            ("a.tsv", b"index\tname\n", "below its header"),
            ("a.tsv", b"index\tname\n0\tape\n2\tcat\n", "line 3: index 2 with 2 names"),
            ("a.tsv", b"index\tname\n0\tape\n0\tcat\n", "line 3: index 0 is given twice"),
            ("a.tsv", b"index\tname\n0\tape\none\tcat\n", "the index one is no number"),
            ("a.tsv", b"index\tname\n0\tape\n1\t\n", "line 3 has no name"),
        ];
        for (name, bytes, want) in cases {
            let (_f, path) = file(name, bytes);
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(want) && message.contains(name), "{message}");
        }
    }

    #[test]
    fn asked_then_own_then_beside_then_imagenet_then_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let own = Some(vec!["a".to_owned(), "b".to_owned()]);
        assert_eq!(choose(None, &model(&path, 2, None)).unwrap(), ["class 0", "class 1"]);
        assert_eq!(choose(None, &model(&path, 1000, None)).unwrap(), imagenet());
        fs::write(folder.path().join("labels.tsv"), "index\tname\n0\tc\n1\td\n").unwrap();
        assert_eq!(choose(None, &model(&path, 2, None)).unwrap(), ["c", "d"]);
        assert_eq!(choose(None, &model(&path, 1000, None)).unwrap(), imagenet());
        assert_eq!(choose(None, &model(&path, 2, own.clone())).unwrap(), ["a", "b"]);
        let (_f, asked) = file("asked.txt", b"e\nf\n");
        assert_eq!(choose(Some(&asked), &model(&path, 2, own)).unwrap(), ["e", "f"]);
        let message = choose(Some(&asked), &model(&path, 3, None)).unwrap_err().to_string();
        assert!(message.contains("2 names for a network of 3 classes"), "{message}");
    }

    #[test]
    fn finds_by_number_name_id_and_part() {
        let names = imagenet();
        assert_eq!(find(&names, "145").unwrap(), 145);
        assert_eq!(find(&names, "King Penguin").unwrap(), 145);
        assert_eq!(find(&names, "n02056570").unwrap(), 145);
        assert_eq!(find(&names, "king pen").unwrap(), 145);
        assert!(find(&names[..999], "n02056570").is_err(), "ids are ImageNet's alone");
        let message = |wanted: &str| find(&names, wanted).unwrap_err().to_string();
        assert!(message("1000").contains("1000 classes (0–999)"));
        assert!(message("crane").contains("134 crane, 517 crane"), "{}", message("crane"));
        assert!(message("king pengiun").contains("king penguin"), "{}", message("king pengiun"));
        assert!(message("terrier").contains(", …"), "{}", message("terrier"));
        assert!(message("").contains("no class"));
    }
}
