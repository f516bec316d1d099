//! Many archives: their order, and what is missing, doubled or forked among them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use crate::linking::{Link, shown};
use crate::name::{ArchiveName, plain};

/// What is known of an archive of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its file name, without folders.
    pub file: String,
    /// The archive that it continues; none at the beginning of a chain.
    pub previous: Option<Link>,
    /// The last digest that its linking information states; none where it has no containers.
    pub last: Option<String>,
    /// Whether its own linking information holds.
    pub holds: bool,
}

/// Digests that are known from elsewhere. With them, a set can be shown to be whole; without them, the
/// archives at a chain's end can be gone without a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Last digests of archives that are not in the set, and need not be: chains may continue them.
    pub before: Vec<String>,
    /// Last digests of archives that must be in the set.
    pub until: Vec<String>,
}

/// A chain of archives in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The archives, as places in what [`judge`] was given.
    pub archives: Vec<usize>,
    /// The archive before the first one, which is not in the set; none at the beginning of the chain.
    pub continues: Option<Link>,
    /// The last digest; with it kept elsewhere, nobody can take archives from the end unseen.
    pub digest: Option<String>,
    /// Whether that digest was known from elsewhere.
    pub end_is_known: bool,
}

/// What is wrong among archives. Places are those in what [`judge`] was given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetProblem {
    /// The archive that another one continues is not in the set.
    Missing {
        /// What is missing.
        link: Link,
        /// Who says so.
        before: usize,
    },
    /// The archive of that name is in the set, but ends otherwise than the one that was continued.
    Replaced {
        /// The archive of that name.
        archive: usize,
        /// Who says so.
        before: usize,
    },
    /// Several archives continue the same one, so that there are two histories.
    Fork {
        /// The archive that they continue, by the name that the first of them gives it.
        after: String,
        /// Those that continue it.
        archives: Vec<usize>,
    },
    /// Several chains begin in one group.
    Beginnings {
        /// The group; none where all records are one.
        group: Option<String>,
        /// The first archives.
        archives: Vec<usize>,
    },
    /// Archives continue each other in a circle, which no honest chain does.
    Circle {
        /// One of them.
        archive: usize,
    },
    /// An archive that must be in the set is not.
    End {
        /// Its last digest.
        digest: String,
    },
    /// The same archive is in the set more than once.
    Copy {
        /// The archive.
        archive: usize,
        /// The copy.
        copy: usize,
    },
    /// The archive has another file name than it was given.
    Renamed {
        /// The archive.
        archive: usize,
        /// The name that the next archive has for it, where that is known.
        was: Option<String>,
    },
    /// Nobody can tell whether chains that begin belong to one group: file names do not say.
    UnknownGroups {
        /// The first archives whose names do not tell a group.
        archives: Vec<usize>,
    },
}

impl SetProblem {
    /// A word for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Replaced { .. } => "replaced",
            Self::Fork { .. } => "fork",
            Self::Beginnings { .. } => "beginnings",
            Self::Circle { .. } => "circle",
            Self::End { .. } => "end_missing",
            Self::Copy { .. } => "copy",
            Self::Renamed { .. } => "renamed",
            Self::UnknownGroups { .. } => "unknown_groups",
        }
    }

    /// Whether the set is not whole; else it is, and there is something that a reader should know.
    pub fn breaks(&self) -> bool {
        !matches!(self, Self::Copy { .. } | Self::Renamed { .. } | Self::UnknownGroups { .. })
    }

    /// What is wrong, in words.
    pub fn text(&self, facts: &[Facts]) -> String {
        struct Names<'f>(&'f [Facts]);
        impl Names<'_> {
            fn of(&self, place: usize) -> String {
                format!("'{}'", self.0.get(place).map_or_else(String::new, |f| shown(&f.file)))
            }
            fn all(&self, places: &[usize]) -> String {
                places.iter().map(|place| self.of(*place)).collect::<Vec<_>>().join(", ")
            }
        }
        let names = Names(facts);
        match self {
            Self::Missing { link, before } => {
                let name = if link.archive.is_empty() { "an archive" } else { &link.archive };
                format!(
                    "{} is missing: {} continues it (its last digest is {})",
                    shown(name),
                    names.of(*before),
                    shown(&link.digest)
                )
            }
            Self::Replaced { archive, before } => format!(
                "{} is not the archive that {} continues: it ends with another digest",
                names.of(*archive),
                names.of(*before)
            ),
            Self::Fork { after, archives } => format!(
                "{} all continue {}: there are two histories",
                names.all(archives),
                if after.is_empty() { "the same archive".into() } else { shown(after) }
            ),
            Self::Beginnings { group, archives } => format!(
                "{} each begin a chain of {}: there are two histories, or an old one ended",
                names.all(archives),
                group
                    .as_ref()
                    .map_or_else(|| "all records".into(), |g| format!("group {}", shown(g)))
            ),
            Self::Circle { archive } => {
                format!("{} continues an archive that continues it", names.of(*archive))
            }
            Self::End { digest } => {
                format!(
                    "no archive ends with the digest {}, which is known from elsewhere",
                    shown(digest)
                )
            }
            Self::Copy { archive, copy } => {
                format!("{} is the same archive as {}", names.of(*copy), names.of(*archive))
            }
            Self::Renamed { archive, was } => match was {
                Some(was) => {
                    format!("{} was archived as '{}'", names.of(*archive), shown(was))
                }
                None => format!("{} has another name than it was given", names.of(*archive)),
            },
            Self::UnknownGroups { archives } => format!(
                "{} each begin a chain, and their names do not tell whether of one group",
                names.all(archives)
            ),
        }
    }
}

