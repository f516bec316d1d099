//! The report on a set of archives as a page for people: one file, without scripts and without anything from
//! elsewhere, that prints well. It is a function of the report: the same report gives the same page.

use std::fmt::Write as _;

use causeway_console::time;
use time::OffsetDateTime;

use super::report::{ArchiveReport, ChainReport, Finding, SetReport, SetVerdict, Volume};
use super::words::{Language, Words};

/// The most rows of a table.
const MOST_ROWS: usize = 1000;
/// The most bars of the volumes; days are put together beyond.
const MOST_BARS: usize = 92;
/// The most chains of the timeline, and archives of one.
const MOST_CHAINS: usize = 40;
const MOST_MARKS: usize = 2000;
/// The pictures' width, without unit.
const WIDTH: f64 = 960.0;

const STYLE: &str = "\
body{font:15px/1.5 system-ui,'Segoe UI',Roboto,'Noto Sans',sans-serif;color:#1b1f24;max-width:60rem;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.6rem;margin:0 0 .3rem}h2{font-size:1.15rem;margin:1.8rem 0 .5rem;border-bottom:1px solid #d0d7de}\
.verdict{padding:.7rem 1rem;border-left:.5rem solid;margin:1rem 0;font-weight:600;background:#f6f8fa}\
.valid{border-color:#1a7f37}.invalid{border-color:#b42318}.not_judged{border-color:#9a6700}\
table{border-collapse:collapse;width:100%;font-size:.9rem}th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid #e4e8ec}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em;overflow-wrap:anywhere}td{overflow-wrap:anywhere}\
svg{width:100%;height:auto;display:block}.small{color:#57606a;font-size:.85rem}\
@page{margin:15mm}@media print{body{max-width:none;margin:0;font-size:10pt}tr,svg,.verdict{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}}";

/// The page. `made` is the time that it tells of itself.
pub fn page(report: &SetReport, language: Language, made: OffsetDateTime) -> String {
    let mut page = Page { out: String::new(), words: language.words(), language };
    page.head(report, made);
    page.totals(report);
    page.problems(report);
    page.volumes(&report.volumes);
    page.timeline(report);
    page.chains(&report.chains);
    page.archives(report);
    page.findings(report);
    page.counts(
        (page.words.not_covered, page.words.why, page.words.times),
        report.not_covered.iter().chain(&report.notes),
    );
    page.counts(
        (page.words.signers, page.words.member, page.words.containers),
        report.signers.iter(),
    );
    page.shows();
    page.out.push_str("</body>\n</html>\n");
    page.out
}

struct Page {
    out: String,
    words: &'static Words,
    language: Language,
}

impl Page {
    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn section(&mut self, title: &str) {
        self.push(format_args!("<h2>{}</h2>\n", escape(title)));
    }

    fn head(&mut self, report: &SetReport, made: OffsetDateTime) {
        let words = self.words;
        let class = match report.verdict {
            SetVerdict::Valid => "valid",
            SetVerdict::Invalid => "invalid",
            SetVerdict::NotJudged => "not_judged",
        };
        self.push(format_args!(
            "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
             <style>{STYLE}</style>\n</head>\n<body>\n<h1>{}</h1>\n",
            self.language.code(),
            escape(words.title),
            escape(words.title),
        ));
        self.push(format_args!(
            "<p class=\"small\">{}: {} · {}: {}",
            escape(words.instance),
            escape(&report.instance),
            escape(words.made),
            escape(&time(made)),
        ));
        if let (Some(first), Some(last)) = (report.totals.first, report.totals.last) {
            let (first, last) = (escape(&time(first)), escape(&time(last)));
            self.push(format_args!(" · {}: {first} – {last}", escape(words.period)));
        }
        self.out.push_str("</p>\n");
        let verdict = escape(words.verdict(report.verdict));
        self.push(format_args!("<div class=\"verdict {class}\">{verdict}</div>\n"));
    }

