//! Where the cgroup of this process is, in both versions of the tree.

use std::ffi::OsStr;
use std::fs;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

use super::roots::Roots;

/// Which tree the files are from: they have other names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The folders of the own cgroup and of all above it, the own first, the mount's root last. Some
/// may not exist.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cgroup {
    pub(super) version: Version,
    pub(super) folders: Vec<PathBuf>,
}

/// The cgroup that limits the memory of this process.
///
/// A machine with both trees has the memory in one of them: if the first version has it, the second
/// has it not.
pub(super) fn of_memory(roots: &Roots) -> Option<Cgroup> {
    let own = own(roots)?;
    let is_memory = |controllers: &str| controllers.split(',').any(|name| name == "memory");
    let Some(path) = path_of(&own, is_memory) else { return unified(roots) };
    let folders = folders(roots, &roots.cgroup.join("memory"), path);
    Some(Cgroup { version: Version::V1, folders })
}

/// The cgroup of this process in the tree of the second version.
pub(super) fn unified(roots: &Roots) -> Option<Cgroup> {
    let own = own(roots)?;
    let path = path_of(&own, str::is_empty)?;
    let beside_v1 = roots.cgroup.join("unified");
    let mount = if beside_v1.is_dir() { &beside_v1 } else { &roots.cgroup };
    Some(Cgroup { version: Version::V2, folders: folders(roots, mount, path) })
}

fn own(roots: &Roots) -> Option<String> {
    fs::read_to_string(roots.proc.join("self/cgroup")).ok()
}

/// The path in the line (`number:controllers:path`) whose controllers are the ones asked for.
fn path_of(own: &str, is_asked: impl Fn(&str) -> bool) -> Option<&Path> {
    let path = |line| {
        let mut parts = str::splitn(line, 3, ':');
        let (controllers, path) = (parts.nth(1)?, parts.next()?);
        is_asked(controllers).then_some(Path::new(path))
    };
    own.lines().find_map(path)
}

fn folders(roots: &Roots, mount: &Path, path: &Path) -> Vec<PathBuf> {
    // A container may be shown its own folder as if it was the root, while its path is the whole one.
    let shown = shown_folder(roots, mount).unwrap_or_else(|| PathBuf::from("/"));
    let inside = path.strip_prefix(shown).unwrap_or(Path::new(""));
    let is_plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    // A path that leads out (`/../other`) names what is not to be seen from here.
    let inside = if is_plain { inside } else { Path::new("") };
    inside.ancestors().map(|folder| mount.join(folder)).collect()
}

/// Which folder of the tree is at the mount's root.
fn shown_folder(roots: &Roots, mount: &Path) -> Option<PathBuf> {
    let mounts = fs::read(roots.proc.join("self/mountinfo")).ok()?;
    let mounts = String::from_utf8_lossy(&mounts);
    let folder = |line: &str| {
        let mut fields = line.split(' ').skip(3);
        let (folder, at) = (fields.next()?, fields.next()?);
        (OsStr::new(at) == mount).then(|| PathBuf::from(folder))
    };
    // The last one mounted covers those before it.
    mounts.lines().rev().find_map(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::somatic::sensor::tests::Tree;

    fn found(tree: &Tree, cgroup: Option<Cgroup>) -> Option<(Version, Vec<String>)> {
        let Cgroup { version, folders } = cgroup?;
        let inside = |folder: PathBuf| {
            folder.strip_prefix(&tree.roots().cgroup).unwrap().to_str().unwrap().to_owned()
        };
        Some((version, folders.into_iter().map(inside).collect()))
    }

    fn folders(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_own_cgroup_and_all_above_it_are_found() {
        let tree = Tree::new(&[("proc/self/cgroup", "0::/a.slice/b:c.service\n")]);
        let expected = (Version::V2, folders(&["a.slice/b:c.service", "a.slice", ""]));
        assert_eq!(found(&tree, unified(&tree.roots())), Some(expected.clone()));
        assert_eq!(found(&tree, of_memory(&tree.roots())), Some(expected));
    }

    #[test]
    fn memory_of_the_first_version_goes_before_the_second() {
        let tree = Tree::new(&[
            ("proc/self/cgroup", "9:name=systemd:/\n4:hugetlb,memory:/a/b\n0::/c\n"),
            ("cgroup/unified/cgroup.procs", ""),
        ]);
        let expected = (Version::V1, folders(&["memory/a/b", "memory/a", "memory"]));
        assert_eq!(found(&tree, of_memory(&tree.roots())), Some(expected));
        let expected = (Version::V2, folders(&["unified/c", "unified"]));
        assert_eq!(found(&tree, unified(&tree.roots())), Some(expected));
    }

    #[test]
    fn a_container_that_sees_its_own_folder_as_root_is_found() {
        let tree = Tree::new(&[("proc/self/cgroup", "4:memory:/docker/17/inner\n")]);
        let mount = tree.roots().cgroup.join("memory");
        let line = |folder: &str| {
            format!("35 31 0:32 {folder} {} rw - cgroup cgroup rw,memory\n", mount.display())
        };
        let cases: [(&str, &[&str]); 3] = [
            ("/docker/17", &["memory/inner", "memory"]),
            ("/docker/18", &["memory"]),
            ("/", &["memory/docker/17/inner", "memory/docker/17", "memory/docker", "memory"]),
        ];
        for (folder, expected) in cases {
            tree.write("proc/self/mountinfo", &format!("garbage\n{}", line(folder)));
            let expected = Some((Version::V1, folders(expected)));
            assert_eq!(found(&tree, of_memory(&tree.roots())), expected, "{folder}");
        }
    }

    #[test]
    fn what_is_missing_or_leads_out_is_not_followed() {
        let tree = Tree::new(&[]);
        assert_eq!(of_memory(&tree.roots()), None);
        for garbage in ["", "0:", "0::", "\n\n::\n", "nonsense"] {
            tree.write("proc/self/cgroup", garbage);
            let folders = unified(&tree.roots()).map(|cgroup| cgroup.folders.len());
            assert!(folders.is_none_or(|len| len == 1), "{garbage:?}");
        }
        tree.write("proc/self/cgroup", "0::/../../etc\n");
        let expected = Some((Version::V2, folders(&[""])));
        assert_eq!(found(&tree, unified(&tree.roots())), expected);
    }
}