/// What a set of archives is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The chains, each archive but copies in one of them.
    pub chains: Vec<Chain>,
    /// What is wrong.
    pub problems: Vec<SetProblem>,
}

impl Judged {
    /// Whether the set is whole, as far as it can show that.
    pub fn holds(&self) -> bool {
        !self.problems.iter().any(SetProblem::breaks)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} archives", self.archives.len())
    }
}

/// Puts archives into order, by what each says that it continues, and tells what does not fit. The order in
/// which they are given does not matter.
///
/// A set shows that nothing *between* its archives was removed, added or changed, provided that whoever did so
/// did not also write all archives behind anew. It cannot show that nothing was taken from the end, since
/// nothing points forwards, and it cannot show that the chain is the server's, since nothing is signed. Both
/// are shown by a last digest that was kept elsewhere ([`Known::until`]).
pub fn judge(facts: &[Facts], known: &Known) -> Judged {
    let mut problems = Vec::new();
    let members = without_copies(facts, &mut problems);
    let by_last = by_last(facts, &members);
    let mut next: HashMap<&str, Vec<usize>> = HashMap::new();
    for &place in &members {
        if let Some(link) = &facts[place].previous {
            next.entry(&link.digest).or_default().push(place);
        }
    }
    let mut roots = Vec::new();
    for &place in &members {
        let found = facts[place].previous.as_ref().and_then(|link| by_last.get(&link.digest[..]));
        match (&facts[place].previous, found) {
            (Some(link), Some(&before)) => {
                if !link.archive.is_empty() && plain(&link.archive) != plain(&facts[before].file) {
                    let was = Some(plain(&link.archive).to_owned());
                    problems.push(SetProblem::Renamed { archive: before, was });
                }
            }
            (Some(link), None) => {
                roots.push(place);
                note_missing(facts, &members, known, link, place, &mut problems);
            }
            (None, _) => roots.push(place),
        }
    }
    note_forks(facts, &next, &mut problems);
    note_beginnings(facts, &members, &mut problems);
    note_names(facts, &members, &mut problems);
    for digest in &known.until {
        if !by_last.contains_key(&digest[..]) {
            problems.push(SetProblem::End { digest: digest.clone() });
        }
    }
    let chains = walk(facts, &members, roots, &next, known, &mut problems);
    Judged { chains, problems }
}

/// The archives without those that are there already. Of two that end with the same digest, the one whose
/// linking information holds is the archive and the other its copy.
fn without_copies(facts: &[Facts], problems: &mut Vec<SetProblem>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..facts.len()).collect();
    order.sort_by_key(|place| (!facts[*place].holds, *place));
    let mut first: HashMap<(&str, &str), usize> = HashMap::new();
    let mut copies = HashSet::new();
    for place in order {
        let Some(last) = &facts[place].last else { continue };
        let previous = facts[place].previous.as_ref().map_or("", |link| &link.digest[..]);
        match first.get(&(previous, last)) {
            Some(&archive) => {
                copies.insert(place);
                problems.push(SetProblem::Copy { archive, copy: place });
            }
            None => {
                first.insert((previous, last), place);
            }
        }
    }
    (0..facts.len()).filter(|place| !copies.contains(place)).collect()
}

