//! Reads a TOML document key by key and notes what is wrong, with line and key path, instead of
//! stopping at the first problem.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Lines, Problems};
use super::quantity;

/// The largest configuration file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// A configuration file while it is read.
#[derive(Debug)]
pub(super) struct File<'p> {
    path: &'p Path,
    folder: PathBuf,
    lines: Lines,
    problems: &'p Problems,
}

impl<'p> File<'p> {
    /// Begins to read a file's text.
    pub(super) fn new(path: &'p Path, text: &str, problems: &'p Problems) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self { path, folder, lines: Lines::of(text), problems }
    }

    /// A path that the file names, relative to the file's folder.
    pub(super) fn resolve(&self, written: &str) -> PathBuf {
        self.folder.join(written)
    }

    /// The document's top level; `None` when its syntax is wrong, which has then been noted.
    pub(super) fn parse<'t>(&self, text: &'t str) -> Option<DeTable<'t>> {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = error.span().map_or(0, |span| self.lines.line(&span));
            let message = error.message().trim().replace('\n', "; ");
            self.problems.add(self.path, line, "", format!("this is not TOML: {message}"));
        }
        errors.is_empty().then(|| document.into_inner())
    }

    /// The document's top level as a section.
    pub(super) fn root<'a>(&'a self, document: &'a DeTable<'a>) -> Section<'a> {
        Section::new(self, Some(document), String::new(), 1)
    }
}

/// A table of the document; an absent one has no keys, so all its defaults hold.
#[derive(Debug)]
pub(super) struct Section<'a> {
    file: &'a File<'a>,
    table: Option<&'a DeTable<'a>>,
    path: String,
    line: usize,
    known: RefCell<Vec<&'static str>>,
}

/// A value of the document, with its place.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    file: &'a File<'a>,
    value: &'a DeValue<'a>,
    path: String,
    line: usize,
}

impl<'a> Section<'a> {
    fn new(file: &'a File<'a>, table: Option<&'a DeTable<'a>>, path: String, line: usize) -> Self {
        Self { file, table, path, line, known: RefCell::default() }
    }

    /// The file that it is in.
    pub(super) fn file(&self) -> &'a File<'a> {
        self.file
    }

    /// Notes that something is wrong with the table as a whole.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.file.problems.add(self.file.path, self.line, &self.path, message.into());
    }

    /// The value of a key, if there is one.
    pub(super) fn item(&self, key: &'static str) -> Option<Item<'a>> {
        self.known.borrow_mut().push(key);
        let (name, value) = self.table?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(self.item_at(key, name.span().start, value))
    }

    /// The value of a key that must be there; its absence is noted.
    pub(super) fn required(&self, key: &'static str, what: &str) -> Option<Item<'a>> {
        let item = self.item(key);
        if item.is_none() {
            let key = join(&self.path, key);
            let message = format!("is missing; {what}");
            self.file.problems.add(self.file.path, self.line, &key, message);
        }
        item
    }

    /// All keys and values, for tables whose keys are names that the operator chooses.
    pub(super) fn entries(&self) -> Vec<(String, Item<'a>)> {
        let entries = self.table.into_iter().flatten();
        entries
            .map(|(k, v)| (k.get_ref().to_string(), self.item_at(k.get_ref(), k.span().start, v)))
            .collect()
    }

    fn item_at(&self, key: &str, start: usize, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        let line = self.file.lines.line(&(start..start));
        Item { file: self.file, value: value.get_ref(), path: join(&self.path, key), line }
    }

    /// The table under a key; an empty one if it is absent.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let item = self.item(key);
        item.and_then(|item| item.section())
            .unwrap_or_else(|| Section::new(self.file, None, join(&self.path, key), self.line))
    }

    /// The tables of an array under a key; none if it is absent.
    pub(super) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let items = self.item(key).and_then(|item| item.items("an array of tables"));
        items.unwrap_or_default().iter().filter_map(Item::section).collect()
    }

    /// A text, if there is one.
    pub(super) fn text(&self, key: &'static str) -> Option<&'a str> {
        self.item(key)?.text()
    }

    /// The texts of an array; none if it is absent.
    pub(super) fn texts(&self, key: &'static str) -> Vec<(Item<'a>, &'a str)> {
        let items = self.item(key).and_then(|item| item.items("an array of strings"));
        let items = items.unwrap_or_default().into_iter();
        items.filter_map(|item| item.text().map(|text| (item.clone(), text))).collect()
    }

    /// True or false.
    pub(super) fn boolean(&self, key: &'static str, default: bool) -> bool {
        self.item(key).and_then(|item| item.boolean()).unwrap_or(default)
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &self,
        key: &'static str,
        default: u64,
        within: RangeInclusive<u64>,
    ) -> u64 {
        self.item(key).and_then(|item| item.number(within)).unwrap_or(default)
    }

    /// A port of another server.
    pub(super) fn port(&self, key: &'static str, default: u16) -> u16 {
        let number = self.number(key, default.into(), 1..=u64::from(u16::MAX));
        u16::try_from(number).unwrap_or(default)
    }

    /// A duration of at least `least`, if there is one.
    pub(super) fn optional_duration(&self, key: &'static str, least: Duration) -> Option<Duration> {
        self.item(key)?.duration(least)
    }

    /// A duration of at least `least`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        least: Duration,
    ) -> Duration {
        self.optional_duration(key, least).unwrap_or(default)
    }

    /// A size in bytes within bounds.
    pub(super) fn size(&self, key: &'static str, default: u64, within: RangeInclusive<u64>) -> u64 {
        self.item(key).and_then(|item| item.size(within)).unwrap_or(default)
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, default: T, words: &[(&str, T)]) -> T {
        self.item(key).and_then(|item| item.choice(words)).unwrap_or(default)
    }

    /// A path; relative ones are relative to the file's folder, the default to `default_folder`.
    pub(super) fn path(&self, key: &'static str, default_folder: &Path, default: &str) -> PathBuf {
        match self.text(key) {
            Some(written) => self.file.resolve(written),
            None => default_folder.join(default),
        }
    }

    /// An address to listen on, or `"off"`.
    pub(super) fn address(&self, key: &'static str, default: SocketAddr) -> Option<SocketAddr> {
        self.item(key).map_or(Some(default), |item| item.address())
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for (name, item) in self.entries() {
            if known.contains(&name.as_str()) {
                continue;
            }
            item.problem(match nearest(&name, known.iter().copied()) {
                Some(similar) => format!("is not a key; did you mean '{similar}'?"),
                None => format!("is not a key; there are: {}", known.join(", ")),
            });
        }
    }
}

