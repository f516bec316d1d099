//! The commands of `docs/verify-by-hand.md`: blocks marked `<!-- step: NAME -->` are run, one marked
//! `<!-- file: NAME -->` is a file to be saved.

use std::collections::HashMap;
use std::sync::LazyLock;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/verify-by-hand.md"));

static BLOCKS: LazyLock<HashMap<&str, String>> = LazyLock::new(read);

/// The commands of a step.
pub(crate) fn step(name: &str) -> &'static str {
    block("step", name)
}

/// A file that the reader is asked to save.
pub(crate) fn file(name: &str) -> &'static str {
    block("file", name)
}

/// The names of all steps.
pub(crate) fn steps() -> impl Iterator<Item = &'static str> {
    BLOCKS.keys().filter_map(|key| key.strip_prefix("step: "))
}

fn block(kind: &str, name: &str) -> &'static str {
    let found = BLOCKS.get(format!("{kind}: {name}").as_str());
    found.unwrap_or_else(|| panic!("the page has no {kind} {name}"))
}

fn read() -> HashMap<&'static str, String> {
    let mut blocks = HashMap::new();
    let mut lines = PAGE.lines();
    while let Some(line) = lines.next() {
        let mark = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->"));
        let Some(mark) = mark else { continue };
        assert_eq!(lines.next(), Some("```sh"), "after {line}");
        let mut text = String::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            text.push_str(line);
            text.push('\n');
        }
        assert!(blocks.insert(mark, text).is_none(), "{mark} is there twice");
    }
    blocks
}
