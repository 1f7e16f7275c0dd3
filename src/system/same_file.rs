//! Whether two paths lead to the same file, also by way of symbolic or hard links.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A file, by device and inode.
    File(u64, u64),
    /// Nothing yet: a file made at this path would be made here.
    Place(PathBuf),
    /// A pipe, a terminal, a socket: nothing that can be overwritten.
    Other,
}

impl Identity {
    /// The identity of a path's target.
    pub fn of(path: &Path) -> Identity {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Identity::File(metadata.dev(), metadata.ino()),
            Ok(_) => Identity::Other,
            Err(_) => Identity::Place(resolved(path)),
        }
    }

    /// Whether a write to one is a write to the other.
    pub fn is(&self, other: &Identity) -> bool {
        !matches!(self, Identity::Other) && self == other
    }
}

/// The path with its links resolved, as far as it exists.
pub fn resolved(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    // A link that leads nowhere: a file opened by its name is made at its end.
    for _ in 0..LINKS_MAX {
        let Ok(link) = path.read_link() else { break };
        path = path.parent().unwrap_or(Path::new("")).join(link);
    }
    let whole = std::path::absolute(&path).unwrap_or(path);
    let (there, known) = whole
        .ancestors()
        .find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)))
        .unwrap_or((Path::new(""), PathBuf::new()));
    let rest = whole.strip_prefix(there).unwrap_or(&whole);
    rest.components().fold(known, |mut path, component| {
        match component {
            Component::ParentDir => drop(path.pop()),
            component => path.push(component),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_file_is_one_file_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("list"), "").unwrap();
        fs::write(at("other"), "").unwrap();
        fs::hard_link(at("list"), at("hard")).unwrap();
        fs::create_dir(at("deep")).unwrap();
        symlink("list", at("link")).unwrap();
        symlink("deep/new", at("dangling")).unwrap();
        symlink("deep", at("folder")).unwrap();
        let is = |a: &str, b: &str| Identity::of(&at(a)).is(&Identity::of(&at(b)));
        for name in ["list", "hard", "link", "deep/../list", "./list", "folder/../link"] {
            assert!(is("list", name), "{name}");
        }
        for name in ["other", "new", "deep", "missing/../list"] {
            assert!(!is("list", name), "{name}");
        }
        for name in ["dangling", "folder/new", "deep/missing/../new"] {
            assert!(is("deep/new", name), "{name}");
        }
        assert!(!is("deep", "folder") && !is("new", "deep/new"));
        assert!(!Identity::of(Path::new("/dev/null")).is(&Identity::of(Path::new("/dev/null"))));
    }
}
