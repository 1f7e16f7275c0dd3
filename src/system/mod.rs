//! What the operating system provides: names of users and of this machine, file identity, atomic and bounded file access, the
//! shell, a timer that kills.

pub mod atomic_file;
pub mod digest;
pub mod rescued;
pub mod same_file;
pub mod shell;
pub mod small_file;
pub mod switch;

use nix::unistd::{Uid, User, gethostname};

/// The name of the user that this process runs as, from the user database: environment variables can be set by anybody.
pub fn this_user() -> String {
    user_name(Uid::current())
}

/// The name of this machine; `None` if the system has none that is text.
pub fn host_name() -> Option<String> {
    gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty())
}

/// A user's name, or `user 1000` if the user database has none.
pub fn user_name(user: Uid) -> String {
    match User::from_uid(user) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("user {user}"),
    }
}
