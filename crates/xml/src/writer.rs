//! Writing XML text by hand, every value escaped.

/// Builds a document as text. Names are the caller's own constants; values
/// and character data are escaped here.
#[derive(Debug)]
pub struct Writer {
    out: String,
    open: Vec<Open>,
    indent: Option<usize>,
}

#[derive(Debug)]
struct Open {
    name: String,
    has_element: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer that adds no white space.
    pub fn new() -> Self {
        Self { out: String::new(), open: Vec::new(), indent: None }
    }

    /// A writer that puts each element on its own line, indented by four
    /// spaces a level, as X-Road writes configurations and hash chains.
    pub fn indented() -> Self {
        Self { indent: Some(4), ..Self::new() }
    }

    /// `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>`, on a line of its own when indenting.
    pub fn declaration(&mut self) -> &mut Self {
        self.out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>");
        if self.indent.is_some() {
            self.out.push('\n');
        }
        self
    }

    /// Opens an element. A namespace declaration is an attribute like any other.
    pub fn start(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        self.new_line();
        self.open_tag(name, attributes);
        self.out.push('>');
        self.open.push(Open { name: name.to_owned(), has_element: false });
        self
    }

    /// Closes the element opened last; does nothing when none is open.
    pub fn end(&mut self) -> &mut Self {
        if let Some(open) = self.open.pop() {
            if open.has_element {
                self.line_break();
            }
            self.out.push_str("</");
            self.out.push_str(&open.name);
            self.out.push('>');
        }
        self
    }

    /// Character data inside the open element.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape(text, false, &mut self.out);
        self
    }

    /// An element with character data alone.
    pub fn element(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) -> &mut Self {
        self.new_line();
        self.open_tag(name, attributes);
        self.out.push('>');
        self.text(text);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
        self
    }

    /// An element without content, `<name …/>`.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        self.new_line();
        self.open_tag(name, attributes);
        self.out.push_str("/>");
        self
    }

    /// Closes what is open and gives the text, with a final line feed when indenting.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        if self.indent.is_some() {
            self.out.push('\n');
        }
        self.out
    }

    fn open_tag(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            self.out.push(' ');
            self.out.push_str(key);
            self.out.push_str("=\"");
            escape(value, true, &mut self.out);
            self.out.push('"');
        }
    }

    fn new_line(&mut self) {
        if let Some(parent) = self.open.last_mut() {
            parent.has_element = true;
            self.line_break();
        }
    }

    fn line_break(&mut self) {
        if let Some(step) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', step * self.open.len()));
        }
    }
}

/// Escapes so that parsing gives the same characters back: white space that a
/// parser would normalize becomes a reference, and what XML 1.0 cannot carry
/// (control characters, U+FFFE, U+FFFF) becomes U+FFFD.
fn escape(text: &str, attribute: bool, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' if attribute => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\t' | '\n' => out.push(c),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}