    fn totals(&mut self, report: &SetReport) {
        let (words, totals) = (self.words, &report.totals);
        self.section(words.totals);
        self.out.push_str("<table>\n");
        for (label, value) in [
            (words.archives, totals.archives.to_string()),
            (words.containers, totals.containers.to_string()),
            (words.valid_count, totals.valid.to_string()),
            (words.invalid_count, totals.invalid.to_string()),
            (words.unjudged_count, (totals.not_judged + totals.archives_not_judged).to_string()),
            (words.incomplete, totals.incomplete.to_string()),
            (words.requests, totals.requests.to_string()),
            (words.responses, totals.responses.to_string()),
            (words.size, size(totals.bytes)),
        ] {
            let (label, value) = (escape(label), escape(&value));
            self.push(format_args!("<tr><th>{label}</th><td class=\"n\">{value}</td></tr>\n"));
        }
        self.out.push_str("</table>\n");
    }

    fn problems(&mut self, report: &SetReport) {
        self.section(self.words.problems);
        let of_archives = report.archives.iter().flat_map(|archive| {
            let of_one = archive.problems.iter().map(|p| (archive.file.as_str(), p));
            of_one.take(MOST_ROWS)
        });
        let all: Vec<(&str, &Finding)> =
            report.problems.iter().map(|p| ("", p)).chain(of_archives).collect();
        let errors: Vec<&ArchiveReport> =
            report.archives.iter().filter(|archive| archive.error.is_some()).collect();
        if all.is_empty() && errors.is_empty() && report.configuration_problems.is_empty() {
            let nothing = escape(self.words.no_problems);
            self.push(format_args!("<p>{nothing}</p>\n"));
            return;
        }
        self.out.push_str("<table>\n");
        for problem in &report.configuration_problems {
            self.row(&["", "", problem]);
        }
        for archive in errors.iter().take(MOST_ROWS) {
            let kind = self.words.not_judged;
            self.row(&[kind, &archive.file, archive.error.as_deref().unwrap_or_default()]);
        }
        for (file, problem) in all.iter().take(MOST_ROWS) {
            let kind = self.language.kind(problem.kind).unwrap_or(problem.kind);
            self.row(&[kind, file, &problem.text]);
        }
        self.out.push_str("</table>\n");
        self.more((all.len() + errors.len()).saturating_sub(2 * MOST_ROWS) as u64);
    }

    fn row(&mut self, cells: &[&str]) {
        self.out.push_str("<tr>");
        for cell in cells {
            let cell = escape(cell);
            self.push(format_args!("<td>{cell}</td>"));
        }
        self.out.push_str("</tr>\n");
    }

    fn header(&mut self, cells: &[(&str, bool)]) {
        self.out.push_str("<table>\n<thead><tr>");
        for (cell, number) in cells {
            let class = if *number { " class=\"n\"" } else { "" };
            let cell = escape(cell);
            self.push(format_args!("<th{class}>{cell}</th>"));
        }
        self.out.push_str("</tr></thead>\n");
    }

    fn more(&mut self, more: u64) {
        if more > 0 {
            let words = escape(self.words.more);
            self.push(format_args!("<p class=\"small\">{more} {words}</p>\n"));
        }
    }