impl<'a> Item<'a> {
    /// Notes that something is wrong with the value.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.file.problems.add(self.file.path, self.line, &self.path, message.into());
    }

    /// Passes a good value on and notes a bad one.
    pub(super) fn note<T, E: std::fmt::Display>(&self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.problem(error.to_string())).ok()
    }

    /// The file that it is in.
    pub(super) fn file(&self) -> &'a File<'a> {
        self.file
    }

    /// Its place, for a problem elsewhere that refers to it.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.file.path.display(), self.line)
    }

    /// Whether it is an array.
    pub(super) fn is_array(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    fn wrong_type<T>(&self, needed: &str) -> Option<T> {
        let is = match self.value {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.problem(format!("is {is} where {needed} is needed"));
        None
    }

    /// The table that it is.
    pub(super) fn section(&self) -> Option<Section<'a>> {
        match self.value {
            DeValue::Table(t) => {
                Some(Section::new(self.file, Some(t), self.path.clone(), self.line))
            }
            _ => self.wrong_type("a table"),
        }
    }

    /// The elements of the array that it is.
    pub(super) fn items(&self, needed: &str) -> Option<Vec<Item<'a>>> {
        let DeValue::Array(array) = self.value else {
            return self.wrong_type(needed);
        };
        let items = array.iter().enumerate().map(|(i, value)| Item {
            file: self.file,
            value: value.get_ref(),
            path: format!("{}[{i}]", self.path),
            line: self.file.lines.line(&value.span()),
        });
        Some(items.collect())
    }

    /// The text that it is.
    pub(super) fn text(&self) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref()),
            _ => self.wrong_type("a string"),
        }
    }

    fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    pub(super) fn number(&self, within: RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(integer) = self.value else {
            return self.wrong_type("a whole number");
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|n| within.contains(n));
        if number.is_none() {
            let (least, most) = within.into_inner();
            self.problem(format!("'{integer}' is not between {least} and {most}"));
        }
        number
    }

    fn duration(&self, least: Duration) -> Option<Duration> {
        let text = match self.value {
            DeValue::String(text) => text,
            DeValue::Integer(n) => {
                self.problem(format!("{n} has no unit; write for example \"{n}s\""));
                return None;
            }
            _ => return self.wrong_type("a duration such as \"30s\""),
        };
        let duration = self.note(quantity::duration(text))?;
        if duration < least {
            let least = quantity::duration_text(least);
            self.problem(format!("'{text}' is too short; the shortest is {least}"));
            return None;
        }
        Some(duration)
    }

    fn size(&self, within: RangeInclusive<u64>) -> Option<u64> {
        let text = match self.value {
            DeValue::String(text) => text,
            DeValue::Integer(n) => {
                self.problem(format!("{n} has no unit; write for example \"{n} B\" or \"10 MiB\""));
                return None;
            }
            _ => return self.wrong_type("a size such as \"10 MiB\""),
        };
        let size = self.note(quantity::size(text))?;
        if !within.contains(&size) {
            let (least, most) = within.into_inner();
            let (least, most) = (quantity::size_text(least), quantity::size_text(most));
            self.problem(format!("'{text}' is not between {least} and {most}"));
            return None;
        }
        Some(size)
    }

    /// Which of some words it is.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let all = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join("\", \"");
        self.problem(format!("'{text}' is not one of \"{all}\""));
        None
    }

    fn address(&self) -> Option<SocketAddr> {
        let text = self.text()?;
        if text == "off" {
            return None;
        }
        if text.parse::<u16>().is_ok() {
            self.problem(format!("'{text}' has no address; write for example \"0.0.0.0:{text}\""));
            return None;
        }
        let parsed = text.parse::<SocketAddr>().map_err(|_| {
            format!(
                "'{text}' is not an IP address with a port; write such as \"0.0.0.0:8443\", \
                 \"[::]:8443\" or \"off\""
            )
        });
        self.note(parsed)
    }
}

fn join(path: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key =
        if !key.is_empty() && key.chars().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// The word that somebody may have meant, if one is near.
pub(super) fn nearest<'w>(written: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let written: String = written.to_lowercase().replace('-', "_").chars().take(64).collect();
    words
        .map(|word| (distance(&written, &word.to_lowercase().replace('-', "_")), word))
        .filter(|(distance, word)| *distance <= (word.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The edit distance: insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (above[j - 1] + changed).min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        let words = ["connect_timeout", "anchor", "refresh", "id", "url"];
        let find = |written| nearest(written, words.into_iter());
        assert_eq!(find("conect_timeout"), Some("connect_timeout"));
        assert_eq!(find("connect-timeout"), Some("connect_timeout"));
        assert_eq!(find("ConnectTimeout"), Some("connect_timeout"));
        assert_eq!(find("anhcor"), Some("anchor"));
        assert_eq!(find("uri"), Some("url"));
        assert_eq!(find("colour"), None);
        assert_eq!(find(""), None);
    }
}
