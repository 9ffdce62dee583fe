//! What only one can have: ports, directories and files.

use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use crate::component::AnyConfig;
use crate::component::Resource;
use crate::component::Site;
use crate::component::parse_listen;
use crate::config::diagnosis::Findings;
use crate::config::diagnosis::LocatedProblem;
use crate::config::diagnosis::Problem;
use crate::config::sections::Settings;
use crate::config::validate::Plan;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::Step;
use crate::tree::display_path;

/// A resource, who claims it and where.
struct Claim {
    /// The component, by index; `None` for the process itself.
    owner: Option<usize>,
    resource: Resource,
    mark: Mark,
    path: String,
    /// The resource as messages may show it: a path before interpolation.
    shown: Option<String>,
}

/// Checks that nothing is claimed twice.
pub(super) fn check(plan: &Plan<'_>, settings: Option<&Settings>, findings: &mut Findings) {
    let mut claims = settings.map_or_else(Vec::new, |settings| own_claims(plan.root, settings));
    let data_dir =
        settings.map_or_else(|| Settings::default().data_dir.0, |s| s.data_dir.0.clone());
    for (index, piece) in plan.pieces.iter().enumerate() {
        let site = Site { id: piece.id, data_dir: &data_dir };
        let claimed_by = |config: &AnyConfig| config.resources(&site);
        let resources = piece.config.as_ref().map(claimed_by).unwrap_or_default();
        let mut claimed: Vec<Resource> = Vec::new();
        for resource in resources {
            let earlier_len = claimed.iter().filter(|earlier| **earlier == resource).count();
            let inside = place_of(&piece.entry.node, &resource, earlier_len);
            claimed.push(resource.clone());
            claims.push(Claim {
                owner: Some(index),
                resource,
                mark: piece.mark(&inside),
                path: display_path(&piece.path(&inside)),
                shown: piece
                    .entry
                    .node
                    .descend(&inside)
                    .and_then(Node::shown_text)
                    .map(str::to_owned),
            });
        }
    }
    ports(&claims, findings);
    paths(&claims, findings);
}

/// Returns what the process claims for itself.
fn own_claims(root: &Node, settings: &Settings) -> Vec<Claim> {
    let claim = |section: &str, key: &str, resource| {
        let path = [Step::from(section), Step::from(key)];
        let mark = root.value_mark(&path, Mark::START);
        let shown = root.descend(&path).and_then(Node::shown_text).map(str::to_owned);
        Claim { owner: None, resource, mark, path: display_path(&path), shown }
    };
    let listen =
        settings.metrics.listen.map(|address| claim("metrics", "listen", Resource::Tcp(address)));
    let control =
        settings.control.listen.map(|address| claim("control", "listen", Resource::Tcp(address)));
    let socket = settings
        .control
        .socket
        .clone()
        .map(|path| claim("control", "socket", Resource::File(path)));
    listen.into_iter().chain(control).chain(socket).collect()
}

/// Finds the option that names a resource, the one after `earlier_len` others that do.
fn place_of(node: &Node, resource: &Resource, earlier_len: usize) -> Vec<Step> {
    let names = |text: &str| match resource {
        Resource::Tcp(address) => parse_listen(text).as_ref() == Ok(address),
        Resource::Directory(path) | Resource::File(path) => Path::new(text) == path,
    };
    let mut places = node.scalars(&names);
    let last_idx = places.len().checked_sub(1);
    last_idx.map_or_else(Vec::new, |last_idx| places.swap_remove(earlier_len.min(last_idx)))
}

/// Finds listeners that exclude each other.
fn ports(claims: &[Claim], findings: &mut Findings) {
    let mut by_port: HashMap<u16, Vec<(&Claim, SocketAddr)>> = HashMap::new();
    for claim in claims {
        let Resource::Tcp(address) = claim.resource else { continue };
        if address.port() == 0 {
            continue;
        }
        let earlier = by_port.entry(address.port()).or_default();
        match earlier.iter().find(|(_, other)| is_overlapping(other.ip(), address.ip())) {
            Some((other, other_address)) => findings.add(|| {
                let [first, second] = in_order((other, *other_address), (claim, address));
                let problem = Problem::PortConflict {
                    address: second.1,
                    other: first.0.path.clone(),
                    other_address: first.1,
                };
                LocatedProblem::new(second.0.mark, second.0.path.clone(), problem)
                    .with_help("change the port of one of them")
            }),
            None => earlier.push((claim, address)),
        }
    }
}