    /// Bars, one for each day or for several.
    fn volumes(&mut self, volumes: &[Volume]) {
        let (Some(first), Some(last)) = (volumes.first(), volumes.last()) else { return };
        let days = (last.day - first.day).whole_days().max(0) + 1;
        let per_bar = days.div_euclid(MOST_BARS as i64) + 1;
        let count = usize::try_from(days.div_euclid(per_bar) + 1).unwrap_or(1);
        let mut bars = vec![(0_u64, 0_u64); count];
        for volume in volumes {
            let place = (volume.day - first.day).whole_days().div_euclid(per_bar);
            if let Some(bar) = usize::try_from(place).ok().and_then(|place| bars.get_mut(place)) {
                bar.0 += volume.containers;
                bar.1 += volume.invalid;
            }
        }
        let highest = bars.iter().map(|(all, _)| *all).max().unwrap_or(1).max(1);
        let (height, step) = (160.0, WIDTH / count as f64);
        self.section(self.words.volumes);
        let label = escape(self.words.volumes);
        self.push(format_args!(
            "<svg viewBox=\"0 0 {WIDTH} 200\" role=\"img\" aria-label=\"{label}\">\n"
        ));
        for (place, (all, invalid)) in bars.iter().enumerate() {
            let x = place as f64 * step;
            let scaled = |count: u64| count as f64 / highest as f64 * height;
            for (count, colour) in [(*all, "#54aeff"), (*invalid, "#82071e")] {
                if count > 0 {
                    let (y, high) = (20.0 + height - scaled(count), scaled(count));
                    let wide = (step * 0.85).max(0.5);
                    self.push(format_args!(
                        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"{colour}\"/>\n"
                    ));
                }
            }
        }
        self.push(format_args!(
            "<line x1=\"0\" y1=\"180\" x2=\"{WIDTH}\" y2=\"180\" stroke=\"#57606a\"/>\n\
             <text x=\"0\" y=\"14\" font-size=\"12\">{highest}</text>\n\
             <text x=\"0\" y=\"196\" font-size=\"12\">{}</text>\n\
             <text x=\"{WIDTH}\" y=\"196\" font-size=\"12\" text-anchor=\"end\">{}</text>\n</svg>\n",
            first.day, last.day
        ));
        let note = escape(self.words.volumes_note);
        self.push(format_args!("<p class=\"small\">{note}</p>\n"));
    }

    /// A line for each chain, a bar for each archive.
    fn timeline(&mut self, report: &SetReport) {
        let (Some(first), Some(last)) = (report.totals.first, report.totals.last) else { return };
        let whole = (last - first).as_seconds_f64().max(1.0);
        let x = |at: OffsetDateTime| (at - first).as_seconds_f64() / whole * WIDTH;
        let by_name: std::collections::HashMap<&str, &ArchiveReport> = report
            .archives
            .iter()
            .map(|archive| (archive.file.rsplit('/').next().unwrap_or(&archive.file), archive))
            .collect();
        let chains: Vec<&ChainReport> = report.chains.iter().take(MOST_CHAINS).collect();
        let height = 24 * chains.len() + 24;
        self.section(self.words.timeline);
        let label = escape(self.words.timeline);
        self.push(format_args!(
            "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{label}\">\n"
        ));
        for (line, chain) in chains.iter().enumerate() {
            let y = 24 * line + 4;
            self.push(format_args!(
                "<line x1=\"0\" y1=\"{}\" x2=\"{WIDTH}\" y2=\"{}\" stroke=\"#d0d7de\"/>\n",
                y + 8,
                y + 8
            ));
            for file in chain.archives.iter().take(MOST_MARKS) {
                let Some(archive) = by_name.get(file.as_str()) else { continue };
                let (Some(from), Some(to)) = (archive.first, archive.last) else { continue };
                let sound = archive.linking_holds && archive.valid == archive.containers;
                let colour = if sound { "#54aeff" } else { "#82071e" };
                let (from, wide) = (x(from), (x(to) - x(from)).max(2.0));
                let from = from.min(WIDTH - wide);
                let title = escape(file);
                self.push(format_args!(
                    "<rect x=\"{from:.1}\" y=\"{y}\" width=\"{wide:.1}\" height=\"16\" fill=\"{colour}\" \
                     stroke=\"#fff\" stroke-width=\"0.5\"><title>{title}</title></rect>\n"
                ));
            }
        }
        let y = height - 6;
        let (from, to) = (escape(&time(first)), escape(&time(last)));
        self.push(format_args!(
            "<text x=\"0\" y=\"{y}\" font-size=\"12\">{from}</text>\n\
             <text x=\"{WIDTH}\" y=\"{y}\" font-size=\"12\" text-anchor=\"end\">{to}</text>\n</svg>\n"
        ));
        let note = escape(self.words.timeline_note);
        self.push(format_args!("<p class=\"small\">{note}</p>\n"));
    }

