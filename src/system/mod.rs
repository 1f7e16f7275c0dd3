//! What is asked of the operating system: who somebody is, which file is which, and files that are written whole or not
//! at all.

pub mod atomic_file;
pub mod same_file;
pub mod small_file;

use nix::unistd::{Uid, User};

/// The name of the user that this process belongs to, as the system knows it: what the environment says can be set by
/// anybody.
pub fn this_user() -> String {
    user_name(Uid::current())
}

/// A user's name, where the system knows one.
pub fn user_name(user: Uid) -> String {
    match User::from_uid(user) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("user {user}"),
    }
}

/// The name of this machine, as the kernel has it.
pub(crate) fn host_name() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned())
}