/// Which archive ends with a digest. An archive whose linking information does not hold may claim any;
/// one that holds goes first.
fn by_last<'f>(facts: &'f [Facts], members: &[usize]) -> HashMap<&'f str, usize> {
    let mut found: HashMap<&str, usize> = HashMap::new();
    for &place in members {
        if let Some(last) = &facts[place].last {
            let kept = found.entry(last).or_insert(place);
            if facts[place].holds && !facts[*kept].holds {
                *kept = place;
            }
        }
    }
    found
}

fn note_missing(
    facts: &[Facts],
    members: &[usize],
    known: &Known,
    link: &Link,
    before: usize,
    problems: &mut Vec<SetProblem>,
) {
    if known.before.contains(&link.digest) {
        return;
    }
    let named = |place: &&usize| {
        !link.archive.is_empty() && plain(&facts[**place].file) == plain(&link.archive)
    };
    problems.push(match members.iter().find(named) {
        Some(&archive) => SetProblem::Replaced { archive, before },
        None => SetProblem::Missing { link: link.clone(), before },
    });
}

fn note_forks(facts: &[Facts], next: &HashMap<&str, Vec<usize>>, problems: &mut Vec<SetProblem>) {
    let mut forks: Vec<&Vec<usize>> = next.values().filter(|places| places.len() > 1).collect();
    forks.sort();
    for archives in forks {
        let link = archives.first().and_then(|place| facts[*place].previous.as_ref());
        let after = link.map_or_else(String::new, |link| link.archive.clone());
        problems.push(SetProblem::Fork { after, archives: archives.clone() });
    }
}

fn note_beginnings(facts: &[Facts], members: &[usize], problems: &mut Vec<SetProblem>) {
    let mut groups: BTreeMap<Option<String>, Vec<usize>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for &place in members.iter().filter(|place| facts[**place].previous.is_none()) {
        // What has no linking information that can be used begins nothing.
        if facts[place].last.is_none() {
            continue;
        }
        match ArchiveName::parse(&facts[place].file) {
            Some(name) => groups.entry(name.group).or_default().push(place),
            None => unknown.push(place),
        }
    }
    for (group, archives) in groups {
        if archives.len() > 1 {
            problems.push(SetProblem::Beginnings { group, archives });
        }
    }
    if unknown.len() > 1 {
        problems.push(SetProblem::UnknownGroups { archives: unknown });
    }
}

/// The name of an archive has the first digits of its last digest.
fn note_names(facts: &[Facts], members: &[usize], problems: &mut Vec<SetProblem>) {
    for &archive in members {
        let name = ArchiveName::parse(&facts[archive].file);
        if let (Some(name), Some(last)) = (name, &facts[archive].last)
            && facts[archive].holds
            && !last.starts_with(&name.digest)
            && !problems.iter().any(
                |p| matches!(p, SetProblem::Renamed { archive: other, .. } if *other == archive),
            )
        {
            problems.push(SetProblem::Renamed { archive, was: None });
        }
    }
}

fn walk(
    facts: &[Facts],
    members: &[usize],
    mut roots: Vec<usize>,
    next: &HashMap<&str, Vec<usize>>,
    known: &Known,
    problems: &mut Vec<SetProblem>,
) -> Vec<Chain> {
    roots.sort_by(|a, b| facts[*a].file.cmp(&facts[*b].file));
    let mut visited = HashSet::new();
    let mut chains = Vec::new();
    let mut waiting: Vec<usize> = roots.into_iter().rev().collect();
    let mut rest = members.iter();
    loop {
        let root = match waiting.pop() {
            Some(root) => root,
            // What no root leads to continues itself.
            None => match rest.find(|place| !visited.contains(*place)) {
                Some(&archive) => {
                    problems.push(SetProblem::Circle { archive });
                    archive
                }
                None => return chains,
            },
        };
        let mut archives = Vec::new();
        let mut at = Some(root);
        while let Some(place) = at.filter(|place| visited.insert(*place)) {
            archives.push(place);
            let follows = facts[place].last.as_deref().and_then(|last| next.get(last));
            at = follows.and_then(|places| places.first()).copied();
            // Further branches are chains of their own.
            waiting.extend(follows.iter().flat_map(|places| places.iter().skip(1)).rev());
        }
        if let Some(&last) = archives.last() {
            let digest = facts[last].last.clone();
            let end_is_known = digest.as_ref().is_some_and(|digest| known.until.contains(digest));
            let continues = facts[root].previous.clone();
            chains.push(Chain { archives, continues, digest, end_is_known });
        }
    }
}