    fn chains(&mut self, chains: &[ChainReport]) {
        let words = self.words;
        self.section(words.chains);
        self.header(&[(words.group, false), (words.archives, true), (words.last_digest, false)]);
        for chain in chains.iter().take(MOST_ROWS) {
            let group = escape(chain.group.as_deref().unwrap_or(words.all_records));
            let digest = escape(chain.digest.as_deref().unwrap_or("–"));
            let end = escape(if chain.end_is_known { words.end_known } else { words.end_unknown });
            let count = chain.archives.len();
            self.push(format_args!(
                "<tr><td>{group}</td><td class=\"n\">{count}</td><td><code>{digest}</code><br><span class=\"small\">{end}"
            ));
            if let Some(before) = &chain.continues {
                let (continues, before) = (escape(words.continues), escape(before));
                self.push(format_args!("<br>{continues}: <code>{before}</code>"));
            }
            self.out.push_str("</span></td></tr>\n");
        }
        self.out.push_str("</table>\n");
        self.more(chains.len().saturating_sub(MOST_ROWS) as u64);
    }

    fn archives(&mut self, report: &SetReport) {
        let words = self.words;
        self.section(words.archives);
        self.header(&[
            (words.file, false),
            (words.from, false),
            (words.to, false),
            (words.containers, true),
            (words.valid_count, true),
            (words.linking, false),
        ]);
        let shown = |at: Option<OffsetDateTime>| at.map(time).unwrap_or_default();
        for archive in report.archives.iter().take(MOST_ROWS) {
            let linking = if archive.linking_holds { words.holds } else { words.broken };
            let cells = [&archive.file, &shown(archive.first), &shown(archive.last)];
            let [file, from, to] = cells.map(|cell| escape(cell));
            let (count, valid, linking) = (archive.containers, archive.valid, escape(linking));
            self.push(format_args!(
                "<tr><td>{file}</td><td>{from}</td><td>{to}</td><td class=\"n\">{count}</td>\
                 <td class=\"n\">{valid}</td><td>{linking}</td></tr>\n"
            ));
        }
        self.out.push_str("</table>\n");
        self.more(report.archives.len().saturating_sub(MOST_ROWS) as u64);
    }

    fn findings(&mut self, report: &SetReport) {
        if report.containers.is_empty() {
            return;
        }
        let words = self.words;
        self.section(words.findings);
        self.header(&[(words.file, false), (words.code, false), (words.text, false)]);
        for finding in report.containers.iter().take(MOST_ROWS) {
            let code = finding.code.as_deref().unwrap_or("incomplete");
            let code = self.language.kind(code).unwrap_or(code);
            let file = format!("{} / {}", finding.archive, finding.container);
            self.row(&[&file, code, &finding.message]);
        }
        self.out.push_str("</table>\n");
        let unlisted = report.containers.len().saturating_sub(MOST_ROWS) as u64;
        self.more(report.more_containers + unlisted);
    }

    fn counts<'c>(
        &mut self,
        (title, what, count): (&str, &str, &str),
        counts: impl Iterator<Item = (&'c String, &'c u64)>,
    ) {
        let mut counts: Vec<(&String, &u64)> = counts.collect();
        if counts.is_empty() {
            return;
        }
        counts.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        self.section(title);
        self.header(&[(what, false), (count, true)]);
        for (what, count) in counts.iter().take(MOST_ROWS) {
            let what = escape(what);
            self.push(format_args!("<tr><td>{what}</td><td class=\"n\">{count}</td></tr>\n"));
        }
        self.out.push_str("</table>\n");
        self.more(counts.len().saturating_sub(MOST_ROWS) as u64);
    }

    fn shows(&mut self) {
        self.section(self.words.shows);
        self.out.push_str("<ul>\n");
        for text in self.words.shows_what {
            let text = escape(text);
            self.push(format_args!("<li>{text}</li>\n"));
        }
        self.out.push_str("</ul>\n");
    }
}

/// A text as it may be in HTML, in elements and in attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Characters that turn the direction of what follows could make a name read as another.
            c if c.is_control()
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// A size for people.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}
