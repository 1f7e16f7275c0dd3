//! Refuses ledgers on network file systems.
//!
//! SQLite's log needs memory that all processes of one machine share, and reliable locks. A network provides neither: two
//! machines would each believe themselves alone, and a confirmed commit might not be on disk.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, statfs};

use super::ledger_files;
use crate::ledger::LedgerError;

/// File systems in user space with remote files. Others keep them on this machine: overlays of containers, encryption.
const REMOTE_FUSE: [&str; 9] =
    ["sshfs", "rclone", "s3fs", "gcsfuse", "glusterfs", "davfs", "curlftpfs", "smbnetfs", "ceph-fuse"];

/// Refuses a ledger on a network file system, also one that is still to be created.
///
/// # Errors
/// It is on one.
pub(super) fn check(path: &Path) -> Result<(), LedgerError> {
    let folder = folder_of(path);
    // If the system does not say, opening the file shows what is wrong.
    let Ok(status) = statfs(&folder) else { return Ok(()) };
    let fuse = || fuse_type(&folder);
    match network_name(status.filesystem_type(), fuse) {
        Some(filesystem) => Err(LedgerError::Network { path: path.to_owned(), filesystem }),
        None => Ok(()),
    }
}

/// The directory of the ledger's files, behind symbolic links.
fn folder_of(path: &Path) -> PathBuf {
    let file = ledger_files::followed(path);
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// The name of a network file system; `None`: it is a local one.
fn network_name(kind: FsType, fuse: impl FnOnce() -> Option<String>) -> Option<String> {
    const CIFS: u32 = 0xFF53_4D42;
    const SMB2: u32 = 0xFE53_4D42;
    const CEPH: u32 = 0x00C3_6400;
    const NINE_P: u32 = 0x0102_1997;
    // Whether these numbers have a sign depends on the target.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they have 32 bits")]
    let bits = |kind: FsType| kind.0 as u32;
    let name = match bits(kind) {
        kind if kind == bits(NFS_SUPER_MAGIC) => "NFS",
        kind if kind == bits(SMB_SUPER_MAGIC) => "SMB",
        CIFS | SMB2 => "SMB",
        CEPH => "Ceph",
        NINE_P => "9p",
        kind if kind == bits(FUSE_SUPER_MAGIC) => {
            return fuse().filter(|name| REMOTE_FUSE.iter().any(|remote| name.contains(remote)));
        }
        _ => return None,
    };
    Some(name.to_owned())
}

/// The type of the file system in user space that holds a directory, as the kernel lists it: `fuse.sshfs`.
fn fuse_type(folder: &Path) -> Option<String> {
    let device = folder.metadata().ok()?.dev();
    let device = format!("{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        // 36 35 98:0 /in/it /where rw,noatime master:1 - fuse.sshfs host:/dir rw
        let (mount, filesystem) = line.split_once(" - ")?;
        let is_its = mount.split(' ').nth(2) == Some(device.as_str());
        is_its.then(|| filesystem.split(' ').next().unwrap_or_default().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers_and_local_ones_pass() {
        let check = |magic: u32, fuse: &str, expected: Option<&str>| {
            let name = network_name(FsType(magic.into()), || Some(fuse.to_owned()));
            assert_eq!(name.as_deref(), expected, "{magic:x} {fuse}");
        };
        for (magic, name) in [
            (0x6969, "NFS"),
            (0x517B, "SMB"),
            (0xFF53_4D42, "SMB"),
            (0xFE53_4D42, "SMB"),
            (0x0102_1997, "9p"),
            (0x00C3_6400, "Ceph"),
        ] {
            check(magic, "", Some(name));
        }
        check(0x6573_5546, "fuse.sshfs", Some("fuse.sshfs"));
        check(0x6573_5546, "fuse.rclone", Some("fuse.rclone"));
        for local in ["fuse.fuse-overlayfs", "fuse.gocryptfs", "fuseblk", "virtiofs"] {
            check(0x6573_5546, local, None);
        }
        for (local, name) in [(0xEF53, "ext4"), (0x5846_5342, "xfs"), (0x794C_7630, "overlay"), (0x0102_1994, "tmpfs")]
        {
            check(local, name, None);
        }
        let here = tempfile::tempdir().unwrap();
        check_here(&here.path().join("ledger.db"));
        check_here(Path::new("ledger.db"));
    }

    fn check_here(path: &Path) {
        assert!(check(path).is_ok(), "{}", path.display());
    }
}
