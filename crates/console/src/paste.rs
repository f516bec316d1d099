//! Commands to paste.

use std::path::{Path, PathBuf};

/// How a program was called, so that it can name further commands as they are to be typed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    name: String,
    called: String,
    options: String,
}

impl Program {
    /// The program of this process, known by `name` in texts: as it was called (by its bare name or by
    /// a path), and with options that every further command ends with, already [quoted](quote).
    pub fn of_process(name: &str, options: &str) -> Self {
        let called = std::env::args_os().next().map(PathBuf::from);
        // Whoever embeds it was called otherwise.
        let called = called.filter(|path| path.file_name().is_some_and(|file| file == name));
        let called = called.map_or_else(|| name.to_owned(), |path| quote(&path));
        Self { name: name.to_owned(), called, options: options.to_owned() }
    }

    /// A command of it, between backticks.
    pub fn command(&self, rest: &str) -> String {
        let words = [self.called.as_str(), rest, self.options.as_str()];
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        format!("`{}`", words.join(" "))
    }

    /// A text in which commands stand between backticks, as `` `program rest` ``, with each as it can be
    /// pasted.
    pub fn pasteable(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('`') {
            let Some((quoted, behind)) = behind.split_once('`') else { break };
            out.push_str(before);
            match quoted.strip_prefix(&self.name).and_then(|words| words.strip_prefix(' ')) {
                Some(words) => out.push_str(&self.command(words)),
                None => out.push_str(&format!("`{quoted}`")),
            }
            rest = behind;
        }
        out + rest
    }
}

/// A path as a word for a shell.
pub fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_named_as_they_are_to_be_typed() {
        let program = Program {
            name: "registry".into(),
            called: "./registry".into(),
            options: "--config 'a b'".into(),
        };
        assert_eq!(
            program.pasteable("do `registry init`, or `ls`; registry is `registry run --check`"),
            "do `./registry init --config 'a b'`, or `ls`; registry is `./registry run --check --config 'a b'`"
        );
        assert_eq!(program.pasteable("an odd ` one"), "an odd ` one");
    }

    #[test]
    fn paths_are_words() {
        for (path, word) in
            [("/a/b.toml", "/a/b.toml"), ("a b", "'a b'"), ("it's", "'it'\\''s'"), ("", "''")]
        {
            assert_eq!(quote(Path::new(path)), word);
        }
    }
}