/// Whether listeners on the same port of these addresses exclude each other. `0.0.0.0` is every
/// IPv4 address; `::` is every address, since Linux listens on IPv4 there too.
fn is_overlapping(first: IpAddr, second: IpAddr) -> bool {
    let is_every_v4 = |ip: IpAddr| ip.is_ipv4() && ip.is_unspecified();
    let is_every = |ip: IpAddr| ip.is_ipv6() && ip.is_unspecified();
    let (first, second) = (first.to_canonical(), second.to_canonical());
    first == second
        || is_every(first)
        || is_every(second)
        || (is_every_v4(first) && second.is_ipv4())
        || (is_every_v4(second) && first.is_ipv4())
}

/// Finds directories and files of two owners that are the same or one inside the other.
fn paths(claims: &[Claim], findings: &mut Findings) {
    let mut by_depth: Vec<(PathBuf, &Path, &Claim)> = Vec::new();
    for claim in claims {
        if let Resource::Directory(path) | Resource::File(path) = &claim.resource {
            by_depth.push((normal_form(path), path, claim));
        }
    }
    // A directory comes before everything inside it.
    by_depth.sort_by_key(|(normal, ..)| normal.components().count());
    let mut by_path: HashMap<PathBuf, Vec<(&Path, &Claim)>> = HashMap::new();
    for (normal, path, claim) in by_depth {
        let conflict = normal.ancestors().find_map(|ancestor| {
            // By the letter `..` is the beginning of `../..`, which is not inside it.
            let inner = normal.strip_prefix(ancestor).ok()?;
            if inner.components().any(|component| component == Component::ParentDir) {
                return None;
            }
            let at_path = by_path.get(ancestor)?;
            at_path.iter().find(|(_, other)| {
                let is_inside = ancestor != normal;
                let is_directory = matches!(other.resource, Resource::Directory(_));
                other.owner != claim.owner && (is_directory || !is_inside)
            })
        });
        if let Some((other_path, other)) = conflict {
            findings.add(|| {
                let [first, second] = in_order((other, *other_path), (claim, path));
                let problem = Problem::PathConflict {
                    path: shown_path(second),
                    other: first.0.path.clone(),
                    other_path: shown_path(first),
                };
                LocatedProblem::new(second.0.mark, second.0.path.clone(), problem)
                    .with_help("give each component its own directory")
            });
        }
        by_path.entry(normal).or_default().push((path, claim));
    }
}

/// Orders two claims by their place in the document.
fn in_order<'c, T>(one: (&'c Claim, T), two: (&'c Claim, T)) -> [(&'c Claim, T); 2] {
    if one.0.mark <= two.0.mark { [one, two] } else { [two, one] }
}

/// Returns a claimed path as messages may show it.
fn shown_path((claim, path): (&Claim, &Path)) -> PathBuf {
    claim.shown.as_ref().map_or_else(|| path.to_owned(), PathBuf::from)
}

/// Resolves `.` and `..` by the letter, without a look at the disk.
fn normal_form(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                let is_name = matches!(normal.components().next_back(), Some(Component::Normal(_)));
                if is_name {
                    normal.pop();
                } else if !normal.has_root() {
                    normal.push("..");
                }
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::is_overlapping;
    use super::normal_form;

    #[test]
    fn an_unspecified_address_overlaps_with_every_address_of_its_family() {
        let overlaps =
            |one: &str, two: &str| is_overlapping(one.parse().unwrap(), two.parse().unwrap());
        for (one, two, expected) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("::", "::1", true),
            ("::", "127.0.0.1", true),
            ("::ffff:127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(overlaps(one, two), expected, "{one} {two}");
            assert_eq!(overlaps(two, one), expected, "{two} {one}");
        }
    }

    #[test]
    fn paths_are_compared_by_what_they_mean() {
        for (path, meant) in [
            ("./data//vault/", "data/vault"),
            ("data/x/../vault", "data/vault"),
            ("../a", "../a"),
            ("../../a/..", "../.."),
            ("/../a", "/a"),
        ] {
            assert_eq!(normal_form(path.as_ref()).to_str(), Some(meant), "{path}");
        }
    }
}
